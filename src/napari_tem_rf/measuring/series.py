"""Particles of masks and series of masks: found and measured frame by frame.

The jobs are generators, so that the one who runs them can show how far they are; what they return
is whole.
"""

import math
import time
from collections.abc import Callable, Collection, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.describing import check_settings, told
from napari_tem_rf.measuring.instances import compact, find_particles
from napari_tem_rf.measuring.particle_lattice import lattice_columns
from napari_tem_rf.measuring.particles import measure_particles
from napari_tem_rf.measuring.populations import SurveyedFrame, boxes_of
from napari_tem_rf.micrographs.framewise import PackedLabels
from napari_tem_rf.micrographs.label_meaning import (
    LabelMeaning,
    are_numbered,
    count_labels,
    look_like_numbers,
    many_values,
)
from napari_tem_rf.protocol import LabelsAre

if TYPE_CHECKING:
    import pandas as pd

LARGEST_PLAIN_BYTES = 256 * 2**20
"""Labels of a series that take more are kept packed: 1,000 frames would fill the memory."""

_FRAMES_LOOKED_AT = 4

# a frame is counted in milliseconds: more often would say nothing new
_ASKING_SECONDS = 1.0

ToldApart = Literal["necks", "numbers", "border"]
"""By what particles that touch were told apart: necks of the mask, the mask's own numbers, or the
border that a run learned."""

Plane = NDArray[np.integer]
Planes3D = NDArray[np.integer] | PackedLabels
Planes = Callable[[int], Plane]
"""Gives the labels of a frame, shape (row, column)."""


@dataclass(frozen=True, slots=True)
class Finding:
    """How particles are found in a mask.

    Attributes
    ----------
    split : bool
        Part particles that touch where they have a neck.
    neck : float
        How narrow a neck has to be: its width over that of the narrower part.
    smallest_px : int
        Particles of fewer pixels are left out.
    border : bool
        Keep particles that the image's border may cut.
    """

    split: bool = told(
        True,
        "Split touching particles",
        "Part particles where they have a neck; particles that are numbered already stay as they "
        "are",
    )
    neck: float = told(
        0.8,
        "necks below",
        "Part where the mask between two particles is narrower than this share of the narrower "
        "one: less splits less, and 100 % splits at every neck",
        percent=True,
        least=0,
        most=1,
    )
    smallest_px: int = told(
        9,
        "smallest",
        "Particles of fewer pixels are left out",
        unit="px",
        least=1,
        option="--smallest",
    )
    border: bool = told(
        True,
        "Count particles at the border",
        "The image's border may cut these particles, which makes them too small: leave them out "
        "for a size distribution, count them for a coverage",
    )

    def __post_init__(self) -> None:
        check_settings(self)


@dataclass(frozen=True, slots=True, eq=False)
class Ground:
    """What particles are measured against.

    Attributes
    ----------
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel in nm; None: lengths are in px.
    grey : callable, optional
        Gives the image's grey values of a frame, for the mean intensity.
    mask : callable, optional
        Gives the mask of a frame, for the class.
    lattice : bool
        Whether the lattice of each particle is measured in the image.
    """

    pixel_size_nm: tuple[float, float] | None = None
    grey: Callable[[int], NDArray[np.floating]] | None = None
    mask: Planes | None = None
    lattice: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The particles of a frame.

    Attributes
    ----------
    table : DataFrame
        One row a particle.
    boxes : ndarray of int, shape (particle, 2)
        Height and width in px of the box around each.
    checksum : int
        Of the labels that both were made from.
    """

    table: "pd.DataFrame"
    boxes: NDArray[np.int64]
    checksum: int

    def without(self, labels: Collection[int]) -> "Measured":
        """Return the same without some particles; the labels it is of are none that there are."""
        kept = ~self.table["label"].isin(list(labels)).to_numpy(bool)
        return Measured(self.table[kept], self.boxes[kept], -1)


@dataclass(slots=True, eq=False)
class Found:
    """Particles of some frames.

    Attributes
    ----------
    frames : list of int
        The frames that were done, in order.
    labels : ndarray or PackedLabels of int32, shape (frame, row, column)
        One plane for each of the frames asked for; a particle's label is its own in all of them.
    measured : dict of int to Measured
        The tables.
    were_parted : bool
        Whether the mask held a number for each particle already.
    """

    labels: Planes3D
    frames: list[int] = field(default_factory=list)
    measured: dict[int, Measured] = field(default_factory=dict)
    were_parted: bool = False


def find_in(
    planes: Planes,
    frames: Sequence[int],
    shape: tuple[int, int],
    finding: Finding,
    ground: Ground,
    *,
    background: int = 0,
    first_label: int = 1,
    labels_are: LabelsAre = "auto",
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, Found]:
    """Find and measure the particles of frames; yields the fraction done.

    Parameters
    ----------
    planes : callable
        Gives the mask of a frame.
    frames : sequence of int
        The frames to look at; (0,) for a single image.
    shape : tuple of int
        (row, column) of a frame.
    finding : Finding
    ground : Ground
    background : int
        A value that is background besides 0: that of strokes.
    first_label : int
        The first particle's label; labels continue from frame to frame.
    labels_are : {"auto", "classes", "particles"}
        Whether the masks hold classes, or a number for each particle.
    stopped : callable
        Asked between frames: whether to return what is done.
    """
    found = Found(planes_for((len(frames), *shape)))
    numbered = _are_numbered(planes, frames, background, labels_are, stopped)
    for place, frame in enumerate(frames):
        if stopped():
            break
        mask = _without(np.asarray(planes(frame)), background)
        labels = particles_of(mask, numbered, finding, ground.pixel_size_nm)
        if numbered:
            _, labels = compact(labels)
        count = int(labels.max(initial=0))
        labels[labels > 0] += first_label - 1
        first_label += count
        found.labels[place] = labels
        found.measured[frame] = _measure(labels, frame, ground)
        found.frames.append(frame)
        found.were_parted = numbered
        yield (place + 1) / len(frames)
    return found


def particles_of(
    mask: Plane,
    numbered: bool,
    finding: Finding,
    pixel_size_nm: tuple[float, float] | None = None,
) -> Plane:
    """Return a label for each particle of a mask whose background is 0, shape (row, column).

    Parameters
    ----------
    mask : ndarray of int, shape (row, column)
    numbered : bool
        Whether the mask holds a number for each particle: the numbers stay, and nothing is split or
        joined, because whoever told them apart knew more.
    finding : Finding
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel; only the ratio of the two matters here.
    """
    if numbered:
        return _kept(mask, finding)
    return find_particles(
        mask,
        split=finding.split,
        neck=finding.neck,
        smallest_px=finding.smallest_px,
        border=finding.border,
        pixel_size_nm=pixel_size_nm,
    )


def survey_frames(
    planes: Planes,
    frames: Sequence[int],
    meaning: LabelMeaning,
    finding: Finding,
    pixel_size_nm: tuple[float, float] | None,
    *,
    image: str = "",
    is_series: bool = True,
    grey: Callable[[int], NDArray[np.floating]] | None = None,
    lattice: bool = False,
) -> Iterator[tuple[SurveyedFrame, Plane]]:
    """Yield the particles of each frame, those at its border with them, and their labels.

    The label is the file's own number where particles are numbered; there is a column ``class``
    where they are not.

    Parameters
    ----------
    planes : callable
        Gives the mask of a frame.
    frames : sequence of int
    meaning : LabelMeaning
        What the values of the mask mean.
    finding : Finding
        Its ``border`` decides which of them `counted_table` lists.
    pixel_size_nm : tuple of float, optional
    image : str
        Name of the image.
    is_series : bool
        Whether it has frames.
    grey : callable, optional
        Gives the image's grey values of a frame.
    lattice : bool
        Whether the lattice of each particle is measured in them.
    """
    everywhere = replace(finding, border=True)
    for frame in frames:
        mask = meaning.without_background(np.asarray(planes(frame)))
        labels = particles_of(mask, meaning.numbered, everywhere, pixel_size_nm)
        pixels = None if grey is None else np.asarray(grey(frame))
        classes = None if meaning.numbered else mask
        table = measure_particles(labels, pixels, pixel_size_nm, classes)
        if lattice and pixels is not None:
            table = table.join(lattice_columns(labels, pixels, pixel_size_nm))
        place = frame if is_series else None
        shape = (labels.shape[0], labels.shape[1])
        yield SurveyedFrame(image, place, shape, pixel_size_nm, table, boxes_of(labels)), labels


def counted_table(frame: SurveyedFrame, finding: Finding, numbered: bool) -> "pd.DataFrame":
    """Return the particles of a frame that count.

    Without those at the border the others are numbered anew, unless the mask numbered them.
    """
    if finding.border:
        return frame.table.copy()
    table = frame.table[~frame.table["touches_border"].astype(bool)].reset_index(drop=True)
    if not numbered:
        table["label"] = np.arange(1, len(table) + 1)
    return table


def _counts(
    planes: Planes, frames: Sequence[int], background: int, stopped: Callable[[], bool]
) -> Iterator[dict[int, int]]:
    """Yield the counts of each frame until there is a stop, which is asked for once a second."""
    asked = time.monotonic()
    for frame in frames:
        if time.monotonic() > asked + _ASKING_SECONDS:
            if stopped():
                return
            asked = time.monotonic()
        counts = count_labels(np.asarray(planes(frame)))
        yield {value: number for value, number in counts.items() if value != background}


def numbered_alike(mask: Plane, background: int = 0, labels_are: LabelsAre = "auto") -> bool:
    """Return whether one mask by itself holds a number for each particle."""
    return _are_numbered(lambda _frame: mask, [0], background, labels_are, lambda: False)


def _are_numbered(
    planes: Planes,
    frames: Sequence[int],
    background: int,
    labels_are: LabelsAre,
    stopped: Callable[[], bool],
) -> bool:
    """Return whether masks hold a number for each particle: all of a series do, or none."""
    if labels_are != "auto":
        return labels_are == "particles"
    if are_numbered(_counts(planes, frames, background, stopped)):
        return True
    if background:  # strokes: a stroke of each class looks like a number
        return False
    return look_like_numbers([np.asarray(planes(frame)) for frame in frames[:_FRAMES_LOOKED_AT]])


def _without(mask: Plane, background: int) -> Plane:
    return np.where(mask == background, 0, mask) if background else mask


def planes_for(shape: tuple[int, ...]) -> Planes3D:
    """Return labels of 0 for a series, packed where they would take much memory."""
    if 4 * math.prod(shape) > LARGEST_PLAIN_BYTES:
        return PackedLabels(shape, np.int32)
    return np.zeros(shape, np.int32)


def measure_again(
    planes: Planes,
    frames: Sequence[int],
    ground: Ground,
    known: Mapping[int, Measured],
    stopped: Callable[[], bool] = lambda: False,
) -> Generator[float, None, dict[int, Measured]]:
    """Measure the particles of frames whose labels are no longer those that ``known`` is of."""
    measured: dict[int, Measured] = {}
    for place, frame in enumerate(frames):
        if stopped():
            break
        labels = np.array(planes(frame))
        earlier = known.get(frame)
        same = earlier is not None and earlier.checksum == _checksum(labels)
        measured[frame] = (
            earlier if same and earlier is not None else _measure(labels, frame, ground)
        )
        yield (place + 1) / len(frames)
    return measured


def joined_table(measured: Mapping[int, Measured], is_series: bool) -> "pd.DataFrame":
    """Return one table of all frames as a layer's features: index, frame (of a series), sizes."""
    import pandas as pd

    parts = []
    for frame in sorted(measured):
        table = measured[frame].table.rename(columns={"label": "index"})
        if is_series:
            table.insert(1, "frame", frame)
        parts.append(table)
    filled = [part for part in parts if len(part)] or parts[:1]
    if not filled:
        return pd.DataFrame({"index": np.zeros(0, np.int64)})
    return pd.concat(filled, ignore_index=True)


def _measure(labels: Plane, frame: int, ground: Ground) -> Measured:
    mask = None if ground.mask is None else np.asarray(ground.mask(frame))
    if mask is not None:
        values = [value for value in count_labels(mask) if value > 0]
        if len(values) < 2 or many_values(values):
            mask = None
    grey = None if ground.grey is None else np.asarray(ground.grey(frame))
    table = measure_particles(labels, grey, ground.pixel_size_nm, mask)
    if ground.lattice and grey is not None:
        table = table.join(lattice_columns(labels, grey, ground.pixel_size_nm))
    return Measured(table, boxes_of(labels), _checksum(labels))


def _checksum(labels: Plane) -> int:
    return crc32(np.ascontiguousarray(labels).data)


def _kept(labels: Plane, finding: Finding) -> Plane:
    """Return numbered particles without the small ones and those at the border."""
    values, places = compact(labels)
    keep = np.bincount(places.ravel(), minlength=len(values) + 1) >= finding.smallest_px
    if not finding.border:
        keep[np.concatenate([places[0], places[-1], places[:, 0], places[:, -1]])] = False
    keep[0] = False
    kept: Plane = np.where(keep[places], labels, 0)
    return kept
