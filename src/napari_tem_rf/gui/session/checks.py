"""What speaks against a training, in sentences with the remedy; shown beside the button."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from napari.layers import Image

from napari_tem_rf.gui.layers.layers import image_shape
from napari_tem_rf.gui.session.annotations import AnnotatedLayer
from napari_tem_rf.gui.session.choices import Activity, Choices
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.label_meaning import MOST_CLASSES, many_values
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan

FEW_PIXELS = 100
"""A class with fewer annotated pixels is hardly learnt."""

FEW_HELD_OUT = 200
"""A score on fewer held-out pixels says little."""


@dataclass(frozen=True, slots=True)
class Check:
    """One thing to know before a training.

    Attributes
    ----------
    sentence : str
        What is wrong, and what to do.
    stops : bool
        Whether the training cannot start; a warning otherwise.
    """

    sentence: str
    stops: bool


def checks_of_activity(activity: Activity) -> tuple[Check, ...]:
    """Return what is running and leaves no room for a training; empty when nothing does."""
    if activity.training is not None:
        return (_stop(f"{activity.training.name} is running: wait for it, or press Stop."),)
    if activity.is_comparing:
        return (_stop("A comparison is running: wait for it, or press Stop in the dock Compare."),)
    return ()


def training_checks(
    choices: Choices, classes: Classes, pairs: Sequence[tuple[AnnotatedLayer, tuple[int, ...]]]
) -> tuple[Check, ...]:
    """Return what speaks against a training, the worst first; empty when nothing does.

    Parameters
    ----------
    choices : Choices
    classes : Classes
        Of the chosen annotation.
    pairs : sequence of (AnnotatedLayer, tuple of int)
        What is annotated, and the pixels of each class; the chosen annotation first.
    """
    image, annotation = choices.image, choices.annotation
    if image is None:
        return (_stop("No image is open: open one, or take one from File > Open Sample."),)
    if annotation is None and pairs:
        return (
            _stop(
                f"{image.name} is not annotated: choose an annotated image above to train on all "
                "that are, or press New and paint on this one."
            ),
        )
    if annotation is None:
        return (_stop("There is no annotation: press New and paint a few strokes of each class."),)
    for pair, _ in pairs:
        if not pair.fits:
            return (_misfit(pair),)
    counts = [sum(each) for each in zip(*(counts for _, counts in pairs), strict=True)]
    found = [*_painted(classes, counts), *_writable(choices.runs_folder)]
    stops = [check for check in found if check.stops]
    if stops:
        return tuple(stops[:1])
    return (*found, *_size(image, choices.spec), *_held_out(choices.plan, sum(counts)))


def _stop(sentence: str) -> Check:
    return Check(sentence, stops=True)


def _misfit(pair: AnnotatedLayer) -> Check:
    shapes = (" x ".join(map(str, image_shape(layer))) for layer in (pair.labels, pair.image))
    return _stop(
        f'labels "{pair.labels.name}" are {next(shapes)} but image "{pair.image.name}" is '
        f"{next(shapes)}: press New and paint on the image's own annotation layer."
    )


def _painted(classes: Classes, counts: list[int]) -> list[Check]:
    """Check what is painted of each class."""
    if many_values(classes.values[1:]):
        return [
            _stop(
                f"The annotation holds more than {MOST_CLASSES} values, and a network learns "
                f"{MOST_CLASSES} classes at most: say that labels are numbered particles, or give "
                "all particles of a kind the same value."
            )
        ]
    painted = [place for place, count in enumerate(counts) if count]
    if not painted or (classes.values[0] == 0 and painted == [0]):
        return [_stop("Nothing is painted yet: paint a few strokes of each class.")]
    if not counts[0]:
        return [
            _stop(
                'No background is painted: paint some with label 1, or choose "zeros are '
                'background" if this is a finished mask.'
            )
        ]
    if painted == [0]:
        name = classes.names[1] if len(classes.names) > 1 else "particle"
        value = classes.values[1] if len(classes.values) > 1 else 2
        return [
            _stop(
                f"Only {classes.names[0]} is painted, and a training needs two classes: "
                f"paint {name} with label {value} as well."
            )
        ]
    return [
        Check(
            f"Class {classes.names[place]} has {counts[place]:,} px only: paint more of it, "
            f"{FEW_PIXELS} px at least.",
            stops=False,
        )
        for place in painted
        if counts[place] < FEW_PIXELS
    ]


def _writable(folder: Path) -> list[Check]:
    """Check that runs can be saved."""
    there = folder
    while not there.exists() and there != there.parent:
        there = there.parent
    if there.is_dir() and os.access(there, os.W_OK):
        return []
    return [_stop(f'Runs cannot be saved in "{folder}": choose another folder under Settings.')]


def _size(image: Image, spec: NetworkSpec) -> list[Check]:
    """Check that the image is not smaller than what the network wants to see."""
    field = receptive_field(spec)
    shortest = min(image_shape(image)[-2:])
    if shortest >= field.smallest:
        return []
    return [
        Check(
            f"The receptive field of {field.nominal} px is larger than the image ({shortest} px): "
            "much of it sees nothing; pick a smaller field.",
            stops=False,
        )
    ]


def _held_out(plan: TrainingPlan, pixels: int) -> list[Check]:
    """Check that the held-out part is large enough to mean something."""
    held_out = pixels * plan.validation
    if held_out == 0 or held_out >= FEW_HELD_OUT:
        return []
    return [
        Check(
            f"About {held_out:.0f} annotated px will be held out: the score will say little; "
            "paint more to have one.",
            stops=False,
        )
    ]
