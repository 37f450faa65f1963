"""Fields held at a pixel, and how pins and heats are drawn."""

from dataclasses import dataclass

import numpy as np
from napari.layers import Image

from napari_tem_rf.figures.palette import GREEN, ORANGE, PURPLE, SKY, VERMILLION
from napari_tem_rf.gui.field.subject import Reading, Subject
from napari_tem_rf.gui.layers.boxes import Box, Heat
from napari_tem_rf.networks.effective_field import EffectiveField
from napari_tem_rf.networks.words import PixelSize, box_sides

__all__ = ["Pin", "heat_of", "pin_box"]

PIN_COLORS = (SKY, ORANGE, GREEN, PURPLE, VERMILLION)
_BRIGHTEST_QUANTILE = 0.999


@dataclass(frozen=True, slots=True, eq=False)
class Pin:
    """A field held at a pixel."""

    number: int
    image: Image
    reading: Reading
    subject: Subject
    field: EffectiveField | None = None

    @property
    def color(self) -> str:
        """The pin's colour."""
        return PIN_COLORS[(self.number - 1) % len(PIN_COLORS)]


def heat_of(field: EffectiveField, subject: Subject) -> Heat:
    """Return what is drawn of a field: its square root, for it falls off over decades."""
    by = subject.cleaning.binning
    top = max(float(np.quantile(field.heat, _BRIGHTEST_QUANTILE)), 1e-12)
    weights = np.sqrt(np.clip(field.heat / top, 0, 1), dtype=np.float32)
    if by > 1:
        weights = np.repeat(np.repeat(weights, by, axis=0), by, axis=1)
    return Heat(weights, (field.origin[0] * by, field.origin[1] * by))


def pin_box(pin: Pin, size: PixelSize, *, is_layer: bool = False) -> Box:
    """Return the box of a pin, named by its number and sides; ``is_layer``: a layer has the sides.

    The pixel is marked, for the mouse to take hold of.
    """
    reading = pin.reading
    if is_layer:
        words = f"pin {pin.number}"
        return Box(reading.rows, reading.columns, pin.color, words, reading.at, width_px=0)
    words = f"pin {pin.number}: {box_sides(reading.rows, reading.columns, size)}"
    return Box(reading.rows, reading.columns, pin.color, words, reading.at, width_px=1.5)
