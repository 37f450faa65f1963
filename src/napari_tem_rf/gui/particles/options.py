"""How particles are found: split, smallest size, border, frames."""

import numpy as np
from psygnal import Signal
from qtpy.QtWidgets import QComboBox, QDoubleSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.pieces.text import PlainLabel
from napari_tem_rf.measuring.series import Finding


class ParticleOptions(QWidget):
    """The settings of finding; the smallest size in px, and as a diameter in nm."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._area_nm2: float | None = None
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(0.001, 100_000)
        self.diameter.setPrefix("⌀ ")
        self.diameter.setSuffix(" nm")
        self.diameter.setKeyboardTracking(False)
        # arrow keys and wheel do; the room is for the unit
        self.diameter.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.diameter.setMinimumWidth(84)
        self.diameter.setToolTip("The same as the diameter in nm of the circle of that area")
        self.area = PlainLabel()
        self.area.setToolTip("The area of the smallest particle that counts")
        self.frames = QComboBox()
        self.frames.addItems(["the frame shown", "all frames"])
        self.frames.setToolTip(
            "Look for particles in the frame that is shown (others keep theirs), or in all"
        )
        self._frames_line = QWidget()
        column(self._frames_line, [row(PlainLabel("In"), self.frames, stretch=1)])
        self._frames_line.hide()
        self.form = Form(Finding(), beside={"smallest_px": (self.diameter,)})
        self.split = self.form.box("split")
        self.border = self.form.box("border")
        self.smallest = self.form.box("smallest_px")
        column(self, [self.form, self.area, self._frames_line], spacing=4)
        self.form.changed.connect(self._on_form)
        self.diameter.valueChanged.connect(self._on_diameter)
        self.show_pixel(None)

    @property
    def finding(self) -> Finding:
        """The settings."""
        finding: Finding = self.form.plan
        return finding

    @property
    def all_frames(self) -> bool:
        """Whether all frames are asked for."""
        return bool(self.frames.currentIndex() == 1)

    def show_frames(self, number: int) -> None:
        """Offer the choice of frames for a series."""
        self._frames_line.setVisible(number > 1)
        self.frames.setItemText(1, f"all {number} frames")

    def show_pixel(self, size_nm: tuple[float, float] | None) -> None:
        """Show the smallest size for a pixel of this (row, column) size in nm."""
        self._area_nm2 = None if size_nm is None else size_nm[0] * size_nm[1]
        self.diameter.setVisible(size_nm is not None)
        if self._area_nm2 is not None:
            pixel = self._area_nm2**0.5
            # other decimals round the value, which the user did not ask for
            with signals_blocked(self.diameter):
                self.diameter.setDecimals(int(np.clip(1 - np.floor(np.log10(pixel)), 0, 6)))
                self.diameter.setSingleStep(pixel)
        self._show_size()

    def _show_size(self) -> None:
        area = self._area_nm2
        if area is None:
            self.area.setText("")
            self.area.hide()
            return
        with signals_blocked(self.diameter):
            self.diameter.setValue((4 * self.finding.smallest_px * area / np.pi) ** 0.5)
        self.area.setText(f"smallest area {self.finding.smallest_px * area:.3g} nm²")
        self.area.show()

    def _on_form(self, _finding: Finding) -> None:
        self._show_size()
        self.changed.emit()

    def _on_diameter(self, diameter: float) -> None:
        if self._area_nm2 is not None:
            # the box keeps it in its range
            self.smallest.setValue(round(np.pi * diameter**2 / 4 / self._area_nm2))
            self._show_size()
