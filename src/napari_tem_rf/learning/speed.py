"""How fast a network predicts on this machine, and how much memory it takes."""

import time

import torch
from torch.profiler import ProfilerActivity, profile

from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.prediction import tile_areas
from napari_tem_rf.networks.speed import Speed

_MOST_MACS = 4e9
"""Work of one pass that is timed: a fraction of a second on two cores."""

_MEGAPIXEL = (1000, 1000)


def measure_speed(network: Network) -> Speed:
    """Measure how long a megapixel takes and how much memory a tile does.

    One tile, a small one where the network is large, is predicted for the clock and again for
    the memory; the rest is proportion: tiles read their halo too.

    Parameters
    ----------
    network : Network
        Folded, on its device.
    """
    spec, device = network.spec, next(network.parameters()).device
    areas = tile_areas(network, _MEGAPIXEL)
    wanted = min(_MOST_MACS / spec.macs_per_pixel, max(areas)) ** 0.5
    side = max(round(wanted / spec.period), 1) * spec.period
    tile = torch.randn(1, 1, side, side, device=device)
    with torch.inference_mode():
        network(tile)
        _wait_for(device)
        begun = time.perf_counter()
        network(tile)
        _wait_for(device)
        seconds = time.perf_counter() - begun
        peak = _peak_bytes(network, tile)
    return Speed(
        seconds_per_megapixel=seconds * sum(areas) / side**2,
        tile_mib=peak * max(areas) / side**2 / 2**20,
        device=device.type,
    )


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def _peak_bytes(network: Network, tile: torch.Tensor) -> float:
    """Return the most memory that feature maps hold at one time, in bytes."""
    if tile.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(tile.device)
        before = torch.cuda.memory_allocated(tile.device)
        network(tile)
        return float(torch.cuda.max_memory_allocated(tile.device) - before)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        network(tile)
    assert record.profiler is not None
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    events.sort(key=lambda event: event.start_ns())
    held = peak = 0
    for event in events:
        held += event.nbytes()
        peak = max(peak, held)
    return float(peak)
