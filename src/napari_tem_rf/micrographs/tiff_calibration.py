"""Where programs hide the pixel size in a TIFF file.

ImageJ writes it in its description and the resolution tags, OME in its XML, DigitalMicrograph in
private tags 65003 to 65010 (as in Gatan's export), FEI/Thermo in tags 34680 and 34682, Zeiss in tag
34118, Olympus SIS in tags 33471 and 33560, TVIPS EM-Menu in tag 37706, JEOL SightX in XML in the
description.
"""

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any
from xml.etree import ElementTree

from napari_tem_rf.micrographs.rawimage import Step

__all__ = ["Calibration", "calibrations"]

# no printer or scanner: from here on the resolution is a microscope's
_SMALLEST_PRINTED_NM = 1000.0


@dataclass(frozen=True, slots=True)
class Calibration:
    """What a TIFF file says about one of its images.

    Attributes
    ----------
    steps : tuple of Step, optional
        (row, column) distance of two pixels with its unit.
    name : str
    axis_units : tuple of str
        Units of the axes before row and column.
    metadata : mapping
        Plain JSON values under the terms of `Micrograph`.
    notes : tuple of str
    """

    steps: tuple[Step, Step] | None = None
    name: str = ""
    axis_units: tuple[str, ...] = ()
    metadata: Mapping[str, Any] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def calibrations(tiff: Any) -> list[Calibration]:
    """Return what an open `tifffile.TiffFile` says, one entry an image, at least one.

    The first program whose traces are found is believed. Where its traces are damaged the image
    comes without pixel size and a note says so.
    """
    for found, read in _PROGRAMS:
        if not found(tiff):
            continue
        try:
            entries = read(tiff)
        except Exception as error:
            # a damaged calibration must not hide a good image
            note = f"the file's calibration cannot be read ({type(error).__name__}: {error})"
            return [Calibration(notes=(note,))]
        if entries:
            return entries
    return [Calibration()]


def _resolution(tiff: Any) -> tuple[float, float] | None:
    """Return the (row, column) pixels per unit of the resolution tags."""
    tags = tiff.pages[0].tags
    values = []
    for name in ("YResolution", "XResolution"):
        if name not in tags:
            return None
        numerator, denominator = tags[name].value
        if numerator == 0 or denominator == 0:
            return None
        values.append(numerator / denominator)
    return values[0], values[1]


def _imagej(tiff: Any) -> list[Calibration]:
    description = tiff.imagej_metadata
    resolution = _resolution(tiff)
    metadata = _digital_micrograph_terms(str(description.get("Info", "")))
    if not metadata and description.get("Labels"):
        metadata = _digital_micrograph_terms(str(description["Labels"][0]))
    unit = description.get("unit")
    if resolution is None or unit is None:
        return [Calibration(metadata=metadata)]
    row_unit = str(description.get("yunit", unit))
    steps = (1 / resolution[0], row_unit), (1 / resolution[1], str(unit))
    return [Calibration(steps, metadata=metadata)]


def _digital_micrograph_terms(info: str) -> dict[str, Any]:
    """Return the terms in the tags that DigitalMicrograph's images carry along in ImageJ."""
    terms: dict[str, Any] = {}
    for term, tag, factor in (
        ("voltage_kv", "Microscope Info.Voltage", 1e-3),
        ("magnification", "Microscope Info.Indicated Magnification", 1.0),
    ):
        if match := re.search(re.escape(tag) + r" = ([0-9.eE+-]+)", info):
            terms[term] = float(match[1]) * factor
    for term, tag in (
        ("detector", "DataBar.Device Name"),
        ("date", "DataBar.Acquisition Date"),
        ("microscope", "Microscope Info.Name"),
    ):
        if match := re.search(re.escape(tag) + r" = (.+)", info):
            terms[term] = match[1].strip()
    return terms


def _ome(tiff: Any) -> list[Calibration]:
    root = ElementTree.fromstring(tiff.ome_metadata)
    entries = []
    for image in root.iter():
        if not image.tag.endswith("}Image"):
            continue
        pixels = next(child for child in image if child.tag.endswith("}Pixels"))
        metadata = {}
        for child in image:
            if child.tag.endswith("}AcquisitionDate") and child.text:
                metadata["date"] = child.text
        steps = None
        if "PhysicalSizeX" in pixels.attrib and "PhysicalSizeY" in pixels.attrib:
            # micrometre is the default of the OME schema
            row, column = (
                (
                    float(pixels.attrib[f"PhysicalSize{axis}"]),
                    pixels.attrib.get(f"PhysicalSize{axis}Unit", "µm"),
                )
                for axis in "YX"
            )
            steps = row, column
        entries.append(Calibration(steps, image.attrib.get("Name", ""), metadata=metadata))
    return entries


def _digital_micrograph(tiff: Any) -> list[Calibration]:
    tags = tiff.pages[0].tags

    def value(code: int) -> Any:
        return tags[code].value if code in tags else None

    # 65003, 65004: units of x, y; 65009, 65010: scales of x, y
    if not value(65009) or not value(65010):
        return [Calibration()]
    steps = (float(value(65010)), value(65004)), (float(value(65009)), value(65003))
    return [Calibration(steps)]


def _fei(tiff: Any) -> list[Calibration]:
    tags = tiff.fei_metadata
    # [Beam] and [Scan] may only say which section holds the values: Beam=EBeam, Scan=EScan
    scan = tags.get("EScan", {}) | tags.get("Scan", {})
    beam = tags.get("EBeam", {}) | tags.get("Beam", {})
    user = tags.get("User", {})
    steps = None
    if "PixelWidth" in scan and "PixelHeight" in scan:
        steps = (float(scan["PixelHeight"]), "m"), (float(scan["PixelWidth"]), "m")
    metadata: dict[str, Any] = {}
    if "HV" in beam:
        metadata["voltage_kv"] = float(beam["HV"]) / 1e3
    if "Date" in user:
        metadata["date"] = f"{user['Date']} {user.get('Time', '')}".strip()
    if "Name" in tags.get("Detectors", {}):
        metadata["detector"] = str(tags["Detectors"]["Name"])
    return [Calibration(steps, metadata=metadata)]


def _zeiss(tiff: Any) -> list[Calibration]:
    tags = tiff.sem_metadata

    def entry(*names: str) -> Any:
        return next((tags[name][1:] for name in names if name in tags), None)

    metadata: dict[str, Any] = {}
    voltage = entry("ap_actualkv", "ap_manualkv")
    if voltage and voltage[-1] in ("kV", "V"):
        metadata["voltage_kv"] = float(voltage[0]) / (1.0 if voltage[-1] == "kV" else 1e3)
    for term, name in (("detector", "dp_detector_type"), ("date", "ap_date")):
        if found := entry(name):
            metadata[term] = str(found[0])
    # the image's own pixels where the file was scaled after it was scanned
    size = entry("ap_image_pixel_size", "ap_pixel_size")
    if size is None or len(size) != 2:
        return [Calibration(metadata=metadata)]
    step = float(size[0]), str(size[1])
    return [Calibration((step, step), metadata=metadata)]


def _olympus_sis(tiff: Any) -> list[Calibration]:
    tags = tiff.sis_metadata
    metadata: dict[str, Any] = {}
    for term, key in (
        ("magnification", "magnification"),
        ("detector", "cameraname"),
        ("date", "datetime"),
    ):
        if key in tags:
            value = tags[key]
            metadata[term] = float(value) if term == "magnification" else str(value)
    if "pixelsizex" not in tags or "pixelsizey" not in tags:
        return [Calibration(metadata=metadata)]
    steps = (float(tags["pixelsizey"]), "m"), (float(tags["pixelsizex"]), "m")
    return [Calibration(steps, metadata=metadata)]


def _tvips(tiff: Any) -> list[Calibration]:
    tags = tiff.tvips_metadata
    metadata: dict[str, Any] = {}
    for term, key, factor in (
        ("magnification", "TemMagnification", 1.0),
        ("voltage_kv", "TemHighTension", 1e-3),
        ("dose", "Dose", 1.0),
    ):
        if tags.get(key):
            metadata[term] = float(tags[key]) * factor
    if tags.get("CameraType"):
        metadata["detector"] = str(tags["CameraType"])
    if "PixelSizeX" not in tags:
        return [Calibration(metadata=metadata)]
    steps = (float(tags["PixelSizeY"]), "nm"), (float(tags["PixelSizeX"]), "nm")
    return [Calibration(steps, metadata=metadata)]


def _jeol(tiff: Any) -> list[Calibration]:
    """Read JEOL SightX: the resolution tags are the camera's, divided by the magnification."""
    text = "".join(
        line.strip(" \r\n\t\x01\x00") for line in str(tiff.pages[0].description).split("\n")
    )
    root = ElementTree.fromstring(text)
    imaging = next(node for node in root.iter() if node.tag.endswith("ImageFormingSystem"))
    mode = imaging.findtext("ModeString") or ""
    selector = float(imaging.findtext("SelectorValue") or "nan")
    metadata: dict[str, Any] = {}
    voltage = next((n.text for n in root.iter() if n.tag.endswith("AccelerationVoltage")), None)
    if voltage:
        metadata["voltage_kv"] = float(voltage) / 1e3
    if "DateTime" in tiff.pages[0].tags:
        metadata["date"] = str(tiff.pages[0].tags["DateTime"].value)
    if mode.startswith("DIFF"):
        return [Calibration(((1.0, "1/nm"), (1.0, "1/nm")), metadata=metadata)]
    resolution = _resolution(tiff)
    if resolution is None or mode != "MAG" or not selector > 0:
        return [Calibration(metadata=metadata)]
    metadata["magnification"] = selector
    unit = {2: "inch", 3: "cm"}.get(_resolution_unit(tiff), "cm")
    row, column = (1 / value / selector for value in resolution)
    return [Calibration(((row, unit), (column, unit)), metadata=metadata)]


def _resolution_unit(tiff: Any) -> int:
    tags = tiff.pages[0].tags
    return int(tags["ResolutionUnit"].value) if "ResolutionUnit" in tags else 2


def _plain(tiff: Any) -> list[Calibration]:
    """Believe bare resolution tags only where they cannot be a printer's dots per inch."""
    resolution = _resolution(tiff)
    nm_per_unit = {2: 25.4e6, 3: 1e7}.get(_resolution_unit(tiff))
    if resolution is None or nm_per_unit is None:
        return []
    row, column = (nm_per_unit / value for value in resolution)
    if not (math.isfinite(row + column) and 0 < max(row, column) < _SMALLEST_PRINTED_NM):
        return []
    note = "pixel size from the resolution tags: no program's own calibration is in the file"
    return [Calibration(((row, "nm"), (column, "nm")), notes=(note,))]


def _has_tag(code: int) -> Callable[[Any], bool]:
    return lambda tiff: code in tiff.pages[0].tags


_PROGRAMS: tuple[tuple[Callable[[Any], bool], Callable[[Any], list[Calibration]]], ...] = (
    (lambda tiff: bool(tiff.is_imagej), _imagej),
    (lambda tiff: bool(tiff.is_ome), _ome),
    (_has_tag(65009), _digital_micrograph),
    (lambda tiff: bool(tiff.is_fei) and bool(tiff.fei_metadata), _fei),
    (lambda tiff: bool(tiff.is_sem), _zeiss),
    (lambda tiff: bool(tiff.is_sis), _olympus_sis),
    (lambda tiff: bool(tiff.is_tvips), _tvips),
    (
        lambda tiff: (
            "Make" in tiff.pages[0].tags and "JEOL" in str(tiff.pages[0].tags["Make"].value)
        ),
        _jeol,
    ),
    (lambda tiff: True, _plain),
)
