"""Files of somebody's weights, handed to whoever asks what they do not say."""

from pathlib import Path

from psygnal import Signal

from napari_tem_rf.gui.session.session import Session

__all__ = ["ForeignWeights", "is_weights"]

_ENDINGS = {".safetensors", ".pt", ".pth", ".ckpt"}


class ForeignWeights:
    """Where a file of weights is dropped or chosen it is offered here; the form takes it.

    Parameters
    ----------
    session : Session

    Signals
    -------
    offered(Path)
        A file that may hold a network.
    """

    offered = Signal(Path)

    def __init__(self, session: Session) -> None:
        self._session = session


def is_weights(path: Path) -> bool:
    """Whether a file is one of weights, by its ending: HDF5 holds images, too, and is none."""
    return path.suffix.lower() in _ENDINGS
