"""Finds a network of the family in somebody's tensors: by their shapes, their order, their names.

Pools and dilations have no parameters: of them nothing is found. Whatever the layers are called,
the convolutions' shapes say which block stands where; layers of the same shape are told apart by
their order, in the file or by name.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.networks.spec import MOST_LEVELS

__all__ = ["Recognised", "UnknownNetworkError", "recognise"]

Tensors = Mapping[str, NDArray[Any]]

_KNOWN_GROWTHS = (2.0, 1.0, 1.5, 1.75, 3.0, 4.0)
_ROLES = {
    "weight": "weight", "gamma": "weight", "scale": "weight", "kernel": "weight", "w": "weight",
    "bias": "bias", "beta": "bias", "offset": "bias", "shift": "bias", "b": "bias",
    "running_mean": "mean", "moving_mean": "mean", "mean": "mean",
    "running_var": "variance", "moving_variance": "variance", "moving_var": "variance",
    "running_variance": "variance", "variance": "variance", "var": "variance",
}  # fmt: skip
_LAST = re.compile(
    rf"(?P<owner>.*?)[./_:]?(?P<role>{'|'.join(sorted(_ROLES, key=len, reverse=True))})(:\d+)?",
    re.IGNORECASE | re.DOTALL,
)
_SEPARATOR = re.compile(r"[./]")
_STAGES = (
    re.compile("enc|down|contract|left"),
    re.compile("bottle|mid|bridge|cent(er|re)"),
    re.compile("dec|up|expan|right"),
    re.compile("head|final|last|out|class"),
)
"""What the parts of a U-Net are called, as the image passes them."""


class UnknownNetworkError(ValueError):
    """Tensors are not those of a network of this family; the message says what they are."""


@dataclass(frozen=True, slots=True, eq=False)
class Recognised:
    """A network that was found in tensors, but for its pools and dilations.

    Attributes
    ----------
    widths : tuple of int
        Channels of each level, then of the bottleneck.
    growth : float
        Factor by which they grow per level.
    channels : int
        Channels of the image.
    outputs : int
        Rows of the last layer; 1 where a sigmoid decides between two classes.
    weights : dict of str to ndarray of float32
        By the names of this program's network, without the counters of the batch norms.
    names : dict of str to str
        What each weight is called there.
    """

    widths: tuple[int, ...]
    growth: float
    channels: int
    outputs: int
    weights: dict[str, NDArray[np.float32]]
    names: dict[str, str]

    @property
    def levels(self) -> int:
        """Number of pools."""
        return len(self.widths) - 1


@dataclass(frozen=True, slots=True)
class _Conv:
    """A convolution: the names of its tensors, its channels, the side of its kernel."""

    weight: str
    bias: str | None
    outs: int
    ins: int
    side: int

    def named(self, ours: str) -> dict[str, str]:
        bias = {} if self.bias is None else {f"{ours}.bias": self.bias}
        return {f"{ours}.weight": self.weight, **bias}


@dataclass(frozen=True, slots=True)
class _Norm:
    """A batch norm: the names of its tensors and its channels."""

    weight: str
    bias: str
    mean: str
    variance: str
    outs: int

    def named(self, ours: str) -> dict[str, str]:
        theirs = (self.weight, self.bias, self.mean, self.variance)
        parts = ("weight", "bias", "running_mean", "running_var")
        return {f"{ours}.{part}": each for part, each in zip(parts, theirs, strict=True)}


@dataclass(frozen=True, slots=True)
class _Block:
    """A residual block."""

    conv1: _Conv
    norm1: _Norm
    conv2: _Conv
    norm2: _Norm
    shortcut: _Conv

    @property
    def ins(self) -> int:
        return self.conv1.ins

    @property
    def outs(self) -> int:
        return self.conv1.outs

    def named(self, ours: str) -> dict[str, str]:
        parts = ("conv1", "norm1", "conv2", "norm2", "shortcut")
        return {
            name: theirs
            for part in parts
            for name, theirs in getattr(self, part).named(f"{ours}.{part}").items()
        }


def recognise(tensors: Tensors) -> Recognised:
    """Find a network of the family in tensors.

    Parameters
    ----------
    tensors : mapping of str to ndarray
        Weights by anybody's names, in the order of the file; convolutions as (channel out, channel
        in, row, column). Whole numbers, such as counters of batches, are passed over.

    Raises
    ------
    UnknownNetworkError
        When they are not those of such a network; the message says in what they differ.
    """
    values = {name: each for name, each in tensors.items() if each.dtype.kind == "f"}
    in_order = tuple(values)
    by_name = tuple(sorted(values, key=_natural))
    orders = [in_order, by_name]
    if all(_stage(name) < len(_STAGES) for name in values):
        orders = [*(tuple(sorted(each, key=_stage)) for each in orders), *orders]
    troubles = []
    for order in dict.fromkeys(orders):
        try:
            return _recognised(order, values)
        except UnknownNetworkError as error:
            troubles.append(error)
    raise troubles[0]


def _recognised(order: Sequence[str], values: Tensors) -> Recognised:
    layers = _layers(order, values)
    blocks, head = _blocks(layers)
    path = _path(blocks, head.ins)
    if path is None:
        sides = ", ".join(f"{block.ins} to {block.outs}" for block in blocks)
        raise UnknownNetworkError(
            f"its blocks have the channels {sides}: they do not make an encoder, a bottleneck and "
            "a decoder whose blocks take the channels of the same level and those of the level "
            "below"
        )
    levels = len(blocks) // 2
    widths = tuple(block.outs for block in path[: levels + 1])
    names = head.named("head")
    for place, block in enumerate(path):
        names |= block.named(_our_block(place, levels))
    weights = {ours: values[theirs].astype(np.float32) for ours, theirs in names.items()}
    for ours in [name.removesuffix("weight") for name in weights if name.endswith(".weight")]:
        outs = len(weights[f"{ours}weight"])  # a convolution may do without a bias
        weights.setdefault(f"{ours}bias", np.zeros(outs, np.float32))
    return Recognised(widths, _growth(widths), path[0].ins, head.outs, weights, names)


def _our_block(place: int, levels: int) -> str:
    if place < levels:
        return f"encoder.{place}"
    return "bottleneck" if place == levels else f"decoder.{place - levels - 1}"


# layers


def _layers(order: Sequence[str], values: Tensors) -> list[_Conv | _Norm]:
    """Return the layers in order: by the names' beginnings, or one tensor after the other."""
    groups: dict[str, list[str]] = {}
    for name in order:
        groups.setdefault(_owner(name), []).append(name)
    ranks = [sorted(values[name].ndim for name in group) for group in groups.values()]
    if all(each in ([4], [1, 4], [1, 1, 1, 1]) for each in ranks):
        return [_layer(group, values) for group in groups.values()]
    strange = [name for name in order if values[name].ndim not in (1, 4)]
    if strange:
        shape = " x ".join(map(str, values[strange[0]].shape))
        raise UnknownNetworkError(
            f'"{strange[0]}" has the shape {shape}: the family has convolutions and batch norms '
            "alone"
        )
    if [1, 1] in ranks and len(groups) > 1:
        raise UnknownNetworkError(
            "it has norms without running means and variances (instance or group norms): the "
            "family has batch norms"
        )
    return _flat_layers(order, values)


def _layer(group: Sequence[str], values: Tensors) -> _Conv | _Norm:
    kernels = [name for name in group if values[name].ndim == 4]
    if not kernels:
        return _norm(group, values)
    bias = next((name for name in group if values[name].ndim == 1), None)
    return _conv(kernels[0], bias, values)


def _conv(weight: str, bias: str | None, values: Tensors) -> _Conv:
    outs, ins, *sides = values[weight].shape
    if sides not in ([3, 3], [1, 1]):
        raise UnknownNetworkError(
            f'"{weight}" has a kernel of {sides[0]} x {sides[1]} px: the family has convolutions '
            "of 3 x 3 and 1 x 1 px, and its upsampling has no weights"
        )
    if bias is not None and len(values[bias]) != outs:
        raise UnknownNetworkError(
            f'"{bias}" has {len(values[bias])} values beside the {outs} kernels of "{weight}"'
        )
    return _Conv(weight, bias, outs, ins, sides[0])


def _norm(group: Sequence[str], values: Tensors, roles: Sequence[str] = ()) -> _Norm:
    """Return the norm of four tensors: by what their names end in, or by their order."""
    found = {_role(name): name for name in group}
    if set(found) != {"weight", "bias", "mean", "variance"}:
        roles = roles or ("weight", "bias", "mean", "variance")
        found = dict(zip(roles, group, strict=True))
    lengths = {len(values[name]) for name in group}
    if len(lengths) != 1:
        raise UnknownNetworkError(
            f'the four tensors from "{group[0]}" on have other lengths: they are no batch norm'
        )
    if (values[found["variance"]] < 0).any():
        raise UnknownNetworkError(
            f'"{found["variance"]}" should be the variances of a batch norm, but some are below 0'
        )
    return _Norm(found["weight"], found["bias"], found["mean"], found["variance"], lengths.pop())


def _flat_layers(order: Sequence[str], values: Tensors) -> list[_Conv | _Norm]:
    """Return the layers of names that say nothing: each is one tensor after the other.

    Either as PyTorch lists them (weight, bias; of a norm then mean and variance) or sorted by
    those names (bias, mean, variance, weight).
    """
    is_sorted = bool(order) and values[order[0]].ndim == 1
    roles = (
        ("bias", "mean", "variance", "weight")
        if is_sorted
        else ("weight", "bias", "mean", "variance")
    )
    runs: list[list[str]] = [[]]
    for name in order:
        if values[name].ndim == 4:
            runs.append([])
        else:
            runs[-1].append(name)
    kernels = [name for name in order if values[name].ndim == 4]
    layers: list[_Conv | _Norm] = []
    # a bias stands before its kernel or behind it, so that its run is the one before or behind
    for place, kernel in enumerate(kernels):
        run = runs[place if is_sorted else place + 1]
        has_bias = len(run) % 4 == 1
        if len(run) % 4 not in (0, 1):
            raise UnknownNetworkError(
                f'beside "{kernel}" stand {len(run)} tensors of one axis: the family has a bias '
                "and the four of each batch norm there"
            )
        bias = (run[-1] if is_sorted else run[0]) if has_bias else None
        rest = run[:-1] if is_sorted and has_bias else run[1:] if has_bias else run
        norms = [_norm(rest[i : i + 4], values, roles) for i in range(0, len(rest), 4)]
        conv = _conv(kernel, bias, values)
        layers += [*norms, conv] if is_sorted else [conv, *norms]
    if is_sorted and runs[-1]:
        rest = runs[-1]
        if len(rest) % 4:
            raise UnknownNetworkError(f"{len(rest)} tensors of one axis are left at the end")
        layers += [_norm(rest[i : i + 4], values, roles) for i in range(0, len(rest), 4)]
    return layers


def _owner(name: str) -> str:
    """Return the layer that a name is of: the name without what says which of its tensors it is."""
    found = _LAST.fullmatch(name)
    if found is not None:
        return found["owner"]
    parts = _SEPARATOR.split(name)
    return name[: -len(parts[-1]) - 1] if len(parts) > 1 else ""


def _role(name: str) -> str:
    found = _LAST.fullmatch(name)
    return "" if found is None else _ROLES[found["role"].lower()]


def _stage(name: str) -> int:
    """Return which part of a U-Net a name is of, as far as it says so."""
    found = [stage for stage, words in enumerate(_STAGES) if words.search(name.lower())]
    return found[0] if found else len(_STAGES)


def _natural(name: str) -> list[tuple[int, int, str]]:
    """Return what sorts t10 behind t9."""
    parts = re.split(r"(\d+)", name)
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]


# blocks


def _blocks(layers: Sequence[_Conv | _Norm]) -> tuple[list[_Block], _Conv]:
    """Return the residual blocks, in the order of their first convolutions, and the last layer."""
    threes = [each for each in layers if isinstance(each, _Conv) and each.side == 3]
    ones = [each for each in layers if isinstance(each, _Conv) and each.side == 1]
    norms = [each for each in layers if isinstance(each, _Norm)]
    number = len(threes) // 2
    if not (
        len(threes) % 4 == 2
        and len(ones) == number + 1
        and len(norms) == 2 * number
        and number <= 2 * MOST_LEVELS + 1
    ):
        raise UnknownNetworkError(
            f"it has {len(threes)} convolutions of 3 x 3 px, {len(ones)} of 1 x 1 px and "
            f"{len(norms)} batch norms: a network of the family with L pools (0 to {MOST_LEVELS}) "
            "has 4 L + 2, 2 L + 2 and 4 L + 2"
        )
    blocks, left = [], list(ones)
    for place in range(number):
        conv1, conv2 = threes[2 * place : 2 * place + 2]
        norm1, norm2 = norms[2 * place : 2 * place + 2]
        if not conv1.outs == conv2.outs == conv2.ins == norm1.outs == norm2.outs:
            raise UnknownNetworkError(
                f'"{conv1.weight}" and "{conv2.weight}" follow each other, but are not the two '
                "convolutions of a block with their batch norms"
            )
        shortcut = next(
            (each for each in left if (each.outs, each.ins) == (conv1.outs, conv1.ins)), None
        )
        if shortcut is None:
            raise UnknownNetworkError(
                f'the block of "{conv1.weight}" has no shortcut: a convolution of 1 x 1 px from '
                f"{conv1.ins} to {conv1.outs} channels"
            )
        left.remove(shortcut)
        blocks.append(_Block(conv1, norm1, conv2, norm2, shortcut))
    return blocks, left[0]


def _path(blocks: list[_Block], first: int) -> list[_Block] | None:
    """Return the blocks as the image passes them; of the same shape, those that come first first.

    ``first`` is the number of channels of the first level.
    """
    levels = len(blocks) // 2

    def fitting(path: list[_Block]) -> Iterator[_Block]:
        place = len(path)
        for block in blocks:
            if block in path:
                continue
            if place == 0:
                fits = block.outs == first
            elif place <= levels:
                fits = block.ins == path[-1].outs
            else:
                same_level = path[2 * levels - place]
                fits = (block.outs, block.ins) == (
                    same_level.outs,
                    same_level.outs + path[-1].outs,
                )
            if fits:
                yield block

    def further(path: list[_Block]) -> list[_Block] | None:
        if len(path) == len(blocks):
            return path
        for block in fitting(path):
            if (found := further([*path, block])) is not None:
                return found
        return None

    return further([])


def _growth(widths: tuple[int, ...]) -> float:
    """Return the factor from which channels follow, rounded, as in `NetworkSpec.widths`."""
    first = widths[0]
    low, high = 1.0, 4.0
    for level, width in enumerate(widths[1:], start=1):
        low = max(low, ((width - 0.5) / first) ** (1 / level))
        high = min(high, ((width + 0.5) / first) ** (1 / level))
    for growth in (*_KNOWN_GROWTHS, (low + high) / 2):
        if all(round(first * growth**level) == width for level, width in enumerate(widths)):
            return growth
    raise UnknownNetworkError(
        f"its levels have {', '.join(map(str, widths))} channels: in the family they grow by one "
        "factor, from 1 to 4, per level"
    )
