"""How long the exact receptive field takes by arithmetic, and how long measuring it takes.

The arithmetic is timed for every network of the catalog, without its cache. The measurement is
the gradient of the real network with positive weights and average pools in place of max pools,
at one pixel of every phase of one axis: what it takes to know the same widths.

Run: python benchmarks/receptive_field_arithmetic.py
"""

import time
from collections.abc import Callable

import numpy as np
import torch
from torch.nn import functional

from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.catalog import catalog
from napari_tem_rf.networks.receptive_field import _field, receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

MEASURED = ((2, 2), (4, 4), (8, 4), (8, 8))


def seconds(function: Callable[[], object], repeats: int = 1) -> float:
    """Return the shortest of some runs, in s."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        function()
        times.append(time.perf_counter() - start)
    return min(times)


def uncached(spec: NetworkSpec) -> object:
    """Compute a field as on its first use."""
    _field.cache_clear()
    return receptive_field(spec)


def measured_widths(spec: NetworkSpec) -> set[int]:
    """Return the widths of all phases of one axis, from gradients of the real network."""
    network = Network(spec).double().eval().requires_grad_(False)
    for weights in network.parameters():
        weights.abs_().add_(0.1)
    # halo and one period on both sides, so that no field meets the border
    period, margin = spec.period, receptive_field(spec).halo + spec.period
    side = 2 * margin + period
    image = torch.ones(1, 1, side, side, dtype=torch.float64, requires_grad=True)
    output = network(image)[0, 0]
    widths = set()
    for position in range(margin, margin + period):
        (gradient,) = torch.autograd.grad(output[position, margin], image, retain_graph=True)
        rows = gradient[0, 0].sum(1).nonzero()
        widths.add(int(rows[-1] - rows[0]) + 1)
    return widths


def arithmetic() -> None:
    specs = {(spec.pools, spec.dilations): spec for spec in catalog().specs}
    times = {shape: 1e3 * seconds(lambda s=spec: uncached(s), 3) for shape, spec in specs.items()}
    values = np.array(list(times.values()))
    slowest = max(times, key=times.__getitem__)
    print(f"{len(catalog().specs):,} networks of the catalog, {len(specs)} different fields")
    print(f"arithmetic: median {np.median(values):.3f} ms, slowest {values.max():.3f} ms", end=" ")
    print(f"(pools {slowest[0]}); every network below 5 ms: {'yes' if values.max() < 5 else 'NO'}")


def against_gradients() -> None:
    print(
        f"\n{'pools':8}{'phases':>8}{'widths':>14}{'arithmetic':>14}{'gradients':>14}{'ratio':>10}"
    )
    for pools in MEASURED:
        spec = NetworkSpec(pools, filters=1)
        fast = seconds(lambda spec=spec: uncached(spec), 5)
        found: list[set[int]] = []
        slow = seconds(lambda spec=spec, found=found: found.append(measured_widths(spec)))
        exact = set(receptive_field(spec).widths.tolist())
        if found[0] != exact:
            raise SystemExit(f"pools {pools}: {exact} by arithmetic, {found[0]} measured")
        print(
            f"{','.join(map(str, pools)):8}{spec.period:8}{', '.join(map(str, sorted(exact))):>14}"
            f"{1e3 * fast:11.3f} ms{slow:12.2f} s{slow / fast:9,.0f}x"
        )


if __name__ == "__main__":
    # A max pool would hand the gradient of a window of equal values to its first pixel alone.
    functional.max_pool2d = functional.avg_pool2d
    arithmetic()
    against_gradients()
