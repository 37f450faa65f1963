"""Where programs hide the pixel size in a TIFF file.

ImageJ writes it in its description and the resolution tags, OME in its XML, DigitalMicrograph in
private tags 65003 to 65010 (as in Gatan's export), FEI/Thermo in tags 34680 and 34682, Zeiss in tag
34118, Olympus SIS in tags 33471 and 33560, TVIPS EM-Menu in tag 37706, JEOL SightX in XML in the
description.

ImageJ and OME describe the file; all others describe the page that their tags stand on. Pixel size
and each of the other fields are read by themselves, so that damage to one leaves the others.
"""

import math
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from xml.etree import ElementTree

from napari_tem_rf.micrographs.frame_interval import (
    INTERVAL,
    interval_of_times,
    interval_terms,
)
from napari_tem_rf.micrographs.pixel_size import LARGEST_BARE_NM, Step

__all__ = ["Calibration", "calibrations", "same_steps"]

Steps = tuple[Step, Step]
Terms = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a TIFF file says about one of its images.

    Attributes
    ----------
    steps : tuple of Step, optional
        (row, column) distance of two pixels with its unit.
    name : str
    metadata : mapping
        Plain JSON values under the terms of `Micrograph`.
    notes : tuple of str
    """

    steps: Steps | None = None
    name: str = ""
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def calibrations(tiff: Any, series: Sequence[Any]) -> list[Calibration]:
    """Return what an open `tifffile.TiffFile` says, one entry for each of ``series``.

    The first program is believed of which there is a pixel size. Where its traces are damaged a
    note says so, and the image comes without what cannot be read.
    """
    if tiff.is_imagej:
        entry = _read(tiff, _imagej_steps, _imagej_terms, Calibration())
        return [_with_page(entry, each.keyframe) for each in series]
    if tiff.is_ome:
        entries = _ome(tiff)
        entries += [Calibration()] * (len(series) - len(entries))
        return [
            _with_page(entry, each.keyframe) for entry, each in zip(entries, series, strict=False)
        ]
    return [_of_page(each.keyframe) for each in series]


def same_steps(pages: Sequence[Any]) -> list[int]:
    """Return the places in ``pages`` where another pixel size begins; 0 is the first."""
    starts: list[int] = []
    before: Steps | None = None
    for place, page in enumerate(pages):
        steps = _of_page(page).steps
        if starts and steps is None:
            continue  # it says nothing of its own: some programs write tags on the first page alone
        if not starts or not _alike(before, steps):
            starts.append(place)
        before = steps
    return starts


def _alike(one: Steps | None, other: Steps | None) -> bool:
    if one is None or other is None:
        return one is other
    return all(
        a[1] == b[1] and math.isclose(a[0], b[0], rel_tol=1e-6)
        for a, b in zip(one, other, strict=True)
    )


def _of_page(page: Any) -> Calibration:
    """Return what the tags of a page say."""
    if any(is_of(page) for is_of, _, _ in _PROGRAMS):
        return _with_page(Calibration(), page)
    return _bare(page)


def _with_page(known: Calibration, page: Any) -> Calibration:
    """Return what is known of an image, and besides what the tags of its own page say."""
    for is_of, steps, terms in _PROGRAMS:
        if is_of(page):
            known = _read(page, steps, terms, known)
    return known


def _read(
    source: Any,
    steps: Callable[[Any], Steps | None],
    terms: Callable[[Any], Terms],
    known: Calibration,
) -> Calibration:
    """Return what is known and what a program's traces add to it; damage becomes a note."""
    added, size, notes = {}, known.steps, known.notes
    for read in (steps, terms):
        try:
            if read is terms:
                added = terms(source)
            elif size is None:
                size = steps(source)
        except Exception as error:
            # a damaged field must not hide the others, nor the image
            sentence = f"the file's calibration cannot be read ({type(error).__name__}: {error})"
            notes = (*notes, *(() if sentence in notes else (sentence,)))
    return replace(known, steps=size, metadata={**added, **known.metadata}, notes=notes)


def _number(value: Any) -> float | None:
    """Return a field as a number; None where it is blank, a dash or other words."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None


def _numbers(fields: Iterable[tuple[str, Any, float]]) -> Terms:
    """Return terms that are numbers: (term, field, factor) each, those that are none left out."""
    read = ((term, _number(value), factor) for term, value, factor in fields)
    return {term: number * factor for term, number, factor in read if number is not None}


def _words(fields: Iterable[tuple[str, Any]]) -> Terms:
    """Return terms that are words, those that are blank left out."""
    read = ((term, "" if value is None else str(value).strip()) for term, value in fields)
    return {term: words for term, words in read if words}


def _resolution(page: Any) -> tuple[float, float] | None:
    """Return the (row, column) pixels per unit of the resolution tags."""
    values = []
    for name in ("YResolution", "XResolution"):
        if name not in page.tags:
            return None
        numerator, denominator = page.tags[name].value
        if numerator == 0 or denominator == 0:
            return None
        values.append(numerator / denominator)
    return values[0], values[1]


def _resolution_unit(page: Any) -> int:
    return int(page.tags["ResolutionUnit"].value) if "ResolutionUnit" in page.tags else 2


def _square(row: Any, column: Any, unit: str) -> Steps | None:
    """Return the steps of two fields; None where either is not a number."""
    numbers = _number(row), _number(column)
    if numbers[0] is None or numbers[1] is None:
        return None
    return (numbers[0], unit), (numbers[1], unit)


# ImageJ: of the file


def _imagej_steps(tiff: Any) -> Steps | None:
    description = tiff.imagej_metadata
    resolution, unit = _resolution(tiff.pages[0]), description.get("unit")
    if resolution is None or unit is None:
        return None
    row_unit = str(description.get("yunit", unit))
    return (1 / resolution[0], row_unit), (1 / resolution[1], str(unit))


def _imagej_terms(tiff: Any) -> Terms:
    description = tiff.imagej_metadata
    terms = _digital_micrograph_terms(str(description.get("Info", "")))
    if not terms and description.get("Labels"):
        terms = _digital_micrograph_terms(str(description["Labels"][0]))
    return terms | interval_terms(description.get("finterval"), description.get("tunit"))


def _digital_micrograph_terms(info: str) -> Terms:
    """Return the terms in the tags that DigitalMicrograph's images carry along in ImageJ."""

    def entry(tag: str) -> str | None:
        match = re.search(re.escape(tag) + r" = (.+)", info)
        return match[1] if match else None

    return _numbers(
        (
            ("voltage_kv", entry("Microscope Info.Voltage"), 1e-3),
            ("magnification", entry("Microscope Info.Indicated Magnification"), 1.0),
        )
    ) | _words(
        (
            ("detector", entry("DataBar.Device Name")),
            ("date", entry("DataBar.Acquisition Date")),
            ("microscope", entry("Microscope Info.Name")),
        )
    )


# OME: of the file, an entry an image


def _ome(tiff: Any) -> list[Calibration]:
    try:
        root = ElementTree.fromstring(tiff.ome_metadata)
    except ElementTree.ParseError as error:
        return [Calibration(notes=(f"the file's calibration cannot be read ({error})",))]
    images = [image for image in root.iter() if image.tag.endswith("}Image")]
    return [
        _read(image, _ome_steps, _ome_terms, Calibration(name=image.attrib.get("Name", "")))
        for image in images
    ]


def _ome_steps(image: Any) -> Steps | None:
    pixels = next(child for child in image if child.tag.endswith("}Pixels"))
    steps = []
    for axis in "YX":
        size = _number(pixels.attrib.get(f"PhysicalSize{axis}"))
        if size is None:
            return None
        # micrometre is the default of the OME schema
        steps.append((size, pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm")))
    return steps[0], steps[1]


def _ome_terms(image: Any) -> Terms:
    date = _words(("date", child.text) for child in image if child.tag.endswith("}AcquisitionDate"))
    pixels = next(child for child in image if child.tag.endswith("}Pixels"))
    said = interval_terms(
        pixels.attrib.get("TimeIncrement"), pixels.attrib.get("TimeIncrementUnit")
    )
    return date | (said or _ome_times(pixels))


def _ome_times(pixels: Any) -> Terms:
    """Return the time between frames by when each was taken (DeltaT), where all say it."""
    times: dict[int, float] = {}
    for plane in pixels:
        if not plane.tag.endswith("}Plane") or plane.attrib.get("TheC", "0") != "0":
            continue
        seconds = _number(plane.attrib.get("DeltaT"))
        unit = interval_terms(1, plane.attrib.get("DeltaTUnit"))
        if seconds is None or not unit:
            return {}
        times.setdefault(int(plane.attrib.get("TheT", 0)), seconds * unit[INTERVAL])
    if sorted(times) != list(range(int(pixels.attrib.get("SizeT", 0)))):
        return {}
    return interval_terms(interval_of_times([times[frame] for frame in sorted(times)]))


# the others: of a page


def _tag(page: Any, code: int) -> Any:
    return page.tags[code].value if code in page.tags else None


def _section(page: Any, *codes: int) -> dict[str, Any]:
    """Return what tifffile makes of a program's tags."""
    found: dict[str, Any] = {}
    for code in codes:
        value = _tag(page, code)
        if isinstance(value, dict):
            found |= value
    return found


def _digital_micrograph_steps(page: Any) -> Steps | None:
    # 65003, 65004: units of x, y; 65009, 65010: scales of x, y
    row, column = _number(_tag(page, 65010)), _number(_tag(page, 65009))
    if not row or not column:
        return None
    return (row, _tag(page, 65004)), (column, _tag(page, 65003))


def _no_terms(page: Any) -> Terms:
    return {}


def _fei(page: Any, name: str) -> list[dict[str, Any]]:
    """Return the sections of a kind: [Scan] may only say which one holds the values, as EScan."""
    tags = _section(page, 34680, 34682)
    found = [tags.get(name), tags.get(f"E{name}")]
    return [section for section in found if isinstance(section, dict)]


def _fei_steps(page: Any) -> Steps | None:
    for scan in _fei(page, "Scan"):
        if steps := _square(scan.get("PixelHeight"), scan.get("PixelWidth"), "m"):
            return steps
    return None


def _fei_terms(page: Any) -> Terms:
    tags = _section(page, 34680, 34682)
    terms: Terms = {}
    for beam in reversed(_fei(page, "Beam")):
        terms |= _numbers([("voltage_kv", beam.get("HV"), 1e-3)])
    user, detectors = (
        section if isinstance(section := tags.get(name), dict) else {}
        for name in ("User", "Detectors")
    )
    if "Date" in user:
        terms |= _words([("date", f"{user['Date']} {user.get('Time', '')}")])
    return terms | _words([("detector", detectors.get("Name"))])


def _zeiss_entry(page: Any, *names: str) -> Any:
    tags = _section(page, 34118)
    return next((tags[name][1:] for name in names if name in tags), None)


def _zeiss_steps(page: Any) -> Steps | None:
    # the image's own pixels where the file was scaled after it was scanned
    for name in ("ap_image_pixel_size", "ap_pixel_size"):
        size = _zeiss_entry(page, name)
        if size is not None and len(size) == 2 and _number(size[0]) is not None:
            return _square(size[0], size[0], str(size[1]))
    return None


def _zeiss_terms(page: Any) -> Terms:
    terms: Terms = {}
    for name in ("ap_manualkv", "ap_actualkv"):
        voltage = _zeiss_entry(page, name)
        if voltage and voltage[-1] in ("kV", "V"):
            factor = 1.0 if voltage[-1] == "kV" else 1e-3
            terms |= _numbers([("voltage_kv", voltage[0], factor)])
    for term, name in (("detector", "dp_detector_type"), ("date", "ap_date")):
        if found := _zeiss_entry(page, name):
            terms |= _words([(term, found[0])])
    return terms


def _sis(page: Any) -> dict[str, Any]:
    return _section(page, 33471, 33560)


def _sis_steps(page: Any) -> Steps | None:
    tags = _sis(page)
    return _square(tags.get("pixelsizey"), tags.get("pixelsizex"), "m")


def _sis_terms(page: Any) -> Terms:
    tags = _sis(page)
    return _numbers([("magnification", tags.get("magnification"), 1.0)]) | _words(
        (("detector", tags.get("cameraname")), ("date", tags.get("datetime")))
    )


def _tvips_steps(page: Any) -> Steps | None:
    tags = _section(page, 37706)
    return _square(tags.get("PixelSizeY"), tags.get("PixelSizeX"), "nm")


def _tvips_terms(page: Any) -> Terms:
    tags = _section(page, 37706)
    # 0: not known
    return _numbers(
        (
            ("magnification", tags.get("TemMagnification") or None, 1.0),
            ("voltage_kv", tags.get("TemHighTension") or None, 1e-3),
            ("dose", tags.get("Dose") or None, 1.0),
        )
    ) | _words([("detector", tags.get("CameraType") or None)])


def _is_jeol(page: Any) -> bool:
    return "Make" in page.tags and "JEOL" in str(page.tags["Make"].value)


def _jeol_root(page: Any) -> ElementTree.Element:
    text = "".join(line.strip(" \r\n\t\x01\x00") for line in str(page.description).split("\n"))
    return ElementTree.fromstring(text)


def _jeol_steps(page: Any) -> Steps | None:
    """Read JEOL SightX: the resolution tags are the camera's, divided by the magnification."""
    imaging = _jeol_imaging(page)
    mode = imaging.findtext("ModeString") or ""
    if mode.startswith("DIFF"):
        return (1.0, "1/nm"), (1.0, "1/nm")
    selector = float(imaging.findtext("SelectorValue") or "nan")
    resolution = _resolution(page)
    if resolution is None or mode != "MAG" or not selector > 0:
        return None
    unit = {2: "inch", 3: "cm"}.get(_resolution_unit(page), "cm")
    row, column = (1 / value / selector for value in resolution)
    return (row, unit), (column, unit)


def _jeol_imaging(page: Any) -> ElementTree.Element:
    nodes = _jeol_root(page).iter()
    return next(node for node in nodes if node.tag.endswith("ImageFormingSystem"))


def _jeol_terms(page: Any) -> Terms:
    root = _jeol_root(page)
    voltage = next((n.text for n in root.iter() if n.tag.endswith("AccelerationVoltage")), None)
    terms = _numbers([("voltage_kv", voltage, 1e-3)])
    if "DateTime" in page.tags:
        terms |= _words([("date", page.tags["DateTime"].value)])
    imaging = _jeol_imaging(page)
    if imaging.findtext("ModeString") == "MAG":
        terms |= _numbers([("magnification", imaging.findtext("SelectorValue"), 1.0)])
    return terms


def _bare(page: Any) -> Calibration:
    """Believe bare resolution tags only where they cannot be a printer's dots per inch."""
    try:
        resolution = _resolution(page)
        nm_per_unit = {2: 25.4e6, 3: 1e7}.get(_resolution_unit(page))
    except Exception as error:
        note = f"the file's calibration cannot be read ({type(error).__name__}: {error})"
        return Calibration(notes=(note,))
    if resolution is None or nm_per_unit is None:
        return Calibration()
    row, column = (nm_per_unit / value for value in resolution)
    if not (math.isfinite(row + column) and 0 < max(row, column) < LARGEST_BARE_NM):
        return Calibration()
    note = "pixel size from the resolution tags: no program's own calibration is in the file"
    return Calibration(((row, "nm"), (column, "nm")), notes=(note,))


def _has(*codes: int) -> Callable[[Any], bool]:
    return lambda page: any(code in page.tags for code in codes)


_PROGRAMS: tuple[
    tuple[Callable[[Any], bool], Callable[[Any], Steps | None], Callable[[Any], Terms]], ...
] = (
    (_has(65009), _digital_micrograph_steps, _no_terms),
    (_has(34680, 34682), _fei_steps, _fei_terms),
    (_has(34118), _zeiss_steps, _zeiss_terms),
    (_has(33471, 33560), _sis_steps, _sis_terms),
    (_has(37706), _tvips_steps, _tvips_terms),
    (_is_jeol, _jeol_steps, _jeol_terms),
)
