"""The house: what may be imported where, and what travels in the wheel."""

import ast
import importlib
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
from npe2 import PluginManifest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "napari_tem_rf"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SLOWEST_IMPORT_S = 1.0
MODULES = sorted(
    ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts).removesuffix(".__init__")
    for path in PACKAGE.rglob("*.py")
)
WINDOW = [name for name in MODULES if name.startswith("napari_tem_rf.gui")]
WITHOUT_WINDOW = [name for name in MODULES if not name.startswith("napari_tem_rf.gui")]
WITHOUT_TORCH = [name for name in WITHOUT_WINDOW if not name.startswith("napari_tem_rf.learning")]


def run_python(code: str) -> str:
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_after(imports: list[str], wanted: tuple[str, ...]) -> set[str]:
    """Return which of the wanted packages a new process holds after imports."""
    code = f"import sys, {', '.join(imports)}; print(*set({wanted}) & set(sys.modules))"
    return set(run_python(code).split())


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
    assert loaded_after(WINDOW, ("qtpy", "napari", "torch")) == {"qtpy", "napari"}


def test_the_window_opens_without_figures():
    """Matplotlib takes a third of a second to import: it comes with the first curve."""
    workspace = "napari_tem_rf.gui.widgets.workspace"
    assert loaded_after([workspace], ("matplotlib", "qtpy")) == {"qtpy"}


def test_torch_comes_with_learning_alone():
    assert loaded_after(WITHOUT_TORCH, ("numpy", "torch")) == {"numpy"}


def test_everything_but_the_window_does_without_it():
    assert loaded_after(WITHOUT_WINDOW, ("napari", "qtpy", "torch")) == {"torch"}


def test_floors():
    """The contracts of import-linter in pyproject.toml."""
    tool = shutil.which("lint-imports", path=str(Path(sys.executable).parent))
    if tool is None:
        pytest.skip("import-linter is not installed")
    done = subprocess.run([tool, "--no-cache"], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stdout + done.stderr


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


def public_names(path: Path) -> list[str]:
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            return ast.literal_eval(node.value)
    return []


PUBLIC = [path for path in sorted(PACKAGE.rglob("*.py")) if public_names(path)]


@pytest.mark.parametrize("path", PUBLIC, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_public_names_are_sorted_and_there(path):
    """Constants, classes, functions: the order that ruff keeps."""
    names = public_names(path)
    assert names == sorted(names, key=lambda name: (not name.isupper(), name[0].islower(), name))
    assert len(set(names)) == len(names)
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    loaded = importlib.import_module(module.removesuffix(".__init__"))
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
