"""Values on their way between processes: a pickle, and the arrays beside it, uncopied."""

import io
import pickle
from dataclasses import dataclass
from typing import Any

import cloudpickle  # type: ignore[import-untyped]  # comes with dask, has no types
from distributed.protocol.serialize import dask_deserialize, dask_serialize

__all__ = ["Packed", "pack"]


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """A pickled value whose arrays lie beside the pickle as buffers (pickle protocol 5).

    Whoever passes it on, such as a scheduler, need not be able to import what is in it.
    """

    head: bytes
    buffers: tuple[Any, ...]

    def unpack(self) -> Any:
        """Return the value; its arrays use the buffers."""
        return pickle.loads(self.head, buffers=self.buffers)

    @property
    def nbytes(self) -> int:
        """Size in bytes."""
        return len(self.head) + sum(memoryview(buffer).nbytes for buffer in self.buffers)

    def portable(self) -> "Packed":
        """Return a copy that can itself be pickled; its arrays stay writable."""
        return Packed(self.head, tuple(bytearray(buffer) for buffer in self.buffers))


def pack(value: Any) -> Packed:
    """Pickle `value` without copying its arrays; functions of scripts travel by value.

    Raises
    ------
    TypeError, pickle.PicklingError
        Something in it cannot be pickled.
    """
    buffers: list[pickle.PickleBuffer] = []
    stream = io.BytesIO()
    cloudpickle.CloudPickler(stream, protocol=5, buffer_callback=buffers.append).dump(value)
    return Packed(stream.getvalue(), tuple(buffer.raw() for buffer in buffers))


@dask_serialize.register(Packed)
def _to_frames(packed: Packed) -> tuple[dict[str, Any], list[Any]]:
    return {}, [packed.head, *packed.buffers]


@dask_deserialize.register(Packed)
def _from_frames(header: dict[str, Any], frames: list[Any]) -> Packed:
    return Packed(bytes(frames[0]), tuple(frames[1:]))
