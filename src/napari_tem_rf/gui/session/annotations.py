"""Labels layers as annotations: their classes, what is painted, which image they belong to."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from napari.layers import Image, Labels, Layer

from napari_tem_rf.figures.palette import CLASS_COLORS
from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    image_shape,
    label_colors,
    new_annotation,
    unmarked,
)
from napari_tem_rf.gui.layers.marks import (
    AnnotationMark,
    MarkOnImage,
    OverlayMark,
    TracksMark,
    id_of,
    mark_of,
    note,
)
from napari_tem_rf.gui.session.label_counts import Count, Counts, label_counts
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.label_meaning import (
    MOST_CLASSES,
    LabelMeaning,
    find_meaning,
    many_values,
    meaning_of,
)
from napari_tem_rf.protocol import LabelsAre, Unlabelled

_FRAMES_LOOKED_AT = 4

STROKES = Classes(values=(1, 2), names=("background", "particle"), colors=CLASS_COLORS[:2])
"""The classes of a new annotation whose zeros are not annotated."""

MASK = Classes(values=(0, 1), names=("background", "particle"), colors=CLASS_COLORS[:2])
"""The classes of a new annotation whose zeros are background."""


@dataclass(frozen=True, slots=True)
class AnnotatedLayer:
    """An annotation layer and the image layer that it describes."""

    image: Image
    labels: Labels

    @property
    def fits(self) -> bool:
        """Whether both have the same shape."""
        return image_shape(self.image) == image_shape(self.labels)


def values_in(counts: Counts) -> tuple[int, ...]:
    """Return the values that were counted, ascending, zero left out."""
    return tuple(sorted(set().union(*counts)))


def frames_in(counts: Counts) -> tuple[int, ...]:
    """Return the frames that hold labels; (0,) for a single image that does."""
    return tuple(frame for frame, count in enumerate(counts) if count)


def meaning_of_zeros(layer: Labels, counts: Counts | None = None) -> Unlabelled:
    """Return what zeros of a layer mean: what was chosen for it, or else what is likely.

    A layer that holds nothing but zeros and one other value is taken for a finished mask. Without
    its counts it is counted.
    """
    mark = mark_of(layer)
    if isinstance(mark, AnnotationMark) and mark.unlabelled is not None:
        return mark.unlabelled
    counts = label_counts(layer) if counts is None else counts
    if len(values_in(counts)) == 1:
        return "background"
    return meaning_of_layer(layer, None, labels_are_in(layer), counts).unlabelled


def labels_are_in(layer: Labels) -> LabelsAre:
    """Return whether values of a layer are classes or numbers of particles, if it was said."""
    mark = mark_of(layer)
    return mark.labels_are if isinstance(mark, AnnotationMark) else "auto"


_SEEN: WeakKeyDictionary[Labels, tuple[tuple[Any, ...], LabelMeaning]] = WeakKeyDictionary()


def meaning_of_layer(
    layer: Labels, unlabelled: Unlabelled | None, labels_are: LabelsAre, counts: Counts
) -> LabelMeaning:
    """Return what the values of a layer mean; looked at again only once other pixels are painted.

    Parameters
    ----------
    layer : Labels
    unlabelled : {"ignore", "background"}, optional
        What zeros mean; None: whatever is likely.
    labels_are : {"auto", "classes", "particles"}
        What the user says that the values are.
    counts : tuple of dict
        The layer's counts.
    """
    asked = (counts, unlabelled, labels_are)
    known = _SEEN.get(layer)
    if known is not None and known[0] == asked:
        return known[1]
    together: Counter[int] = Counter()
    rows, columns = image_shape(layer)[-2:]
    for count in counts:
        together.update(count)
        # counts leave zeros out
        together[0] += rows * columns - sum(count.values())
    mark = mark_of(layer)
    is_drawn_here = isinstance(mark, AnnotationMark) and bool(mark.classes)
    if labels_are == "auto" and is_drawn_here and not many_values(together):
        # classes were named for it: what is painted with them are classes
        meaning = meaning_of(together, unlabelled or "ignore", "classes")
    else:
        some = frames_in(counts)[:_FRAMES_LOOKED_AT]
        planes = [frame_labels(layer, frame) for frame in some]
        meaning = find_meaning(planes, unlabelled, labels_are, together)
    _SEEN[layer] = asked, meaning
    return meaning


def classes_of(
    layer: Labels, unlabelled: Unlabelled, counts: Counts | None = None, *, numbered: bool = False
) -> Classes:
    """Return the classes of an annotation layer: those named in it and those painted in it.

    Without its counts it is counted. Numbered particles are one class.
    """
    if numbered:
        return STROKES if unlabelled == "ignore" else MASK
    counts = label_counts(layer) if counts is None else counts
    mark = mark_of(layer)
    noted = mark.classes if isinstance(mark, AnnotationMark) else ()
    named = {value: (name, color) for value, name, color in noted}
    # one more than are classes, besides the background, so that too many are seen
    painted = values_in(counts)[: MOST_CLASSES + 2]
    if unlabelled == "background":
        # a class of strokes that stands for background says nothing beside zeros that do
        named = {
            value: entry
            for value, entry in named.items()
            if entry[0] != "background" or value == 0 or value in painted
        }
    values = {value for value in named if value != 0} | set(painted)
    values.add(0 if unlabelled == "background" else 1)
    ordered = tuple(sorted(values))
    names, colors = [], []
    for place, value in enumerate(ordered):
        name, color = named.get(value, (None, None))
        names.append(name or _first_name(place, len(ordered)))
        colors.append(color or CLASS_COLORS[place % len(CLASS_COLORS)])
    return Classes(values=ordered, names=tuple(names), colors=tuple(colors))


def _first_name(place: int, classes: int) -> str:
    if place == 0:
        return "background"
    return "particle" if classes <= 2 else f"class {place}"


def note_classes(layer: Labels, classes: Classes, unlabelled: Unlabelled) -> None:
    """Keep classes with their layer, colour it by them, and let napari's status bar name them."""
    entries = tuple(zip(classes.values, classes.names, classes.colors, strict=True))
    note(layer, AnnotationMark, classes=entries, unlabelled=unlabelled)
    layer.colormap = label_colors(classes)
    layer.features = {"index": classes.values, "class": [*map(unmarked, classes.names)]}


def start_annotation(image: Image, unlabelled: Unlabelled, taken: Sequence[str]) -> Labels:
    """Return an empty annotation layer for an image under a free name."""
    name, count = f"{image.name}: strokes", 1
    while name in taken:
        count += 1
        name = f"{image.name}: strokes {count}"
    classes = STROKES if unlabelled == "ignore" else MASK
    layer = new_annotation(image, classes, name)
    note_classes(layer, classes, unlabelled)
    belong(layer, image)
    return layer


def belong(layer: Labels, image: Image) -> None:
    """Note in an annotation layer which image it describes."""
    note(layer, AnnotationMark, image=str(image.name), image_id=id_of(image))


def image_of(layer: Labels, images: Sequence[Image]) -> Image | None:
    """Return the image that an annotation layer describes, as far as it is noted."""
    mark = mark_of(layer)
    if not isinstance(mark, MarkOnImage):
        return None
    for image in images:
        if mark.image_id == id_of(image):
            return image
    for image in images:
        if mark.image == image.name and image_shape(image) == image_shape(layer):
            return image
    return None


def owner_of(layer: Layer | None, images: Sequence[Image]) -> Image | None:
    """Return the image that a layer is or that it is noted to lie on; None for any other layer."""
    if layer in images:
        return layer
    if isinstance(layer, Labels):
        return image_of(layer, images)
    mark = None if layer is None else mark_of(layer)
    if isinstance(mark, TracksMark):
        return next((image for image in images if mark.image_id == id_of(image)), None)
    if isinstance(mark, OverlayMark):
        return next((image for image in images if mark.image == image.name), None)
    return None


def annotation_for(
    image: Image, annotations: Sequence[Labels], images: Sequence[Image]
) -> Labels | None:
    """Return the annotation layer that fits an image best: its own, or an unclaimed one."""
    own = [layer for layer in annotations if image_of(layer, images) is image]
    if own:
        return own[-1]
    free = [
        layer
        for layer in annotations
        if image_of(layer, images) is None and image_shape(layer) == image_shape(image)
    ]
    return free[-1] if free else None


def count_pixels(
    layer: Labels,
    classes: Classes,
    unlabelled: Unlabelled,
    counts: Counts,
    *,
    numbered: bool = False,
) -> tuple[int, ...]:
    """Return how many pixels of each class a layer holds; all numbered particles are one class.

    Zeros that mean background count in frames that hold any label only: a frame without is not
    annotated.
    """
    rows, columns = image_shape(layer)[-2:]
    annotated = [count for count in counts if count]
    if numbered:
        background = 1 if unlabelled == "ignore" else 0
        annotated = [_as_one(count, background) for count in annotated]
    return tuple(
        sum(
            count.get(value, 0) if value != 0 else rows * columns - sum(count.values())
            for count in annotated
        )
        for value in classes.values
    )


def _as_one(count: Count, background: int) -> Count:
    """Return a count with all particles under the value that stands for them."""
    painted = sum(pixels for value, pixels in count.items() if value > background)
    known = {background: count[background]} if count.get(background) else {}
    return {**known, background + 1: painted}
