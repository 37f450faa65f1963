"""The state of a training as a file of tensors."""

from pathlib import Path

import torch

from napari_tem_rf.learning.training import TrainingState
from napari_tem_rf.storage import write_aside


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """Write a state; a kill at any moment leaves the last good file."""
    with write_aside(path) as aside:
        torch.save(state.tensors(), aside)


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
