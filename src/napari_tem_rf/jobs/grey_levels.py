"""Whether a training varies the grey level of particles, where its plan leaves it open."""

from dataclasses import replace

import numpy as np

from napari_tem_rf.jobs.judging import evenly_some
from napari_tem_rf.measuring.contrast import WEAK_SIGMA, amplitude_contrast
from napari_tem_rf.measuring.lattice import lattice_period
from napari_tem_rf.micrographs.annotation import TrainingSet
from napari_tem_rf.protocol import TrainingPlan

__all__ = ["settle_grey_levels"]

_MOST_IMAGES = 8
"""Annotated images that are looked at, spread evenly over all."""

_WEAK_SHARE = 0.75
"""Share of them in which contrast must be weak: where exposures differ in it, they teach by
themselves how far grey level holds."""


def settle_grey_levels(plan: TrainingPlan, data: TrainingSet) -> tuple[TrainingPlan, str]:
    """Return the plan with grey levels kept or varied, and why they are varied, in a sentence.

    They are varied where most of the annotated images show a lattice and three of four hardly any
    amplitude contrast: what a network learns of grey level there holds for the exposures that it
    saw. With more contrast grey level is worth more than it misleads
    (`benchmarks/leave_one_out.py`).
    """
    if plan.grey_levels != "auto":
        return plan, ""
    kept = replace(plan, grey_levels="kept")
    images = evenly_some(data.without_border.images, _MOST_IMAGES)
    contrasts = [
        abs(found.sigma)
        for image in images
        for found in amplitude_contrast(image.pixels, image.labels)
    ]
    if not contrasts or (sigma := float(np.quantile(contrasts, _WEAK_SHARE))) > WEAK_SIGMA:
        return kept, ""
    with_lattice = sum(lattice_period(image.pixels) is not None for image in images)
    if 2 * with_lattice <= len(images):
        return kept, ""
    return replace(plan, grey_levels="varied"), (
        f"particles show a lattice and mostly differ from background by {sigma:.1f} sigma or less: "
        "grey levels are varied, so that the network learns the lattice"
    )
