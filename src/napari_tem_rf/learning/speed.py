"""How fast a network predicts on this machine, and how much memory it takes."""

import math
import time

import numpy as np
import torch
from torch.profiler import ProfilerActivity, profile

from napari_tem_rf.learning.device import computing_threads
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.passes import cheapest_pass
from napari_tem_rf.learning.prediction import predict
from napari_tem_rf.learning.workers import workers_for
from napari_tem_rf.networks.speed import Speed

_MOST_MACS = 4e9
"""Work of one pass that is timed: a fraction of a second on two cores."""

_SIDE = 1000
"""Side of a square megapixel."""


def measure_speed(network: Network) -> Speed:
    """Measure how long a megapixel takes and how much memory its prediction does.

    An image, a small one where the network is large, is predicted for the clock and again for
    the memory; the rest is proportion to the work, which halos are part of.

    Parameters
    ----------
    network : Network
        Folded, on its device.
    """
    spec, device = network.spec, next(network.parameters()).device
    wanted = min((_MOST_MACS / spec.macs_per_pixel) ** 0.5, _SIDE)
    side = max(int(wanted) // spec.period, 1) * spec.period
    image = np.random.default_rng(752).standard_normal((side, side), dtype=np.float32)
    predict(network, image)
    begun = time.perf_counter()
    predict(network, image)
    seconds = time.perf_counter() - begun
    timed, megapixel = (cheapest_pass(network, (length, length)) for length in (side, _SIDE))
    with workers_for(device) as workers:
        at_once = workers.count
    larger = at_once * math.prod(megapixel.largest_read) / math.prod(timed.largest_read)
    return Speed(
        seconds_per_megapixel=seconds * megapixel.macs / timed.macs,
        tile_mib=_peak_bytes(network, image) * larger / 2**20,
        device=device.type,
    )


def _peak_bytes(network: Network, image: np.ndarray) -> float:
    """Return the most memory that feature maps hold at one time, tile after tile, in bytes."""
    device = next(network.parameters()).device
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        predict(network, image)
        return float(torch.cuda.max_memory_allocated(device) - before)
    with (
        computing_threads(1),
        profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record,
    ):
        predict(network, image)
    assert record.profiler is not None
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    held = peak = 0
    for event in events:
        held += event.nbytes()
        peak = max(peak, held)
    return float(peak)
