"""What is around the package says the same as the package: recipe, workflows, pages, citation."""

import importlib.util
import inspect
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from typer.models import OptionInfo

import napari_tem_rf
from napari_tem_rf.cli.app import app

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PAGES = sorted([*(ROOT / "docs").rglob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

# conda-forge splits some packages into what is needed and what is usual
NAMES_OF_CONDA = {"dask": "dask-core", "matplotlib": "matplotlib-base", "torch": "pytorch"}


def module_of(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_recipe_needs_what_the_package_needs() -> None:
    recipe = yaml.safe_load((ROOT / "packaging" / "recipe.yaml").read_text())
    wanted = {}
    for requirement in map(Requirement, PROJECT["project"]["dependencies"]):
        name = canonicalize_name(requirement.name)
        wanted[NAMES_OF_CONDA.get(name, name)] = str(requirement.specifier)
    declared = dict(text.split(" ", 1) for text in recipe["requirements"]["run"])
    assert declared.pop("python") == ">=${{ python_min }}"
    assert declared == wanted
    lowest = PROJECT["project"]["requires-python"].removeprefix(">=")
    assert recipe["context"]["python_min"] == lowest
    built = {text.split(" ")[0] for text in recipe["requirements"]["host"]} - {"python", "pip"}
    assert built == {Requirement(text).name for text in PROJECT["build-system"]["requires"]}


def targets() -> set[str]:
    return set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_targets_that_there_are(path: Path) -> None:
    """Nothing runs there that does not run here; and what is fetched is fetched by its hash."""
    workflow = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    assert all("timeout-minutes" in job for job in workflow["jobs"].values())
    runs = [step["run"] for step in steps if "run" in step]
    for run in runs:
        assert run.startswith("make "), run
        assert run.split()[1] in targets(), run
    for step in steps:
        if "uses" in step:
            assert re.fullmatch(r"[\w.-]+/[\w.-]+@[0-9a-f]{40}", step["uses"]), step["uses"]


def test_the_pythons_that_are_tested_are_those_that_are_declared() -> None:
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "tests.yml").read_text())
    tested = workflow["jobs"]["test"]["strategy"]["matrix"]["python"]
    prefix = "Programming Language :: Python :: 3."
    declared = [
        each.rpartition(" ")[2] for each in PROJECT["project"]["classifiers"] if prefix in each
    ]
    assert tested == declared
    assert PROJECT["project"]["requires-python"] == f">={declared[0]}"


def test_dependency_groups_are_pinned() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = dict(line.split("==") for line in lines if not line.startswith("#"))
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    for group in PROJECT["dependency-groups"].values():
        for requirement in map(Requirement, group):
            assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)])


def test_forms_ask_for_what_is_needed() -> None:
    form = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "bug.yml").read_text())
    asked = {part["id"] for part in form["body"] if part["type"] != "markdown"}
    assert {"file", "record", "info"} <= asked
    assert "napari --info" in str(form)


def test_the_citation_is_of_the_newest_release() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["cff-version"] == "1.2.0"
    assert citation["license"] == PROJECT["project"]["license"]
    log = (ROOT / "CHANGELOG.md").read_text()
    assert log.index("## [Unreleased]") < log.index("### Added")
    released = re.findall(r"^## \[(\d+\.\d+\.\d+)\]", log, re.MULTILINE)
    assert not released or citation["version"] == released[0]


def test_the_version_is_known_without_tags(tmp_path: Path) -> None:
    """As in a copy without its history, and with a tag."""
    pytest.importorskip("hatch_vcs")
    (tmp_path / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text())

    def version() -> str:
        done = subprocess.run(
            [sys.executable, "-m", "hatchling", "version"],
            *(), cwd=tmp_path, capture_output=True, text=True, check=True,
        )  # fmt: skip
        return done.stdout.strip()

    assert version() == "0.1.0.dev0"
    git = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org"]
    for arguments in (["init", "-q"], ["add", "."], ["commit", "-qm", "x"]):
        subprocess.run([*git, *arguments], cwd=tmp_path, check=True)
    assert version().startswith("0.1.0.dev1+g")
    subprocess.run([*git, "tag", "v3.2.1"], cwd=tmp_path, check=True)
    assert version() == "3.2.1"


def test_every_public_function_is_on_the_page_of_the_reference() -> None:
    sections = module_of("reference").SECTIONS
    named = [name for names in sections.values() for name in names]
    assert sorted(named) == sorted(napari_tem_rf.__all__)
    assert all(inspect.getdoc(getattr(napari_tem_rf, name)) for name in named)


def options() -> dict[str, set[str]]:
    """Return the options of each command."""
    found = {}
    for command in app.registered_commands:
        assert command.callback is not None
        parameters = inspect.signature(command.callback, eval_str=True).parameters.values()
        found[str(command.name)] = {
            name
            for each in parameters
            if isinstance(each.default, OptionInfo)
            for name in declared_names(each)
        }
    return found


def declared_names(option: Any) -> list[str]:
    names = [each for text in option.default.param_decls or () for each in text.split("/")]
    return names or ["--" + option.name.replace("_", "-")]


def test_the_page_of_the_commands_has_them_all() -> None:
    page = module_of("commands").commands_page()
    assert re.findall(r"^## ([\w-]+)$", page, re.MULTILINE) == list(options())
    for name, flags in options().items():
        section = page.partition(f"## {name}\n")[2].partition("\n## ")[0]
        assert all(f"`{flag}" in section for flag in flags), name


def commands_on(page: Path) -> list[list[str]]:
    """Return the commands that a page tells its reader to type."""
    blocks = re.findall(r"^```(?:sh)?\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    lines = [line for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [
        shlex.split(line.partition(" #")[0]) for line in lines if line.startswith("napari-tem-rf ")
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_pages_name_commands_and_options_that_there_are(page: Path) -> None:
    known = options()
    for _, command, *arguments in commands_on(page):
        assert command in known, f"{page.name}: {command}"
        flags = {each.partition("=")[0] for each in arguments if each.startswith("--")}
        assert flags <= known[command] | {"--help"}, f"{page.name}: {command}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_links_between_pages_lead_somewhere(page: Path) -> None:
    """On the repository's own pages too, where nothing else looks."""
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if "://" not in target and not target.startswith("#"):
            assert (page.parent / target.partition("#")[0]).exists(), f"{page.name}: {target}"
