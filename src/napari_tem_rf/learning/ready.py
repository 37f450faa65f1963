"""What a worker loads behind its first answers, so that no job has to wait for it."""

from collections.abc import Iterable
from threading import Lock

import torch

from napari_tem_rf.learning.fast import compiled

__all__ = ["adam", "get_ready"]

_one_at_a_time = Lock()


def get_ready(trains: bool) -> None:
    """Load what the first training, or the first prediction from strokes, would wait for."""
    if trains:
        compiled.warm_up()  # compiles on a machine for the first time
        adam([torch.zeros(1, requires_grad=True)])
    else:
        from napari_tem_rf.learning import live  # noqa: F401 - the features come with it


def adam(
    parameters: Iterable[torch.Tensor], learning_rate: float = 1e-3, fused: bool = False
) -> torch.optim.Adam:
    """Return an optimizer, made by one thread after the other.

    The first of a process has PyTorch load its compiler, used or not, whose modules import each
    other in a circle: of two threads that load it at once one finds half a module.
    """
    with _one_at_a_time:
        return torch.optim.Adam(parameters, lr=learning_rate, fused=fused)
