"""The state of a training as a file of tensors."""

import io
from pathlib import Path

import torch

from napari_tem_rf.learning.training import TrainingState
from napari_tem_rf.storage import write_aside


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """Write a state; a kill at any moment leaves the last good file."""
    whole = io.BytesIO()
    torch.save(state.tensors(), whole)
    # writing itself, torch would tell of a full disk as of a failure of its own
    with write_aside(path) as aside:
        aside.write_bytes(whole.getbuffer())


def read_checkpoint(path: Path) -> TrainingState:
    """Read a state.

    Raises
    ------
    ValueError
        When the file is missing, damaged or holds something else than tensors.
    """
    if not path.is_file():
        raise ValueError(
            f'"{path}" is missing: the training ended before its first epoch; start a new run'
        )
    try:
        return TrainingState.from_tensors(torch.load(path, weights_only=True, map_location="cpu"))
    except Exception as error:
        raise ValueError(
            f'"{path}" is damaged or no checkpoint ({type(error).__name__}): '
            "start a new run from the weights of this one"
        ) from error
