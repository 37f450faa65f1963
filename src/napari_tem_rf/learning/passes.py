"""How a network passes an image larger than memory: in tiles, or layer by layer.

A tile that passes the whole network carries the network's halo at full resolution: 256 px on each
side for pools 8, 8. But a block sees only a few pixels beyond its own; the reach comes from the
levels below, which are small. So an area can be passed in three stages:

1. the first encoder block and its pool, tile by tile; its output, 1/64 of the pixels for a
   pool of 8, is kept for the whole area;
2. the levels below, on that map;
3. the first encoder block again (cheaper than to keep its output), the last decoder block and the
   classes, tile by tile.

Both ways give the numbers of one pass over the whole image.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import chain
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from napari_tem_rf.learning.network import Network, joined
from napari_tem_rf.learning.tiles import Tile, Window, cut_tiles, moved, shape_of, shrunk
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.rounding import round_up
from napari_tem_rf.networks.spec import NetworkSpec

TILE_PX = 512
"""Side of a tile without its halo where the halo is small."""

MAPS_BYTES = 16 * 2**20
"""Memory of the maps that a layered pass keeps from stage to stage, of one area."""

Read = Callable[[Window], Tensor]
"""Returns the image in a window, shape (1, channel, row, column), zero beyond its end."""

Write = Callable[[Tensor, Window], None]
"""Takes logits, shape (class, row, column), and the window of the image that they are for."""


@dataclass(frozen=True, slots=True)
class TileJob:
    """The work on one tile, and its multiply-adds, those on the halo included."""

    tile: Tile
    macs: int
    work: Callable[[], None]


class Pass:
    """A way of a network through an image.

    Parameters
    ----------
    network : Network
        On its device.
    shape : tuple of int
        Rows and columns of the image.
    tile_px : int, optional
        Largest side of a tile without its halo, in px; rounded up to the period.
    """

    def __init__(
        self, network: Network, shape: tuple[int, int], tile_px: int | None = None
    ) -> None:
        if tile_px is not None and tile_px < 1:
            raise ValueError(f"tile is {tile_px} px: it must be at least 1 px")
        self.network = network
        self.shape = shape
        self.tile_px = tile_px
        self.halo = receptive_field(network.spec).halo

    def stages(self, read: Read, write: Write) -> Iterator[list[TileJob]]:
        """Yield the jobs of each stage; they need all of the stages before."""
        raise NotImplementedError

    @cached_property
    def macs(self) -> int:
        """Multiply-adds of the pass, those on halos included."""
        return sum(job.macs for job in self._jobs_alone())

    @cached_property
    def largest_read(self) -> tuple[int, int]:
        """Rows and columns of the largest tile with its halo."""
        return max((shape_of(job.tile.read) for job in self._jobs_alone()), key=math.prod)

    def _jobs_alone(self) -> Iterator[TileJob]:
        """Yield all jobs, to be counted."""
        return chain.from_iterable(self.stages(_never, _never))


class TiledPass(Pass):
    """Every tile passes the whole network, with the network's halo."""

    def stages(self, read: Read, write: Write) -> Iterator[list[TileJob]]:
        """Yield the one stage."""
        network = self.network

        @torch.inference_mode()
        def pass_tile(tile: Tile) -> None:
            write(network(read(tile.read))[(0, ..., *tile.keep)], tile.write)

        # A tile three times its halo wastes less than two thirds of the work on context.
        side = self.tile_px or max(TILE_PX, 3 * self.halo)
        tiles = cut_tiles(self.shape, side, network.spec.period, self.halo)
        yield _jobs(pass_tile, tiles, network.spec.macs_per_pixel)


class LayeredPass(Pass):
    """Area after area, each layer by layer; the network has at least one pool."""

    layout = torch.channels_last
    """Of the maps that are kept from stage to stage."""

    def go_down(self, image: Tensor) -> Tensor:
        """Return the output of the first block, pooled."""
        return functional.max_pool2d(self.network.encoder[0](image), self.network.spec.pools[0])

    def pass_below(self, maps: Tensor) -> Tensor:
        """Return the output of the level below the first pool for its input."""
        return self.network.features(maps, level=1)

    def come_up(self, image: Tensor, below: Tensor, keep: Window) -> Tensor:
        """Return the logits of the kept part of a tile, (class, row, column)."""
        network = self.network
        x = joined(network.encoder[0](image), below, network.spec.pools[0])
        logits: Tensor = network.head(network.decoder[-1](x))[(0, ..., *keep)]
        return logits

    def stages(self, read: Read, write: Write) -> Iterator[list[TileJob]]:
        """Yield three stages an area."""
        spec = self.network.spec
        rows, columns = (round_up(length, spec.period) for length in self.shape)
        bytes_per_px = 4 * sum(spec.widths[:2]) / spec.pools[0] ** 2
        side = round((MAPS_BYTES / bytes_per_px) ** 0.5) - 2 * self.halo
        for area in cut_tiles((rows, columns), max(side, 1), spec.period, self.halo):
            yield from self._stages_of(area, read, write)

    def _stages_of(self, area: Tile, read: Read, write: Write) -> Iterator[list[TileJob]]:
        spec = self.network.spec
        pool, reach = spec.pools[0], 2 * spec.dilations[0]
        first, *_, last = spec.blocks()
        below = NetworkSpec(spec.pools[1:], spec.dilations[1:])
        macs_of_head = spec.filters * spec.classes
        macs_below = spec.macs_per_pixel - first.macs - last.macs - macs_of_head
        shape = shape_of(area.read)
        small = (shape[0] // pool, shape[1] // pool)
        going_down, coming_up = (self._empty(width, small) for width in spec.widths[:2])

        @torch.inference_mode()
        def encode(tile: Tile) -> None:
            x = self.go_down(read(moved(tile.read, area.read)))
            going_down[(..., *shrunk(tile.write, pool))] = x[(..., *shrunk(tile.keep, pool))]

        @torch.inference_mode()
        def pass_below(tile: Tile) -> None:
            x = self.pass_below(going_down[(..., *tile.read)])
            coming_up[(..., *tile.write)] = x[(..., *tile.keep)]

        @torch.inference_mode()
        def decode(tile: Tile) -> None:
            image = read(moved(tile.read, area.read))
            x = self.come_up(image, coming_up[(..., *shrunk(tile.read, pool))], tile.keep)
            write(x, moved(tile.write, area.read))

        side = self.tile_px or TILE_PX
        tiles = cut_tiles(shape, side, pool, round_up(reach, pool))
        yield _jobs(encode, tiles, first.macs)
        tiles = cut_tiles(small, side, below.period, receptive_field(below).halo)
        yield _jobs(pass_below, tiles, macs_below * pool**2)
        tiles = cut_tiles(shape, side, pool, round_up(2 * reach, pool), within=area.keep)
        yield _jobs(decode, tiles, first.macs + last.macs + macs_of_head)

    def _empty(self, channels: int, shape: tuple[int, int]) -> Tensor:
        """Return a map (1, channel, row, column) to be filled by tiles."""
        weight = self.network.head.weight
        return torch.empty(
            (1, channels, *shape),
            dtype=weight.dtype,
            device=weight.device,
            memory_format=self.layout,
        )


def cheapest_pass(network: Network, shape: tuple[int, int], tile_px: int | None = None) -> Pass:
    """Return the pass with the fewest multiply-adds."""
    tiled = TiledPass(network, shape, tile_px)
    if network.spec.levels == 0:
        return tiled
    layered = LayeredPass(network, shape, tile_px)
    return min(tiled, layered, key=lambda way: way.macs)


def _jobs(work: Callable[[Tile], None], tiles: list[Tile], macs_per_px: float) -> list[TileJob]:
    return [
        TileJob(tile, round(macs_per_px * math.prod(shape_of(tile.read))), partial(work, tile))
        for tile in tiles
    ]


def _never(*arguments: Any) -> Any:
    raise AssertionError("the jobs of a pass were to be counted, not done")
