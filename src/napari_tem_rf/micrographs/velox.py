"""EMD files of Velox (FEI/Thermo) -> images.

``Data/Image/<key>`` holds an image or series, shape (row, column, frame), and beside it JSON about
each frame; ``Presentation`` or, since version 11, ``Displays`` hold the titles that Velox shows.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np

from napari_tem_rf.micrographs.frame_interval import interval_terms
from napari_tem_rf.micrographs.hdf5_images import hdf5_pixels
from napari_tem_rf.micrographs.named_axes import ImageAxes
from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError, Step
from napari_tem_rf.micrographs.refusals import left_out
from napari_tem_rf.micrographs.terms import microscope_terms, tag_at

__all__ = ["is_velox", "velox_images"]

_LARGEST_METADATA = 16 * 2**20
_FORMATS = ("Velox", "DevelopersKit")


def is_velox(file: Any) -> bool:
    """Whether an open HDF5 file says that Velox wrote it."""
    version = _json(file.get("Version"))
    return version.get("format") in _FORMATS


def velox_images(path: Path, file: Any) -> list[RawImage]:
    """Return the images of an open file; the spectra beside them are left alone.

    Raises
    ------
    ReadingError
        If the file holds no image.
    """
    group = file.get("Data/Image")
    keys = [key for key, item in (group or {}).items() if f"{item.name}/Data" in file]
    if not keys:
        others = ", ".join(sorted(file["Data"])) if "Data" in file else "nothing"
        raise ReadingError(
            f'"{path.name}" is a Velox file without an image; it holds {others}: export an image '
            "from Velox"
        )
    titles = dict(_titles(file))
    images = []
    for key in keys:
        try:
            images.append(_image(path, group[key], titles.get(key, "")))
        except Exception as error:
            images.append(left_out(titles.get(key, ""), error))
    return images


def _image(path: Path, group: Any, title: str) -> RawImage:
    dataset = group["Data"]
    about, notes = _about(group)
    name = title or _detector(about)
    fields = dataset.dtype.names
    if fields:
        # real and imaginary parts; of a Fourier transform only one half
        name = "Half FFT" if any("Half" in field for field in fields) else name
        unsuitable = "its values are complex: a Fourier transform or wave function"
        return RawImage(np.zeros((0,)), name, unsuitable=unsuitable)
    if dataset.ndim not in (2, 3):
        return RawImage(np.zeros((0,)), name, unsuitable=f"it has {dataset.ndim} axes")
    axes = ImageAxes((2,) if dataset.ndim == 3 else (), 0, 1)
    terms = microscope_terms(about)
    start = tag_at(about, "Acquisition.AcquisitionStartDatetime.DateTime")
    if start is not None and str(start).isdigit() and int(start) > 0:
        with suppress(OverflowError, ValueError, OSError):
            terms["date"] = datetime.fromtimestamp(int(start), UTC).isoformat()
    if dataset.ndim == 3 and dataset.shape[2] > 1:
        terms |= interval_terms(_frame_time(about))
    pixels = hdf5_pixels(path, dataset, axes)
    return RawImage(pixels, name, _steps(about), metadata=terms, notes=notes)


def _frame_time(about: Mapping[str, Any]) -> Any:
    """Return the time of a frame in s: of the scan, or what the camera was exposed for."""
    if (scan := tag_at(about, "Scan.FrameTime")) is not None:
        return scan
    number = tag_at(about, "BinaryResult.DetectorIndex")
    return tag_at(about, f"Detectors.Detector-{number}.ExposureTime")


def _about(group: Any) -> tuple[Mapping[str, Any], tuple[str, ...]]:
    """Return what is written about the first frame, and a note where that cannot be read."""
    try:
        dataset = group["Metadata"]
        if dataset.shape[0] > _LARGEST_METADATA:
            raise ValueError(f"{dataset.shape[0]:,} bytes")
        first = np.asarray(dataset[:, 0] if dataset.ndim == 2 else dataset[...])
        about = json.loads(first.astype(np.uint8).tobytes().split(b"\0", 1)[0])
        if isinstance(about, Mapping):
            return about, ()
        said = "it is not a table"
    except (KeyError, OSError, ValueError) as error:
        said = str(error)
    return {}, (f"no pixel size: what Velox wrote about the image cannot be read ({said})",)


def _steps(about: Mapping[str, Any]) -> tuple[Step, Step] | None:
    steps = []
    for side, axis in (("height", "Y"), ("width", "X")):
        size = tag_at(about, f"BinaryResult.PixelSize.{side}")
        unit = tag_at(about, f"BinaryResult.PixelUnit{axis}")
        try:
            steps.append((float(size), None if unit is None else str(unit)))
        except (TypeError, ValueError):
            return None
    return steps[0], steps[1]


def _detector(about: Mapping[str, Any]) -> str:
    number = tag_at(about, "BinaryResult.DetectorIndex")
    named = tag_at(about, "BinaryResult.Detector")
    named = named or tag_at(about, f"Detectors.Detector-{number}.DetectorName")
    return named if isinstance(named, str) else ""


def _titles(file: Any) -> Iterator[tuple[str, str]]:
    """Yield the key of each displayed image with its title."""
    with suppress(Exception):
        # up to version 10
        for display in (file.get("Presentation/Displays/ImageDisplay") or {}).values():
            about = _json(display)
            label = unquote(str(tag_at(about, "display.label") or ""))
            yield str(about.get("dataPath", "")).rpartition("/")[2], label
    with suppress(Exception):
        for display in (file.get("Displays/ImageDisplay") or {}).values():
            about = _json(display)
            data = _json(file.get(str(about.get("data", ""))))
            label = unquote(str(about.get("title") or about.get("id") or ""))
            yield str(data.get("dataPath", "")).rpartition("/")[2], label


def _json(dataset: Any) -> Mapping[str, Any]:
    """Return the JSON object that a dataset of one text holds; empty if there is none."""
    try:
        text = dataset[0]
        value = json.loads(text if isinstance(text, str | bytes) else bytes(text))
    except (TypeError, ValueError, IndexError, KeyError, AttributeError, OSError):
        return {}
    return value if isinstance(value, Mapping) else {}
