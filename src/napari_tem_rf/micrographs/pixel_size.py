"""Whether what a file says of its pixels can be a microscope's pixel size.

Every reader's steps come through here, whatever the format: page programs and converters write
dots per inch where a calibration stands, and a microscope writes 0 or -1 where it knows none.
"""

import math

from napari_tem_rf.micrographs.units import UnknownUnitError, length_in_nm

__all__ = ["LARGEST_BARE_NM", "Step", "pixel_size_of"]

Step = tuple[float, str | None]
"""Distance of two pixels along one axis, and its unit."""

SMALLEST_NM = 1e-4
"""Smallest pixel size believed: 1/100 of the finest useful sampling; an atom is 0.1 nm."""

LARGEST_NM = 1e4
"""Largest pixel size believed: a camera's own pixels; magnified, they are smaller."""

LARGEST_BARE_NM = 1e3
"""Largest without a program's calibration: scanners have up to 25,400 dots per inch."""

_NM_PER_INCH = 25.4e6
# scanners whose dots would be small enough for a microscope's pixels
_SCANNER_DPI = (2880, 3200, 4000, 4800, 5400, 6400, 7200, 9600, 12800, 19200)


def pixel_size_of(
    steps: tuple[Step, Step] | None,
) -> tuple[tuple[float, float] | None, tuple[str, ...]]:
    """Return the (row, column) pixel size in nm, and sentences for the user.

    Parameters
    ----------
    steps : tuple of Step, optional
        (row, column) distance of two pixels with its unit, as the file has it.

    Returns
    -------
    tuple of float, optional
        None where the file has none (0, -1, not finite, no unit), or where it cannot be a
        microscope's; then a note says so.
    tuple of str
    """
    if steps is None:
        return None, ()
    sizes = []
    for value, unit in steps:
        try:
            size = length_in_nm(value, unit)
        except UnknownUnitError as error:
            return None, (f"no pixel size: {error}",)
        if size is None or _stands_for_unknown(value, size):
            return None, ()
        sizes.append(size)
    row, column = sizes
    for size in (row, column):
        if reason := _no_microscopes(size):
            return None, (f"no pixel size: {reason}; give the true one if you know it",)
    return (row, column), ()


def _stands_for_unknown(value: float, size_nm: float) -> bool:
    """Whether a negative step is a program's word for unknown; axes may also run backwards."""
    return value < 0 and (math.isclose(value, -1) or math.isclose(size_nm, 1, rel_tol=1e-6))


def _no_microscopes(size_nm: float) -> str:
    """Return why a size cannot be a microscope's; empty where it can."""
    if size_nm < SMALLEST_NM:
        return f"the file says {size_nm:.3g} nm, which is far smaller than an atom"
    dpi = _NM_PER_INCH / size_nm
    if size_nm > LARGEST_NM:
        return (
            f"the file says {size_nm:,.0f} nm, which is {dpi:.3g} dots per inch, as of a page, and "
            f"larger than a camera's own pixels ({LARGEST_NM:,.0f} nm)"
        )
    if any(math.isclose(dpi, scanner, rel_tol=2e-4) for scanner in _SCANNER_DPI):
        return f"the file says {size_nm:,.0f} nm, which is a scanner's {dpi:,.0f} dots per inch"
    return ""
