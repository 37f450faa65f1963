"""A micrograph: pixels with their size in nm and what the microscope wrote about them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import dask.array


__all__ = ["Micrograph", "dose_in"]

_HIGHEST_DOSE = 1e9
"""Electrons per square ångström that are believed at most."""


@dataclass(frozen=True, slots=True, eq=False)
class Micrograph:
    """One image, or one series of frames, in real space.

    Attributes
    ----------
    pixels : array, shape (row, column) or (frame, row, column)
        Grey values as the file holds them: real numbers, numpy or lazy dask.
    name : str
        Short name, unique within its file; the file's name without ending for a single image.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm; None where the file has none.
    metadata : mapping
        What the microscope wrote, as plain JSON values under the field's terms where present
        (``magnification``, ``voltage_kv``, ``defocus_nm``, ``dose``, ``detector``, ``date``,
        ``frame_interval_s``).
    source : Path, optional
        The file.
    notes : tuple of str
        What was done or left out while reading, in sentences for the user.
    """

    pixels: "NDArray[Any] | dask.array.Array"
    name: str
    pixel_size_nm: tuple[float, float] | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)
    source: Path | None = None
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixels.ndim not in (2, 3):
            raise ValueError(
                f'"{self.name}" has {self.pixels.ndim} axes: a micrograph has the axes '
                "(row, column) or (frame, row, column)"
            )
        if self.pixels.dtype.kind not in "uifb":
            raise ValueError(
                f'"{self.name}" holds {self.pixels.dtype} values: a micrograph holds real numbers; '
                "take the modulus of complex images"
            )
        if 0 in self.pixels.shape:
            raise ValueError(f'"{self.name}" has the shape {self.pixels.shape}: it has no pixels')

    @property
    def dose(self) -> float | None:
        """Electrons per square ångström as the file says it; None where it does not."""
        return dose_in(self.metadata)

    @property
    def frames(self) -> int:
        """Number of frames; 1 for a single image."""
        return 1 if self.pixels.ndim == 2 else int(self.pixels.shape[0])

    @property
    def image_shape(self) -> tuple[int, int]:
        """(row, column) shape of one frame."""
        rows, columns = self.pixels.shape[-2:]
        return int(rows), int(columns)

    def frame(self, index: int = 0) -> NDArray[Any]:
        """Return one frame as a numpy array of shape (row, column)."""
        if not 0 <= index < self.frames:
            raise ValueError(f'"{self.name}" has {self.frames} frames: there is no frame {index}')
        return np.asarray(self.pixels if self.pixels.ndim == 2 else self.pixels[index])


def dose_in(metadata: Mapping[str, Any]) -> float | None:
    """Return the dose that a microscope wrote, in electrons per square ångström."""
    dose = metadata.get("dose")
    if isinstance(dose, bool) or not isinstance(dose, int | float):
        return None
    return float(dose) if 0 < dose < _HIGHEST_DOSE else None
