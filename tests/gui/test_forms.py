"""Forms: made from the description of a plan, for the plans that the window shows."""

from dataclasses import dataclass, replace
from typing import Any

import pytest
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLabel, QPushButton, QWidget

from napari_tem_rf.comparison import ComparisonSettings
from napari_tem_rf.describing import settings_of, told
from napari_tem_rf.exporting import ExportSettings
from napari_tem_rf.gui.compare.plan_part import PlanPart
from napari_tem_rf.gui.export.mask_export import MaskExport
from napari_tem_rf.gui.particles.options import ParticleOptions
from napari_tem_rf.gui.pieces.forms import Form, tip_of
from napari_tem_rf.gui.pieces.parts import DOCK_WIDTH, Fold, Sentence, column
from napari_tem_rf.gui.segment.cleaning import CleaningWidget
from napari_tem_rf.gui.segment.train import TrainWidget
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.protocol import TrainingPlan, default_plan


@dataclass(frozen=True, slots=True)
class Smoothing:
    """A plan that nothing else knows."""

    largest_hole_px: int = told(
        5, "largest hole", "Smaller holes are filled", unit="px", least=0, most=999, least_is="off"
    )
    share: float = told(0.25, "share", "Part of it", percent=True, least=0, most=0.5)
    rounds: int | None = told(None, "rounds", "How often", least=2, none="as often as needed")
    smooth: bool = told(False, "smooth", "Round the borders")
    way: str = told("none", "way", "How", choices={"none": "not", "some": "a little"})
    pattern: str = told("", "pattern", "Which", none="all")
    reach: float | None = told(
        None, "reach", "How far", in_force="far", step=0.1, least=0, needs=lambda plan: plan.smooth
    )

    @property
    def far(self) -> float:
        """The reach in force."""
        return 2.5 if self.reach is None else self.reach


@pytest.fixture
def form(qtbot: Any) -> Form:
    form = Form(Smoothing())
    qtbot.addWidget(form)
    form.show()
    return form


def test_a_form_shows_a_plan_in_its_words(form: Form) -> None:
    assert form.names == tuple(setting.name for setting in settings_of(Smoothing))
    assert form.box("largest_hole_px").text() == "5 px"
    assert form.box("share").text() == "25 %"
    assert form.box("rounds").text() == "as often as needed"
    assert form.box("smooth").text() == "smooth"
    assert form.box("way").currentText() == "not"
    assert form.box("pattern").placeholderText() == "all"
    assert not form.box("reach").isVisible()
    form.show_plan(Smoothing(0, rounds=3, smooth=True))
    assert form.box("largest_hole_px").text() == "off"
    assert form.box("rounds").text() == "3"
    assert form.box("reach").isVisible()
    assert form.box("reach").text() == "2.5"
    titles = [label.text() for label in form.findChildren(QLabel)]
    assert titles == ["largest hole", "share", "rounds", "way", "pattern", "reach"]


def test_a_form_says_meaning_unit_and_range(form: Form) -> None:
    assert form.box("largest_hole_px").toolTip() == (
        "Smaller holes are filled.\n0 to 999 px; by default 5 px"
    )
    assert form.box("rounds").toolTip() == (
        "How often.\nat least 2, or as often as needed; by default as often as needed"
    )


def test_a_form_emits_the_new_plan_once(form: Form) -> None:
    seen: list[Smoothing] = []
    form.changed.connect(seen.append)
    plan = Smoothing()
    steps = (
        (lambda: form.box("largest_hole_px").setValue(8), {"largest_hole_px": 8}),
        (lambda: form.box("share").setValue(40), {"share": 0.4}),
        (lambda: form.box("rounds").setValue(2), {"rounds": 2}),
        (lambda: form.box("rounds").setValue(1), {"rounds": None}),
        (lambda: form.box("smooth").click(), {"smooth": True}),
        (lambda: form.box("way").setCurrentIndex(1), {"way": "some"}),
        (lambda: form.box("reach").setValue(3.1), {"reach": 3.1}),
    )
    for number, (change, changes) in enumerate(steps, start=1):
        change()
        plan = replace(plan, **changes)
        assert (len(seen), seen[-1]) == (number, plan)
    # a text is taken when it is whole
    form.box("pattern").setText("gold")
    assert len(seen) == len(steps)
    form.box("pattern").editingFinished.emit()
    assert seen[-1] == replace(plan, pattern="gold")


def test_what_was_not_touched_keeps_its_value(form: Form) -> None:
    """A form rounds what it shows, and nothing else."""
    seen: list[Smoothing] = []
    form.changed.connect(seen.append)
    form.show_plan(Smoothing(share=0.1234))
    assert not seen
    assert form.box("share").text() == "12 %"
    form.box("smooth").click()
    assert seen == [Smoothing(share=0.1234, smooth=True)]


def shown(widget: Any, plan: Any, more: dict[str, QWidget] | None = None) -> None:
    """Assert that forms, and what stands beside them, show all that a plan can be told."""
    forms = widget.findChildren(Form)
    beside = more or {}
    names = [name for form in forms for name in form.names]
    assert len(set(names)) == len(names)
    assert {*names, *beside} == {setting.name for setting in settings_of(plan)}
    for setting in settings_of(plan):
        if setting.name in beside:
            assert tip_of(setting) in beside[setting.name].toolTip()
            continue
        (box,) = (form.box(setting.name) for form in forms if setting.name in form.names)
        assert box.toolTip() == tip_of(setting)
        if isinstance(box, QDoubleSpinBox):
            scale = 100 if setting.percent else 1
            below = setting.step if setting.none else 0
            assert box.minimum() == pytest.approx(scale * (setting.least or 0) - below)
            if setting.most is not None:
                assert box.maximum() == pytest.approx(scale * setting.most)
            if setting.default is not None:
                assert box.text() == setting.shown(setting.default)
        elif isinstance(box, QComboBox):
            assert setting.choices is not None
            assert [box.itemData(place) for place in range(box.count())] == [*setting.choices]
            assert box.currentData() == setting.default
        elif isinstance(box, QCheckBox):
            assert box.isChecked() == setting.default


def test_the_window_shows_all_that_can_be_told(viewer: Any, session: Any, qtbot: Any) -> None:
    """The same fields, bounds and defaults as the command line: tests/test_describing.py."""
    train = TrainWidget(viewer)
    plan = PlanPart(session)
    widgets: list[QWidget] = [CleaningWidget(viewer), ParticleOptions(), MaskExport(viewer)]
    for widget in (train, plan, *widgets):
        qtbot.addWidget(widget)
    assert session.plan == default_plan()
    assert session.cleaning == Cleaning()
    assert plan.wishes().asked == ComparisonSettings()
    for widget, value in zip(widgets, (Cleaning(), Finding(), ExportSettings()), strict=True):
        shown(widget, value)
    lists = {"receptive_fields": plan.fields, "parameters": plan.parameters}
    shown(plan, ComparisonSettings(), {**lists, "seconds": plan.length, "epochs": plan.length})
    forms = train.more.findChildren(Form)
    assert [form.names for form in forms] == [
        tuple(s.name for s in settings_of(TrainingPlan) if s.name not in ("epochs", "seconds"))
    ]
    assert (train.length.value(), train.unit.currentText()) == (default_plan().seconds, "s")
    for widget in (train.more, plan, *widgets):
        assert widget.minimumSizeHint().width() <= DOCK_WIDTH


def test_a_fold_grows_with_what_is_in_it(qtbot: Any) -> None:
    words = Sentence("short")
    fold = Fold("Settings", words)
    fold.resize(200, 20)
    qtbot.addWidget(fold)
    fold.show()
    assert not fold.is_open
    assert not words.isVisible()
    closed = fold.heightForWidth(200)
    fold._button.click()
    assert fold.is_open
    assert words.isVisible()
    before = fold.heightForWidth(200)
    assert before > closed
    words.say("a sentence that wants several lines of a fold of this width " * 3)
    assert fold.heightForWidth(200) > 2 * before
    assert words.maximumHeight() > 10_000
    fold._button.click()
    assert not words.isVisible()
    fold.open()
    assert fold.is_open


def test_what_stands_below_words_that_change_by_themselves_stays_where_it_is(qtbot: Any) -> None:
    words, button = Sentence(lines=3), QPushButton("Change...")
    below = QWidget()
    column(below, [words, button]).addStretch(1)
    below.resize(DOCK_WIDTH, 300)
    qtbot.addWidget(below)
    below.show()
    words.say("Live: paint a stroke.", "quiet")
    line = words.fontMetrics().height()
    qtbot.waitUntil(lambda: button.y() > 3 * line, timeout=5000)
    before = button.y()
    for said in (
        "A quick prediction from 6,287 painted px is shown; it follows each stroke.",
        "The network's prediction is shown: the network does better on strokes held back "
        "(Dice 0.95 against 0.93); it learns on.",
    ):
        words.say(said, "quiet")
        qtbot.wait(50)
        assert button.y() == before
    words.say("")
    qtbot.waitUntil(lambda: button.y() < before, timeout=5000)
