"""A run as one file: a zip that stands for the run's folder.

It may come from anybody. Names, sizes and hashes are checked before anything is written where it
would be found, and what could hold code is refused. What was unpacked is kept by the hash of the
zip, so that a run is unpacked once.
"""

import errno
import hashlib
import json
import os
import shutil
import stat
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import IO

from platformdirs import user_cache_path

from napari_tem_rf.records import RecordError, json_of, record_of
from napari_tem_rf.storage import StorageError, write_aside

__all__ = ["IMAGES", "ArchiveError", "is_run_archive", "is_unpacked", "pack_run", "unpacked"]

CACHE_VARIABLE = "TEM_RF_CACHE"
MANIFEST = "shared.json"
IMAGES = "images"
"""Folder of a run's images in a zip that has them."""

MOST_FILES = 10_000
LARGEST_UNPACKED = 16 * 2**30
"""Bytes of all files together, images included."""
_LARGEST = {
    MANIFEST: 4 * 2**20,
    "run.json": 16 * 2**20,
    "history.csv": 64 * 2**20,
    "README.md": 4 * 2**20,
    "weights.safetensors": 2 * 2**30,
}
"""Bytes of each of the files that a run consists of, unpacked."""
MOST_GAIN, _FREE_BYTES = 100, 2**20
"""A file beyond so many bytes that unpacks to more than so many times its size is no text."""
MOST_KEPT = 50
"""Runs that stay unpacked."""

_ANNOTATIONS = ("annotation", "counted")
_TIFF = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_PICKLES = {
    *(".pkl", ".pickle", ".pt", ".pth", ".ckpt", ".bin", ".joblib", ".dill", ".npz"),
    *(".py", ".pyc", ".so", ".dll", ".exe", ".sh", ".bat"),
}
_WINDOWS_REFUSES = frozenset('<>:"|?*')
_BLOCK = 2**20
_DAMAGED = (
    zipfile.BadZipFile,
    zlib.error,
    EOFError,
    NotImplementedError,
    RuntimeError,
    struct.error,
    UnicodeDecodeError,
)
"""What Python's zipfile says of one that is not whole."""


class ArchiveError(ValueError):
    """A zip is not opened as a run; the message is one sentence that says why."""


@dataclass(frozen=True, slots=True)
class PackedFile:
    """A file of a shared run: its size and hash."""

    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a zip of a run says of itself."""

    name: str
    files: dict[str, PackedFile]
    made_with: str = ""
    format: int = 1


def pack_run(out: Path, name: str, files: Mapping[str, bytes | Path], made_with: str = "") -> None:
    """Write a zip that `unpacked` takes.

    Parameters
    ----------
    out : Path
        The zip.
    name : str
        Name of the run.
    files : mapping of str to bytes or Path
        What it holds, by the name in the zip; a path is the file to copy.
    made_with : str
        Program and version.

    Raises
    ------
    ArchiveError
        When it would be too large to be opened again.
    """
    packed = {inside: PackedFile(*_size_and_hash(content)) for inside, content in files.items()}
    together = sum(file.bytes for file in packed.values())
    if together > LARGEST_UNPACKED or len(packed) >= MOST_FILES:
        raise ArchiveError(
            f"the run has {len(packed):,} files of {together:,} bytes in all, and at most "
            f"{MOST_FILES:,} of {LARGEST_UNPACKED:,} bytes go into a zip: share it without images"
        )
    manifest = Manifest(name, packed, made_with)
    text = json.dumps(asdict(manifest), indent=2) + "\n"
    with write_aside(out) as aside, zipfile.ZipFile(aside, "w", allowZip64=True) as archive:
        for inside, content in {MANIFEST: text.encode(), **files}.items():
            is_text = inside in _LARGEST and not inside.endswith(".safetensors")
            # the same run makes the same file: no times
            entry = zipfile.ZipInfo(inside)
            entry.external_attr = (stat.S_IFREG | 0o644) << 16
            # what is compressed already would not become smaller
            entry.compress_type = zipfile.ZIP_DEFLATED if is_text else zipfile.ZIP_STORED
            if isinstance(content, bytes):
                archive.writestr(entry, content)
                continue
            with content.open("rb") as source:
                entry.file_size = content.stat().st_size
                with archive.open(entry, "w") as target:
                    shutil.copyfileobj(source, target, _BLOCK)


def is_run_archive(path: Path) -> bool:
    """Return whether a file is a zip that looks like a run; nothing of it is checked or unpacked.

    One that somebody packed by hand is too: `unpacked` says what is missing in it.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            return any(
                name == MANIFEST or PurePosixPath(name).name == "run.json"
                for name in archive.namelist()
            )
    except (OSError, ValueError, zipfile.BadZipFile, NotImplementedError, RuntimeError):
        return False


def is_unpacked(folder: Path) -> bool:
    """Return whether a run's folder is one that a zip was unpacked to."""
    places = (_cache(), *(Path(each.name).resolve() for each in _PASSING))
    return any(place in folder.resolve().parents for place in places)


def unpacked(path: Path) -> Path:
    """Return the folder of the run in a zip; unpacked now, or before.

    Raises
    ------
    ArchiveError
        When the zip is damaged or holds anything but a run that this program shared.
    """
    status = path.stat()
    return _unpacked(path.resolve(), status.st_size, status.st_mtime_ns)


@lru_cache(maxsize=64)
def _unpacked(path: Path, _size: int, _time: int) -> Path:
    try:
        with path.open("rb") as file:
            key = hashlib.file_digest(file, "sha256").hexdigest()
            with zipfile.ZipFile(file) as archive:
                return _in_a_place(path, archive, key)
    except _DAMAGED as error:
        raise ArchiveError(f'"{path}" is a damaged zip ({error}): get it again') from error
    except OSError as error:
        # a place before the beginning of the file; other troubles are the disk's
        if error.errno != errno.EINVAL:
            raise
        raise ArchiveError(f'"{path}" is a damaged zip ({error}): get it again') from error


def _in_a_place(path: Path, archive: zipfile.ZipFile, key: str) -> Path:
    entries = _checked(path, archive)
    manifest = _manifest(path, archive, entries)
    for place in _places():
        folder = place / key[:32] / _folder_name(manifest.name)
        if _is_whole(folder, manifest):
            os.utime(folder.parent)
            return folder
        try:
            with write_aside(folder) as aside:
                aside.mkdir(parents=True)
                _unpack(path, archive, manifest, aside)
        except StorageError as error:
            trouble = error
            continue
        finally:
            # of what was refused no empty folder stays
            with suppress(OSError):
                folder.parent.rmdir()
        _forget_oldest(place)
        return folder
    raise trouble


# checking


def _checked(path: Path, archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    """Return the files of a zip, by name, once all names and sizes are such as a run has."""
    entries: dict[str, zipfile.ZipInfo] = {}
    listed = archive.infolist()
    if len(listed) > MOST_FILES:
        raise _refusal(path, f"it holds {len(listed):,} files, at most {MOST_FILES:,} are unpacked")
    names = {entry.filename for entry in listed}
    if MANIFEST not in names:
        what = (
            "it is a model of the BioImage Model Zoo, which other programs open"
            if "rdf.yaml" in names
            else f"it holds no {MANIFEST}, which says what it should hold"
        )
        raise _refusal(
            path, f"{what}: a run is shared as a run, in the window or on the command line"
        )
    for entry in listed:
        if trouble := _trouble_of(entry):
            raise _refusal(path, trouble)
        if entry.filename in entries:
            raise _refusal(path, f'it holds "{entry.filename}" twice')
        if not entry.is_dir():
            entries[entry.filename] = entry
    unpacked_bytes = sum(entry.file_size for entry in entries.values())
    if unpacked_bytes > LARGEST_UNPACKED:
        raise _refusal(
            path,
            f"it would unpack to {unpacked_bytes:,} bytes, at most {LARGEST_UNPACKED:,} are "
            "unpacked",
        )
    if sum(entry.compress_size for entry in entries.values()) > path.stat().st_size:
        raise _refusal(path, "its files overlap, as only those of a zip made to fill a disk do")
    return entries


def _trouble_of(entry: zipfile.ZipInfo) -> str:
    """Return why a file of a zip is not unpacked, as a part of a sentence; empty if it may be."""
    name = entry.orig_filename
    shown = f'"{_printable(name)}"'
    parts = PurePosixPath(name).parts, PureWindowsPath(name).parts
    is_absolute = PurePosixPath(name).is_absolute() or bool(PureWindowsPath(name).anchor)
    if is_absolute or any(".." in each for each in parts) or "\\" in name:
        return f"it holds {shown}, which would be written outside of the run's folder"
    kind = stat.S_IFMT(entry.external_attr >> 16)
    if kind not in (0, stat.S_IFREG, stat.S_IFDIR):
        return f"it holds {shown}, which is a link or a device and no file"
    # zipfile ends a name where it holds a zero, and asks for the last letter of what is left
    if not name.isprintable() or not entry.filename:
        return f"it holds {shown}, which is no file of a run"
    if entry.is_dir():
        return "" if name == f"{IMAGES}/" else f"it holds a folder {shown}, which no run has"
    suffix = PurePosixPath(name).suffix.lower()
    if suffix in _PICKLES:
        return f"it holds {shown}, which may hold code that runs when it is opened: no run has one"
    if not _is_of_a_run(name):
        return f"it holds {shown}, which is no file of a run"
    if entry.flag_bits & 1:
        return f"{shown} in it is encrypted: get it without a password"
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        return f"{shown} in it is compressed in a way that is not read"
    largest = _LARGEST.get(name, LARGEST_UNPACKED)
    if entry.file_size > largest:
        return f"{shown} would unpack to {entry.file_size:,} bytes, at most {largest:,} are read"
    if entry.file_size > max(_FREE_BYTES, MOST_GAIN * entry.compress_size):
        gain = entry.file_size // max(1, entry.compress_size)
        return f"{shown} would unpack to {gain:,} times its size, at most {MOST_GAIN} is believed"
    return ""


def _is_of_a_run(name: str) -> bool:
    folder, slash, inside = name.rpartition("/")
    if slash:
        # a colon would name a hidden stream of a file on Windows, which refuses the others
        is_plain = _WINDOWS_REFUSES.isdisjoint(inside)
        return folder == IMAGES and bool(inside) and is_plain and not inside.startswith(".")
    return name in _LARGEST or (name.startswith(_ANNOTATIONS) and name.endswith(".tif"))


def _manifest(
    path: Path, archive: zipfile.ZipFile, entries: Mapping[str, zipfile.ZipInfo]
) -> Manifest:
    try:
        with archive.open(entries[MANIFEST]) as file:
            manifest = record_of(Manifest, json_of(file.read(_LARGEST[MANIFEST])))
    except RecordError as error:
        raise _refusal(path, f"its {MANIFEST} is damaged ({error})") from error
    if manifest.format > 1:
        raise _refusal(path, "a newer version made it: update napari-tem-rf")
    there = entries.keys() - {MANIFEST}
    if missing := sorted(manifest.files.keys() - there):
        raise _refusal(path, f'"{_printable(missing[0])}" is missing in it')
    if more := sorted(there - manifest.files.keys()):
        raise _refusal(path, f'it holds "{more[0]}", of which its {MANIFEST} says nothing')
    for name, told in manifest.files.items():
        if told.bytes != entries[name].file_size:
            raise _refusal(
                path,
                f'"{name}" has {entries[name].file_size:,} bytes, but {told.bytes:,} when it was '
                "shared",
            )
    return manifest


def _unpack(path: Path, archive: zipfile.ZipFile, manifest: Manifest, folder: Path) -> None:
    """Write the files into a folder that nobody knows yet, and check what they hold on the way."""
    for name, told in manifest.files.items():
        target = folder / name
        target.parent.mkdir(exist_ok=True)
        digest, left = hashlib.sha256(), told.bytes
        try:
            opened = target.open("xb")
        except FileExistsError:
            raise _refusal(
                path,
                f'"{name}" in it differs from another name in small and capital letters alone, '
                "which are the same to this computer: share it without images",
            ) from None
        with archive.open(name) as source, opened as file:
            first = True
            while block := source.read(min(_BLOCK, left + 1)):
                left -= len(block)
                if left < 0:
                    raise _refusal(path, f'"{name}" is longer than it says')
                if first and (trouble := _trouble_inside(name, block, told.bytes)):
                    raise _refusal(path, trouble)
                first = False
                digest.update(block)
                file.write(block)
        if digest.hexdigest() != told.sha256:
            raise _refusal(
                path, f'"{name}" is not what was shared: its hash is another one; get it again'
            )
    (folder / MANIFEST).write_bytes(archive.read(MANIFEST))


def _trouble_inside(name: str, first: bytes, size: int) -> str:
    """Return why the beginning of a file is not that of one of its name; empty if it is."""
    if name == "weights.safetensors":
        header = int.from_bytes(first[:8], "little")
        if len(first) < 9 or header > size - 8 or first[8:9] != b"{":
            return f'"{name}" holds no weights but something else, perhaps a pickle'
    elif name.endswith(".tif") and not name.startswith(IMAGES) and first[:4] not in _TIFF:
        return f'"{name}" is no TIFF but something else'
    elif first[:1] == b"\x80" and first[1:2] in b"\x02\x03\x04\x05":
        return f'"{name}" is a pickle, which may hold code that runs when it is opened'
    return ""


def _refusal(path: Path, why: str) -> ArchiveError:
    return ArchiveError(f'"{path}" is not opened as a run: {why}')


def _printable(name: str) -> str:
    return "".join(
        each if each.isprintable() else each.encode("unicode_escape").decode() for each in name
    )[:200]


# where it is kept


def _is_whole(folder: Path, manifest: Manifest) -> bool:
    """Return whether a folder holds what a zip does; somebody may have changed it since."""
    try:
        return all(
            (folder / name).stat().st_size == told.bytes
            and _size_and_hash(folder / name)[1] == told.sha256
            for name, told in manifest.files.items()
        )
    except OSError:
        return False


def _places() -> Iterator[Path]:
    """Yield where runs are unpacked: the cache, or a folder that ends with this process."""
    yield _cache()
    if not _PASSING:
        _PASSING.append(tempfile.TemporaryDirectory(prefix="napari-tem-rf-"))
    yield Path(_PASSING[0].name).resolve()


def _cache() -> Path:
    named = os.environ.get(CACHE_VARIABLE)
    folder = Path(named) if named else user_cache_path("napari-tem-rf", False)
    return (folder / "shared_runs").resolve()


_PASSING: list[tempfile.TemporaryDirectory[str]] = []
"""Where runs are unpacked if the cache cannot be written to; removed when the process ends."""


def _forget_oldest(place: Path) -> None:
    """Remove the runs that were used longest ago, beyond `MOST_KEPT`."""
    try:
        kept = sorted((each for each in place.iterdir() if each.is_dir()), key=_time)
    except OSError:
        return
    for old in kept[:-MOST_KEPT]:
        shutil.rmtree(old, ignore_errors=True)


def _time(folder: Path) -> float:
    try:
        return folder.stat().st_mtime
    except OSError:
        return 0.0


def _folder_name(name: str) -> str:
    """Return a run's name as that of a folder, on every system; Windows' paths are short."""
    safe = "".join(each if each.isalnum() or each in "._- " else "_" for each in name)[:40]
    return safe.strip(" .") or "run"


def _size_and_hash(content: bytes | Path) -> tuple[int, str]:
    if isinstance(content, bytes):
        return len(content), hashlib.sha256(content).hexdigest()
    with content.open("rb") as file:
        return os.fstat(file.fileno()).st_size, _digest(file)


def _digest(file: IO[bytes]) -> str:
    digest = hashlib.sha256()
    while block := file.read(_BLOCK):
        digest.update(block)
    return digest.hexdigest()
