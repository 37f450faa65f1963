"""What is said when a library refuses a file.

Not all that a library raises is damage: a package may be missing, a feature may not be written yet,
the disk may have failed, another program may hold the file. Each is told for what it is, with what
to do about it; what is left is damage, or a file of another format.
"""

import errno
import re
from pathlib import Path

import numpy as np

from napari_tem_rf.micrographs.rawimage import RawImage, ReadingError

__all__ = ["left_out", "unreadable"]

# the words of RosettaSciIO and tifffile, and Python's own
_PACKAGE = re.compile(
    r"['\"]([\w.-]+)['\"]\s+(?:library|package)\b|no module named ['\"]([\w.-]+)['\"]",
    re.IGNORECASE,
)
# how h5py, numcodecs, zarr and tifffile say that they know no way to unpack values
_PACKED = re.compile(
    r"required filter|filter .{0,40}(?:not registered|not available|unavailable)"
    r"|can't open directory.{0,80}plugin|codec not available|unknown codec|no codec"
    r"|unsupported compression|compression .{0,60}not (?:supported|implemented|available)",
    re.IGNORECASE,
)
_OF_HDF5 = re.compile(r"filter|plugin", re.IGNORECASE)
_NO_MEMORY = re.compile(r"allocat|out of memory|cannot allocate|no space available", re.IGNORECASE)
_LOCKED = re.compile(r"unable to lock file|file is already open", re.IGNORECASE)
_NOT_WRITTEN = re.compile(
    r"not (?:yet )?(?:implemented|supported)|unsupported|no zarr data type found", re.IGNORECASE
)


def unreadable(path: Path, error: BaseException) -> ReadingError:
    """Return what a library raised over a file as one sentence."""
    if isinstance(error, ReadingError):
        # names inside of a damaged file can be anything
        return ReadingError(_on_one_line(str(error), 500))
    return ReadingError(f'"{path.name}" {_why(error, path.suffix.lower()[1:])}')


def left_out(name: str, error: Exception) -> RawImage:
    """Return one image of a file that cannot be read, which must not stop the file's others.

    Raises
    ------
    Exception
        The error itself where the memory did not do: a size in the file is damaged then, and the
        whole file is not to be trusted.
    """
    if isinstance(error, MemoryError) or _NO_MEMORY.search(str(error)):
        raise error
    said = str(error) if isinstance(error, ReadingError) else f"it {_why(error, 'an image')}"
    return RawImage(np.zeros((0,)), name, unsuitable=_on_one_line(said, 400))


def _why(error: BaseException, kind: str) -> str:
    what = _on_one_line(str(error), 200) or "no reason given"
    name = type(error).__name__
    if isinstance(error, MemoryError):
        return "asks for more memory than there is: it is damaged or too large"
    if isinstance(error, ImportError) or _PACKAGE.search(what):
        return f"needs a Python package that is not installed here ({what}): {_install(error)}"
    if _PACKED.search(what) or name == "UnknownCodecError":
        remedy = "pip install hdf5plugin" if _OF_HDF5.search(what) else "install what unpacks it"
        return (
            f"is packed in a way that nothing installed here can unpack ({what}): {remedy}, or "
            "save it again without compression"
        )
    if isinstance(error, BlockingIOError) or _LOCKED.search(what):
        return "is held open by another program: close it there, or copy the file"
    if isinstance(error, PermissionError):
        return (
            f"may not be read ({error.strerror}): give your account the right to read it, or copy "
            "it to a folder of your own"
        )
    if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
        return (
            f"could not be read from its disk ({error.strerror or what}): check the disk or the "
            "network, and try again"
        )
    if name == "DecompressionBombError":
        return f"is larger than the library opens ({what}): save it as TIFF"
    if isinstance(error, NotImplementedError) or _NOT_WRITTEN.search(what):
        return (
            f"uses a part of its format that cannot be read here ({what}): the file may be whole; "
            "save it as TIFF in the program that it comes from"
        )
    return f"cannot be read as {kind} ({name}: {what}): it is damaged or of another format"


def _install(error: BaseException) -> str:
    named = _PACKAGE.search(str(error))
    package = error.name if isinstance(error, ImportError) else None
    package = package or (named and (named[1] or named[2]))
    if not package:
        return "install it"
    return f"pip install {package.partition('.')[0]}"


def _on_one_line(text: str, longest: int) -> str:
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
    return line if len(line) <= longest else line[: longest - 1] + "…"
