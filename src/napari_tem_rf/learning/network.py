"""The residual U-Net of the paper, whole: blocks first, then the network, then its folding."""

import copy
from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

from napari_tem_rf.learning.fast import planar
from napari_tem_rf.networks.spec import BlockShape, NetworkSpec


class Pointwise(nn.Conv2d):
    """1x1 conv by the fastest of torch's ways to the same numbers."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__(channels_in, channels_out, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (crop, channels in, row, column) to (crop, channels out, row, column)."""
        if x.device.type != "cpu":
            return super().forward(x)
        assert self.bias is not None
        if x.is_contiguous() and not x.is_contiguous(memory_format=torch.channels_last):
            weight = self.weight[:, :, 0, 0].expand(len(x), -1, -1)
            y = torch.baddbmm(self.bias[:, None], weight, x.flatten(2))
            return y.unflatten(2, x.shape[2:])
        if self.in_channels == 1:
            # oneDNN takes thrice as long for one channel as for twelve
            y = torch.addcmul(self.bias, x.permute(0, 2, 3, 1), self.weight[:, 0, 0, 0])
            return y.permute(0, 3, 1, 2)
        # There is nothing in a 1x1 kernel to dilate, but torch gives every dilated conv to oneDNN:
        # in one thread it would take its own loop instead, which is slower.
        return functional.conv2d(x, self.weight, self.bias, dilation=2)


class Block(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus a 1x1 conv of the input, then ReLU.

    ``planar``: the kernels of `learning.fast.planar` train it where they can.
    """

    def __init__(self, shape: BlockShape, planar: bool = False) -> None:
        super().__init__()
        i, o, d = shape.channels_in, shape.channels_out, shape.dilation
        self.planar = planar
        self.conv1 = nn.Conv2d(i, o, 3, padding=d, dilation=d)
        self.norm1: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, padding=d, dilation=d)
        self.norm2: nn.BatchNorm2d | nn.Identity = nn.BatchNorm2d(o)
        self.shortcut = Pointwise(i, o)

    def forward(self, x: Tensor) -> Tensor:
        """Map (crop, channels in, row, column) to (crop, channels out, row, column)."""
        if self._takes(x):
            return planar.planar_block(self, x)[0]
        return functional.relu_(self._normed(self.conv1(x)).add_(self.shortcut(x)))

    def encode(self, x: Tensor, pool: int) -> tuple[Tensor, Tensor]:
        """Return the block of what enters an encoder, for the decoder, and pooled, to go down."""
        if self._takes(x):
            return planar.planar_block(self, x, down=pool)
        skip = self(x)
        return skip, functional.max_pool2d(skip, pool)

    def decode(self, skip: Tensor, x: Tensor, pool: int) -> Tensor:
        """Return the block of what enters a decoder: the skip, and what comes from below.

        In training on the CPU the convs see what comes from below before it is upsampled, with
        other weights to the same numbers: there it is small, and maps in memory cost more than
        multiply-adds.
        """
        if self._takes(skip):
            return planar.planar_block(self, skip, x, up=pool)[0]
        conv, d = self.conv1, self.conv1.dilation[0]
        if not self.training or skip.device.type != "cpu" or d > 1:
            return self(joined(skip, x, pool))
        over = skip.shape[1]  # the first channels of the weights are those of the skip
        y = functional.conv2d(skip, conv.weight[:, :over], conv.bias, padding=1)
        y = self._normed(y + upsampled_conv(x, conv.weight[:, over:], pool))
        pointwise = self.shortcut
        z = functional.conv2d(skip, pointwise.weight[:, :over], pointwise.bias, dilation=2)
        small = functional.conv2d(x, pointwise.weight[:, over:])
        z = z + functional.interpolate(small, scale_factor=pool, mode="nearest")
        return functional.relu_(y.add_(z))

    def _takes(self, x: Tensor) -> bool:
        return self.training and self.planar and planar.takes(x)

    def _normed(self, y: Tensor) -> Tensor:
        """Return what leaves the second norm for what leaves the first conv."""
        y = functional.relu(self.norm1(y), inplace=True)
        return self.norm2(self.conv2(y))

    def fold(self) -> None:
        """Fold the batch norms into the convs; for prediction only."""
        assert isinstance(self.norm1, nn.BatchNorm2d)
        assert isinstance(self.norm2, nn.BatchNorm2d)
        self.conv1 = fuse_conv_bn_eval(self.conv1, self.norm1)
        self.conv2 = fuse_conv_bn_eval(self.conv2, self.norm2)
        self.norm1 = self.norm2 = nn.Identity()


def joined(skip: Tensor, x: Tensor, pool: int) -> Tensor:
    """Return what enters a decoder: the skip, then what comes from below, upsampled."""
    up = functional.interpolate(x, scale_factor=pool, mode="nearest")
    return torch.cat([skip, up], dim=1)  # (image, skip + up, row, column)


def upsampled_conv(x: Tensor, weight: Tensor, pool: int) -> Tensor:
    """Return the 3x3 conv of a map upsampled by nearest neighbours, without upsampling it.

    A pixel's three rows are at most two of the small map, which ones depends on its phase: each
    phase has a 3x3 kernel of its own there, of sums of the weights.

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


class Network(nn.Module):
    """The network of a spec, with He-normal weights.

    Parameters
    ----------
    spec : NetworkSpec
        What to build.

    References
    ----------
    .. [1] K. Sytwu, C. Groschner, M. C. Scott, Microscopy and Microanalysis (2022),
       doi:10.1017/S1431927622012466.
    .. [2] K. He et al., Delving Deep into Rectifiers, ICCV (2015), arXiv:1502.01852.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        few = planar.suits(spec)
        blocks = [Block(shape, few) for shape in spec.blocks()]
        self.encoder = nn.ModuleList(blocks[: spec.levels])
        self.bottleneck = blocks[spec.levels]
        self.decoder = nn.ModuleList(blocks[spec.levels + 1 :])
        self.head = Pointwise(spec.filters, spec.classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images of any size.

        An image that is no multiple of the period is filled with zeros, the mean of a
        standardised image, below and to the right.

        Parameters
        ----------
        images : Tensor of float, shape (image, channel, row, column)
            Standardised images.

        Returns
        -------
        Tensor of float, shape (image, class, row, column)
        """
        rows, columns = images.shape[-2:]
        period = self.spec.period
        x = functional.pad(images, (0, -columns % period, 0, -rows % period))
        x = self.head(self.features(x, level=0))
        return x[..., :rows, :columns]

    def features(self, x: Tensor, level: int) -> Tensor:
        """Return what leaves the decoder of a level for what enters its encoder.

        The level below the last one is the bottleneck.

        Parameters
        ----------
        x : Tensor of float, shape (image, channel, row, column)
            In px of that level, on multiples of the pools from it down.
        level : int
            0 is the level of the image.
        """
        pools = self.spec.pools[level:]
        skips = []
        for block, pool in zip(list(self.encoder)[level:], pools, strict=True):
            assert isinstance(block, Block)
            skip, x = block.encode(x, pool)
            skips.append(skip)
        x = self.bottleneck(x)
        for block, pool in zip(list(self.decoder)[: len(pools)], reversed(pools), strict=True):
            assert isinstance(block, Block)
            x = block.decode(skips.pop(), x, pool)
        return x

    def folded(self) -> "Network":
        """Return a copy for prediction: batch norms folded into the convs, channels last."""
        network = copy.deepcopy(self).eval()
        for module in network.modules():
            if isinstance(module, Block):
                module.fold()
        return with_layout(network, torch.channels_last).requires_grad_(False)


def with_layout(network: Network, layout: torch.memory_format) -> Network:
    """Return the network with its weights laid out in memory as channels last or contiguous."""
    network.to(memory_format=layout)  # type: ignore[call-overload]  # missing in torch's stubs
    return network


def network_of(spec: NetworkSpec, weights: Mapping[str, NDArray[Any]]) -> Network:
    """Return the network of a spec with weights given as arrays by name.

    Raises
    ------
    ValueError
        When the weights are those of another network.
    """
    network = Network(spec)
    try:
        network.load_state_dict({name: torch.tensor(value) for name, value in weights.items()})
    except RuntimeError as error:
        raise ValueError(f"the weights do not fit the network ({spec})") from error
    return network


def random_network(spec: NetworkSpec, seed: int) -> Network:
    """Return the network that a training with this seed begins with."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Network(spec)
