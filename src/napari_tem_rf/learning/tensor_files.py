"""Files of tensors: those that somebody else wrote, and those that other programs read.

Nothing is unpickled but tensors, numbers and words, which torch's ``weights_only`` allows.
"""

import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

__all__ = ["TensorFile", "TensorFileError", "read_tensors", "torch_file"]

Arrays = dict[str, NDArray[Any]]

TORCH_EPSILON, KERAS_EPSILON = 1e-5, 1e-3
"""What batch norms add to the variance unless they are told another number."""

LARGEST_BYTES = 4 * 2**30
"""Of a file, and of what it unpacks to: a hundred million parameters with a state of Adam."""

LARGEST_TENSOR = 100_000_000

_FEWEST_KERNELS = 4
"""A part with fewer convolutions is no network of the family."""

_HDF5 = b"\x89HDF\r\n\x1a\n"
_REMEDY = (
    "whoever trusts its author opens it beside the code of its class and writes the tensors alone, "
    'torch.save(model.state_dict(), "weights.pt"), which can be adopted'
)


class TensorFileError(ValueError):
    """A file of tensors cannot be used; the message says why and what to do."""


@dataclass(frozen=True, slots=True, eq=False)
class TensorFile:
    """The tensors of a file.

    Attributes
    ----------
    parts : dict of str to dict of str to ndarray
        By the name of the part that holds them: a plain file has one without a name, a checkpoint
        may have several. Convolutions are (channel out, channel in, row, column).
    norm_epsilon : float
        What the batch norms of such files add to the variance, unless they were told another.
    """

    parts: dict[str, Arrays]
    norm_epsilon: float = TORCH_EPSILON


def read_tensors(path: Path) -> TensorFile:
    """Return the tensors of a file.

    Parameters
    ----------
    path : Path
        A safetensors file, what ``torch.save`` wrote of a state dict or of a checkpoint that holds
        some, or an HDF5 file of Keras or of arrays. What it is shows in its content, not its name.

    Raises
    ------
    TensorFileError
        When the file is none of them, is damaged, or would run code to be opened.
    """
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            first = file.read(16)
    except OSError as error:
        raise TensorFileError(
            f'"{path}": {error.strerror or error}: check the path and its permissions'
        ) from error
    if size > LARGEST_BYTES:
        raise TensorFileError(f'"{path}" has {size:,} bytes: at most {LARGEST_BYTES:,} are read')
    if first.startswith(_HDF5):
        return _of_hdf5(path)
    if first.startswith(b"PK") or (first[:1] == b"\x80" and first[8:9] != b"{"):
        return TensorFile(_of_torch(path))
    return TensorFile({"": _of_safetensors(path)})


def torch_file(weights: Mapping[str, NDArray[Any]]) -> bytes:
    """Return weights as ``torch.save`` writes a state dict."""
    whole = io.BytesIO()
    torch.save({name: torch.tensor(value) for name, value in weights.items()}, whole)
    return whole.getvalue()


def _of_safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return _arrays(load_file(path))
    except (SafetensorError, ValueError, KeyError, TypeError, OSError) as error:
        raise TensorFileError(
            f'"{path}" is no file of tensors ({error!s:.120}): give a state dict as safetensors, '
            "or as torch.save writes it"
        ) from error


def _of_torch(path: Path) -> dict[str, Arrays]:
    _check_zip(path)
    try:
        held = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # it may hold anything, and torch says so in many ways
        named = re.search(r"(?:GLOBAL|global)[: ]+(?:GLOBAL )?([\w.]+)", str(error))
        if named is not None or "weights_only" in str(error):
            what = f"an object of {named[1]}" if named else "objects"
            raise TensorFileError(
                f'"{path}" is a pickle that holds {what} beside tensors, and reading it could run '
                f"any code: it is not opened; {_REMEDY}"
            ) from None
        raise TensorFileError(
            f'"{path}" is damaged, or no file that torch.save wrote ({type(error).__name__}): '
            "give a state dict as safetensors or as torch.save writes it"
        ) from error
    parts: dict[str, Arrays] = {}
    _collect(held, "", parts)
    if not parts:
        raise TensorFileError(
            f'"{path}" holds no network: no part of it has {_FEWEST_KERNELS} convolutions by name; '
            "write model.state_dict() with torch.save"
        )
    return parts


def _check_zip(path: Path) -> None:
    """Refuse a zip that torch should not see; what is none passes."""
    try:
        if not zipfile.is_zipfile(path):
            return
        with zipfile.ZipFile(path) as archive:
            entries = archive.infolist()
    # a name that is no UTF-8 is a ValueError
    except (zipfile.BadZipFile, OSError, NotImplementedError, ValueError) as error:
        raise TensorFileError(f'"{path}" is damaged ({error}): get it again') from error
    if any(entry.filename.endswith("constants.pkl") for entry in entries):
        raise TensorFileError(
            f'"{path}" is a whole program (TorchScript), and opening it runs it: {_REMEDY}'
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > LARGEST_BYTES:
        raise TensorFileError(
            f'"{path}" would unpack to {unpacked:,} bytes: at most {LARGEST_BYTES:,} are read'
        )


def _collect(held: Any, name: str, parts: dict[str, Arrays], depth: int = 0) -> None:
    """Find the dicts of tensors in what was read."""
    if not isinstance(held, Mapping) or depth > 4:
        return
    tensors = {
        key: value
        for key, value in held.items()
        if isinstance(key, str) and isinstance(value, torch.Tensor)
    }
    if sum(value.ndim == 4 for value in tensors.values()) >= _FEWEST_KERNELS:
        parts[name] = _arrays(tensors)
        return
    for key, value in held.items():
        _collect(value, f"{name}.{key}" if name else str(key), parts, depth + 1)


def _arrays(tensors: Mapping[str, torch.Tensor]) -> Arrays:
    """Return tensors as arrays: floating ones of any width in 32 bits."""
    arrays = {}
    for name, value in tensors.items():
        plain = value.detach()
        if plain.numel() > LARGEST_TENSOR:
            # of a view the file may hold one number alone
            raise TensorFileError(
                f'"{name}" has {plain.numel():,} numbers: at most {LARGEST_TENSOR:,} are read'
            )
        if plain.is_quantized or plain.layout != torch.strided or plain.is_complex():
            raise TensorFileError(
                f'"{name}" is quantised, sparse or complex: give the weights as plain numbers'
            )
        arrays[name] = (plain.float() if plain.is_floating_point() else plain).numpy()
    return arrays


def _of_hdf5(path: Path) -> TensorFile:
    import h5py

    from napari_tem_rf.micrographs.hdf5 import open_hdf5
    from napari_tem_rf.micrographs.hdf5_check import refuse_absurd_hdf5

    arrays: Arrays = {}

    def keep(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset) and item.dtype.kind in "fiu" and item.shape is not None:
            is_float = item.dtype.kind == "f"
            arrays[name] = np.asarray(item[()], np.float32 if is_float else None)

    try:
        refuse_absurd_hdf5(path)
        with open_hdf5(path) as file:
            file.visititems(keep)
    except (OSError, RuntimeError, KeyError, ValueError) as error:
        raise TensorFileError(f'"{path}" cannot be read as HDF5 ({error!s:.200})') from error
    arrays = {name: value for name, value in arrays.items() if "optimizer" not in name.lower()}
    kernels = [value.shape for value in arrays.values() if value.ndim == 4]
    if not kernels:
        raise TensorFileError(
            f'"{path}" is an HDF5 file without convolutions: give the weights of a network'
        )
    if not _is_keras(kernels):
        return TensorFile({"": arrays})
    turned = {
        # from (row, column, channel in, channel out)
        name: value.transpose(3, 2, 0, 1) if value.ndim == 4 else value
        for name, value in arrays.items()
    }
    return TensorFile({"": turned}, KERAS_EPSILON)


def _is_keras(kernels: list[tuple[int, ...]]) -> bool:
    """Return whether shapes of kernels are (row, column, channel in, channel out)."""
    sides = ((1, 1), (3, 3))
    return all(each[:2] in sides for each in kernels) and not all(
        each[2:] in sides for each in kernels
    )
