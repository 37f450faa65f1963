"""What runs in a worker: train, predict, measure fields.

Every function is called as ``function(*arguments, report=..., stopped=...)``; torch is imported
inside, so that importing this package loads none. It is the only place above `learning` that
imports it.
"""

from napari_tem_rf.jobs.fields import effective_field, mean_effective_field
from napari_tem_rf.jobs.predicting import (
    PredictionResult,
    label_values,
    measure_speed,
    predict_with_run,
)
from napari_tem_rf.jobs.request import TrainRequest, Watched, prepare
from napari_tem_rf.jobs.training import asdict_split, train_run

__all__ = [
    "PredictionResult",
    "TrainRequest",
    "Watched",
    "asdict_split",
    "effective_field",
    "label_values",
    "mean_effective_field",
    "measure_speed",
    "predict_with_run",
    "prepare",
    "train_run",
]
