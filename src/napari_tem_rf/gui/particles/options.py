"""How particles are found: split, smallest size, border, frames."""

import numpy as np
from psygnal import Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QDoubleSpinBox, QLabel, QSpinBox, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.measuring.series import Finding

_LARGEST_PX = 999_999


class ParticleOptions(QWidget):
    """The settings of finding; the smallest size in px, and as a diameter in nm."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._area_nm2: float | None = None
        self.split = QCheckBox("Split touching particles")
        self.split.setChecked(True)
        self.split.setToolTip(
            "Part particles where they have a neck: where the mask between them is narrower than\n"
            "80 % of the narrower one"
        )
        self.border = QCheckBox("Count particles at the border")
        self.border.setChecked(True)
        self.border.setToolTip(
            "The image's border may cut these particles, which makes them too small: leave them\n"
            "out for a size distribution, count them for a coverage"
        )
        self.smallest = QSpinBox()
        self.smallest.setRange(1, _LARGEST_PX)
        self.smallest.setValue(Finding().smallest_px)
        self.smallest.setPrefix("≥ ")
        self.smallest.setSuffix(" px")
        self.smallest.setMinimumWidth(116)
        self.smallest.setToolTip("Particles of fewer pixels are left out")
        self.diameter = QDoubleSpinBox()
        self.diameter.setRange(0.001, 100_000)
        self.diameter.setPrefix("⌀ ")
        self.diameter.setSuffix(" nm")
        self.diameter.setKeyboardTracking(False)
        # arrow keys and wheel do; the room is for the unit
        self.diameter.setButtonSymbols(QDoubleSpinBox.ButtonSymbols.NoButtons)
        self.diameter.setMinimumWidth(96)
        self.diameter.setToolTip("The same as the diameter in nm of the circle of that area")
        self.area = QLabel()
        self.area.setToolTip("The same as an area")
        self.frames = QComboBox()
        self.frames.addItems(["the frame shown", "all frames"])
        self.frames.setToolTip(
            "Look for particles in the frame that is shown (others keep theirs), or in all"
        )
        self._frames_line = QWidget()
        column(self._frames_line, [row(QLabel("In"), self.frames, stretch=1)])
        self._frames_line.hide()
        column(
            self,
            [
                self.split,
                self.border,
                row(QLabel("Size"), self.smallest, self.diameter, self.area, stretch=1),
                self._frames_line,
            ],
            spacing=4,
        )
        self.smallest.valueChanged.connect(self._on_pixels)
        self.diameter.valueChanged.connect(self._on_diameter)
        for box in (self.split, self.border):
            box.toggled.connect(self._on_box)
        self.show_pixel(None)

    @property
    def finding(self) -> Finding:
        """The settings."""
        return Finding(self.split.isChecked(), self.smallest.value(), self.border.isChecked())

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
            # other decimals round the value, which is no wish of the user
            with signals_blocked(self.diameter):
                self.diameter.setDecimals(int(np.clip(1 - np.floor(np.log10(pixel)), 0, 6)))
                self.diameter.setSingleStep(pixel)
        self._show_size()

    def _show_size(self) -> None:
        area = self._area_nm2
        if area is None:
            self.area.setText("")
            return
        with signals_blocked(self.diameter):
            self.diameter.setValue((4 * self.smallest.value() * area / np.pi) ** 0.5)
        self.area.setText(f"{self.smallest.value() * area:.3g} nm²")

    def _on_pixels(self, _value: int) -> None:
        self._show_size()
        self.changed.emit()

    def _on_diameter(self, diameter: float) -> None:
        if self._area_nm2 is not None:
            pixels = round(np.pi * diameter**2 / 4 / self._area_nm2)
            self.smallest.setValue(int(np.clip(pixels, 1, _LARGEST_PX)))
            self._show_size()

    def _on_box(self, _on: bool) -> None:
        self.changed.emit()
