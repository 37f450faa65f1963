"""What a network was trained on, as a run keeps it: images, features, what it was sure of."""

from dataclasses import dataclass
from math import isfinite

from napari_tem_rf.measuring.familiarity import FeatureSpace
from napari_tem_rf.measuring.found_masks import FoundMask
from napari_tem_rf.measuring.image_statistics import BANDS, ImageStatistics

__all__ = ["MOST_IMAGES", "Evidence", "TrainedOn", "check_trained_on"]

MOST_IMAGES = 24
"""Images of which a run keeps what they look like: of more, some spread over all."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What can be known of a prediction without a truth.

    Attributes
    ----------
    own_dice : float
        The Dice of the mask that follows from the network's own probabilities if these are right.
    agreement : float
        Dice between its predictions of the image as it lies and of crops turned or mirrored.
    distance : float
        Of the features from those of the training: about 1 for the training's own.
    unsure : float
        Mean entropy of the probabilities per pixel, in bits.
    foreground : float
        Part of the image that is particle in the finished mask.
    contrast : float, optional
        Of what is predicted as particle against the rest, in sigma; None where one is missing.
    finished : float
        Dice between the mask as the network decided it and as it was finished.
    outline : float, optional
        Of the finished mask; see `FoundMask`. None in runs of before it was measured.
    """

    own_dice: float
    agreement: float
    distance: float
    unsure: float
    foreground: float
    contrast: float | None = None
    finished: float = 1.0
    outline: float | None = None


@dataclass(frozen=True, slots=True)
class TrainedOn:
    """What a network was trained on, measured at the end of the training.

    Attributes
    ----------
    images : tuple of ImageStatistics
        What the images look like as the network sees them.
    features : FeatureSpace
        Where the features of their crops lie.
    evidence : tuple of Evidence
        What is known without a truth of the predictions of images, or parts, that were held out; of
        those trained on where nothing was.
    held_out : bool
        Whether ``evidence`` is of what was held out.
    masks : tuple of FoundMask
        How much is found on images of the training, held out or not, and in how many pieces; none
        in runs of before it was measured.
    """

    images: tuple[ImageStatistics, ...]
    features: FeatureSpace
    evidence: tuple[Evidence, ...]
    held_out: bool
    masks: tuple[FoundMask, ...] = ()


def check_trained_on(trained_on: TrainedOn) -> None:
    """Raise ValueError where what a run was trained on passes a bound."""
    if not 1 <= len(trained_on.images) <= MOST_IMAGES:
        raise ValueError(f"trained_on.images: there are {len(trained_on.images)}")
    if not 1 <= len(trained_on.evidence) <= MOST_IMAGES:
        raise ValueError(f"trained_on.evidence: there are {len(trained_on.evidence)}")
    for image in trained_on.images:
        if len(image.spectrum) not in (0, len(BANDS) - 1):
            raise ValueError(f"trained_on.images: a spectrum has {len(image.spectrum)} bands")
        if len(image.contrast) > 64 or not (isfinite(image.noise) and image.noise >= 0):
            raise ValueError("trained_on.images: contrast or noise cannot be such")
        sizes = (image.pixel_size_nm or ()) + (image.lattice_px or 1.0,)
        if not all(isfinite(each) and each > 0 for each in sizes):
            raise ValueError("trained_on.images: a size is not more than 0")
    if len(trained_on.masks) > MOST_IMAGES:
        raise ValueError(f"trained_on.masks: there are {len(trained_on.masks)}")
    for mask in trained_on.masks:
        if not (0 <= mask.foreground <= 1 and 0 <= mask.outline <= 1):
            raise ValueError("trained_on.masks: a fraction is not from 0 to 1")
    for each in trained_on.evidence:
        fractions = (each.own_dice, each.agreement, each.foreground, each.finished)
        outline = 0.0 if each.outline is None else each.outline
        if not all(0 <= value <= 1 for value in (*fractions, outline)):
            raise ValueError("trained_on.evidence: a fraction is not from 0 to 1")
