"""Where work runs: in processes on this machine by default, on any Dask cluster by address.

Importing this loads neither torch nor Qt, and `distributed` only when an engine starts.
"""

from napari_tem_rf.engine.dask_engine import ADDRESS_VARIABLE, Engine, most_workers
from napari_tem_rf.engine.inline import InlineEngine
from napari_tem_rf.engine.interface import AnyEngine
from napari_tem_rf.engine.job import (
    EngineError,
    EngineState,
    EngineUnavailableError,
    Job,
    JobCancelledError,
    JobState,
    Kind,
)
from napari_tem_rf.engine.schedule import Ended, Said, Task, run_all

__all__ = [
    "ADDRESS_VARIABLE",
    "AnyEngine",
    "Ended",
    "Engine",
    "EngineError",
    "EngineState",
    "EngineUnavailableError",
    "InlineEngine",
    "Job",
    "JobCancelledError",
    "JobState",
    "Kind",
    "Said",
    "Task",
    "most_workers",
    "run_all",
]
