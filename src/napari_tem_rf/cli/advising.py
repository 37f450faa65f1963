"""What the study lets expect of the images that are trained on, said before the training."""

from collections.abc import Iterator

import numpy as np

from napari_tem_rf.cli.inputs import LabelledFiles
from napari_tem_rf.measuring.contrast import advice, amplitude_contrast, lattice_period
from napari_tem_rf.measuring.study_findings import Taught
from napari_tem_rf.micrographs.label_meaning import LabelMeaning

_MOST_IMAGES = 8


def advice_on(files: LabelledFiles, meaning: LabelMeaning) -> Iterator[str]:
    """Yield what to expect of field and baselines, and how the baseline is fitted; or nothing."""
    images = files.images[:_MOST_IMAGES]
    contrasts = []
    for image in images:
        labels = np.asarray(image.labels)
        if meaning.numbered:  # what number a particle has says nothing
            labels = np.where(labels > meaning.background, meaning.background + 1, labels)
        found = amplitude_contrast(image.pixels, labels, unlabelled=meaning.unlabelled)
        contrasts += [each.sigma for each in found]
    if not contrasts:
        return
    lattice = lattice_period(images[0].pixels, images[0].pixel_size_nm)
    taught: Taught = "strokes" if meaning.unlabelled == "ignore" else "masks"
    expected = advice(contrasts, lattice, taught)
    yield expected.sentence.removesuffix(".")
    if expected.baseline is not None:
        yield f"to fit it instead of a network: --method {expected.baseline}"
