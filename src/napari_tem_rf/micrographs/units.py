"""Units of length as microscopes and file formats write them, in nm.

A unit is taken apart before it is looked up: what belongs to the spelling (brackets, the underscore
of EMD between prefix and unit, "per pixel") goes first, and what is left is a length, the inverse
of something, an angle, an energy, or unknown.
"""

import math
import re
import unicodedata

__all__ = ["UnknownUnitError", "is_reciprocal", "is_spectral", "length_in_nm"]

_NM_PER_METRE = 1e9
_PREFIXES = {
    "f": 1e-15,
    "p": 1e-12,
    "n": 1e-9,
    "u": 1e-6,
    "µ": 1e-6,
    "m": 1e-3,
    "c": 1e-2,
    "d": 1e-1,
    "": 1.0,
    "k": 1e3,
}
_PREFIX_WORDS = {
    "femto": 1e-15,
    "pico": 1e-12,
    "nano": 1e-9,
    "micro": 1e-6,
    "mikro": 1e-6,
    "µ": 1e-6,
    "milli": 1e-3,
    "centi": 1e-2,
    "deci": 1e-1,
    "": 1.0,
    "kilo": 1e3,
}
_NM_PER_UNIT = {
    **{prefix + "m": factor * _NM_PER_METRE for prefix, factor in _PREFIXES.items()},
    **{word + "meter": factor * _NM_PER_METRE for word, factor in _PREFIX_WORDS.items()},
    **dict.fromkeys(("a", "å", "ang", "angstrom", "angström", "ångstrom", "ångström"), 0.1),
    "angstroem": 0.1,
    # a micrometre has a name of its own, and some programs write its prefix alone
    **dict.fromkeys(("micron", "mikron", "µ", "u", "mu", "mum"), 1e3),
    **dict.fromkeys(("in", "inch", '"'), 25.4e6),
}
_PLURALS = {"inches": "inch", "angstroms": "angstrom", "ångströms": "ångström"}
_PIXEL = r"(?:px|pix|pixels?|pxl|voxels?|vx|pels?)"
_NO_UNIT = re.compile(rf"|{_PIXEL}|none|undefined|unknown|<undefined>|uncalibrated|arb|a\.u\.|n/a")

# nm/px, nm per pixel, nm px^-1: what remains is the unit
_PER_PIXEL = re.compile(rf"(.+?)\s*(?:(?:/|\bper\b)\s*{_PIXEL}|[·⋅*. ]\s*{_PIXEL}\s*\^?-1)")
_INVERSE = re.compile(
    r"1?/.+|per.+|1per.+|.+\^-.+|.*[^\W\d_]-1|(?:inverse|inv|recip\w*).*|.*recip.*"
)
_ANGLE = re.compile(r"(?:[nµum]|nano|micro|milli)?rad(?:ian)?s?|deg(?:ree)?s?|°|arc(?:sec|min).*")
_SPECTRAL = re.compile(r"[kmg]?(?:ev|hz)|.*(?:loss|energy|wavelength).*")


class UnknownUnitError(ValueError):
    """A unit that is not a length."""


def _plain(unit: str) -> str:
    """Return a unit in one spelling, without what says nothing."""
    # ImageJ writes characters outside ASCII as \uXXXX
    unit = re.sub(r"\\u([0-9a-fA-F]{4})", lambda code: chr(int(code[1], 16)), unit)
    # twins in Unicode (the Greek mu, the Angstrom sign, raised digits) become one
    unit = unicodedata.normalize("NFKC", unit).casefold().replace("μ", "µ").replace("\u2212", "-")
    unit = unit.replace(r"\mu", "µ").replace("**", "^")
    unit = re.sub(r"[\[\](){}$\\]", "", unit).strip(" \t\r\n\0")
    if (per_pixel := _PER_PIXEL.fullmatch(unit)) and per_pixel[1] != "1":
        unit = per_pixel[1]
    # n_m is nm, nano-meter is nanometer, but nm-1 stays an inverse
    unit = re.sub(r"(?<=[^\W\d])[_-](?=[^\W\d])", "", unit)
    return re.sub(r"\s+", "", unit)


def is_reciprocal(unit: str | None) -> bool:
    """Whether ``unit`` is of reciprocal space or an angle: 1/nm, nm^-1, mrad."""
    if unit is None:
        return False
    plain = _plain(unit)
    if _NO_UNIT.fullmatch(plain):
        return False
    return bool(_INVERSE.fullmatch(plain) or _ANGLE.fullmatch(plain))


def is_spectral(unit: str | None) -> bool:
    """Whether ``unit`` is of an energy or frequency axis: eV, keV."""
    return unit is not None and bool(_SPECTRAL.fullmatch(_plain(unit)))


def length_in_nm(value: float, unit: str | None) -> float | None:
    """Return a length in nm.

    Parameters
    ----------
    value : float
        Length; a negative one counts by its size, since axes may run backwards.
    unit : str or None
        Unit as a microscope writes it: "nm", "µm", "micron", "Å", "meters", "[n_m]", "nm/px", ...

    Returns
    -------
    float or None
        None where there is no unit, or the length is zero or not finite: not calibrated.

    Raises
    ------
    UnknownUnitError
        If the unit is not a known unit of length.
    """
    if unit is None:
        return None
    plain = _plain(unit)
    if _NO_UNIT.fullmatch(plain):
        return None
    # metres and meters, micron and microns
    single = _PLURALS.get(plain, plain).replace("metre", "meter")
    if len(single) > 3:
        single = single.removesuffix("s")
    if single not in _NM_PER_UNIT:
        raise UnknownUnitError(f'the unit "{unit}" is not a unit of length')
    length = abs(float(value)) * _NM_PER_UNIT[single]
    return length if math.isfinite(length) and length > 0 else None
