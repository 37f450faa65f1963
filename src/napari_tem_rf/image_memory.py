"""What the program remembers of each image: pixel size, network, classes, strokes and runs.

One small JSON file an image in ``images`` beside the settings, under the key that tells the image
by its file and its pixels. Two windows never write one file at once, what one of them remembered
stays when the other writes, and of more than `MOST_IMAGES` images the oldest are forgotten. Nothing
in it is needed, and nothing in it is the only copy of anything: strokes and runs have files of
their own, which forgetting leaves alone.
"""

import json
import re
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from napari_tem_rf.locking import Lock, wait_for
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Unlabelled
from napari_tem_rf.records import LONGEST_TEXT, RecordError, read_json, record_of
from napari_tem_rf.run_record import check_classes
from napari_tem_rf.settings import settings_file
from napari_tem_rf.storage import write_text

__all__ = [
    "MOST_IMAGES",
    "RememberedImage",
    "forget_images",
    "keep",
    "memory_folder",
    "recall",
    "remembered_images",
]

MOST_IMAGES = 500
"""So many images are remembered; those that were worked on longest ago are forgotten."""

MOST_RUNS = 20
"""So many runs are remembered of an image, the newest."""

LARGEST_BYTES = 2**18
"""No file of the memory is longer: a longer one is somebody else's, and is not read."""

_LARGEST_PIXEL_NM = 1e9
_WAIT_SECONDS = 5.0
_KEY = re.compile(r"[0-9a-f]{12}")


@dataclass(frozen=True, slots=True, kw_only=True)
class RememberedImage:
    """What is remembered of an image.

    Attributes
    ----------
    name : str
        The image's name then.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel; None where it was not known.
    spec : NetworkSpec, optional
        The network that was picked last, for two classes.
    classes : Classes, optional
        Values, names and colours of its classes.
    unlabelled : {"ignore", "background"}
        What zeros of its annotation meant.
    strokes_px : int
        How many pixels were painted.
    runs_folder : str
        Where runs and saved annotations were kept.
    runs : tuple of str
        Folders of the runs that were trained from it or used on it, the newest last.
    """

    name: str
    pixel_size_nm: tuple[float, float] | None = None
    spec: NetworkSpec | None = None
    classes: Classes | None = None
    unlabelled: Unlabelled = "ignore"
    strokes_px: int = 0
    runs_folder: str = ""
    runs: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.pixel_size_nm is not None and not all(
            0 < size < _LARGEST_PIXEL_NM for size in self.pixel_size_nm
        ):
            raise ValueError(f"pixel_size_nm is {self.pixel_size_nm}: it must be above 0")
        if self.strokes_px < 0:
            raise ValueError(f"strokes_px is {self.strokes_px}: it must be 0 or more")
        if self.classes is not None:
            check_classes(self.classes)
        for text in (self.name, self.runs_folder, *self.runs):
            if len(text) > LONGEST_TEXT or "\0" in text:
                raise ValueError(f"{text!r:.100} is not a name or a path")

    def and_then(self, later: "RememberedImage") -> "RememberedImage":
        """Return what is remembered after more was learned: what is not said anew stays."""
        runs = [run for run in self.runs if run not in later.runs]
        return replace(
            later,
            pixel_size_nm=later.pixel_size_nm or self.pixel_size_nm,
            spec=later.spec or self.spec,
            classes=later.classes or self.classes,
            unlabelled=self.unlabelled if later.classes is None else later.unlabelled,
            strokes_px=later.strokes_px or self.strokes_px,
            runs_folder=later.runs_folder or self.runs_folder,
            runs=(*runs, *later.runs)[-MOST_RUNS:],
        )


def memory_folder() -> Path:
    """Return the folder of the memory; it need not exist."""
    return settings_file().parent / "images"


def recall(key: str) -> RememberedImage | None:
    """Return what is remembered of an image; None for nothing, and where its file is damaged."""
    values = _read(_path(key))
    try:
        return record_of(RememberedImage, _known(values)) if values else None
    except RecordError:
        return None


def keep(key: str, image: RememberedImage) -> None:
    """Remember an image, beside what is remembered of it already; not for the window's thread.

    Raises
    ------
    StorageError
        When it cannot be written.
    """
    path = _path(key)
    until = time.monotonic() + _WAIT_SECONDS
    lock = Lock(path, "remembering", is_folder=False)
    if not wait_for(lock, lambda: time.monotonic() > until):
        return
    with lock:
        earlier = recall(key)
        image = image if earlier is None else earlier.and_then(image)
        # what a newer version wrote there stays
        values = {**_read(path), **asdict(image)}
        write_text(path, json.dumps(values, indent=1) + "\n")
    _forget_oldest()


def remembered_images() -> int:
    """Return how many images are remembered."""
    return len(_files())


def forget_images() -> int:
    """Forget all images and return how many; strokes, runs and images stay where they are."""
    forgotten = 0
    for path in _files():
        with suppress(OSError):
            path.unlink()
            forgotten += 1
    return forgotten


def _path(key: str) -> Path:
    if _KEY.fullmatch(key) is None:
        raise ValueError(f"{key!r:.50} is not the key of an image")
    return memory_folder() / f"{key}.json"


def _files() -> list[Path]:
    """Return the files of the memory, and nothing else that may lie there."""
    with suppress(OSError):
        return [path for path in memory_folder().glob("*.json") if _KEY.fullmatch(path.stem)]
    return []


def _forget_oldest() -> None:
    files = _files()
    if len(files) <= MOST_IMAGES:
        return
    dated = []
    for path in files:
        with suppress(OSError):  # forgotten by another window, between
            dated.append((path.stat().st_mtime_ns, path))
    for _, path in sorted(dated)[: len(files) - MOST_IMAGES]:
        with suppress(OSError):
            path.unlink()


def _read(path: Path) -> dict[str, Any]:
    try:
        values = read_json(path, LARGEST_BYTES)
    except RecordError:
        return {}
    return values if isinstance(values, dict) else {}


def _known(values: dict[str, Any]) -> dict[str, Any]:
    names = {each.name for each in fields(RememberedImage)}
    return {name: value for name, value in values.items() if name in names}
