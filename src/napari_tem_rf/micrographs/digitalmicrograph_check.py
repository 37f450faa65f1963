"""Whether the tags of a DigitalMicrograph file fit into it, before RosettaSciIO reads them.

A DM3 or DM4 file is a tree of tags, each of which declares its own size
(https://www.er-c.org/cbb/info/dmformat/). A reader that believes a damaged size runs without end
or fills the memory, so that the tree is walked here first: nothing is read but the sizes.
"""

import struct
from pathlib import Path
from typing import BinaryIO

from napari_tem_rf.micrographs.rawimage import ReadingError

__all__ = ["refuse_damaged_tags"]

_GROUP, _DATA = 20, 21
_STRUCT, _STRING, _ARRAY = 15, 18, 20
_SIZES = {2: 2, 3: 4, 4: 2, 5: 4, 6: 4, 7: 8, 8: 1, 9: 1, 10: 1, 11: 8, 12: 8}
_DEEPEST = 64
_LONGEST_DECLARATION = 10_000
# values outside of images become Python objects one by one
_MOST_VALUES = 4_000_000


def refuse_damaged_tags(path: Path) -> None:
    """Raise ReadingError where a tag of a .dm3 or .dm4 file does not fit into the file."""
    with path.open("rb") as file:
        try:
            _Walk(file, path).whole_file()
        except struct.error as error:
            raise ReadingError(
                f'"{path.name}" ends in the middle of its tags: it was cut off; copy it again from '
                "where it came from"
            ) from error


class _Walk:
    """One walk through the tags of a file."""

    def __init__(self, file: BinaryIO, path: Path) -> None:
        self._file = file
        self._name = path.name
        self._size = path.stat().st_size
        self._values = 0
        self._version = 0

    def whole_file(self) -> None:
        (self._version,) = struct.unpack(">i", self._file.read(4))
        if self._version not in (3, 4):
            raise ReadingError(
                f'"{self._name}" does not start as a DigitalMicrograph file of version 3 or 4: '
                "it is damaged or of another format"
            )
        self._number()
        self._file.read(4)
        self._group(in_size=0, name="", depth=0)

    def _number(self) -> int:
        form, width = (">q", 8) if self._version == 4 else (">i", 4)
        (number,) = struct.unpack(form, self._file.read(width))
        return int(number)

    def _group(self, in_size: int, name: str, depth: int) -> None:
        if depth > _DEEPEST:
            raise self._damaged(f"tags are nested more than {_DEEPEST} deep")
        # two flags, and in version 4 the size of the group
        struct.unpack("2x", self._file.read(2))
        self._file.seek(in_size, 1)
        count = self._number()
        if not 0 <= count <= self._size:
            raise self._damaged(f'the group "{name}" declares {count} tags')
        for _ in range(count):
            kind, name_length = struct.unpack(">BH", self._file.read(3))
            tag = self._file.read(name_length).decode("latin-1")
            if len(tag) < name_length:
                raise struct.error
            if kind == _GROUP:
                self._group(8 if self._version == 4 else 0, tag, depth + 1)
            elif kind == _DATA:
                self._data(tag, is_image=(name, tag) == ("ImageData", "Data"))
            else:
                raise self._damaged(f"a tag is of the kind {kind}")

    def _data(self, tag: str, is_image: bool) -> None:
        if self._version == 4:
            self._file.seek(8, 1)
        if self._file.read(4) != b"%%%%":
            raise self._damaged(f'the tag "{tag}" does not start with %%%%')
        length = self._number()
        if not 1 <= length <= _LONGEST_DECLARATION:
            raise self._damaged(f'the tag "{tag}" is declared with {length} numbers')
        declaration = [self._number() for _ in range(length)]
        try:
            nbytes, values, end = self._extent(declaration, 0)
        except IndexError as error:
            raise self._damaged(f'the tag "{tag}" has no whole declaration') from error
        if end != length:
            raise self._damaged(f'the tag "{tag}" is declared with {length} numbers, not {end}')
        start = self._file.tell()
        if nbytes > self._size - start:
            raise self._damaged(
                f'the tag "{tag}" declares {nbytes:,} bytes and the file has '
                f"{max(0, self._size - start):,} from there on"
            )
        if not is_image:
            self._values += values
            if self._values > _MOST_VALUES:
                raise self._damaged(f"its tags hold more than {_MOST_VALUES:,} values")
        self._file.seek(nbytes, 1)

    def _extent(self, declaration: list[int], at: int) -> tuple[int, int, int]:
        """Return the bytes and values that are declared, and where the declaration ends."""
        kind = declaration[at]
        if kind in _SIZES:
            return _SIZES[kind], 1, at + 1
        if kind == _STRING:
            length = self._positive(declaration[at + 1])
            return length, length, at + 2
        if kind == _STRUCT:
            fields = self._positive(declaration[at + 2])
            if fields > len(declaration):
                raise IndexError
            kinds = declaration[at + 4 : at + 3 + 2 * fields : 2]
            if len(kinds) != fields or not set(kinds) <= set(_SIZES):
                raise self._damaged("a structure has fields of unknown kind")
            return sum(_SIZES[field] for field in kinds), fields, at + 3 + 2 * fields
        if kind == _ARRAY:
            nbytes, values, end = self._extent(declaration, at + 1)
            length = self._positive(declaration[end])
            if nbytes == 0 and length > 0:
                raise self._damaged(f"an array has {length} elements of no size")
            return nbytes * length, values * length, end + 1
        raise self._damaged(f"values of the unknown kind {kind} are declared")

    def _positive(self, number: int) -> int:
        if number < 0:
            raise self._damaged(f"a length of {number} is declared")
        return number

    def _damaged(self, what: str) -> ReadingError:
        return ReadingError(
            f'"{self._name}" is damaged or was cut off: {what}; copy it again from where it came '
            "from"
        )
