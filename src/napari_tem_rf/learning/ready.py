"""What a worker loads behind its first answers, so that no job has to wait for it."""

import torch

from napari_tem_rf.learning.fast import compiled

__all__ = ["get_ready"]


def get_ready(trains: bool) -> None:
    """Load what the first training, or the first prediction from strokes, would wait for."""
    if trains:
        compiled.warm_up()  # compiles on a machine for the first time
        # the first optimizer of a process has PyTorch load its compiler, used or not
        torch.optim.Adam([torch.zeros(1, requires_grad=True)])
    else:
        from napari_tem_rf.learning import live  # noqa: F401 - scikit-learn comes with it
