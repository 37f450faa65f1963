"""The state of a training as a file: tensors, numbers and words in plain dicts.

Torch reads it with ``weights_only``, which unpickles nothing else.
"""

import io
import json
import zlib
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from napari_tem_rf.learning.beginning import SettledRows
from napari_tem_rf.learning.learner import TrainingState
from napari_tem_rf.protocol import EpochReport
from napari_tem_rf.storage import write_aside

__all__ = ["read_checkpoint", "write_checkpoint"]

LAYOUT = 2
"""Version of the file's layout; that of version 0.1.0 has none."""

_AS_THEY_ARE = (
    "weights", "average", "best", "optimizer", "sampler", "steps", "seconds", "batch", "drawn",
)  # fmt: skip


def write_checkpoint(path: Path, state: TrainingState) -> None:
    """Write a state; a kill at any moment leaves the last good file."""
    whole = io.BytesIO()
    torch.save(_to_plain(state), whole)
    # writing itself, torch would report a full disk as a failure of its own; the traceback of
    # Path.write_bytes would hold a view of the buffer
    with write_aside(path) as aside, aside.open("wb") as file:
        file.write(whole.getbuffer())


def read_checkpoint(path: Path) -> TrainingState:
    """Read a state, also one that version 0.1.0 wrote.

    Raises
    ------
    ValueError
        When the file is missing, damaged or not a checkpoint.
    """
    if not path.is_file():
        raise ValueError(
            f'"{path}" is missing: the training ended before its first epoch; start a new run'
        )
    try:
        plain = torch.load(path, weights_only=True, map_location="cpu")
        return _from_plain(plain if "layout" in plain else _from_0_1_0(plain))
    except Exception as error:
        raise ValueError(
            f'"{path}" is damaged or no checkpoint ({type(error).__name__}): '
            "start a new run from the weights of this one"
        ) from error


def _to_plain(state: TrainingState) -> dict[str, Any]:
    return {
        "layout": LAYOUT,
        **{name: getattr(state, name) for name in _AS_THEY_ARE},
        "losses": list(state.losses),
        "history": [asdict(report) for report in state.history],
        "settled": [{"starts": each.starts, "labels": each.labels} for each in state.settled],
    }


def _from_plain(plain: dict[str, Any]) -> TrainingState:
    return TrainingState(
        **{name: plain[name] for name in _AS_THEY_ARE},
        losses=tuple(plain["losses"]),
        history=tuple(EpochReport(**report) for report in plain["history"]),
        settled=tuple(SettledRows(**each) for each in plain["settled"]),
    )


def _from_0_1_0(plain: dict[str, Any]) -> dict[str, Any]:
    """Return what version 0.1.0 wrote in today's layout.

    Its words and numbers are JSON in a tensor of bytes, and so, compressed, are the labels of all
    pixels where borders were settled.
    """
    words = json.loads(bytes(plain.pop("words").tolist()))
    packed = plain.pop("settled", torch.empty(0, dtype=torch.uint8))
    settled = []
    if len(packed):
        labels = np.frombuffer(zlib.decompress(packed.numpy().tobytes()), "<i2").astype(np.int16)
        one_row = torch.from_numpy(labels)[None]  # (row, pixel)
        settled = [{"starts": torch.zeros(1, dtype=torch.int64), "labels": one_row}]
    return {**plain, "drawn": 0, "losses": [], **words, "settled": settled}
