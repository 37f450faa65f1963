"""What all tests share: nothing of the user's is read, no window stays, the real data are found."""

import gc
import os
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import matplotlib
import pytest

matplotlib.use("Agg")

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"

_settings = tempfile.TemporaryDirectory(prefix="tem-rf-tests-")
# On import, because napari reads the place of its settings when test modules import it. The cache
# stays where it is: matplotlib would look for all fonts again in every session.
# napari then keeps its settings to itself: it would write them several times for each viewer.
os.environ["NAPARI_CONFIG"] = ""
os.environ["TEM_RF_CONFIG"] = str(Path(_settings.name, "settings.json"))
os.environ["TEM_RF_CACHE"] = str(Path(_settings.name, "cache"))
for _name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_STATE_HOME"):
    os.environ[_name] = str(Path(_settings.name, _name.lower()))
os.environ.pop("TEM_RF_SCHEDULER", None)


SECONDS = {"gui": 1.0, "cli": 0.6, "measuring": 0.2, "movies": 0.3, "learning": 0.15, "": 0.5}
"""What a test takes, by its folder: roughly, of the processor."""

SLOW_SECONDS = 10.0


def _seconds(item: pytest.Item) -> float:
    folders = item.path.relative_to(Path(__file__).parent).parts[:-1]
    usual = SECONDS.get(folders[0] if folders else "", 0.05)
    return SLOW_SECONDS if item.get_closest_marker("slow") else usual


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Let the longest files be first where processes share them: one last long file would be alone.

    `make test` asks xdist to keep this order, which goes by the number of tests otherwise.
    """
    if hasattr(config, "workerinput"):
        whole: defaultdict[Path, float] = defaultdict(float)
        for item in items:
            whole[item.path] += _seconds(item)
        # files of one length stay apart
        items.sort(key=lambda item: (-whole[item.path], item.path))


def pytest_collection_finish() -> None:
    """Let collections of garbage leave out what was imported: each viewer asks for some."""
    gc.collect()
    gc.freeze()


def pytest_unconfigure() -> None:
    _settings.cleanup()


@pytest.fixture(scope="session")
def loaded() -> Iterator[None]:
    """The process of which workers are copies, kept between engines: it loads for seconds."""
    from napari_tem_rf.engine.forkserver import borrow_server, give_server_back
    from napari_tem_rf.engine.local import server_environment

    server = borrow_server(server_environment())
    yield
    if server is not None:
        give_server_back(server)


@pytest.fixture(autouse=True)
def no_window_stays() -> Iterator[None]:
    """Fail a test that leaves a window open: it would shadow what the next one clicks on."""
    yield
    widgets = sys.modules.get("qtpy.QtWidgets")
    if widgets is None or widgets.QApplication.instance() is None:
        return
    widgets.QApplication.processEvents()
    left = [window for window in widgets.QApplication.topLevelWidgets() if window.isVisible()]
    for window in left:
        window.close()
    assert not left, f"windows left open: {left}"


def _folder(name: str) -> Path:
    folder = DATA / name
    if not folder.is_dir():
        pytest.skip(f"real micrographs are not here: {folder}")
    return folder


@pytest.fixture(scope="session")
def graphene() -> Path:
    """Folder of the high-resolution micrographs: particles show by their lattice."""
    return _folder("graphene-hrtem")


@pytest.fixture(scope="session")
def bright_field() -> Path:
    """Folder of the bright-field micrographs: particles show by their mean grey level."""
    return _folder("nanoparticles-bf")


@pytest.fixture(scope="session")
def microscope_files() -> Path:
    """Folder of files as microscopes write them."""
    return _folder("formats")
