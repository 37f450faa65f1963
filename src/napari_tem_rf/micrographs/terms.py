"""Where microscope programs write the terms of `Micrograph` in their trees of tags."""

import math
from collections.abc import Mapping
from typing import Any

__all__ = ["microscope_terms", "tag_at"]

# where DigitalMicrograph and Velox write the terms of `Micrograph`, and in which unit
_NUMBERS: tuple[tuple[str, str, float], ...] = (
    ("magnification", "Microscope Info.Indicated Magnification", 1.0),
    ("magnification", "CustomProperties.StemMagnification.value", 1.0),
    ("magnification", "Optics.NominalMagnification", 1.0),
    ("voltage_kv", "Microscope Info.Voltage", 1e-3),
    ("voltage_kv", "Optics.AccelerationVoltage", 1e-3),
    ("defocus_nm", "Optics.Defocus", 1e9),
    ("exposure_s", "DataBar.Exposure Time (s)", 1.0),
)
_WORDS: tuple[tuple[str, str], ...] = (
    ("detector", "DataBar.Device Name"),
    ("detector", "BinaryResult.Detector"),
    ("microscope", "Microscope Info.Name"),
    ("microscope", "Instrument.InstrumentModel"),
)


def microscope_terms(tags: Mapping[str, Any]) -> dict[str, Any]:
    """Return the terms of `Micrograph` that are found in a tree of tags, as plain JSON values."""
    terms: dict[str, Any] = {}
    for term, place, factor in _NUMBERS:
        value = tag_at(tags, place)
        if term not in terms and isinstance(value, str | float | int):
            try:
                terms[term] = float(value) * factor
            except ValueError:
                continue
    for term, place in _WORDS:
        value = tag_at(tags, place)
        if term not in terms and isinstance(value, str) and value.strip():
            terms[term] = value.strip()
    return {term: value for term, value in terms.items() if _is_plain(value)}


def _is_plain(value: Any) -> bool:
    return isinstance(value, str) or math.isfinite(value)


def tag_at(tags: Any, place: str) -> Any:
    """Return what stands in a tree of tags at a place like "Optics.Defocus"; None if nothing."""
    for key in place.split("."):
        if not isinstance(tags, Mapping) or key not in tags:
            return None
        tags = tags[key]
    return tags
