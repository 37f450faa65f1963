"""What runs in a worker: train, predict, measure fields.

Every function is called as ``function(*arguments, report=..., stopped=...)``; torch is imported
inside, so that importing this package loads none. No other package above `learning` imports torch.
"""

from napari_tem_rf.jobs.fields import measure_effective_field, measure_mean_effective_field
from napari_tem_rf.jobs.fitting import FitRequest, NoLatticeError, fit_run
from napari_tem_rf.jobs.predicting import (
    PredictionResult,
    label_values,
    predict_with_run,
    time_network,
)
from napari_tem_rf.jobs.request import TrainRequest, Watched, prepare
from napari_tem_rf.jobs.training import asdict_split, train_run

__all__ = [
    "FitRequest",
    "NoLatticeError",
    "PredictionResult",
    "TrainRequest",
    "Watched",
    "asdict_split",
    "fit_run",
    "label_values",
    "measure_effective_field",
    "measure_mean_effective_field",
    "predict_with_run",
    "prepare",
    "time_network",
    "train_run",
]
