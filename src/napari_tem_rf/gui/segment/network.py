"""The network widget: pick a network by what it sees and by how complex it is."""

from math import exp, log, sqrt
from pathlib import Path

import napari
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QAbstractSpinBox,
    QCheckBox,
    QDoubleSpinBox,
    QGridLayout,
    QPushButton,
    QSlider,
    QSpinBox,
    QWidget,
)
from superqt.utils import signals_blocked

from napari_tem_rf.gui.pieces.design_chart import DesignChart, LengthMark, RunDot
from napari_tem_rf.gui.pieces.parts import Fold, Sentence, column, listen, row
from napari_tem_rf.gui.pieces.preloading import CATALOG, FIELDS_PX, PARAMETERS
from napari_tem_rf.gui.pieces.shortcuts import key_of
from napari_tem_rf.gui.pieces.text import Markup, PlainLabel, RichLabel, facts, markup, set_tip
from napari_tem_rf.gui.segment.fitted_offer import FittedOffer
from napari_tem_rf.gui.segment.image_findings import FindingsWatch, ImageFindings
from napari_tem_rf.gui.segment.own_network import OwnNetwork
from napari_tem_rf.gui.segment.speeds import Speeds
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.receptive_field import nominal_receptive_field, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.networks.words import PixelSize, by_phase, count, nm, side, structure
from napari_tem_rf.starting import simulated_start, simulated_starts

_STEPS = 400
_WORTH_SAYING = 0.05
_BOX_WIDTH = 74


class LogSlider(QSlider):
    """A slider over a range of positive numbers, even steps being even ratios."""

    def __init__(self, smallest: float, largest: float, name: str) -> None:
        super().__init__(Qt.Orientation.Horizontal)
        self._low, self._high = log(smallest), log(largest)
        self.setRange(0, _STEPS)
        self.setPageStep(_STEPS // 20)
        self.setAccessibleName(name)
        self.setMinimumWidth(60)

    @property
    def number(self) -> float:
        """The number under the handle."""
        return exp(self._low + (self._high - self._low) * self.value() / _STEPS)

    def show_number(self, number: float) -> None:
        """Move the handle without telling anyone."""
        share = (log(max(number, 1e-9)) - self._low) / (self._high - self._low)
        with signals_blocked(self):
            self.setValue(round(_STEPS * min(max(share, 0), 1)))


class NetworkWidget(QWidget):
    """Pick a network by receptive field and number of parameters, independently.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    is_folded : bool
        Begin with one line that says what is picked; the rest comes when it is asked for.
    """

    def __init__(self, viewer: "napari.viewer.Viewer", *, is_folded: bool = False) -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.findings = self.session.part(FindingsWatch)
        self.speeds = self.session.part(Speeds)
        spec = self.session.spec
        # what was asked for: moving one slider must not let the other's wish drift
        self._wish = (float(nominal_receptive_field(spec)), float(spec.parameters))
        self._is_sliding = False

        self.summary = Sentence()
        self.recommended_button = QPushButton("Recommended")
        self.recommended_button.clicked.connect(self._pick_recommended)
        self.change_button = QPushButton("Change...")
        self.change_button.setToolTip(
            "Pick another network: by how far it sees and by how much it can learn"
        )
        self.change_button.clicked.connect(self._unfold)
        self.picking = QWidget()
        self.chart = DesignChart()
        prepared = [start.spec.with_classes(2) for start in simulated_starts()]
        self.chart.show_prepared(prepared, FIRST_NETWORK)
        self.chart.picked.connect(self._pick)
        self.field_slider = LogSlider(*FIELDS_PX, "receptive field")
        self.parameter_slider = LogSlider(*PARAMETERS, "parameters")
        self.field_px = QSpinBox()
        self.field_px.setRange(1, 10_000)
        self.field_px.setSuffix(" px")
        self.field_nm = QDoubleSpinBox()
        self.field_nm.setRange(0.001, 100_000)
        self.field_nm.setDecimals(2)
        self.field_nm.setSuffix(" nm")
        self.parameters = QSpinBox()
        self.parameters.setRange(1, 100_000_000)
        self.parameters.setGroupSeparatorShown(True)
        self._lay_out_numbers()

        self.snap = Sentence(tone="quiet")
        self.words = RichLabel()
        self.advice = Sentence(tone="advice")
        self.fitted = FittedOffer(self.session)
        self.compare_button = QPushButton("Compare...")
        self.compare_button.setToolTip(
            "Train several networks on this annotation and see which one suits it best"
        )
        self.compare_button.clicked.connect(self._open_comparison)
        key = key_of("toggle_field")
        self.show_field = QCheckBox("Field at the cursor" + (f"  ({key})" if key else ""))
        self.show_field.setToolTip(
            "Draw the exact receptive field of the pixel under the cursor, in px and nm.\n"
            "It jumps a little from pixel to pixel: a network with pools sees in steps."
        )
        self.show_field.toggled.connect(self._switch_field)
        self.advanced = OwnNetwork(self._pick_own)
        self.details = RichLabel()
        inside = QWidget()
        column(inside, [self.details, self.advanced])
        self.fold = Fold("Advanced: own pools, dilations and filters", inside)
        column(
            self.picking,
            [
                self.chart,
                self._numbers,
                self.snap,
                self.words,
                self.advice,
                self.fitted,
                row(self.show_field, self.compare_button, stretch=0),
                self.fold,
            ],
        )
        column(
            self,
            [
                row(self.summary, self.recommended_button, self.change_button, stretch=0),
                self.picking,
            ],
        )
        self._fold(is_folded)

        self.field_slider.valueChanged.connect(self._slide_field)
        self.parameter_slider.valueChanged.connect(self._slide_parameters)
        for slider in (self.field_slider, self.parameter_slider):
            slider.sliderPressed.connect(self._begin_sliding)
            slider.sliderReleased.connect(self._end_sliding)
        self.field_px.editingFinished.connect(self._type_px)
        self.field_nm.editingFinished.connect(self._type_nm)
        self.parameters.editingFinished.connect(self._type_parameters)
        session = self.session
        session.watch(self, lambda now: now.choices.spec, self._take)
        session.watch(
            self, lambda now: (now.choices.image, now.scene.pixel_size_nm, now.start), self._show
        )
        session.watch(self, lambda now: (now.choices.runs, now.choices.run), self._show_runs)
        session.watch(self, lambda now: now.choices.field_overlay, self._show_switch)
        listen(self, self.findings.changed, self._show_findings)
        listen(self, self.speeds.measured, self._show_words)
        now = session.situation
        self._show_switch(now)
        self._show(now)
        self._show_runs(now)
        self._show_findings(self.findings.findings)

    def _lay_out_numbers(self) -> None:
        self._numbers = QWidget()
        grid = QGridLayout(self._numbers)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.setHorizontalSpacing(6)
        grid.setVerticalSpacing(4)
        grid.setColumnStretch(1, 1)
        tips = (
            "Nominal receptive field: the side of the square of the image, in px and nm, that\n"
            "one pixel of the prediction can depend on, by the layer-by-layer formula.",
            "Trainable parameters: the network's complexity. More can learn more, cost more\n"
            "time, and need more annotation.",
        )
        places = (
            (0, "field", self.field_slider, (self.field_px, self.field_nm), tips[0]),
            (1, "parameters", self.parameter_slider, (self.parameters,), tips[1]),
        )
        for line, name, slider, boxes, tip in places:
            label = PlainLabel(name)
            for place, part in enumerate((label, slider, *boxes)):
                set_tip(part, tip)
                span = 2 if part is self.parameters else 1
                grid.addWidget(part, line, place, 1, span)
        for box in (self.field_px, self.field_nm, self.parameters):
            box.setButtonSymbols(QAbstractSpinBox.ButtonSymbols.NoButtons)
            box.setKeyboardTracking(False)
            box.setAlignment(Qt.AlignmentFlag.AlignRight)
            if box is not self.parameters:
                box.setFixedWidth(_BOX_WIDTH)

    def _show_switch(self, now: Situation) -> None:
        self.show_field.setChecked(now.choices.field_overlay)

    # folding

    def _fold(self, is_folded: bool) -> None:
        self.picking.setHidden(is_folded)
        self.change_button.setText("Change..." if is_folded else "Less")

    def _unfold(self) -> None:
        self._fold(not self.picking.isHidden())

    # picking

    def _pick_recommended(self) -> None:
        self._pick(FIRST_NETWORK)

    def _pick(self, spec: NetworkSpec) -> None:
        self._wish = (float(nominal_receptive_field(spec)), float(spec.parameters))
        self.session.spec = spec
        self._show(self.session.situation)

    def _pick_own(self, spec: NetworkSpec) -> None:
        self._pick(spec)

    def _take(self, now: Situation) -> None:
        """Show the pick; one that was picked elsewhere is wished for as it is."""
        spec = now.choices.spec
        if spec != CATALOG.get().nearest(*self._wish, limit=1)[0].spec:
            self._wish = (float(nominal_receptive_field(spec)), float(spec.parameters))
        self._show(now)

    def _open_comparison(self) -> None:
        self.session.viewer.window.add_plugin_dock_widget("napari-tem-rf", "Compare")

    def _wish_for(self, field_px: float | None = None, parameters: float | None = None) -> None:
        """Take the catalog's network nearest to what was asked for, and keep the wish."""
        self._wish = (field_px or self._wish[0], parameters or self._wish[1])
        self.session.spec = CATALOG.get().nearest(*self._wish, limit=1)[0].spec
        self._show(self.session.situation)

    def _slide_field(self, _value: int) -> None:
        self._wish_for(field_px=self.field_slider.number)

    def _slide_parameters(self, _value: int) -> None:
        self._wish_for(parameters=self.parameter_slider.number)

    def _begin_sliding(self) -> None:
        self._is_sliding = True

    def _end_sliding(self) -> None:
        self._is_sliding = False
        self._show(self.session.situation)

    def _type_px(self) -> None:
        if self.field_px.value() != nominal_receptive_field(self.session.spec):
            self._wish_for(field_px=self.field_px.value())

    def _type_nm(self) -> None:
        size = self._pixel_side()
        shown = None if size is None else nominal_receptive_field(self.session.spec) * size
        if size is not None and shown is not None and abs(self.field_nm.value() - shown) > 6e-3:
            self._wish_for(field_px=max(self.field_nm.value() / size, 1.0))

    def _type_parameters(self) -> None:
        if self.parameters.value() != self.session.spec.parameters:
            self._wish_for(parameters=self.parameters.value())

    def _switch_field(self, on: bool) -> None:
        self.session.field_overlay = on

    def _pixel_side(self) -> float | None:
        size = self.session.pixel_size_nm
        return None if size is None else sqrt(size[0] * size[1])

    # showing

    def _show(self, now: Situation) -> None:
        spec, size = now.choices.spec, now.scene.pixel_size_nm
        field, pixel_side = receptive_field(spec), self._pixel_side()
        self.summary.say(_in_short(spec, size, goes_on=isinstance(now.start, Path)))
        self.recommended_button.setVisible(spec != FIRST_NETWORK)
        set_tip(
            self.recommended_button,
            f"Back to {side(nominal_receptive_field(FIRST_NETWORK), size)}: it has seen simulated "
            "micrographs already, and\nsees enough for lattice fringes",
        )
        self.chart.show_pixel_size(size)
        self.chart.show_pick(spec)
        self.field_nm.setVisible(pixel_side is not None)
        values: list[tuple[QAbstractSpinBox, float]] = [
            (self.field_px, field.nominal),
            (self.parameters, spec.parameters),
        ]
        if pixel_side is not None:
            values.append((self.field_nm, field.nominal * pixel_side))
        for box, value in values:
            with signals_blocked(box):
                box.setValue(value)
        if not self._is_sliding:
            self.field_slider.show_number(field.nominal)
            self.parameter_slider.show_number(spec.parameters)
        self._show_words()
        self.snap.say(_snapped(self._wish, spec), "quiet")
        self.advanced.show_spec(spec)

    def _show_words(self, _change: object = None) -> None:
        spec = self.session.spec
        size, speed = self.session.pixel_size_nm, self.speeds.of(spec)
        self.words.show_markup(_in_words(spec, size, speed))
        self.details.show_markup(_in_detail(spec, size))

    def _show_runs(self, now: Situation) -> None:
        current = now.choices.run
        self.chart.show_runs(
            [
                RunDot(run.spec.with_classes(2), run.telling_dice, run.title, run is current)
                for run in now.choices.runs
                if run.spec is not None
            ]
        )

    def _show_findings(self, findings: ImageFindings | None) -> None:
        marks = []
        if findings is not None and findings.lattice is not None:
            marks.append(LengthMark(findings.lattice.period_px, "lattice"))
        if findings is not None and findings.particle_px is not None:
            marks.append(LengthMark(findings.particle_px, "particle"))
        self.chart.show_marks(marks)
        self.advice.say("" if findings is None else findings.advice.sentence, "advice")
        set_tip(self.advice, "" if findings is None else _paragraphs(findings.advice.details))
        self.fitted.offer(None if findings is None else findings.advice.baseline)


def _in_short(spec: NetworkSpec, size: PixelSize, *, goes_on: bool) -> str:
    if spec == FIRST_NETWORK:
        kind = "recommended"
    elif goes_on:
        kind = "goes on from your run"
    else:
        kind = "pre-trained" if simulated_start(spec) is not None else "begins from nothing"
    return f"{side(nominal_receptive_field(spec), size)}, {kind}"


def _snapped(wish: tuple[float, float], spec: NetworkSpec) -> str:
    """Say how far the nearest network is from the wish; nothing where it is near."""
    got = (nominal_receptive_field(spec), spec.parameters)
    off = [value / wished - 1 for value, wished in zip(got, wish, strict=True)]
    if max(abs(each) for each in off) < _WORTH_SAYING:
        return ""
    parts = [
        f"{got[0]} px is {_ratio(off[0])}" if abs(off[0]) >= _WORTH_SAYING else "",
        f"{got[1]:,} parameters are {_ratio(off[1])}" if abs(off[1]) >= _WORTH_SAYING else "",
    ]
    return f"The nearest network: {' and '.join(part for part in parts if part)} than asked for."


def _ratio(off: float) -> str:
    return f"{abs(off):.0%} {'more' if off > 0 else 'less'}".replace("%", " %")


def _in_words(spec: NetworkSpec, size: PixelSize, speed: Speed | None) -> Markup:
    """Return what everybody can use: what a pixel's answer depends on, and what it costs."""
    lines: list[tuple[str, object]] = [
        ("field", markup("<b>{}</b>", side(nominal_receptive_field(spec), size))),
        ("network", markup("<b>{}</b> parameters; {}", f"{spec.parameters:,}", structure(spec))),
    ]
    if speed is not None:
        lines.append(("speed", speed.sentence))
    return facts(lines)


def _in_detail(spec: NetworkSpec, size: PixelSize) -> Markup:
    """Return what takes knowledge of networks."""
    field = receptive_field(spec)
    exact = by_phase(field)
    if size is not None:
        pixel = sqrt(size[0] * size[1])
        low, high = field.smallest * pixel, field.largest * pixel
        exact += f" = {nm(low)}" if low == high else f" = {nm(low)[:-3]} to {nm(high)}"
    return facts(
        [
            ("nominal", side(field.nominal, size)),
            ("exact", exact),
            ("halo", f"{side(field.halo, size)} of context around each tile"),
            ("cost", f"{count(spec.macs_per_pixel)} multiply-adds a pixel"),
        ]
    )


def _paragraphs(text: str) -> Markup:
    parts = (markup("<p>{}</p>", part) for part in text.split("\n\n"))
    return markup("<qt>{}</qt>", Markup("".join(parts)))
