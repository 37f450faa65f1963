"""The paper's network sooner: the same weights by the same names, other ways to the same numbers.

- Training on a CPU, the kernels compute networks of few channels (`learning.fast.planar`).
- Training others on a CPU, convs see the level below before it is upsampled.
- 1x1 convs take the fastest of torch's ways.
- For prediction, batch norms are folded into the convs; large images on a CPU pass networks of few
  channels by kernels of their own (`learning.fast.rolled`).
"""

import copy
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.network import Block, Network, joined
from napari_tem_rf.learning.passes import Pass, cheapest_pass
from napari_tem_rf.networks.spec import NetworkSpec

__all__ = [
    "FastNetwork",
    "accelerated",
    "fastest_pass",
    "suits_kernels",
    "threads_for",
    "with_layout",
]

FEW_FILTERS, NARROW = 12, 128
"""Networks with at most this many filters, and nowhere wider than this many channels, train faster
by the kernels. All of their blocks use them or none: between the kernels and torch's layers threads
and layouts change."""


LARGE_PX = 3 * 2**20
"""Images of at least so many pixels are predicted by the kernels: to load them takes a second."""


def accelerated(network: Network) -> "FastNetwork":
    """Return a network that gives the same numbers sooner.

    They share their weights: training one trains the other. `FastNetwork.folded` makes a copy for
    prediction.

    Parameters
    ----------
    network : Network
        On its device.
    """
    return network if isinstance(network, FastNetwork) else FastNetwork(network)


class FastNetwork(Network):
    """What `accelerated` returns."""

    def __init__(self, network: Network) -> None:
        nn.Module.__init__(self)
        self.spec = network.spec
        self.by_kernels = suits_kernels(network.spec)
        self.encoder = self._fast(network.encoder)
        self.bottleneck = FastBlock(network.bottleneck, self.by_kernels)
        self.decoder = self._fast(network.decoder)
        self.head = Pointwise(network.head)
        self.training = network.training

    def _fast(self, blocks: nn.ModuleList) -> nn.ModuleList:
        plain = (block for block in blocks if isinstance(block, Block))
        return nn.ModuleList(FastBlock(block, self.by_kernels) for block in plain)

    def features(self, x: Tensor, level: int = 0) -> Tensor:
        """Return what `Network.features` does."""
        pools = self.spec.pools[level:]
        skips = []
        for block, pool in zip(self.encoder[level:], pools, strict=True):
            assert isinstance(block, FastBlock)
            skip, x = block.encode(x, pool)
            skips.append(skip)
        x = self.bottleneck(x)
        for block, pool in zip(self.decoder[: len(pools)], reversed(pools), strict=True):
            assert isinstance(block, FastBlock)
            x = block.decode(skips.pop(), x, pool)
        return x

    @property
    def is_folded(self) -> bool:
        """Whether its batch norms are folded into the convs."""
        return not isinstance(self.bottleneck.norm1, nn.BatchNorm2d)

    def folded(self) -> "FastNetwork":
        """Return a copy for prediction, its batch norms folded into the convs."""
        network = copy.deepcopy(self).eval()
        for module in network.modules():
            if isinstance(module, FastBlock):
                module.fold()
        return with_layout(network, torch.channels_last).requires_grad_(False)


class FastBlock(Block):
    """A block of a `FastNetwork`; it shares the layers of a plain one.

    ``by_kernels``: the kernels train it where they can.
    """

    def __init__(self, block: Block, by_kernels: bool) -> None:
        nn.Module.__init__(self)
        self.by_kernels = by_kernels
        self.conv1, self.norm1 = block.conv1, block.norm1
        self.conv2, self.norm2 = block.conv2, block.norm2
        self.shortcut = Pointwise(block.shortcut)
        self.training = block.training

    def forward(self, x: Tensor) -> Tensor:
        """Return what `Block` does."""
        if (kernels := self._kernels_for(x)) is not None:
            return kernels.planar_block(self, x)[0]
        return functional.relu_(self._normed(self.conv1(x)).add_(self.shortcut(x)))

    def encode(self, x: Tensor, pool: int) -> tuple[Tensor, Tensor]:
        """Return the output of an encoder block, for the decoder, and the same pooled."""
        if (kernels := self._kernels_for(x)) is not None:
            return kernels.planar_block(self, x, down=pool)
        skip = self(x)
        return skip, functional.max_pool2d(skip, pool)

    def decode(self, skip: Tensor, x: Tensor, pool: int) -> Tensor:
        """Return the output of a decoder block for the skip and the level below.

        In training on the CPU the convs see the level below before it is upsampled, with other
        weights to the same numbers: there it is small, and maps in memory cost more than
        multiply-adds.
        """
        if (kernels := self._kernels_for(skip)) is not None:
            return kernels.planar_block(self, skip, x, up=pool)[0]
        conv, d = self.conv1, self.conv1.dilation[0]
        if not self.training or skip.device.type != "cpu" or d > 1:
            return self(joined(skip, x, pool))
        own = skip.shape[1]  # the first channels of the weights are those of the skip
        y = functional.conv2d(skip, conv.weight[:, :own], conv.bias, padding=1)
        y = self._normed(y + upsampled_conv(x, conv.weight[:, own:], pool))
        pointwise = self.shortcut
        z = functional.conv2d(skip, pointwise.weight[:, :own], pointwise.bias, dilation=2)
        small = functional.conv2d(x, pointwise.weight[:, own:])
        z = z + functional.interpolate(small, scale_factor=pool, mode="nearest")
        return functional.relu_(y.add_(z))

    def fold(self) -> None:
        """Fold the batch norms into the convs; for prediction only."""
        if isinstance(self.norm1, nn.BatchNorm2d):
            self.conv1 = fuse_conv_bn_eval(self.conv1, self.norm1)
            self.conv2 = fuse_conv_bn_eval(self.conv2, self.norm2)
            self.norm1 = self.norm2 = nn.Identity()  # type: ignore[assignment]

    def _kernels_for(self, x: Tensor) -> ModuleType | None:
        if self.training and self.by_kernels and _computable(x):
            return compiled.kernels()
        return None

    def _normed(self, y: Tensor) -> Tensor:
        """Return the output of the second norm for that of the first conv."""
        y = functional.relu(self.norm1(y), inplace=True)
        return self.norm2(self.conv2(y))


class Pointwise(nn.Conv2d):
    """1x1 conv by the fastest of torch's ways to the same numbers; it shares another's weights."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__(conv.in_channels, conv.out_channels, 1, device="meta")
        self.weight, self.bias = conv.weight, conv.bias
        self.training = conv.training

    def forward(self, x: Tensor) -> Tensor:
        """Map (image, channel in, row, column) to (image, channel out, row, column)."""
        if x.device.type != "cpu":
            return super().forward(x)
        assert self.bias is not None
        if x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
            weight = self.weight[:, :, 0, 0].expand(len(x), -1, -1)
            y = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))  # (image, channel, pixel)
            return y.unflatten(2, x.shape[2:])
        if self.in_channels == 1:
            # oneDNN takes three times as long for one channel as for twelve
            y = torch.addcmul(self.bias, x.permute(0, 2, 3, 1), self.weight[:, 0, 0, 0])
            return y.permute(0, 3, 1, 2)
        # There is nothing in a 1x1 kernel to dilate, but torch gives every dilated conv to oneDNN:
        # in one thread it would take its own loop instead, which is slower.
        return functional.conv2d(x, self.weight, self.bias, dilation=2)


def upsampled_conv(x: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Return the 3x3 conv of a map upsampled by nearest neighbours, without upsampling it.

    The three rows that a pixel sees lie in at most two rows of the small map; which ones depends on
    its phase. So each phase has a 3x3 kernel of its own there, made of sums of the weights.

    Parameters
    ----------
    x : Tensor, shape (image, channel, row, column)
        The small map.
    weight : Tensor, shape (channel out, channel, 3, 3)
    pool : int
        By how much the map would be upsampled.

    Returns
    -------
    Tensor, shape (image, channel out, pool * row, pool * column)

    References
    ----------
    .. [1] W. Shi et al., Real-time single image and video super-resolution using an efficient
       sub-pixel convolutional neural network, CVPR (2016), arXiv:1609.05158.
    """
    chosen = weight.new_zeros((pool, 3, 3))  # (phase, row of the small map, row of the kernel)
    for phase in range(pool):
        for row in range(3):
            chosen[phase, (phase + row - 1) // pool + 1, row] = 1
    kernels = torch.einsum("aik,bjl,ockl->oabcij", chosen, chosen, weight)
    kernels = kernels.reshape(-1, weight.shape[1], 3, 3)  # (channel out and phase, channel, 3, 3)
    y = functional.conv2d(x, kernels.contiguous(memory_format=torch.channels_last), padding=1)
    return functional.pixel_shuffle(y, pool)


def with_layout(network: FastNetwork, layout: torch.memory_format) -> FastNetwork:
    """Return the network with its weights laid out in memory as channels last or contiguous."""
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def suits_kernels(spec: NetworkSpec) -> bool:
    """Whether the kernels train a network on a CPU."""
    few = spec.filters <= FEW_FILTERS and max(spec.widths) <= NARROW
    return few and max(spec.dilations) == 1


def fastest_pass(network: Network, shape: tuple[int, int], tile_px: int | None = None) -> Pass:
    """Return the fastest pass over an image: by the kernels, where they suit and are there."""
    if (
        isinstance(network, FastNetwork)
        and network.is_folded
        and shape[0] * shape[1] >= LARGE_PX
        and _computable(network.head.weight)
        and (kernels := compiled.prediction_kernels()) is not None
        and kernels.suits_rolling(network.spec)
    ):
        way: Pass = kernels.RolledPass(network, shape, tile_px)
        return way
    return cheapest_pass(network, shape, tile_px)


@contextmanager
def threads_for(network: Network, crops: Tensor) -> Iterator[None]:
    """Give torch one thread where the kernels train the network on these crops.

    Waking torch's other threads takes longer than the little that is left for them.
    """
    kernels = None
    if isinstance(network, FastNetwork) and network.by_kernels and _computable(crops):
        kernels = compiled.kernels()
    if kernels is None:
        yield
        return
    with kernels.all_threads():
        yield


def _computable(x: Tensor) -> bool:
    """Whether the kernels compute with maps like this one."""
    return x.device.type == "cpu" and x.dtype == torch.float32
