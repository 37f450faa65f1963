"""The paper's network in plain torch, as its authors' script builds and runs it.

Contiguous layout, torch's own layers, nothing folded: what the benchmarks compare with. No
benchmark by itself.
"""

import torch
from torch import nn
from torch.nn import functional


class PaperBlock(nn.Module):
    """Residual block; the layers carry the names of the program's own, to share weights."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, padding=1)
        self.norm1 = nn.BatchNorm2d(channels_out)
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1)
        self.norm2 = nn.BatchNorm2d(channels_out)
        self.shortcut = nn.Conv2d(channels_in, channels_out, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Map (image, channels in, row, column) to (image, channels out, row, column)."""
        y = functional.relu(self.norm1(self.conv1(x)))
        y = self.norm2(self.conv2(y))
        return functional.relu(y + self.shortcut(x))


class PaperUNet(nn.Module):
    """Two pools, 4 first filters, 2 classes: 8,074 parameters."""

    def __init__(self, pools: tuple[int, int]) -> None:
        super().__init__()
        self.pools = pools
        self.encoder = nn.ModuleList([PaperBlock(1, 4), PaperBlock(4, 8)])
        self.bottleneck = PaperBlock(8, 16)
        self.decoder = nn.ModuleList([PaperBlock(24, 8), PaperBlock(12, 4)])
        self.head = nn.Conv2d(4, 2, 1)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, nonlinearity="relu")
                nn.init.zeros_(module.bias)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return logits (image, class, row, column); the sides are multiples of the period."""
        first, second = self.pools
        skip1 = self.encoder[0](x)
        skip2 = self.encoder[1](functional.max_pool2d(skip1, first))
        x = self.bottleneck(functional.max_pool2d(skip2, second))
        x = functional.interpolate(x, scale_factor=second, mode="nearest")
        x = self.decoder[0](torch.cat([skip2, x], 1))
        x = functional.interpolate(x, scale_factor=first, mode="nearest")
        return self.head(self.decoder[1](torch.cat([skip1, x], 1)))
