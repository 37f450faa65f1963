"""Units of length as microscopes write them, in nm."""

import math
import re

__all__ = ["UnknownUnitError", "is_reciprocal", "is_spectral", "length_in_nm"]

_NM_PER_UNIT = {
    "pm": 1e-3,
    "picometer": 1e-3,
    "a": 0.1,
    "å": 0.1,
    "ångström": 0.1,
    "angstrom": 0.1,
    "nm": 1.0,
    "nanometer": 1.0,
    "um": 1e3,
    "µm": 1e3,
    "micron": 1e3,
    "micrometer": 1e3,
    "mm": 1e6,
    "millimeter": 1e6,
    "cm": 1e7,
    "centimeter": 1e7,
    "m": 1e9,
    "meter": 1e9,
    "in": 25.4e6,
    "inch": 25.4e6,
    '"': 25.4e6,
}
_NO_UNIT = {"", "px", "pix", "pixel", "none", "undefined", "<undefined>", "[]", "unknown"}
_RECIPROCAL = re.compile(r"1\s*/|/\s*px|\^\s*[(]?-|⁻¹|[a-zå]-1$|recip|rad|°|deg")
_SPECTRAL = re.compile(r"^[kmg]?(ev|hz)$|loss|energy|wavelength")


class UnknownUnitError(ValueError):
    """A unit that is no length."""


def _plain(unit: str) -> str:
    # ImageJ writes characters outside ASCII as \uXXXX
    unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), unit)
    # the Greek letter mu and the Angstrom sign have twins in Unicode
    return unit.strip().replace("\u03bc", "µ").replace("\u212b", "Å").casefold().replace("μ", "µ")


def is_reciprocal(unit: str | None) -> bool:
    """Whether ``unit`` is of reciprocal space or an angle: 1/nm, nm^-1, mrad."""
    return unit is not None and bool(_RECIPROCAL.search(_plain(unit)))


def is_spectral(unit: str | None) -> bool:
    """Whether ``unit`` is of an energy or frequency axis: eV, keV."""
    return unit is not None and bool(_SPECTRAL.search(_plain(unit)))


def length_in_nm(value: float, unit: str | None) -> float | None:
    """Return a length in nm.

    Parameters
    ----------
    value : float
        Length; a negative one counts by its size, since axes may run backwards.
    unit : str or None
        Unit as a microscope writes it: "nm", "µm", "micron", "Å", "meters", ...

    Returns
    -------
    float or None
        None where there is no unit, or the length is zero or not finite: not calibrated.

    Raises
    ------
    UnknownUnitError
        If the unit is no known unit of length.
    """
    if unit is None:
        return None
    plain = _plain(unit)
    if plain in _NO_UNIT:
        return None
    # metres and meters, micron and microns
    single = plain.replace("metre", "meter")
    if len(single) > 3:
        single = single.removesuffix("s")
    if single in _NO_UNIT:
        return None
    if single not in _NM_PER_UNIT:
        raise UnknownUnitError(f'the unit "{unit}" is no unit of length')
    length = abs(float(value)) * _NM_PER_UNIT[single]
    return length if math.isfinite(length) and length > 0 else None
