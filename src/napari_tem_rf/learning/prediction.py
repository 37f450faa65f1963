"""Prediction of an image of any size: tiles with the exact halo, as one pass would give it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from napari_tem_rf.learning.device import out_of_memory
from napari_tem_rf.learning.fast.network import fastest_pass
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import Pass
from napari_tem_rf.learning.tiles import Window, shape_of
from napari_tem_rf.learning.workers import workers_for


@dataclass(frozen=True, slots=True, eq=False)
class Prediction:
    """What a network says of an image.

    Attributes
    ----------
    classes : ndarray of uint8, shape (row, column)
        Index of the most probable class.
    probabilities : ndarray of float32, shape (class, row, column), optional
        Softmax of the logits.
    shares : ndarray of uint8, shape (class - 1, row, column), optional
        The probabilities of all classes but the background, in 255ths.
    """

    classes: NDArray[np.uint8]
    probabilities: NDArray[np.float32] | None
    shares: NDArray[np.uint8] | None = None


def predict(
    network: Network,
    pixels: NDArray[np.float32],
    *,
    tile_px: int | None = None,
    probabilities: bool = False,
    shares: bool = False,
    border: bool = False,
    progress: Callable[[float], None] = lambda fraction: None,
    stopped: Callable[[], bool] = lambda: False,
    pass_over: Callable[[Network, tuple[int, int], int | None], Pass] = fastest_pass,
) -> Prediction | None:
    """Predict an image tile by tile.

    Tiles carry all the context that their pixels depend on, so that every pixel gets what one
    pass over the whole image would give it; memory does not depend on the size of the image.

    Parameters
    ----------
    network : Network
        On its device; best folded (`learning.fast.network.FastNetwork.folded`).
    pixels : ndarray of float32, shape (row, column)
        Standardised image.
    tile_px : int, optional
        Largest side of a tile without its halo, rounded up to the period.
    probabilities : bool
        Whether to return probabilities too.
    shares : bool
        Whether to return them in 255ths: for two classes that takes an eighth of the memory.
    border : bool
        Whether the last class is the border of the one before it: ``classes`` and ``shares`` then
        have the two as one, ``probabilities`` keeps them apart.
    progress : callable
        Called with the fraction done after each tile.
    stopped : callable
        Asked before each tile; when true, None is returned.
    pass_over : callable
        Chooses how the network passes an image of a shape: `fastest_pass`, `cheapest_pass`,
        `TiledPass` or `LayeredPass`.

    Raises
    ------
    MemoryError
        When not even one tile fits the memory.
    ValueError
        When a tile has no pixels.
    """
    weights = network.head.weight
    image = np.ascontiguousarray(pixels)
    classes = np.empty(pixels.shape, np.uint8)
    shape = (network.spec.classes, *pixels.shape)
    probable = np.empty(shape, np.float32) if probabilities else None
    parts_of = shape[0] - 1 - border
    in_parts = np.empty((parts_of, *pixels.shape), np.uint8) if shares else None

    def read(window: Window) -> Tensor:
        """Return a window of the image, (1, channel, row, column); beyond its end are zeros."""
        part = torch.from_numpy(image[window])[None, None].to(weights.device)
        (rows, columns), got = shape_of(window), part.shape[-2:]
        return functional.pad(part, (0, columns - got[1], 0, rows - got[0]))

    def write(logits: Tensor, window: Window) -> None:
        """Keep logits, (class, row, column); those beyond the image's end are dropped."""
        rows, columns = classes[window].shape
        logits = logits[:, :rows, :columns]
        classes[window] = most_probable(logits, border).cpu().numpy()
        if probable is None and in_parts is None:
            return
        likely = logits.softmax(0)
        if probable is not None:
            probable[(slice(None), *window)] = likely.cpu().numpy()
        if in_parts is not None:
            told = likely[1:]
            if border:
                told = torch.cat([told[:-2], told[-2:].sum(0, keepdim=True)])
            parts = (255 * told).round().to(torch.uint8)
            in_parts[(slice(None), *window)] = parts.cpu().numpy()

    way = pass_over(network, (pixels.shape[0], pixels.shape[1]), tile_px)
    done = 0
    with workers_for(weights.device) as workers:
        for jobs in way.stages(read, write):
            expected = done + sum(job.macs for job in jobs)
            try:
                for job in workers.run(jobs, stopped):
                    done += job.macs
                    progress(done / way.macs)
            except Exception as error:
                if out_of_memory(error):
                    raise _no_memory(way, weights.device) from error
                raise
            if done < expected:
                return None
    return Prediction(classes, probable, in_parts)


def most_probable(logits: Tensor, border: bool) -> Tensor:
    """Return class indices, uint8 (row, column), of logits (class, row, column)."""
    if border:
        logits = torch.cat([logits[:-2], torch.logaddexp(logits[-2], logits[-1])[None]])
    if len(logits) == 2:  # ten times as fast as argmax
        return (logits[1] > logits[0]).to(torch.uint8)
    return logits.argmax(0).to(torch.uint8)


def _no_memory(way: Pass, device: torch.device) -> MemoryError:
    rows, columns = way.largest_read
    return MemoryError(
        f"no memory on {device} for a tile of {rows} x {columns} px with its halo: "
        "use a smaller tile or a network with fewer filters"
    )
