"""What public tools say about the receptive field of the paper's networks.

Prints the table of docs/receptive_field_tools.md. The tools are no part of the development
environment; a column says so where one is missing. To have them without another torch:

    pip install --no-deps --target tools "torchscan<0.2" receptivefield==0.4.0
    PYTHONPATH=tools python benchmarks/receptive_field_tools.py
"""

import logging
import warnings

import torch
from torch import Tensor, nn

from napari_tem_rf.learning.network import Network
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec

POOLS = ((2, 2), (4, 4), (8, 4), (8, 8))
SIDES = (1024, 960)
"""Two image sides in px: `receptivefield` measures at the centre, whose phase the side decides."""


class ModularNetwork(Network):
    """The same network with its pools and upsamplings as modules: tools see modules only."""

    def __init__(self, spec: NetworkSpec, pool: type[nn.Module]) -> None:
        super().__init__(spec)
        self.down = nn.ModuleList(pool(size) for size in spec.pools)
        self.up = nn.ModuleList(nn.Upsample(scale_factor=size) for size in reversed(spec.pools))
        self.rectifier = nn.ReLU()
        self.feature_maps: list[Tensor] = []
        # where `receptivefield` looks for it
        self.__dict__["feature_maps"] = self.feature_maps

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits, and keep them as the feature map to be looked at."""
        x, skips = images, []
        for block, pool in zip(self.encoder, self.down, strict=True):
            x = block(x)
            skips.append(x)
            x = pool(x)
        x = self.bottleneck(x)
        for block, up in zip(self.decoder, self.up, strict=True):
            x = block(torch.cat([skips.pop(), up(x)], dim=1))
        self.feature_maps[:] = [self.head(x)]
        return self.feature_maps[0]


def exact(spec: NetworkSpec) -> str:
    field = receptive_field(spec)
    counts = {width: int((field.widths == width).sum()) for width in sorted(set(field.widths))}
    return ", ".join(f"{width} ({count})" for width, count in counts.items())


def formula(spec: NetworkSpec) -> str:
    return str(receptive_field(spec).nominal)


def torchscan(spec: NetworkSpec) -> str:
    """Return what torchscan says at the last layer."""
    try:
        from torchscan import crawl_module
    except ImportError:
        return "not installed"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it does not know nn.Upsample
        network = ModularNetwork(spec, nn.MaxPool2d).eval()
        last = crawl_module(network, (1, 512, 512))["layers"][-1]
    if "rf" in last:
        return f"{last['rf']:.0f}"
    # since 0.2 each layer stands for itself
    return f"{last['metrics']['receptive_field']['value']:.0f}"


def measured(spec: NetworkSpec, pool: type[nn.Module], positive: bool) -> str:
    """Return what `receptivefield` measures at the centre of images of two sides."""
    try:
        from receptivefield.pytorch import PytorchReceptiveField
    except ImportError:
        return "not installed"
    logging.disable()  # it reports every step
    warnings.simplefilter("ignore", RuntimeWarning)  # and divides by gradients of zero

    def build() -> nn.Module:
        torch.manual_seed(752)
        network = ModularNetwork(spec, pool).eval()
        if positive:
            with torch.no_grad():
                for weights in network.parameters():
                    weights.abs_().add_(0.01)
        return network

    said = []
    for side in SIDES:
        try:
            (found,) = PytorchReceptiveField(build).compute((side, side, 1))
        except Exception as error:  # whatever the tool raises is its answer
            said.append(f"{type(error).__name__}: {error}")
        else:
            said.append(f"{found.rf.size.w:.0f}")
    return " / ".join(said)


def main() -> None:
    columns = (
        ("exact, by phase (number of phases)", exact),
        ("formula", formula),
        ("torchscan", torchscan),
        ("receptivefield, network as it is", lambda s: measured(s, nn.MaxPool2d, False)),
        ("receptivefield, prepared as it asks", lambda s: measured(s, nn.AvgPool2d, True)),
    )
    print("| pools | " + " | ".join(title for title, _ in columns) + " |")
    print("|---" * (len(columns) + 1) + "|")
    for pools in POOLS:
        spec = NetworkSpec(pools)
        cells = [str(answer(spec)) for _, answer in columns]
        print(f"| {','.join(map(str, pools))} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
