"""A network as an ONNX graph: every program with an ONNX runtime gives its numbers.

The graph is written out node by node from the weights, which needs no torch and always comes out
the same. Batch norms are folded into the convolutions before them, as for a prediction here.

The image comes in standardised. To do it in the graph would be wrong for tiles, of which each would
be scaled by itself; so the metadata say it.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.run_record import RunRecord
from napari_tem_rf.sharing.card import CITATION, DOI

__all__ = ["NORMALISATION", "OPSET", "onnx_bytes"]

OPSET = 18
_IR_VERSION = 8
"""The oldest that holds this opset: older runtimes refuse newer ones."""
_EPSILON = 1e-5
NORMALISATION = (
    "subtract the mean of the whole image and divide by its standard deviation, before it is cut "
    "into tiles"
)

Weights = Mapping[str, NDArray[Any]]


@dataclass(slots=True)
class _Graph:
    """Nodes and constants that are being put together."""

    nodes: list[Any] = field(default_factory=list)
    constants: list[Any] = field(default_factory=list)

    def constant(self, values: Any, dtype: Any = np.float32) -> str:
        """Add a constant and return its name."""
        from onnx import numpy_helper

        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(values, dtype), name))
        return name

    def node(self, kind: str, *inputs: str, to: str = "", **attributes: Any) -> str:
        """Add a node and return the name of its output."""
        from onnx import helper

        output = to or f"{kind.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(kind, list(inputs), [output], **attributes))
        return output


def onnx_bytes(record: RunRecord, weights: Weights, *, labels: bool = True) -> bytes:
    """Return a run's network as an ONNX model.

    Parameters
    ----------
    record : RunRecord
        Of a network.
    weights : mapping of str to ndarray
    labels : bool
        Whether the labels come out besides, in the values of masks. Probabilities are then of the
        annotation's classes, and the border of particles has an output of its own; without, they
        are those of the network's own classes.

    Returns
    -------
    bytes
        Input ``image``, float32, shape (image, 1, row, column), of any size. Outputs
        ``probabilities``, shape (image, class, row, column), and ``labels``, shape (image, row,
        column).
    """
    import onnx
    from onnx import TensorProto, helper

    spec = record.network
    graph = _Graph()
    logits = _network(graph, spec, weights)
    sides = ["image", "row", "column"]
    outputs = []
    if labels:
        classes = len(record.classes.values)
        if record.parts_particles:
            graph.node(
                "Slice", graph.node("Softmax", logits, axis=1), graph.constant([-1], np.int64),
                graph.constant([spec.classes], np.int64), graph.constant([1], np.int64),
                to="border",
            )  # fmt: skip
            logits = _with_border_inside(graph, logits, spec.classes)
        best = graph.node("ArgMax", logits, axis=1, keepdims=0)
        values = record.classes.prediction_values
        kind = np.uint8 if max(values) < 256 else np.uint16
        graph.node("Gather", graph.constant(values, kind), best, to="labels")
        label_type = TensorProto.UINT8 if kind is np.uint8 else TensorProto.UINT16
        outputs.append(helper.make_tensor_value_info("labels", label_type, sides))
    else:
        classes = spec.classes
    graph.node("Softmax", logits, axis=1, to="probabilities")
    of_classes = ["image", classes, "row", "column"]
    outputs.insert(0, helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, of_classes))
    if labels and record.parts_particles:
        one = ["image", 1, "row", "column"]
        outputs.append(helper.make_tensor_value_info("border", TensorProto.FLOAT, one))
    image = helper.make_tensor_value_info(
        "image", TensorProto.FLOAT, ["image", spec.channels, "row", "column"]
    )
    made = helper.make_model(
        helper.make_graph(graph.nodes, "network", [image], outputs, graph.constants),
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="napari-tem-rf",
        producer_version=record.versions.get("napari-tem-rf", ""),
        doc_string=f"{record.name}: {spec}",
    )
    made.ir_version = _IR_VERSION
    helper.set_model_props(made, metadata_of(record))
    onnx.checker.check_model(made, full_check=True)
    return bytes(made.SerializeToString())


def metadata_of(record: RunRecord) -> dict[str, str]:
    """Return what who runs the network must know, as texts; lengths are in px of what it sees."""
    spec = record.network
    seen = receptive_field(spec)
    size = record.cleaning.pixel_size_nm(record.pixel_size_nm)
    named = zip(record.classes.names, record.classes.prediction_values, strict=True)
    return {
        "halo": str(seen.halo),
        "period": str(seen.period),
        "receptive_field": str(seen.nominal),
        "pixel_size_nm": json.dumps(None if size is None else list(size)),
        "classes": json.dumps(dict(named)),
        "normalisation": NORMALISATION,
        "cleaning": record.cleaning.sentence,
        "tiles": (
            f"start and end tiles on multiples of {seen.period} px or at the image's end, give "
            f"them {seen.halo} px of context on each side that is not the image's end, and drop "
            "what comes out of the context: the labels are those of the whole image"
        ),
        "finishing": json.dumps(record.finishing.to_dict()),
        "network": json.dumps(spec.to_dict()),
        "run": record.name,
        "citation": f"{CITATION}, doi:{DOI}",
    }


def _network(graph: _Graph, spec: NetworkSpec, weights: Weights) -> str:
    """Add the network from the input ``image`` and return the name of its logits."""
    x = "image"
    size = graph.node(
        "Slice", graph.node("Shape", x), graph.constant([2], np.int64),
        graph.constant([4], np.int64), graph.constant([0], np.int64),
    )  # fmt: skip
    if spec.period > 1:
        x = _padded(graph, x, size, spec.period)
    skips = []
    for level, pool in enumerate(spec.pools):
        x = _block(graph, weights, f"encoder.{level}", x, spec.dilations[level])
        skips.append(x)
        x = graph.node("MaxPool", x, kernel_shape=[pool, pool], strides=[pool, pool])
    x = _block(graph, weights, "bottleneck", x, spec.dilations[-1])
    for place, level in enumerate(reversed(range(spec.levels))):
        pool = spec.pools[level]
        scales = graph.constant([1, 1, pool, pool])
        x = graph.node(
            "Resize", x, "", scales, mode="nearest",
            coordinate_transformation_mode="asymmetric", nearest_mode="floor",
        )  # fmt: skip
        x = graph.node("Concat", skips.pop(), x, axis=1)
        x = _block(graph, weights, f"decoder.{place}", x, spec.dilations[level])
    x = _conv(graph, x, weights["head.weight"], weights["head.bias"])
    if spec.period == 1:
        return x
    zeros, axes = (graph.constant(each, np.int64) for each in ([0, 0], [2, 3]))
    return graph.node("Slice", x, zeros, size, axes)


def _padded(graph: _Graph, x: str, size: str, period: int) -> str:
    """Add zeros at the bottom and on the right, up to a multiple of the period."""
    one_period = graph.constant([period, period], np.int64)
    periods = graph.node(
        "Div",
        graph.node("Add", size, graph.constant([period - 1, period - 1], np.int64)),
        one_period,
    )
    missing = graph.node("Sub", graph.node("Mul", periods, one_period), size)
    pads = graph.node("Concat", graph.constant([0] * 6, np.int64), missing, axis=0)
    return graph.node("Pad", x, pads, mode="constant")


def _block(graph: _Graph, weights: Weights, name: str, x: str, dilation: int) -> str:
    y = graph.node("Relu", _conv(graph, x, *_folded(weights, name, 1), dilation))
    y = _conv(graph, y, *_folded(weights, name, 2), dilation)
    weight, bias = (weights[f"{name}.shortcut.{each}"] for each in ("weight", "bias"))
    shortcut = _conv(graph, x, weight, bias)
    return graph.node("Relu", graph.node("Add", y, shortcut))


def _conv(
    graph: _Graph, x: str, weight: NDArray[Any], bias: NDArray[Any], dilation: int = 1
) -> str:
    side = weight.shape[-1]
    return graph.node(
        "Conv", x, graph.constant(weight), graph.constant(bias), kernel_shape=[side, side],
        dilations=[dilation] * 2, pads=[dilation * (side // 2)] * 4,
    )  # fmt: skip


def _folded(weights: Weights, name: str, number: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a convolution with the batch norm behind it folded in."""
    weight, bias = (
        weights[f"{name}.conv{number}.{each}"].astype(np.float64) for each in ("weight", "bias")
    )
    gain, shift, mean, variance = (
        weights[f"{name}.norm{number}.{each}"].astype(np.float64)
        for each in ("weight", "bias", "running_mean", "running_var")
    )
    gain = gain / np.sqrt(variance + _EPSILON)
    folded = weight * gain[:, None, None, None], (bias - mean) * gain + shift
    return folded[0].astype(np.float32), folded[1].astype(np.float32)


def _with_border_inside(graph: _Graph, logits: str, classes: int) -> str:
    """Return logits in which the border of particles is part of them, as in a mask."""
    axis = graph.constant([1], np.int64)

    def part(begin: int, end: int) -> str:
        ends = (graph.constant([each], np.int64) for each in (begin, end))
        return graph.node("Slice", logits, *ends, axis)

    whole = graph.node("ReduceLogSumExp", part(classes - 2, classes), axis, keepdims=1)
    return graph.node("Concat", part(0, classes - 2), whole, axis=1)
