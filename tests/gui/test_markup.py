"""Names from anybody's files show as they are written: no dock takes them for markup."""

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure
from napari.layers import Image
from qtpy.QtCore import Qt
from qtpy.QtGui import QTextDocument
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractItemView,
    QApplication,
    QLabel,
    QTableView,
    QWidget,
)

import napari_tem_rf
from napari_tem_rf import jobs
from napari_tem_rf.comparison import (
    Comparison,
    ComparisonPlan,
    Contestant,
    Costs,
    ImageScores,
    Result,
)
from napari_tem_rf.comparison.record import ComparisonRecord
from napari_tem_rf.figures import cost_against_score, overview, score_curve
from napari_tem_rf.gui.compare.dock import CompareWidget
from napari_tem_rf.gui.field.dock import ReceptiveFieldWidget
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.layers.layers import micrograph_layer, placement
from napari_tem_rf.gui.particles.dock import ParticlesWidget
from napari_tem_rf.gui.pieces.parts import LayerChoice, Sentence
from napari_tem_rf.gui.segment.dock import Workspace
from napari_tem_rf.gui.session.annotations import note_classes, start_annotation
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, default_plan
from napari_tem_rf.run_record import ImageEntry
from napari_tem_rf.runs import RunRecord, create_run

from .conftest import SHAPE
from .test_field_overlay import answer, point_at

PIPE = '<img src="file://{pipe}">'
NAMES = {
    "picture": PIPE,
    "picture later": f"gold {PIPE}",
    "bold": "<b>x</b>",
    "entity": "a&amp;b &lt;i&gt;",
    "link": '<a href="https://example.org">here</a>',
    "style": "<style>* {{ font-size: 90pt }}</style>x",
    "dollars": "$x$ and $\\frac{{1$",
    "backslash": "\\frac",
    "long": "<b>" + 3000 * "gold " + "</b>",
    "lines": "one\n<h1>two</h1>\nthree",
    "right to left": "gold \u202e<b>dlog</b>\u202c \u2067x",
}
SPEC = NetworkSpec(pools=(2, 4), filters=4)
WATCH = """
import os, sys, time
pipe, opened = sys.argv[1:]
while True:
    try:
        os.close(os.open(pipe, os.O_WRONLY | os.O_NONBLOCK))
        open(opened, "w").close()
    except OSError:
        pass
    time.sleep(0.05)
"""
"""Notes that somebody opened the pipe to read, and lets them go, who would wait for ever."""


@pytest.fixture
def pipe(tmp_path: Path) -> Iterator[Path]:
    """A pipe that nobody writes to; the test fails when it was opened."""
    path, opened = tmp_path / "pipe", tmp_path / "opened"
    if not hasattr(os, "mkfifo"):
        yield path
        return
    os.mkfifo(path)
    with subprocess.Popen([sys.executable, "-c", WATCH, str(path), str(opened)]) as watching:
        try:
            yield path
        finally:
            watching.kill()
            watching.wait()
    assert not opened.exists(), "a picture that a name asks for was opened"


@pytest.fixture(params=NAMES)
def name(request: Any, pipe: Path) -> str:
    return NAMES[request.param].format(pipe=pipe)


in_docks = pytest.mark.parametrize(
    "name", ["picture", "entity", "lines", "right to left"], indirect=True
)
"""One name of each sort: a dock takes seconds to open."""


# what a widget shows


def is_taken(text: str, name: str, *, rich: bool | None = None) -> bool:
    """Return whether Qt draws a text that holds a name as rich text in which it is not escaped."""
    is_rich = Qt.mightBeRichText(text) if rich is None else rich
    return is_rich and name in text.replace(escape(name), "")


def tips(widget: QWidget) -> list[str]:
    found = [widget.toolTip()]
    if isinstance(widget, QAbstractItemView) and widget.model() is not None:
        model = widget.model()
        role = Qt.ItemDataRole.ToolTipRole
        wide = model.columnCount() if isinstance(widget, QTableView) else 1
        rows, columns = range(model.rowCount()), range(wide)
        found += [model.data(model.index(row, at), role) for row in rows for at in columns]
        found += [model.headerData(at, Qt.Orientation.Horizontal, role) for at in columns]
    return [each for each in found if each]


def cells(widget: QWidget) -> list[str]:
    """Return what the cells of all tables in a widget show."""
    models = [each.model() for each in widget.findChildren(QTableView)]
    return [
        str(model.data(model.index(row, at)))
        for model in models
        for row in range(model.rowCount())
        for at in range(model.columnCount())
    ]


def shown_by(label: QLabel) -> str:
    """Return the letters that a label shows."""
    text = label.text()
    is_rich = label.textFormat() == Qt.TextFormat.RichText or (
        label.textFormat() == Qt.TextFormat.AutoText and Qt.mightBeRichText(text)
    )
    if not is_rich:
        return text
    document = QTextDocument()
    document.setHtml(text)
    return document.toPlainText().replace("\u2028", "\n")


def assert_plain(dock: QWidget, name: str) -> None:
    """Fail for each part of a dock that would draw a name as markup; draw the dock."""
    for widget in (dock, *dock.findChildren(QWidget)):
        where = f"{type(widget).__name__} in {type(dock).__name__}"
        for tip in tips(widget):
            assert not is_taken(tip, name), f"tooltip of {where}: {tip:.200}"
        if isinstance(widget, QLabel):
            kind = widget.textFormat()
            rich = {Qt.TextFormat.PlainText: False, Qt.TextFormat.RichText: True}.get(kind)
            assert not is_taken(widget.text(), name, rich=rich), f"{where}: {widget.text():.200}"
        if isinstance(widget, QAbstractButton) and "&" in name:
            assert name not in widget.text(), f"{where} takes & for a shortcut"
    dock.resize(400, 1500)
    dock.grab()
    QApplication.processEvents()


def flat(name: str) -> str:
    # sentences begin with a capital
    return " ".join(name.split()).casefold()


def assert_shown(label: QLabel, name: str) -> None:
    assert flat(name) in flat(shown_by(label))


# the docks


@pytest.fixture
def hostile(session: Session, name: str, tmp_path: Path) -> Image:
    """An image, its annotation and a run whose names, metadata and sentences are one name."""
    pixels = np.random.default_rng(5).normal(size=SHAPE).astype(np.float32)
    image = session.viewer.add_image(
        pixels,
        name=name,
        scale=(0.02, 0.02),
        units=("nm", "nm"),
        metadata={name: name, "deeper": {name: [name, 5]}, "title": f"of {name}"},
    )
    classes = Classes((1, 2), ("background", name), ("#0072b2", "#e69f00"))
    strokes = start_annotation(image, "ignore", [])
    strokes.data[25:35, 35:45], strokes.data[3:13, 5:25] = 2, 1
    note_classes(strokes, classes, "ignore")
    session.viewer.add_layer(strokes)
    session.image, session.annotation = image, strokes
    folder = tmp_path / "runs" / name.replace("/", "_")[:150]
    record = RunRecord(
        name=name,
        spec=SPEC,
        plan=default_plan(),
        classes=classes,
        unlabelled="ignore",
        cleaning=session.cleaning,
        pixel_size_nm=(0.05, 0.05),
        data=(),
        split={"kind": "groups", "sentence": f"{name} held out", "scored": name},
        state="finished",
        epochs=3,
        best_epoch=2,
        scores={"dice": 0.81},
    )
    create_run(folder, record, {})
    session.spec = SPEC
    session.add_run(TrainedRun(folder, record))
    return image


@in_docks
def test_the_workspace(
    viewer: Any, session: Session, hostile: Image, name: str, worker: None, qtbot: Any
) -> None:
    dock = Workspace(viewer)
    qtbot.addWidget(dock)
    dock.train._on_report(NoteReport(f"{name}: {'so it is; ' * 40}"))
    dock.train.words.say(f"lost {name}", "error")
    dock.result._on_predicted(f"{name} predicted", True)
    dock.load.fold.open()
    assert name in cells(dock)
    assert_shown(dock.train.note, name.partition(": ")[0][:40])
    assert_shown(dock.result.sizes, name)
    assert_shown(dock.result.score, name)
    assert_plain(dock, name)


@in_docks
def test_the_compare_dock(
    viewer: Any, hostile: Image, name: str, worker: None, tmp_path: Path, qtbot: Any
) -> None:
    dock = CompareWidget(viewer)
    qtbot.addWidget(dock)
    plan = ComparisonPlan((SPEC,), seeds=(752, 753), baselines=())
    classes = Classes((1, 2), ("background", name))
    entry = ImageEntry(
        name=name,
        group=name,
        shape=SHAPE,
        pixels_sha256="",
        labels_sha256="",
        pixel_size_nm=(0.02, 0.02),
    )
    record = ComparisonRecord(plan, classes, (entry,), (name,), {"sentence": name})
    network = Contestant(name, "field", SPEC, 752)
    baseline = Contestant(f"{name} too", "baseline", None, 752)

    def result(contestant: Contestant, dice: float) -> Result:
        scores = Scores(dice, dice, dice, dice, dice, boundary_error_px=2.0)
        return Result(contestant, (ImageScores(name, scores),), Costs(1.5, 0.25, 12.0), 3, 2)

    left_out = Result(baseline, (), Costs(1.0, 1.0, 1.0), note=f"it knows no {name}")
    comparison = Comparison(
        tmp_path / "comparison",
        record,
        (result(network, 0.8), result(baseline, 0.7)),
        (left_out,),
        ((name, f"{name} is missing"),),
    )
    dock.comparing._comparison = comparison
    dock.comparing.changed.emit()
    dock.plan.split.say(f"{name} is held out")
    dock.view.places_words.say(name)
    assert f"{name} too" in cells(dock)
    assert_shown(dock.findings, name)
    assert_shown(dock.run.failures, name)
    assert_shown(dock.chosen, name)
    assert_plain(dock, name)


@in_docks
def test_the_particles_dock(
    viewer: Any, hostile: Image, name: str, worker: None, qtbot: Any
) -> None:
    mask = np.zeros(SHAPE, np.uint8)
    mask[10:20, 10:25] = 1
    viewer.add_labels(mask, name=f"{name}: mask", **placement(hostile))
    dock = ParticlesWidget(viewer)
    qtbot.addWidget(dock)
    assert_shown(dock.ground, name)
    assert_plain(dock, name)


@in_docks
def test_the_receptive_field_dock(
    viewer: Any, session: Session, hostile: Image, name: str, worker: None,
    monkeypatch: pytest.MonkeyPatch, qtbot: Any,
) -> None:  # fmt: skip
    monkeypatch.setattr(jobs, "measure_effective_field", answer)
    overlay = session.part(FieldOverlay)
    viewer.mouse_over_canvas = True
    session.field_overlay = True
    dock = ReceptiveFieldWidget(viewer)
    qtbot.addWidget(dock)
    point_at(viewer, hostile, 30, 40)
    overlay.pin()
    qtbot.waitUntil(lambda: all(pin.field for pin in overlay.pins), timeout=20_000)
    line = next(
        label
        for label in dock.findChildren(QLabel)
        if "at 30, 40" in shown_by(label) and not label.parentWidget().isHidden()
    )
    assert_shown(line, name)
    # our own markup is markup still
    assert shown_by(line).startswith("1 ")
    assert "<b>" not in shown_by(line).replace(name, "")
    width = receptive_field(SPEC).nominal
    assert f"{width} px" in shown_by(dock.cursor.words)
    assert_plain(dock, name)


# the pieces


def test_a_choice_among_layers_tells_the_name(qtbot: Any, name: str) -> None:
    class Layer:
        pass

    layer = Layer()
    layer.name = name  # type: ignore[attr-defined]
    choice = LayerChoice("none")
    qtbot.addWidget(choice)
    choice.show_layers([layer], layer)
    assert choice.currentText() == name
    assert_plain(choice, name)
    assert len(choice.toolTip()) < 10_000


def test_a_sentence_is_plain_in_every_tone(qtbot: Any, name: str) -> None:
    for tone in ("plain", "quiet", "good", "advice", "warning", "error"):
        words = Sentence(name, tone)  # type: ignore[arg-type]
        qtbot.addWidget(words)
        assert words.textFormat() == Qt.TextFormat.PlainText
        assert words.text().endswith(name)
        assert_plain(words, name)


def test_napari_is_told_no_markup(session: Session, name: str, hostile: Image) -> None:
    # its status bar guesses as Qt does, and shows the names of layers and of classes
    micrograph = Micrograph(np.zeros(SHAPE, np.float32), name=name)
    _, attributes, _ = micrograph_layer(micrograph)
    assert not Qt.mightBeRichText(attributes["name"])
    assert session.annotation is not None
    for each in session.annotation.features["class"]:
        assert not Qt.mightBeRichText(each)


def test_figures_write_dollars_as_they_are(name: str) -> None:
    import pandas as pd

    table = pd.DataFrame(
        {
            "name": ["n", name],
            "receptive_field": [44.0, np.nan],
            "parameters": [8000.0, np.nan],
            "seed": [1, 1],
            "dice": [0.8, 0.7],
            "train_seconds": [2.0, 1.0],
        }
    )
    image, mask = np.eye(7, 11), np.eye(7, 11) > 0
    names = []
    for draw in (
        lambda figure: overview(figure, [image], [mask], [mask], [name], [0.5], [None], name),
        lambda figure: score_curve(figure.add_subplot(), table),
        lambda figure: cost_against_score(figure.add_subplot(), table),
    ):
        figure = Figure()
        draw(figure)
        texts = figure.findobj(match=lambda part: hasattr(part, "get_parse_math"))
        held = [each for each in texts if name in each.get_text()]  # type: ignore[attr-defined]
        names += held
        assert held
        assert not any(each.get_parse_math() for each in held)  # type: ignore[attr-defined]
        if len(name) < 200:
            figure.canvas.draw()
    assert len(names) >= 4


# the source


def window_trees() -> Iterator[tuple[str, ast.AST]]:
    window = Path(napari_tem_rf.__file__).parent / "gui"
    for path in sorted(window.rglob("*.py")):
        yield path.relative_to(window).as_posix(), ast.parse(path.read_text())


def is_our_own(value: ast.expr) -> bool:
    """Return whether an expression is a text that stands in the source, or one of several."""
    if isinstance(value, ast.IfExp):
        return is_our_own(value.body) and is_our_own(value.orelse)
    return isinstance(value, ast.Constant)


def test_one_file_of_the_window_gives_qt_text_that_could_be_markup() -> None:
    odd = []
    for path, tree in window_trees():
        if path == "pieces/text.py":
            continue
        for node in ast.walk(tree):
            if isinstance(node, ast.alias) and node.name == "QLabel":
                odd.append(f"{path} imports QLabel: take PlainLabel or RichLabel")
            called = node.func if isinstance(node, ast.Call) else None
            if not isinstance(called, ast.Attribute) or not isinstance(node, ast.Call):
                continue
            if called.attr == "setToolTip" and not is_our_own(node.args[0]):
                odd.append(f"{path}:{node.lineno} sets a tooltip: take set_tip")
            if called.attr == "setTextFormat":
                odd.append(f"{path}:{node.lineno} sets a format: take PlainLabel or RichLabel")
    assert not odd
