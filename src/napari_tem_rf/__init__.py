"""Segment TEM images with networks chosen by receptive field and complexity.

The public names are loaded when they are first used: importing the package loads neither torch
nor Qt, and costs next to nothing when napari starts.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tem_rf.measuring.finishing import Finishing
    from napari_tem_rf.measuring.scores import score_image, score_images
    from napari_tem_rf.micrographs.cleaning import Cleaning
    from napari_tem_rf.micrographs.micrograph import Micrograph
    from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
    from napari_tem_rf.micrographs.writing import write_labels
    from napari_tem_rf.networks.catalog import nearest_networks
    from napari_tem_rf.networks.receptive_field import receptive_field
    from napari_tem_rf.networks.spec import NetworkSpec
    from napari_tem_rf.protocol import TrainingPlan
    from napari_tem_rf.runs import read_run
    from napari_tem_rf.workflow import (
        adopt,
        effective_field,
        predict,
        predict_movie,
        share,
        train,
    )

__all__ = [
    "Cleaning",
    "Finishing",
    "Micrograph",
    "NetworkSpec",
    "TrainingPlan",
    "adopt",
    "effective_field",
    "nearest_networks",
    "predict",
    "predict_movie",
    "read_labels",
    "read_micrographs",
    "read_run",
    "receptive_field",
    "score_image",
    "score_images",
    "share",
    "train",
    "write_labels",
]

_MODULES = {
    "Cleaning": "micrographs.cleaning",
    "Finishing": "measuring.finishing",
    "Micrograph": "micrographs.micrograph",
    "NetworkSpec": "networks.spec",
    "TrainingPlan": "protocol",
    "adopt": "workflow",
    "effective_field": "workflow",
    "nearest_networks": "networks.catalog",
    "predict": "workflow",
    "predict_movie": "workflow",
    "read_labels": "micrographs.reading",
    "read_micrographs": "micrographs.reading",
    "read_run": "runs",
    "receptive_field": "networks.receptive_field",
    "score_image": "measuring.scores",
    "score_images": "measuring.scores",
    "share": "workflow",
    "train": "workflow",
    "write_labels": "micrographs.writing",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
