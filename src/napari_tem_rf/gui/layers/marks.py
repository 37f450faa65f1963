"""What the program keeps of a layer in its metadata, as frozen values; read and written here alone.

A layer that belongs to the program has a mark of a kind; no other layer is touched. napari adds a
number to a name that is taken, so that a mark notes the title beside the name that the layer got. A
layer that the user gave another name is the user's to keep.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from napari.layers import Image, Layer

from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.measuring.series import Finding, ToldApart
from napari_tem_rf.micrographs.resampling import Resampling
from napari_tem_rf.protocol import LabelsAre, Unlabelled

__all__ = [
    "MARK",
    "AnnotationMark",
    "FieldMark",
    "ImageMark",
    "Mark",
    "MarkOnImage",
    "OverlayMark",
    "ParticlesMark",
    "PredictionMark",
    "TracksMark",
    "find_ours",
    "id_of",
    "image_mark_of",
    "is_ours",
    "mark_of",
    "note",
    "set_mark",
]

MARK = "napari-tem-rf"
"""Key in ``layer.metadata`` under which the program keeps what it knows of a layer."""

OverlayKind = Literal["cleaned", "difference", "ensemble", "side by side", "split"]

Some = TypeVar("Some", bound="Mark")


@dataclass(frozen=True, slots=True)
class Mark:
    """The empty mark, of a layer that is not the program's; base of the others."""

    kind: ClassVar[str] = ""


@dataclass(frozen=True, slots=True)
class ImageMark(Mark):
    """Mark of a micrograph that the program read: its file, and what the reader had to say."""

    source: Path | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class MarkOnImage(Mark):
    """Mark of labels that describe an image.

    Attributes
    ----------
    image, image_id : str
        Name and unique id of the image.
    run : Path, optional
        The run that predicted them; stays when they are corrected.
    resampling : Resampling, optional
        How the network was shown the image.
    finishing : Finishing, optional
        How the mask was finished, lengths in px of the image; None where nothing says it.
    """

    image: str = ""
    image_id: str = ""
    run: Path | None = None
    resampling: Resampling | None = None
    finishing: Finishing | None = None


@dataclass(frozen=True, slots=True)
class AnnotationMark(MarkOnImage):
    """Mark of an annotation.

    Attributes
    ----------
    classes : tuple of (int, str, str)
        Value, name and colour of each class.
    unlabelled : {"ignore", "background"}, optional
        What zeros mean; None while nobody said.
    labels_are : {"auto", "classes", "particles"}
        Whether values are classes or numbers of particles; "auto" while nobody said.
    """

    kind: ClassVar[str] = "annotation"
    classes: tuple[tuple[int, str, str], ...] = ()
    unlabelled: Unlabelled | None = None
    labels_are: LabelsAre = "auto"


@dataclass(frozen=True, slots=True)
class PredictionMark(MarkOnImage):
    """Mark of a prediction: the title that the program gave it, and the name that it got."""

    kind: ClassVar[str] = "prediction"
    title: str = ""
    name: str = ""


@dataclass(frozen=True, slots=True)
class ParticlesMark(MarkOnImage):
    """Mark of the particles of a mask: how they were found.

    Attributes
    ----------
    title, name : str
        The title that the program gave the layer, and the name that it got.
    mask, mask_id : str
        Name and unique id of the mask.
    told_apart : {"necks", "numbers", "border"}
        By what particles that touch were told apart.
    by_hand : bool
        Whether they were corrected.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel that they were measured with.
    """

    kind: ClassVar[str] = "particles"
    title: str = ""
    name: str = ""
    mask: str = ""
    mask_id: str = ""
    finding: Finding | None = None
    told_apart: ToldApart = "necks"
    by_hand: bool = False
    pixel_size_nm: tuple[float, float] | None = None


@dataclass(frozen=True, slots=True)
class TracksMark(MarkOnImage):
    """Mark of the tracks of a series."""

    kind: ClassVar[str] = "tracks"


@dataclass(frozen=True, slots=True)
class OverlayMark(Mark):
    """Mark of a layer that only shows something: it is neither annotated nor trained on."""

    kind: OverlayKind = "cleaned"  # type: ignore[misc]
    title: str = ""
    name: str = ""
    image: str = ""


@dataclass(frozen=True, slots=True)
class FieldMark(Mark):
    """Mark of a layer that shows a receptive field.

    Attributes
    ----------
    title, name : str
        The title that the program gave the layer, and the name that it got.
    image, image_id : str
        Name and unique id of the image.
    at : tuple of int
        (row, column) of the pixel; None for a map over the image.
    run : Path, optional
        The run whose field it is; None for a network that is not trained.
    """

    kind: ClassVar[str] = "field"
    title: str = ""
    name: str = ""
    image: str = ""
    image_id: str = ""
    at: tuple[int, int] | None = None
    frame: int = 0
    run: Path | None = None


def mark_of(layer: Layer) -> Mark:
    """Return what the program noted of a layer."""
    mark = layer.metadata.get(MARK)
    return mark if isinstance(mark, Mark) else Mark()


def image_mark_of(layer: Layer) -> MarkOnImage:
    """Return what the program noted of labels and their image; nothing for another layer."""
    mark = mark_of(layer)
    return mark if isinstance(mark, MarkOnImage) else MarkOnImage()


def set_mark(layer: Layer, mark: Mark) -> None:
    """Keep a mark with its layer."""
    if mark != layer.metadata.get(MARK):
        layer.metadata = {**layer.metadata, MARK: mark}


def note(layer: Layer, kind: type[Some], **changes: Any) -> Some:
    """Change some of a layer's mark, made anew where it is of another kind; return the mark."""
    earlier = mark_of(layer)
    mark = replace(earlier if isinstance(earlier, kind) else kind(), **changes)
    set_mark(layer, mark)
    return mark


def is_ours(layer: Layer, kind: str | None = None) -> bool:
    """Return whether the program made a layer (of a kind: "prediction", "particles", ...)."""
    made = mark_of(layer).kind
    return made != "" and (kind is None or made == kind)


def id_of(layer: Image | Layer | None) -> str:
    """Return what a mark calls a layer by, whatever its name; empty for none."""
    return "" if layer is None else str(layer.unique_id)


def find_ours(layers: Sequence[Layer], title: str, kind: str) -> Layer | None:
    """Return the program's own layer of that kind and title; None where there is none."""
    for layer in layers:
        mark = mark_of(layer)
        if not isinstance(mark, PredictionMark | ParticlesMark | OverlayMark | FieldMark):
            continue
        if mark.kind == kind and (mark.title, mark.name) == (title, layer.name):
            return layer
    return None
