"""Whether the parts of a compressed TIFF file say themselves that they are larger than they may be.

JPEG, JPEG 2000 and PNG write their size into what they compress. Their libraries believe it and
take the memory for it, whatever the TIFF file around says.
"""

import struct
from pathlib import Path
from typing import Any

from napari_tem_rf.micrographs.rawimage import ReadingError

__all__ = ["coded_size", "pages_lead_out", "refuse_absurd_parts"]

# where the size comes late, behind tables and profiles
_FRONT_BYTES = 4096
_FREE_PIXELS = 2**20
_TIMES_THE_PART = 4

_JPEG_2000 = b"\xff\x4f\xff\x51"
_PNG = b"\x89PNG\r\n\x1a\n"
# in between there are tables, which do not start a frame
_JPEG_FRAMES = set(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def refuse_absurd_parts(tiff: Any, page: Any, path: Path) -> None:
    """Raise ReadingError where a part of a page declares far more pixels than the page gives it.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        Open.
    page : tifffile.TiffPage or tifffile.TiffFrame
    path : Path
        The file, for the sentence.
    """
    keyframe = page.keyframe
    compression = str(getattr(keyframe.compression, "name", ""))
    # JPEG and JPEG 2000 go under a dozen names
    if "JP" not in compression and compression != "PNG":
        return
    rows, columns = keyframe.imagelength, keyframe.imagewidth
    if keyframe.is_tiled:
        rows, columns = keyframe.tilelength, keyframe.tilewidth
    most = max(_FREE_PIXELS, _TIMES_THE_PART * rows * columns)
    for offset, count in zip(page.dataoffsets, page.databytecounts, strict=False):
        tiff.filehandle.seek(offset)
        size = coded_size(tiff.filehandle.read(min(count, _FRONT_BYTES)))
        if size is not None and size[0] * size[1] > most:
            raise ReadingError(
                f'"{path.name}" has a part that declares {size[0]} x {size[1]} pixels of an image '
                f"of {keyframe.imagelength} x {keyframe.imagewidth}: it is damaged; copy it again "
                "from where it came from"
            )


def pages_lead_out(tiff: Any) -> bool:
    """Whether the list of pages continues beyond the end of the file, which was then cut off.

    Parameters
    ----------
    tiff : tifffile.TiffFile
        Open.
    """
    handle, form = tiff.filehandle, tiff.tiff
    last = tiff.pages[len(tiff.pages) - 1].offset
    handle.seek(last)
    number = struct.unpack(form.tagnoformat, handle.read(form.tagnosize))[0]
    handle.seek(last + form.tagnosize + number * form.tagsize)
    place = handle.read(form.offsetsize)
    if len(place) < form.offsetsize:
        return True
    following = struct.unpack(form.offsetformat, place)[0]
    return bool(following >= handle.size)


def coded_size(data: bytes) -> tuple[int, int] | None:
    """Return the (row, column) size in the front of JPEG, JPEG 2000 or PNG; None if not found.

    Notes
    -----
    The places are those of ITU-T T.81 (B.2.2), T.800 (A.5.1) and of the PNG specification (11.2.2).
    """
    if data.startswith(_PNG) and len(data) >= 24:
        columns, rows = struct.unpack(">II", data[16:24])
        return rows, columns
    start = data.find(_JPEG_2000)
    if 0 <= start <= len(data) - 24:
        right, bottom, left, top = struct.unpack(">4I", data[start + 8 : start + 24])
        return max(0, bottom - top), max(0, right - left)
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while place + 9 <= len(data) and data[place] == 0xFF:
        kind, length = struct.unpack(">BH", data[place + 1 : place + 4])
        if kind in _JPEG_FRAMES:
            rows, columns = struct.unpack(">HH", data[place + 5 : place + 9])
            return rows, columns
        place += 2 + length
    return None
