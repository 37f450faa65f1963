"""The residual U-Net of Sytwu, Groschner and Scott (2022), in one file that needs PyTorch alone.

It travels with the weights that napari-tem-rf shares, so that they can be used without it.

K. Sytwu, C. Groschner, M. C. Scott, Microscopy and Microanalysis (2022),
doi:10.1017/S1431927622012466.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional


class PlainBlock(nn.Module):
    """Residual block: conv, norm, ReLU, conv, norm, plus a 1x1 conv of the input, then ReLU."""

    def __init__(self, channels_in: int, channels_out: int, dilation: int) -> None:
        super().__init__()
        i, o, d = channels_in, channels_out, dilation
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


class PlainNetwork(nn.Module):
    """Residual U-Net; returns the probabilities of its classes.

    Parameters
    ----------
    pools : list of int
        Sizes of the max pools, that of the first level first.
    dilations : list of int
        Dilation of the 3x3 convs of each level, then of the bottleneck.
    widths : list of int
        Channels of each level, then of the bottleneck.
    channels : int
        Channels of the image.
    classes : int
        Classes of the output.
    """

    def __init__(
        self,
        pools: list[int],
        dilations: list[int],
        widths: list[int],
        channels: int = 1,
        classes: int = 2,
    ) -> None:
        super().__init__()
        self.pools = list(pools)
        levels = range(len(pools))
        ins = [channels, *widths]
        self.encoder = nn.ModuleList(PlainBlock(ins[i], widths[i], dilations[i]) for i in levels)
        self.bottleneck = PlainBlock(ins[len(pools)], widths[-1], dilations[-1])
        self.decoder = nn.ModuleList(
            PlainBlock(widths[i] + widths[i + 1], widths[i], dilations[i]) for i in reversed(levels)
        )
        self.head = nn.Conv2d(widths[0], classes, 1)

    def forward(self, image: Tensor) -> Tensor:
        """Return probabilities, shape (image, class, row, column).

        The image, shape (image, channel, row, column), is standardised to mean 0 and standard
        deviation 1. Where its sides are no multiples of the product of the pools, zeros are added
        at the bottom and on the right, and taken away again.
        """
        rows, columns = image.shape[-2:]
        period = 1
        for pool in self.pools:
            period *= pool
        x = functional.pad(image, (0, -columns % period, 0, -rows % period))
        skips = []
        for block, pool in zip(self.encoder, self.pools, strict=True):
            skips.append(block(x))
            x = functional.max_pool2d(skips[-1], pool)
        x = self.bottleneck(x)
        for block, pool in zip(self.decoder, reversed(self.pools), strict=True):
            x = functional.interpolate(x, scale_factor=pool, mode="nearest")
            x = block(torch.cat([skips.pop(), x], dim=1))
        return torch.softmax(self.head(x)[..., :rows, :columns], dim=1)
