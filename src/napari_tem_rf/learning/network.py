"""The residual U-Net of the paper: a block, and the network of such blocks.

K. Sytwu, C. Groschner, M. C. Scott, Microscopy and Microanalysis (2022),
doi:10.1017/S1431927622012466. `learning.fast` computes the same numbers sooner.
"""

from collections.abc import Mapping
from typing import Any

import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from napari_tem_rf.networks.spec import BlockShape, NetworkSpec


class Block(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus a 1x1 conv of the input, then ReLU."""

    def __init__(self, shape: BlockShape) -> None:
        super().__init__()
        i, o, d = shape.channels_in, shape.channels_out, shape.dilation
        self.conv1 = nn.Conv2d(i, o, 3, padding=d, dilation=d)
        self.norm1 = nn.BatchNorm2d(o)
        self.conv2 = nn.Conv2d(o, o, 3, padding=d, dilation=d)
        self.norm2 = nn.BatchNorm2d(o)
        self.shortcut = nn.Conv2d(i, o, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (image, channel in, row, column) to (image, channel out, row, column)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class Network(nn.Module):
    """The network of a spec, with He-normal weights.

    Parameters
    ----------
    spec : NetworkSpec
        What to build.

    References
    ----------
    .. [1] K. He et al., Delving Deep into Rectifiers, ICCV (2015), arXiv:1502.01852.
    """

    def __init__(self, spec: NetworkSpec) -> None:
        super().__init__()
        self.spec = spec
        blocks = [Block(shape) for shape in spec.blocks()]
        self.encoder = nn.ModuleList(blocks[: spec.levels])
        self.bottleneck = blocks[spec.levels]
        self.decoder = nn.ModuleList(blocks[spec.levels + 1 :])
        self.head = nn.Conv2d(spec.filters, spec.classes, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)  # type: ignore[arg-type]

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits of images of any size.

        An image whose size is not a multiple of the period is padded with zeros, the mean of a
        standardised image, at the bottom and on the right.

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
        return self.head(self.features(x))[..., :rows, :columns]

    def features(self, x: Tensor, level: int = 0) -> Tensor:
        """Return the output of a level's decoder block for the input of its encoder block.

        Level 0 is that of the image; the one below the last pool is the bottleneck.

        Parameters
        ----------
        x : Tensor of float, shape (image, channel, row, column)
            Its size is a multiple of the pools from this level down.
        level : int
        """
        pools = self.spec.pools[level:]
        skips = []
        for block, pool in zip(self.encoder[level:], pools, strict=True):
            skips.append(block(x))
            x = functional.max_pool2d(skips[-1], pool)
        x = self.bottleneck(x)
        for block, pool in zip(self.decoder[: len(pools)], reversed(pools), strict=True):
            x = block(joined(skips.pop(), x, pool))
        return x


def joined(skip: Tensor, x: Tensor, pool: int) -> Tensor:
    """Return the input of a decoder block: the skip, then the level below, upsampled."""
    up = functional.interpolate(x, scale_factor=pool, mode="nearest")
    return torch.cat([skip, up], dim=1)  # (image, skip + up, row, column)


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
