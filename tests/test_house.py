"""The house: what may be imported where, what is named where, what travels in the wheel."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_tem_rf"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SLOWEST_IMPORT_S = 1.0


def name_of(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(
        ".__init__"
    )


PATHS = {name_of(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text()) for name, path in PATHS.items()}
MODULES = sorted(PATHS)
WINDOW = [name for name in MODULES if name.startswith("napari_tem_rf.gui")]
WITHOUT_WINDOW = [name for name in MODULES if not name.startswith("napari_tem_rf.gui")]
WITHOUT_TORCH = [name for name in WITHOUT_WINDOW if not name.startswith("napari_tem_rf.learning")]


NAMED_TWICE = {
    # a command is named after what it does, and so is the public function of the same work
    "adopt": ["cli", "workflow"],
    "effective_field": ["cli", "learning", "workflow"],
    "predict": ["cli", "learning", "workflow"],
    "share": ["cli", "workflow"],
    "train": ["cli", "learning", "workflow"],
    # entry points of processes, called by name and never imported by each other
    "main": ["cli", "engine", "gui.show"],
    # each dock its own; called by the module's name
    "register_shortcuts": ["gui.field", "gui.movies", "gui.particles", "gui.segment"],
}
"""Names that several floors define, and why that is clear."""


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(wanted: tuple[str, ...], *steps: list[str]) -> list[set[str]]:
    """Return which of the wanted packages a new process holds, after each step of imports."""
    code = ["import sys"]
    for imports in steps:
        code += [f"import {', '.join(imports)}", f"print('-', *set({wanted}) & set(sys.modules))"]
    return [set(line.split()) - {"-"} for line in run_python("\n".join(code)).splitlines()]


def test_importing_the_package_is_cheap(capsys):
    code = (
        "import sys, time; start = time.perf_counter(); import napari_tem_rf; "
        "print(time.perf_counter() - start, *sys.modules)"
    )
    seconds, *modules = run_python(code).split()
    with capsys.disabled():
        # the figure is wanted in every log
        print(f"\nimport: {1000 * float(seconds):.1f} ms, {len(modules)} modules")  # noqa: T201
    heavy = {"dask", "distributed", "matplotlib", "napari", "pandas", "qtpy", "skimage", "torch"}
    assert not heavy & set(modules)
    assert not [name for name in modules if name.startswith(("PyQt", "PySide"))]
    assert float(seconds) < SLOWEST_IMPORT_S


def test_the_window_loads_no_torch():
    """Nor does it open with figures: Matplotlib takes a third of a second to import."""
    wanted = ("matplotlib", "napari", "qtpy", "torch")
    opened, whole = loaded_after(wanted, ["napari_tem_rf.gui.segment.dock"], WINDOW)
    assert opened - {"napari"} == {"qtpy"}
    assert whole - {"matplotlib"} == {"qtpy", "napari"}


def test_torch_comes_with_learning_alone_and_nothing_else_needs_a_window():
    wanted = ("napari", "numpy", "qtpy", "torch")
    without_torch, whole = loaded_after(wanted, WITHOUT_TORCH, WITHOUT_WINDOW)
    assert without_torch == {"numpy"}
    assert whole == {"numpy", "torch"}


def test_floors():
    """The contracts of import-linter in pyproject.toml."""
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([tool, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


def imports_of(module: str) -> set[str]:
    """Return all that a module's source imports: in functions and for types alone too.

    A name from a package is the module of that name where there is one, the package otherwise.
    """
    found = set()
    for node in ast.walk(TREES[module]):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: the project's imports are absolute"
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & set(PATHS)
            found |= inner
            if len(inner) < len(node.names):
                found.add(node.module)
    return found - {module}


IMPORTS = {module: imports_of(module) for module in MODULES}


def circles(imports: dict[str, set[str]]) -> list[list[str]]:
    """Return the groups of modules in which each reaches each other."""
    imports = {module: names & set(imports) for module, names in imports.items()}

    def reached_from(module: str) -> set[str]:
        reached: set[str] = set()
        coming = [module]
        while coming:
            following = imports[coming.pop()] - reached
            reached |= following
            coming.extend(following)
        return reached

    reached = {module: reached_from(module) for module in imports}
    groups = {
        tuple(sorted({module} | {other for other in reached[module] if module in reached[other]}))
        for module in imports
        if module in reached[module]
    }
    return sorted(list(group) for group in groups)


def test_circles_are_found():
    imports = {"a": {"b"}, "b": {"c", "x"}, "c": {"a"}, "d": {"a", "e"}, "e": {"f"}, "f": {"e"}}
    assert circles({**imports, "x": set()}) == [["a", "b", "c"], ["e", "f"]]


def test_no_module_imports_itself_by_way_of_others():
    """A circle is what makes files impossible to understand one at a time."""
    found = {module for circle in circles(IMPORTS) for module in circle}
    assert found == set()


def test_colours_come_from_the_palette():
    from napari_tem_rf.figures import palette

    colors = set(palette.CLASS_COLORS)
    assert len(colors) == 7
    for module, path in PATHS.items():
        text = path.read_text().lower()
        if module != palette.__name__:
            assert [color for color in sorted(colors) if color in text] == [], module


def test_every_module_of_the_window_needs_it():
    """What knows neither Qt nor napari belongs below the window."""
    toolkits = {"magicgui", "napari", "qtpy", "superqt", "vispy"}
    needs = {
        module
        for module in WINDOW
        if {name.partition(".")[0] for name in IMPORTS[module]} & toolkits
    }
    while more := {m for m in WINDOW if m not in needs and IMPORTS[m] & needs}:
        needs |= more
    packages = {module for module in WINDOW if PATHS[module].name == "__init__.py"}
    assert set(WINDOW) - packages - needs == set()


def test_every_dependency_is_imported():
    imported = {name.partition(".")[0] for names in IMPORTS.values() for name in names}
    known = packages_distributions()
    used = {canonicalize_name(owner) for name in imported for owner in known.get(name, ())}
    optional = PROJECT["project"]["optional-dependencies"]
    declared = {
        canonicalize_name(Requirement(text).name)
        for text in (*PROJECT["project"]["dependencies"], *optional["formats"])
    }
    assert declared - used == set()


def public_definitions(module: str) -> Iterator[str]:
    """Yield the functions and classes that a module defines for others."""
    for node in TREES[module].body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name


def floor_of(module: str) -> str:
    """Return the part of the package that a module belongs to; in the window, the wing."""
    parts = module.split(".")[1:]
    return ".".join(parts[:2]) if parts[0] == "gui" else parts[0]


def test_each_public_name_is_defined_on_one_floor():
    """Who reads ``predict(...)`` is not to ask which of four it is."""
    floors: dict[str, set[str]] = {}
    for module in MODULES:
        for name in public_definitions(module):
            floors.setdefault(name, set()).add(floor_of(module))
    twice = {name: sorted(where) for name, where in floors.items() if len(where) > 1}
    assert twice == NAMED_TWICE


def test_the_map_of_the_house_names_what_is_there():
    """Every path in docs/architecture.md exists, and every part of the package is in its tree."""
    page = (ROOT / "docs" / "architecture.md").read_text()
    tree = page.partition("```\n")[2].partition("```")[0]
    listed = {line.split()[0].rstrip("/") for line in tree.splitlines() if line[0] != " "}
    wings = {line.split()[0].rstrip("/") for line in tree.splitlines() if line[0] == " "}
    parts = {path.name for path in PACKAGE.iterdir() if path.name != "__pycache__"}
    assert listed == parts - {"sample_data"}
    assert wings == {path.name for path in (PACKAGE / "gui").iterdir() if path.is_dir()} - {
        "__pycache__"
    }
    named = {
        path
        for path in re.findall(r"`([\w/.]+(?:/|\.py|\.yaml))`", page.replace(tree, ""))
        if path not in {f"{wing}/" for wing in wings}
    }
    assert len(named) > 60
    assert [p for p in sorted(named) if not any((at / p).exists() for at in (PACKAGE, ROOT))] == []


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    return PluginManifest.from_file(PACKAGE / "napari.yaml")


def test_napari_finds_the_manifest(manifest):
    installed = PluginManifest.from_distribution("napari-tem-rf")
    assert installed.name == manifest.name == PROJECT["project"]["name"]
    assert (ROOT / "napari.yaml").read_text() == (PACKAGE / "napari.yaml").read_text()


def test_every_command_of_the_manifest_can_be_called(manifest):
    assert manifest.contributions.commands
    for command in manifest.contributions.commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(importlib.import_module(module), name)), command.id


def test_every_contribution_names_a_command_of_the_manifest(manifest):
    contributions = manifest.contributions
    known = {command.id for command in contributions.commands}
    listed = [*contributions.widgets, *contributions.readers, *contributions.writers]
    listed += contributions.sample_data
    listed += [item for items in contributions.menus.values() for item in items]
    assert {contribution.command for contribution in listed} <= known


def test_scripts_of_the_project_exist():
    for target in PROJECT["project"]["scripts"].values():
        module, name = target.split(":")
        assert callable(getattr(importlib.import_module(module), name))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> zipfile.ZipFile:
    folder = tmp_path_factory.mktemp("wheel")
    options = ["--no-deps", "--no-build-isolation", "--quiet", "--wheel-dir", str(folder)]
    done = subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (file,) = folder.glob("*.whl")
    return zipfile.ZipFile(file)


def test_the_wheel_carries_manifest_and_license(wheel):
    names = wheel.namelist()
    assert wheel.read("napari_tem_rf/napari.yaml") == (PACKAGE / "napari.yaml").read_bytes()
    assert any(name.endswith("licenses/LICENSE") for name in names)
    (entry_points,) = (name for name in names if name.endswith("entry_points.txt"))
    assert b"[napari.manifest]" in wheel.read(entry_points)


def test_the_wheel_carries_the_whole_package_and_nothing_else(wheel):
    code = {name for name in wheel.namelist() if name.endswith(".py")}
    assert code == {str(path.relative_to(PACKAGE.parent)) for path in PACKAGE.rglob("*.py")}


def test_the_wheel_carries_the_sample_data(wheel):
    sets = sorted(path.parent for path in (ROOT / "sample_data").glob("*/images"))
    assert len(sets) == 2
    for folder in sets:
        files = sorted(path for path in folder.rglob("*.tif"))
        assert files
        for path in files:
            inside = f"napari_tem_rf/{path.relative_to(ROOT)}"
            assert wheel.read(inside) == path.read_bytes()


def in_order(names: list[str]) -> list[str]:
    """Constants, classes, functions: the order that ruff keeps."""
    return sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))


def public_names(path: Path) -> list[str]:
    stub = path.with_suffix(".pyi")
    if stub.is_file():  # loaded when first used, by the stub
        return in_order(
            [alias.name for node in ast.parse(stub.read_text()).body for alias in node.names]
        )
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


PUBLIC = [path for path in sorted(PACKAGE.rglob("*.py")) if public_names(path)]


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_public_names_are_sorted_and_there(path):
    names = public_names(path)
    assert names == in_order(names)
    assert len(set(names)) == len(names)
    loaded = importlib.import_module(name_of(path))
    assert [name for name in names if not hasattr(loaded, name)] == []


def test_the_package_has_a_public_face():
    assert public_names(PACKAGE / "__init__.py")


def test_every_requirement_is_pinned():
    pins = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text().splitlines()
        if not line.startswith("#")
    )
    pinned = {canonicalize_name(name): version for name, version in pins.items()}
    optional = PROJECT["project"]["optional-dependencies"]
    wanted = list(PROJECT["project"]["dependencies"])
    for extra in ("all", "formats", "lint", "test"):
        wanted += optional[extra]
    for requirement in map(Requirement, wanted):
        name = canonicalize_name(requirement.name)
        if name != PROJECT["project"]["name"]:
            assert requirement.specifier.contains(pinned[name]), requirement


def test_only_the_projects_own_extras_are_named():
    """A misspelt extra installs nothing and says so in passing only."""
    optional = PROJECT["project"]["optional-dependencies"]
    for requirement in (Requirement(text) for texts in optional.values() for text in texts):
        if requirement.name == PROJECT["project"]["name"]:
            assert requirement.extras <= set(optional)


def test_no_path_of_a_machine_is_left_in_the_project():
    kept = [*PACKAGE.rglob("*.py"), ROOT / "constraints.txt", ROOT / "Makefile", ROOT / "README.md"]
    machine = re.compile(r"/(?:home|root|tmp|work)/\w|https?://[^/\s]*:\d+")
    for path in kept:
        assert machine.search(path.read_text()) is None, path
