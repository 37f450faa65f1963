"""What follows from the user's choices and the layers of a viewer: one frozen value for all docks.

`resolve` is pure: it reads a viewer and the choices, and returns the situation. Widgets draw its
answer, and nothing else asks the layers.
"""

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

import numpy as np
from napari.components import ViewerModel
from napari.layers import Image, Labels, Layer

from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm
from napari_tem_rf.gui.layers.marks import PredictionMark, id_of, is_ours, mark_of
from napari_tem_rf.gui.session.annotations import (
    AnnotatedLayer,
    annotation_for,
    classes_of,
    count_pixels,
    frames_in,
    image_of,
    labels_are_in,
    meaning_of_layer,
    meaning_of_zeros,
    owner_of,
)
from napari_tem_rf.gui.session.checks import Check, checks_of_activity, training_checks
from napari_tem_rf.gui.session.choices import Activity, Choices
from napari_tem_rf.gui.session.label_counts import Counts, label_counts
from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.label_meaning import LabelMeaning
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.starting import SIMULATED, usual_start

__all__ = [
    "Annotated",
    "Scene",
    "Situation",
    "Start",
    "choose_annotation",
    "choose_image",
    "frame_of",
    "images_in",
    "look",
    "resolve",
    "settle",
]


NO_CLASSES = Classes((), ())
NO_MEANING = LabelMeaning("empty", (), 0, "hold nothing")
NOTHING_DONE = Activity()


@dataclass(frozen=True, slots=True)
class Annotated:
    """An annotated image.

    Attributes
    ----------
    pair : AnnotatedLayer
        Both layers.
    pixels : tuple of int
        How many pixels of each class are annotated.
    frames : tuple of int
        Which frames hold labels; (0,) for a single image.
    """

    pair: AnnotatedLayer
    pixels: tuple[int, ...]
    frames: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scene:
    """What the layers of a viewer show, seen from the chosen image and annotation.

    Attributes
    ----------
    layers : tuple of Layer
        All layers, the top of the layer list last.
    images : tuple of Image
        The image layers that can be chosen, the top of the layer list last.
    annotations : tuple of Labels
        The labels layers that can be chosen; predictions are not among them.
    predictions : tuple of Labels
        The program's prediction layers, those of the chosen image last, and of them what runs
        predicted.
    frame : int
        The frame of the chosen image that the viewer shows; 0 for a single image.
    frames : int
        How many it has; 1 for a single image, 0 without one.
    pixel_size_nm : tuple of float, optional
        (row, column) pixel size of the chosen image; None where it has none.
    translate : tuple of float
        Where the chosen image lies.
    classes : Classes
        Of the chosen annotation; none without one.
    meaning : LabelMeaning
        What the values of the chosen annotation mean.
    annotated : tuple of Annotated
        What a training would learn from: the chosen annotation first, then every other one that
        is painted and whose image is in the viewer.
    """

    layers: tuple[Layer, ...] = ()
    images: tuple[Image, ...] = ()
    annotations: tuple[Labels, ...] = ()
    predictions: tuple[Labels, ...] = ()
    frame: int = 0
    frames: int = 0
    pixel_size_nm: tuple[float, float] | None = None
    translate: tuple[float, ...] = ()
    classes: Classes = NO_CLASSES
    meaning: LabelMeaning = NO_MEANING
    annotated: tuple[Annotated, ...] = ()


NOTHING_SEEN = Scene()


@dataclass(frozen=True, slots=True)
class Start:
    """Something that the next training can start from."""

    title: str
    value: str | Path | None


@dataclass(frozen=True, slots=True)
class Situation:
    """The choices, the layers, the work that is running, and what follows from them.

    Attributes
    ----------
    choices : Choices
        Settled: what is chosen is there.
    scene : Scene
    activity : Activity
    edits : int
        How often labels were painted since the session began, counted at each pause of painting.
    starts : tuple of Start
        What the next training can start from.
    start : str or Path, optional
        What it starts from: the choice where the network has such weights.
    checks : tuple of Check
        What speaks against a training now, the worst first.
    """

    choices: Choices
    scene: Scene = NOTHING_SEEN
    activity: Activity = NOTHING_DONE
    edits: int = 0
    starts: tuple[Start, ...] = ()
    start: str | Path | None = None
    checks: tuple[Check, ...] = ()

    @property
    def can_train(self) -> bool:
        """Whether nothing stops a training."""
        return not any(check.stops for check in self.checks)

    @property
    def finishing(self) -> Finishing:
        """How the masks of the current run are finished, lengths in px of its images."""
        if self.choices.finishing is not None:
            return self.choices.finishing
        return UNFINISHED if self.choices.run is None else self.choices.run.record.finishing


def resolve(
    viewer: ViewerModel,
    choices: Choices,
    activity: Activity = NOTHING_DONE,
    scene: Scene | None = None,
    edits: int = 0,
) -> Situation:
    """Return what follows from the choices and the layers.

    Parameters
    ----------
    viewer : ViewerModel
        Is read and not changed.
    choices : Choices
        What is not in the viewer is chosen no longer.
    activity : Activity
        What is running.
    scene : Scene, optional
        What `look` returned, where layers are as they were; looked at anew without it.
    edits : int
        How often labels were painted.
    """
    if scene is None:
        choices = settle(viewer, choices)
        scene = look(viewer, choices)
    starts = _starts(choices)
    if isinstance(choices.start, Path) and choices.start not in (each.value for each in starts):
        choices = replace(choices, start=SIMULATED)
    checks = checks_of_activity(activity)
    if not checks:
        pairs = [(each.pair, each.pixels) for each in scene.annotated]
        checks = training_checks(choices, scene.classes, pairs)
    there = [each.value for each in starts]
    start = choices.start if choices.start in there else None
    return Situation(choices, scene, activity, edits, starts, start, checks)


def settle(viewer: ViewerModel, choices: Choices) -> Choices:
    """Return the choices with an image and an annotation that are in the viewer."""
    images = images_in(viewer)
    if choices.image not in images:
        # what the user works on in napari, or else what lies on top
        active = owner_of(viewer.layers.selection.active, images)
        choices = choose_image(viewer, choices, active or (images[-1] if images else None))
    annotations = annotations_in(viewer)
    if choices.annotation not in annotations:
        image = choices.image
        own = None if image is None else annotation_for(image, annotations, images)
        choices = choose_annotation(viewer, choices, own)
    return choices


def choose_image(viewer: ViewerModel, choices: Choices, image: Image | None) -> Choices:
    """Return the choices with another image, and with its annotation."""
    choices = replace(choices, image=image)
    if image is None:
        return choices
    own = annotation_for(image, annotations_in(viewer), images_in(viewer))
    return choose_annotation(viewer, choices, own)


def choose_annotation(viewer: ViewerModel, choices: Choices, layer: Labels | None) -> Choices:
    """Return the choices with another annotation, and with the image that it describes."""
    if layer is choices.annotation:
        return choices
    choices = replace(choices, annotation=layer)
    if layer is None:
        return choices
    described = image_of(layer, images_in(viewer))
    return replace(
        choices,
        unlabelled=meaning_of_zeros(layer),
        labels_are=labels_are_in(layer),
        image=choices.image if described is None else described,
    )


def images_in(viewer: ViewerModel) -> tuple[Image, ...]:
    """Return the image layers that can be chosen."""
    return tuple(
        layer
        for layer in viewer.layers
        if isinstance(layer, Image) and not is_ours(layer) and len(image_shape(layer)) in (2, 3)
    )


def annotations_in(viewer: ViewerModel) -> tuple[Labels, ...]:
    """Return the labels layers that can be chosen; predictions are not among them."""
    return tuple(
        layer
        for layer in viewer.layers
        if isinstance(layer, Labels) and (not is_ours(layer) or is_ours(layer, "annotation"))
    )


def look(viewer: ViewerModel, choices: Choices) -> Scene:
    """Look at the layers of a viewer; the choices must be settled."""
    images, image = images_in(viewer), choices.image
    annotations = annotations_in(viewer)
    counts = {layer: label_counts(layer) for layer in annotations}
    classes, meaning = NO_CLASSES, NO_MEANING
    if choices.annotation is not None:
        own = counts[choices.annotation]
        meaning = meaning_of_layer(choices.annotation, choices.unlabelled, choices.labels_are, own)
        classes = classes_of(choices.annotation, choices.unlabelled, own, numbered=meaning.numbered)
    shape = () if image is None else image_shape(image)
    return Scene(
        layers=tuple(viewer.layers),
        images=images,
        annotations=annotations,
        predictions=_predictions(viewer, image),
        frame=frame_of(viewer, image),
        frames=0 if image is None else shape[0] if len(shape) == 3 else 1,
        pixel_size_nm=None if image is None else pixel_size_nm(image),
        translate=() if image is None else tuple(float(each) for each in image.translate),
        classes=classes,
        meaning=meaning,
        annotated=_annotated(choices, images, classes, counts, numbered=meaning.numbered),
    )


def frame_of(viewer: ViewerModel, image: Image | None) -> int:
    """Return the frame of an image that the viewer shows; 0 for a single image."""
    if image is None or len(image_shape(image)) == 2:
        return 0
    position = image.world_to_data(viewer.dims.point)
    return int(np.clip(round(float(position[0])), 0, image_shape(image)[0] - 1))


def _predictions(viewer: ViewerModel, image: Image | None) -> tuple[Labels, ...]:
    found = [layer for layer in viewer.layers if is_ours(layer, "prediction")]

    def place(layer: Labels) -> tuple[bool, bool]:
        mark = mark_of(layer)
        if not isinstance(mark, PredictionMark):
            return False, False
        # what follows the strokes has no run, and comes before what a run predicted
        return mark.image_id == id_of(image), mark.run is not None

    return tuple(sorted(found, key=place))


def _annotated(
    choices: Choices,
    images: tuple[Image, ...],
    classes: Classes,
    counts: dict[Labels, Counts],
    *,
    numbered: bool,
) -> tuple[Annotated, ...]:
    pairs = []
    if choices.image is not None and choices.annotation is not None:
        pairs.append(AnnotatedLayer(choices.image, choices.annotation))
    for layer in counts:
        image = image_of(layer, images)
        if image is not None and layer is not choices.annotation:
            pairs.append(AnnotatedLayer(image, layer))
    if not pairs:
        return ()
    if choices.image is None or choices.annotation is None:
        first = pairs[0].labels
        classes = classes_of(first, choices.unlabelled, counts[first])
    found = []
    for pair in pairs:
        own = counts[pair.labels]
        pixels = count_pixels(pair.labels, classes, choices.unlabelled, own, numbered=numbered)
        if pair is pairs[0] or any(pixels):
            found.append(Annotated(pair, pixels, frames_in(own)))
    return tuple(found)


def _starts(choices: Choices) -> tuple[Start, ...]:
    """Return what a training of the picked network can start from.

    The paper's protocol starts from nothing; either can continue an earlier run.
    """
    spec, starts = choices.spec, []
    network = _for_two_classes(spec)
    if usual_start(spec, choices.plan.preset) == SIMULATED:
        starts.append(Start("simulated micrographs", SIMULATED))
    starts.append(Start("new weights", None))
    starts += [
        Start(run.title, run.folder)
        for run in reversed(choices.runs)
        if run.spec is not None and _for_two_classes(run.spec) == network
    ]
    return tuple(starts)


@lru_cache(maxsize=1024)  # asked of every run, whatever changes
def _for_two_classes(spec: NetworkSpec) -> NetworkSpec:
    return spec.with_classes(2)
