"""How fast a network predicts on this machine, and how much memory it takes."""

import math
import time

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.fast.network import fastest_pass
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import Pass, cheapest_pass
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.workers import workers_for
from napari_tem_rf.networks.speed import Speed
from napari_tem_rf.peak_memory import peak_bytes

_MOST_MACS = 4e9
"""Work of one pass that is timed: a fraction of a second on two cores."""

_CAMERA = (2048, 2048)
"""Image of a camera, in px: what is told is how long such images take."""

_SIDE = 1000
"""Side of a square megapixel."""


def measure_speed(network: Network) -> Speed:
    """Measure how long a megapixel takes and how much memory its prediction does.

    An image, a small one where the network is large, is predicted for the clock and again for
    the memory; the rest is proportion to the work, which halos are part of. It is predicted in the
    way that an image of a camera is: by the kernels where they do those.

    Parameters
    ----------
    network : Network
        Folded, on its device.
    """
    spec, device = network.spec, next(network.parameters()).device
    wanted = min((_MOST_MACS / spec.macs_per_pixel) ** 0.5, _SIDE)
    side = max(int(wanted) // spec.period, 1) * spec.period
    image = np.random.default_rng(752).standard_normal((side, side), dtype=np.float32)
    predict(network, image, pass_over=as_of_a_camera)
    begun = time.perf_counter()
    predict(network, image, pass_over=as_of_a_camera)
    seconds = time.perf_counter() - begun
    timed, megapixel = (as_of_a_camera(network, (length, length)) for length in (side, _SIDE))
    with workers_for(device) as workers:
        at_once = workers.count
    larger = at_once * math.prod(megapixel.largest_read) / math.prod(timed.largest_read)
    return Speed(
        seconds_per_megapixel=seconds * megapixel.macs / timed.macs,
        tile_mib=_peak_bytes(network, image) * larger / 2**20,
        device=device.type,
    )


def as_of_a_camera(network: Network, shape: tuple[int, int], tile_px: int | None = None) -> Pass:
    """Return the pass over an image of a shape that one as large as a camera's would have.

    Smaller ones are predicted by torch, as the kernels take a second to load.
    """
    large = type(fastest_pass(network, _CAMERA, tile_px))
    small = cheapest_pass(network, shape, tile_px)
    # torch's own two ways are chosen by the shape
    return small if large.__module__ == Pass.__module__ else large(network, shape, tile_px)


def _peak_bytes(network: Network, image: np.ndarray) -> float:
    """Return the most memory that feature maps hold at one time, tile after tile, in bytes."""
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        predict(network, image, pass_over=as_of_a_camera)
        return float(torch.cuda.max_memory_allocated(device) - before)
    with (
        computing_threads(1),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record,
    ):
        predict(network, image, pass_over=as_of_a_camera)
    assert record.profiler is not None
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    held = peak = 0
    for event in events:
        held += event.nbytes()
        peak = max(peak, held)
    return float(peak + _peak_of_arrays(network, image))


def _peak_of_arrays(network: Network, image: np.ndarray) -> int:
    """Return the most memory that NumPy's arrays hold: the kernels' maps are such."""

    def passed() -> None:
        with computing_threads(1):
            predict(network, image, pass_over=as_of_a_camera)

    # the mask is an array too, but nothing of a tile
    return max(0, peak_bytes(passed) - image.size)
