"""What runs in a worker: train, predict, measure fields.

Every function is called as ``function(*arguments, report=..., stopped=...)``; torch is imported
inside, so that importing this package loads none. No other package above `learning` imports torch.

The public names are loaded when they are first used: what answers to a first stroke waits for no
more than itself.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_tem_rf.jobs.adopting import (
        AdoptRequest,
        UntoldError,
        WeightsFound,
        adopt_weights,
        look_into_weights,
    )
    from napari_tem_rf.jobs.fields import (
        map_effective_field,
        measure_effective_field,
        measure_mean_effective_field,
    )
    from napari_tem_rf.jobs.finishing import finish_again, suggest_from, suggest_from_run
    from napari_tem_rf.jobs.fitting import FitRequest, NoLatticeError, fit_instead, fit_run
    from napari_tem_rf.jobs.learning_on import Judgement, judge_live, learn_on
    from napari_tem_rf.jobs.live import (
        LiveAnswer,
        LiveRequest,
        LiveStrokes,
        keep_live_image,
        predict_live,
    )
    from napari_tem_rf.jobs.predicting import (
        FrameSaid,
        PredictionResult,
        label_values,
        look_at_frame,
        predict_steadily,
        predict_with_run,
        time_network,
    )
    from napari_tem_rf.jobs.request import TrainRequest, Watched, prepare
    from napari_tem_rf.jobs.sharing import SHARED_AS, SharedAs, ShareRequest, share_run
    from napari_tem_rf.jobs.training import asdict_split, train_run

__all__ = [
    "SHARED_AS",
    "AdoptRequest",
    "FitRequest",
    "FrameSaid",
    "Judgement",
    "LiveAnswer",
    "LiveRequest",
    "LiveStrokes",
    "NoLatticeError",
    "PredictionResult",
    "ShareRequest",
    "SharedAs",
    "TrainRequest",
    "UntoldError",
    "Watched",
    "WeightsFound",
    "adopt_weights",
    "asdict_split",
    "finish_again",
    "fit_instead",
    "fit_run",
    "judge_live",
    "keep_live_image",
    "label_values",
    "learn_on",
    "look_at_frame",
    "look_into_weights",
    "map_effective_field",
    "measure_effective_field",
    "measure_mean_effective_field",
    "predict_live",
    "predict_steadily",
    "predict_with_run",
    "prepare",
    "share_run",
    "suggest_from",
    "suggest_from_run",
    "time_network",
    "train_run",
]

_MODULES = {
    "SHARED_AS": "sharing",
    "AdoptRequest": "adopting",
    "FitRequest": "fitting",
    "FrameSaid": "predicting",
    "Judgement": "learning_on",
    "LiveAnswer": "live",
    "LiveRequest": "live",
    "LiveStrokes": "live",
    "NoLatticeError": "fitting",
    "PredictionResult": "predicting",
    "ShareRequest": "sharing",
    "SharedAs": "sharing",
    "TrainRequest": "request",
    "UntoldError": "adopting",
    "Watched": "request",
    "WeightsFound": "adopting",
    "adopt_weights": "adopting",
    "asdict_split": "training",
    "finish_again": "finishing",
    "fit_instead": "fitting",
    "fit_run": "fitting",
    "judge_live": "learning_on",
    "keep_live_image": "live",
    "label_values": "predicting",
    "learn_on": "learning_on",
    "look_at_frame": "predicting",
    "look_into_weights": "adopting",
    "map_effective_field": "fields",
    "measure_effective_field": "fields",
    "measure_mean_effective_field": "fields",
    "predict_live": "live",
    "predict_steadily": "predicting",
    "predict_with_run": "predicting",
    "prepare": "request",
    "share_run": "sharing",
    "suggest_from": "finishing",
    "suggest_from_run": "finishing",
    "time_network": "predicting",
    "train_run": "training",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
