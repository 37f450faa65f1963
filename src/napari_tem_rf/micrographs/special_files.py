"""Pipes, sockets and devices are not files: reading one may wait for ever, or change something."""

import stat
from pathlib import Path

from napari_tem_rf.micrographs.rawimage import ReadingError

__all__ = ["refuse_special_file"]

_KINDS = {
    stat.S_IFIFO: "a pipe",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a device",
    stat.S_IFBLK: "a device",
}


def refuse_special_file(path: Path) -> None:
    """Raise ReadingError where a path is there and neither a file nor a folder.

    Links are followed.
    """
    try:
        kind = _KINDS.get(stat.S_IFMT(path.stat().st_mode))
    except FileNotFoundError:
        return
    if kind is not None:
        raise ReadingError(
            f'"{path.name}" is {kind}, not a file: copy what it gives into a file first'
        )
