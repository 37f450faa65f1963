"""JSON records on their way back in: bounded before memory is taken, and checked as a whole.

A record may come from anybody. Whatever is in it, reading it gives a value or raises `RecordError`
with one sentence; it never blocks and never takes more memory than its bounds allow.
"""

import json
import math
import os
import stat
from collections.abc import Iterable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

__all__ = [
    "RecordError",
    "check_file_name",
    "check_fraction",
    "check_words",
    "is_number",
    "json_of",
    "plain_bytes",
    "read_json",
    "record_of",
]

LARGEST_BYTES = 16 * 2**20
MOST_VALUES = 1_000_000
DEEPEST = 32
LONGEST_TEXT = 10_000
"""Longest sentence or name in a record, in characters."""

T = TypeVar("T")


class RecordError(ValueError):
    """A record cannot be used; the message says what is wrong with it, as a part of a sentence."""


def plain_bytes(path: Path, largest: int) -> bytes:
    """Return what a plain file holds; pipes and devices are not opened for good, and never wait.

    Raises
    ------
    RecordError
        When it is not a plain file, is larger than ``largest`` bytes, or cannot be read.
    """
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
    try:
        # a pipe without a writer would wait, a device may do anything
        if not stat.S_ISREG(path.stat().st_mode):
            raise RecordError("it is not a plain file")
        with open(os.open(path, flags | getattr(os, "O_CLOEXEC", 0)), "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise RecordError("it is not a plain file")
            if status.st_size > largest:
                raise RecordError(
                    f"it holds {status.st_size:,} bytes, at most {largest:,} are read"
                )
            held = file.read(largest + 1)
    except OSError as error:
        raise RecordError(error.strerror or str(error)) from error
    if len(held) > largest:
        raise RecordError(f"it holds more than {largest:,} bytes")
    return held


def read_json(path: Path, largest: int = LARGEST_BYTES, most: int = MOST_VALUES) -> Any:
    """Return the JSON value of a file, of bounded size and depth, without NaN and infinity.

    Parameters
    ----------
    path : Path
    largest : int
        Bytes that it may hold.
    most : int
        Values that it may hold.

    Raises
    ------
    RecordError
        When the file cannot be read, is not JSON, or passes a bound.
    """
    return json_of(plain_bytes(path, largest), most)


def json_of(held: bytes, most: int = MOST_VALUES) -> Any:
    """Return the JSON value of a text, as `read_json` does of a file."""
    # counted before the first of the values is made
    if held.count(b",") + held.count(b"[") + held.count(b"{") > most:
        raise RecordError(f"it holds more than {most:,} values")
    try:
        values = json.loads(held, parse_constant=_no_constant, parse_float=_finite)
    except RecursionError:
        raise RecordError(f"its values are nested deeper than {DEEPEST}") from None
    except ValueError as error:
        raise RecordError(f"it is not JSON: {error!s:.200}") from error
    _check_depth(values)
    return values


def record_of(kind: type[T], values: Any) -> T:
    """Return a dataclass from JSON values, every field and its own rules checked.

    Raises
    ------
    RecordError
        When a value is missing or does not fit; the message names the first.
    """
    try:
        return _adapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        said = f"{where}: {first['msg']}" if where else str(first["msg"])
        raise RecordError(said.replace("Value error, ", "")[:500]) from error
    except (ValueError, TypeError, ArithmeticError, RecursionError) as error:
        raise RecordError(str(error)[:500]) from error


_adapters: dict[type, TypeAdapter[Any]] = {}
"""Made once each: that takes milliseconds, and there may be a record a file."""


def _adapter(kind: type[T]) -> TypeAdapter[T]:
    if kind not in _adapters:
        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]


def check_file_name(name: str, what: str) -> None:
    """Raise ValueError unless a text is the name of a file in the record's own folder."""
    parts = PurePosixPath(name).parts, PureWindowsPath(name).parts
    if any(each != (name,) for each in parts) or name == ".." or not name.isprintable():
        raise ValueError(f"{what} is {name!r:.100}: it must be the name of a file in the folder")


def check_words(values: Any, what: str, texts: Iterable[str]) -> None:
    """Raise ValueError where an entry of a dict of JSON values must be a text and is not."""
    for name in texts:
        value = values.get(name)
        if value is not None and not (isinstance(value, str) and len(value) <= LONGEST_TEXT):
            raise ValueError(f"{what}.{name} is {value!r:.100}: it must be a text")


def check_fraction(value: Any, what: str) -> None:
    """Raise ValueError unless a value is None or a number from 0 to 1."""
    if value is not None and not (is_number(value) and 0 <= value <= 1):
        raise ValueError(f"{what} is {value!r:.100}: it must be a number from 0 to 1, or null")


def is_number(value: Any) -> bool:
    """Return whether a JSON value is a finite number."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond all floats
        return False


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not a number")


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(f"{text:.50} is too large a number")
    return value


def _check_depth(values: Any) -> None:
    level, depth = [values], 0
    while level:
        depth += 1
        if depth > DEEPEST:
            raise RecordError(f"its values are nested deeper than {DEEPEST}")
        inside: list[Any] = []
        for value in level:
            if isinstance(value, dict):
                inside += value.values()
            elif isinstance(value, list):
                inside += value
        level = [each for each in inside if isinstance(each, dict | list)]
