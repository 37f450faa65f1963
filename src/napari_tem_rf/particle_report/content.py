"""What a report on particles holds, whatever it is written as."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import Setting, settings_of
from napari_tem_rf.measuring.populations import (
    Population,
    PopulationSettings,
    SurveyedFrame,
    populations_of,
)
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.movies import Course, courses_of
from napari_tem_rf.runs import library_versions, now

__all__ = [
    "ENDINGS",
    "MOST_EXAMPLES",
    "Example",
    "ParticleReport",
    "ReportRequest",
    "Source",
    "check_ending",
    "example_of",
    "report_of",
    "spread_places",
]

ENDINGS = (".html", ".pdf")
MOST_EXAMPLES = 3
_LARGEST_EXAMPLE_PX = 640


@dataclass(frozen=True, slots=True)
class Source:
    """Where the particles of one image come from; texts are anybody's.

    Attributes
    ----------
    image : str
        Name of the image.
    mask : str
        File of the mask, or the name of its layer.
    mask_sha256, source, source_sha256 : str, optional
        Hash of that file; file of the image and its hash.
    run : str, optional
        The run that predicted the mask.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel.
    by_hand : bool
        Whether particles were corrected by hand.
    """

    image: str
    mask: str
    mask_sha256: str | None = None
    source: str | None = None
    source_sha256: str | None = None
    run: str | None = None
    pixel_size_nm: tuple[float, float] | None = None
    by_hand: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """A frame to show the outlines on.

    Attributes
    ----------
    title : str
    pixels : ndarray of float32, shape (row, column), optional
        Grey values; None where no image is known.
    labels : ndarray of int32, shape (row, column)
    pixel_size_nm : tuple of float, optional
    """

    title: str
    pixels: NDArray[np.float32] | None
    labels: NDArray[np.int32]
    pixel_size_nm: tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class ParticleReport:
    """A report on particles.

    Attributes
    ----------
    title : str
    populations : tuple of Population
        All particles; then each class where there are several.
    examples : tuple of Example
    settings : tuple of (str, str)
        What was set, in the window's words.
    sources : tuple of Source
    command : str
        The command line that makes it again.
    command_note : str
        What has to be done before, if anything.
    versions : mapping of str to str
    created : str
        In UTC.
    courses : tuple of Course
        What becomes of the particles of each series, frame by frame.
    """

    title: str
    populations: tuple[Population, ...]
    examples: tuple[Example, ...]
    settings: tuple[tuple[str, str], ...]
    sources: tuple[Source, ...]
    command: str
    command_note: str
    versions: Mapping[str, str]
    created: str
    courses: tuple[Course, ...] = ()


@dataclass(frozen=True, slots=True, eq=False)
class ReportRequest:
    """What a report is made from.

    Attributes
    ----------
    title : str
    frames : tuple of SurveyedFrame
    examples : tuple of Example
    sources : tuple of Source
    finding : Finding, optional
        How the particles were found; None where that is not known.
    settings : PopulationSettings
    command, command_note : str
        As in `ParticleReport`.
    """

    title: str
    frames: tuple[SurveyedFrame, ...]
    examples: tuple[Example, ...]
    sources: tuple[Source, ...]
    finding: Finding | None
    settings: PopulationSettings
    command: str
    command_note: str = ""


def report_of(request: ReportRequest) -> ParticleReport:
    """Describe the particles that a report is asked for."""
    finding, settings = request.finding, request.settings
    border = finding is None or finding.border
    told: list[tuple[Any, Setting]] = []
    if finding is not None:
        told += [(finding, each) for each in settings_of(finding)]
    told += [(settings, each) for each in settings_of(settings)]
    return ParticleReport(
        title=request.title,
        populations=populations_of(request.frames, settings, border=border),
        examples=request.examples,
        settings=tuple((each.title, each.shown(getattr(of, each.name))) for of, each in told),
        sources=request.sources,
        command=request.command,
        command_note=request.command_note,
        versions=library_versions(),
        created=now(),
        courses=courses_of(request.frames),
    )


def example_of(
    title: str,
    pixels: NDArray[Any] | None,
    labels: NDArray[Any],
    pixel_size_nm: tuple[float, float] | None,
) -> Example:
    """Return a frame as an example; of a large one every second pixel, or every third, ..."""
    step = max(1, -(-max(labels.shape) // _LARGEST_EXAMPLE_PX))
    labels = labels[::step, ::step]
    size = None if pixel_size_nm is None else (pixel_size_nm[0] * step, pixel_size_nm[1] * step)
    if pixels is not None:
        whole = np.asarray(pixels, np.float32)
        rows, columns = (length // step * step for length in whole.shape)
        blocks = whole[:rows, :columns].reshape(rows // step, step, columns // step, step)
        pixels = np.asarray(blocks.mean(axis=(1, 3)), np.float32)
        labels = labels[: pixels.shape[0], : pixels.shape[1]]
    return Example(title, pixels, labels.astype(np.int32), size)


def spread_places(number: int, most: int = MOST_EXAMPLES) -> list[int]:
    """Return the places of a few frames of many, evenly spread."""
    shown = min(most, number)
    return [round(at * (number - 1) / max(shown - 1, 1)) for at in range(shown)]


def check_ending(path: Path) -> None:
    """Raise ValueError unless a report can be written as that kind of file."""
    if path.suffix.lower() not in ENDINGS:
        raise ValueError(
            f'the report "{path.name}" ends in "{path.suffix}": reports are written as '
            f"{' or '.join(ENDINGS)}"
        )
