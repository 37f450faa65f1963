"""Docks open without what takes long to load or to work out, which comes a moment later."""

import subprocess
import sys
from threading import Event, current_thread, main_thread

import pytest
from qtpy.QtWidgets import QWidget

from napari_tem_rf.gui.pieces.plot import Plot
from napari_tem_rf.gui.pieces.preloading import (
    CATALOG,
    FIELDS_PX,
    MATPLOTLIB,
    PARAMETERS,
    Preloaded,
    soon,
    when_ready,
)

HEAVY = ("distributed", "matplotlib", "pandas", "skimage.segmentation", "sklearn", "torch")
OPEN = """
import sys
from threading import current_thread, main_thread
import napari
from napari_tem_rf.networks.catalog import catalog
viewer = napari.Viewer(show=False)
waited_for = []
class Watch:
    def find_spec(self, name, path=None, target=None):
        if name in {heavy} and current_thread() is main_thread():
            waited_for.append(name)
sys.meta_path.insert(0, Watch())
viewer.window.add_plugin_dock_widget("napari-tem-rf", sys.argv[1])
print("waited_for", *waited_for)
print("catalogs", catalog.cache_info().currsize)
viewer.close()
"""


@pytest.fixture
def parent(qtbot):
    widget = QWidget()
    qtbot.addWidget(widget)
    return widget


@pytest.mark.parametrize("dock", ["TEM segmentation", "Compare", "Particles"])
def test_a_dock_opens_without_what_takes_long(dock):
    code = OPEN.format(heavy=HEAVY)
    done = subprocess.run([sys.executable, "-c", code, dock], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert lines["waited_for"] == []  # threads may load them meanwhile
    assert lines["catalogs"] == ["0"]


def test_the_ends_of_the_axes_are_the_catalogs():
    fields, parameters = CATALOG.get().receptive_fields, CATALOG.get().parameters
    assert (fields.min(), fields.max()) == FIELDS_PX
    assert (parameters.min(), parameters.max()) == PARAMETERS


def test_a_thing_is_made_once_in_a_thread(parent, qtbot):
    made, told = [], []

    def make():
        made.append(current_thread())
        return "the thing"

    thing = Preloaded(make)
    when_ready(parent, lambda: told.append(current_thread()), thing)
    assert not thing.is_ready
    assert not made
    qtbot.waitUntil(lambda: bool(told))
    assert thing.get() == "the thing"
    assert len(made) == 1
    assert made[0] is not main_thread()
    assert told == [main_thread()]
    when_ready(parent, lambda: told.append(current_thread()), thing)
    assert told == [main_thread()] * 2


def test_who_needs_it_sooner_waits_for_the_thread(parent):
    may_end = Event()
    made = []

    def make():
        made.append(current_thread())
        assert may_end.wait(10)
        return "the thing"

    thing = Preloaded(make)
    thing.begin()
    thing.begin()
    may_end.set()
    assert thing.get() == "the thing"
    assert len(made) == 1


def test_what_cannot_be_made_is_raised_where_it_is_needed(parent, qtbot, monkeypatch):
    monkeypatch.setattr("threading.excepthook", lambda _: None)

    def make():
        raise ImportError("no such library")

    thing, told = Preloaded(make), []
    when_ready(parent, lambda: told.append(True), thing)
    qtbot.waitUntil(lambda: bool(told))
    with pytest.raises(ImportError, match="no such library"):
        thing.get()


def test_a_widget_that_is_gone_is_not_told(qtbot):
    widget, told = QWidget(), []
    thing = Preloaded(lambda: "the thing")
    soon(widget, lambda: told.append("soon"))
    when_ready(widget, lambda: told.append("ready"), thing)
    widget.deleteLater()
    del widget
    qtbot.wait(200)
    assert told == []


def test_a_figure_comes_with_matplotlib_and_later_at_once(qtbot):
    drawn = []
    plot = Plot(lambda figure, theme: drawn.append(figure.add_subplot()), 90)
    qtbot.addWidget(plot)
    assert plot.axes == []
    plot.draw()
    plot.draw()
    qtbot.waitUntil(lambda: bool(drawn), timeout=20_000)
    assert plot.axes == drawn[-1:]
    plot.draw()
    assert plot.axes == drawn[-1:]
    assert MATPLOTLIB.is_ready
