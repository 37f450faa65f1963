"""A run as a model of the BioImage Model Zoo: description 0.5, weights, samples, cover and card.

The description says what the program knows exactly: sizes in steps of the network's period, the
halo of its tiles, the size of a pixel, and the standardisation as preprocessing.
"""

import hashlib
import io
import re
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.rounding import round_up
from napari_tem_rf.run_record import RunRecord
from napari_tem_rf.samples import sample_folder
from napari_tem_rf.sharing.card import CITATION, DOI, model_card
from napari_tem_rf.sharing.onnx_graph import OPSET, metadata_of

__all__ = ["BioimageRequest", "Sample", "bioimage_files", "sample_micrograph"]

FORMAT = "0.5.3"
ARCHITECTURE = "architecture.py"
EPSILON = 1e-6
"""Added to the standard deviation by whoever runs the model; it changes no number that is seen."""

_LEAST_SAMPLE_PX = 256
_MOST_NAME = 100
_NOT_IN_A_NAME = re.compile(r"[^\w ()+-]+")
_COVER_PX = 512


@dataclass(frozen=True, slots=True, eq=False)
class Sample:
    """An image and what the network says of it.

    Attributes
    ----------
    pixels : ndarray of float32, shape (row, column)
        Cleaned, but not standardised.
    probabilities : ndarray of float32, shape (class, row, column)
    """

    pixels: NDArray[np.float32]
    probabilities: NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class BioimageRequest:
    """What goes into the model beside the record.

    Attributes
    ----------
    record : RunRecord
        Of a network.
    torch_weights, onnx : bytes
        The weights as a state dict of torch and as an ONNX graph.
    torch_version : str
        The version of torch that wrote them.
    sample : Sample
    weights : bytes
        The run's own file of weights, for its hash.
    authors : tuple of str
    licence : str
        SPDX name; empty: none is named.
    """

    record: RunRecord
    torch_weights: bytes
    onnx: bytes
    torch_version: str
    sample: Sample
    weights: bytes
    authors: tuple[str, ...]
    licence: str


def sample_micrograph(record: RunRecord, own: NDArray[Any] | None = None) -> NDArray[np.float32]:
    """Return an image that the network can be shown: large enough for its halo, and no larger.

    Parameters
    ----------
    record : RunRecord
        Of a network.
    own : ndarray, shape (row, column), optional
        One of the images that it was trained on; else one of the simulated ones that come with the
        program is taken, which are anybody's.
    """
    from napari_tem_rf.micrographs.cleaning import clean
    from napari_tem_rf.micrographs.reading import read_micrographs

    if own is None:
        size = record.pixel_size_nm
        is_fine = size is None or size[0] <= 0.1
        folder = sample_folder("high_resolution" if is_fine else "low_magnification")
        own = read_micrographs(sorted((folder / "images").glob("*.tif"))[0])[0].frame()
    pixels = clean(own, record.cleaning)
    side = _smallest_side(record)
    period = record.network.period
    while side < _LEAST_SAMPLE_PX:
        side += period
    while min(pixels.shape) < side:
        pixels = np.pad(pixels, [(0, min(n, max(0, side - n))) for n in pixels.shape], "symmetric")
    return np.ascontiguousarray(pixels[:side, :side], np.float32)


def bioimage_files(request: BioimageRequest) -> dict[str, bytes]:
    """Return the files of the model, by name, its description first."""
    import yaml

    record, sample = request.record, request.sample
    held = {
        "README.md": model_card(record, request.weights, (_HOW_TO_USE,)).encode(),
        "cover.png": _cover(sample),
        "test_input.npy": _npy(sample.pixels[None, None]),
        "test_output.npy": _npy(sample.probabilities[None]),
        "sample_input.tif": _tiff(sample.pixels),
        "sample_output.tif": _tiff(sample.probabilities),
        ARCHITECTURE: _architecture(),
        "weights.pt": request.torch_weights,
        "weights.onnx": request.onnx,
    }
    description = yaml.safe_dump(_described(request, held), sort_keys=False, allow_unicode=True)
    return {"rdf.yaml": description.encode(), **held}


_HOW_TO_USE = (
    "## How it is used\n\n"
    "Standardise the whole image (mean 0, standard deviation 1), cut it into tiles that start and "
    "end on multiples of the period, give each tile the halo as context, and drop what comes out "
    "of the context. Each class has a channel of probabilities; a pixel is of the class of the "
    "highest one."
)


def _smallest_side(record: RunRecord) -> int:
    """Return the smallest side from which something is left without the halo."""
    field = receptive_field(record.network)
    return round_up(2 * field.halo + 1, field.period)


def _described(request: BioimageRequest, held: dict[str, bytes]) -> dict[str, Any]:
    record = request.record
    spec, field = record.network, receptive_field(record.network)
    size = record.cleaning.pixel_size_nm(record.pixel_size_nm)
    scales = [{}, {}] if size is None else [_scale(each) for each in size]
    sides = ("y", "x")
    inputs = [
        {
            "type": "space",
            "id": side,
            "size": {"min": _smallest_side(record), "step": field.period},
            **scale,
        }
        for side, scale in zip(sides, scales, strict=True)
    ]
    outputs = [
        {
            "type": "space",
            "id": side,
            "halo": field.halo,
            "size": {"tensor_id": "image", "axis_id": side},
            **scale,
        }
        for side, scale in zip(sides, scales, strict=True)
    ]
    licence = {"license": request.licence} if request.licence else {}
    names = _channel_names(record)
    cite = [{"text": CITATION, "doi": DOI}]
    if record.adopted is not None and (link := _link(record.adopted.source)):
        cite.append({"text": record.adopted.source, **link})
    return {
        "format_version": FORMAT,
        "type": "model",
        "name": _name(record),
        "description": (
            f"Segments TEM images: {', '.join(names[1:])} against {names[0]}. Residual U-Net with "
            f"a receptive field of {field.nominal} px and {spec.parameters:,} parameters."
        ),
        "authors": [{"name": author} for author in request.authors],
        "cite": cite,
        **licence,
        "tags": [
            *("electron-microscopy", "tem", "2d", "semantic-segmentation", "unet", "pytorch"),
            *("nanoparticles", "napari"),
        ],
        "documentation": "README.md",
        "covers": ["cover.png"],
        "timestamp": record.created or "2022-01-01T00:00:00+00:00",
        "inputs": [
            {
                "id": "image",
                "description": "A micrograph" + _cleaned(record),
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": ["grey"]},
                    *inputs,
                ],
                "data": {"type": "float32"},
                "test_tensor": _file("test_input.npy", held),
                "sample_tensor": _file("sample_input.tif", held),
                "preprocessing": [
                    {"id": "ensure_dtype", "kwargs": {"dtype": "float32"}},
                    {
                        "id": "zero_mean_unit_variance",
                        "kwargs": {"axes": ["channel", "y", "x"], "eps": EPSILON},
                    },
                ],
            }
        ],
        "outputs": [
            {
                "id": "probabilities",
                "description": "Probability of each class",
                "axes": [
                    {"type": "batch"},
                    {"type": "channel", "channel_names": names},
                    *outputs,
                ],
                "data": {"type": "float32", "range": [0.0, 1.0]},
                "test_tensor": _file("test_output.npy", held),
                "sample_tensor": _file("sample_output.tif", held),
            }
        ],
        "weights": {
            "pytorch_state_dict": {
                **_file("weights.pt", held),
                "pytorch_version": request.torch_version,
                "architecture": {
                    **_file(ARCHITECTURE, held),
                    "callable": "PlainNetwork",
                    "kwargs": {
                        "pools": list(spec.pools),
                        "dilations": list(spec.dilations),
                        "widths": list(spec.widths),
                        "channels": spec.channels,
                        "classes": spec.classes,
                    },
                },
            },
            "onnx": {
                **_file("weights.onnx", held),
                "opset_version": OPSET,
                "parent": "pytorch_state_dict",
            },
        },
        "config": {"napari-tem-rf": metadata_of(record)},
    }


def _scale(size_nm: float) -> dict[str, Any]:
    """Return the size of a pixel as an axis has it.

    The zoo's tools compute the size of an output as int(size * scale / scale), which is a pixel
    short where that is rounded down. With the 24 bits of float32 it is exact.
    """
    return {"unit": "nanometer", "scale": float(np.float32(size_nm))}


def _file(name: str, held: dict[str, bytes]) -> dict[str, str]:
    return {"source": name, "sha256": hashlib.sha256(held[name]).hexdigest()}


def _name(record: RunRecord) -> str:
    """Return a name of letters, digits and few signs, as the zoo takes them."""
    field = receptive_field(record.network).nominal
    words = _NOT_IN_A_NAME.sub(" ", f"TEM particles {record.name}").split()
    return f"{' '.join(words)[:_MOST_NAME]} field {field} px"


def _channel_names(record: RunRecord) -> list[str]:
    names = [" ".join(name.split()) or f"class {i}" for i, name in enumerate(record.classes.names)]
    return [*names, "border"] if record.parts_particles else names


def _cleaned(record: RunRecord) -> str:
    done = record.cleaning.sentence
    return "" if done == "nothing" else f", after this was done to it: {done}"


def _link(text: str) -> dict[str, str]:
    """Return the DOI or address in a text; nothing where it has none: the card names it then."""
    for kind, pattern in (("doi", r"10\.\d{4,}/[^\s,;)]+"), ("url", r"https?://[^\s,;)]+")):
        if found := re.search(pattern, text):
            return {kind: found[0].rstrip(".")}
    return {}


def _architecture() -> bytes:
    """Return the plain network's own source: it needs nothing but torch."""
    return (files("napari_tem_rf") / "learning" / "plain_network.py").read_bytes()


def _npy(values: NDArray[Any]) -> bytes:
    held = io.BytesIO()
    np.save(held, np.ascontiguousarray(values, np.float32))
    return held.getvalue()


def _tiff(values: NDArray[Any]) -> bytes:
    import tifffile

    held = io.BytesIO()
    tifffile.imwrite(
        held, np.ascontiguousarray(values, np.float32), photometric="minisblack", compression="zlib"
    )
    return held.getvalue()


def _cover(sample: Sample) -> bytes:
    """Return a picture, twice as wide as high: the image, and what the network says of it."""
    from imagecodecs import png_encode

    from napari_tem_rf.figures.palette import CLASS_COLORS

    side = min(_COVER_PX, *sample.pixels.shape)
    pixels, likely = sample.pixels[:side, :side], sample.probabilities[:, :side, :side]
    low, high = np.percentile(pixels, (0.5, 99.5))
    grey = np.clip((pixels - low) / max(high - low, 1e-6), 0, 1)
    plain = np.repeat(grey[..., None], 3, axis=2)  # (row, column, colour)
    shown = plain.copy()
    classes = likely.argmax(axis=0)
    for index in range(1, len(likely)):
        color = CLASS_COLORS[index % len(CLASS_COLORS)].lstrip("#")
        rgb = np.array([int(color[i : i + 2], 16) / 255 for i in (0, 2, 4)])
        inside = classes == index
        shown[inside] = 0.55 * shown[inside] + 0.45 * rgb
    both = np.concatenate([plain, shown], axis=1)
    return bytes(png_encode(np.rint(255 * both).astype(np.uint8)))
