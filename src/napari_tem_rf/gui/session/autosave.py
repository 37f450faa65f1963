"""Annotations are saved while they are painted, so that a crash loses a minute at most.

Each annotation layer has a file of its own, ``annotation.<key>.autosave.npz`` in the folder of its
image; the key tells the image by its file and its pixels, whatever it is called. The file is locked
while its window is open, and one that somebody else wrote is never written over: a second window on
the same image takes ``annotation.<key>.2.autosave.npz``, and so on.
"""

import json
import os
import zipfile
from collections import deque
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from hashlib import sha256
from itertools import count
from math import ceil
from pathlib import Path
from threading import Lock as Mutex
from typing import Any
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image, Labels
from numpy.typing import NDArray
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.layers.layers import (
    frame_labels,
    image_shape,
    new_annotation,
    number_colors,
    source_of,
)
from napari_tem_rf.gui.layers.marks import AnnotationMark, note
from napari_tem_rf.gui.session.annotations import (
    belong,
    classes_of,
    frames_in,
    image_of,
    labels_are_in,
    meaning_of_layer,
    note_classes,
)
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.label_counts import label_counts
from napari_tem_rf.gui.session.preferences import preferences
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.locking import BusyError, Lock
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.protocol import LabelsAre, Unlabelled
from napari_tem_rf.runs import array_hash
from napari_tem_rf.storage import StorageError, write_aside

ENDING = ".autosave.npz"

FILE_BY_NAME = "annotation.autosave.npz"
"""Where version 0.1.0 saved the annotation of every image of a name."""

HASHED_PX = 4_000_000
"""Of a larger frame every second row, or fewer, tells one image from another."""


@dataclass(frozen=True, slots=True, eq=False)
class SavedAnnotation:
    """An annotation as it is saved: its painted frames only.

    Attributes
    ----------
    shape : tuple of int
        (row, column) or (frame, row, column).
    frames : ndarray of int, shape (painted frame,)
        Which frames are painted.
    planes : ndarray of int, shape (painted frame, row, column)
        Their labels.
    classes : Classes
    unlabelled : {"ignore", "background"}
    labels_are : {"auto", "classes", "particles"}
    """

    shape: tuple[int, ...]
    frames: NDArray[np.integer]
    planes: NDArray[np.integer]
    classes: Classes
    unlabelled: Unlabelled
    labels_are: LabelsAre = "auto"


def take(layer: Labels, unlabelled: Unlabelled) -> SavedAnnotation:
    """Return a copy of what is painted in a layer."""
    counts, shape = label_counts(layer), image_shape(layer)
    frames = frames_in(counts)
    planes = [frame_labels(layer, frame) for frame in frames]
    labels_are = labels_are_in(layer)
    meaning = meaning_of_layer(layer, unlabelled, labels_are, counts)
    return SavedAnnotation(
        shape=shape,
        frames=np.array(frames, np.int64),
        planes=np.array(planes) if planes else np.zeros((0, *shape[-2:]), np.uint8),
        classes=classes_of(layer, unlabelled, counts, numbered=meaning.numbered),
        unlabelled=unlabelled,
        labels_are="particles" if meaning.numbered else labels_are,
    )


def write(path: Path, saved: SavedAnnotation) -> None:
    """Write an annotation; the earlier file stays until the new one is whole."""
    words = {
        "shape": saved.shape,
        "values": saved.classes.values,
        "names": saved.classes.names,
        "colors": saved.classes.colors,
        "unlabelled": saved.unlabelled,
        "labels_are": saved.labels_are,
    }
    with write_aside(path) as aside, aside.open("wb") as file:
        np.savez_compressed(
            file,
            frames=saved.frames,
            planes=saved.planes,
            words=np.frombuffer(json.dumps(words).encode(), np.uint8),
        )


def read(path: Path) -> SavedAnnotation | None:
    """Return a saved annotation; None where there is none that can be read."""
    try:
        with path.open("rb") as whole, np.load(whole, allow_pickle=False) as file:
            words = json.loads(file["words"].tobytes())
            return SavedAnnotation(
                shape=tuple(words["shape"]),
                frames=file["frames"],
                planes=file["planes"],
                classes=Classes(
                    tuple(words["values"]), tuple(words["names"]), tuple(words["colors"])
                ),
                unlabelled=words["unlabelled"],
                labels_are=words.get("labels_are", "auto"),
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


class ImageKey:
    """What tells an image from all others: found out once, in the thread that asks first.

    Parameters
    ----------
    image : Image
        It is looked at when the key is asked for, and not held.
    """

    def __init__(self, image: Image) -> None:
        self.data = image.data
        self._base = image.data[0] if image.multiscale else image.data
        self._shape = image_shape(image)
        self._source = source_of(image)
        self._key = ""
        self._mutex = Mutex()

    def __call__(self) -> str:
        """Return the key: of the path of the file, and of pixels."""
        with self._mutex:
            if not self._key:
                self._key = image_key(self._base, self._shape, self._source)
        return self._key


def image_key(data: Any, shape: Sequence[int], source: Path | None) -> str:
    """Return the key of an image: 12 hexadecimal digits.

    The pixels are those of the frame, or of the first, the middle and the last of a series, so that
    several images in one file are told apart, and those that a script made; frames of more than
    `HASHED_PX` are thinned. Pixels that cannot be read do not count.

    Parameters
    ----------
    data : array_like
        Pixels, by frames for a series.
    shape : sequence of int
        (row, column) or (frame, row, column).
    source : Path, optional
        File that it was read from.
    """
    path = "" if source is None else os.path.normcase(source.absolute().resolve())
    digest = sha256(f"{path!r}{tuple(shape)}".encode())
    frames = sorted({0, shape[0] // 2, shape[0] - 1}) if len(shape) == 3 else [...]
    try:
        for frame in frames:
            plane = np.asarray(data[frame])
            step = max(1, ceil(plane.size / HASHED_PX))
            digest.update(array_hash(plane[::step]).encode())
    except Exception:
        # whatever a lazy image fails with, what was painted on it is saved
        digest.update(b"no pixels")
    return digest.hexdigest()[:12]


def saved_files(runs_folder: Path, key: str) -> tuple[Path, ...]:
    """Return the saved annotations of an image, whatever it was called then, the newest first."""
    found = []
    for path in runs_folder.glob(f"*/annotation.{key}*{ENDING}"):
        with suppress(OSError):  # gone since
            found.append((path.stat().st_mtime_ns, path))
    return tuple(path for _, path in sorted(found, reverse=True))


@dataclass(frozen=True, slots=True)
class Offer:
    """A saved annotation that can be taken back.

    Attributes
    ----------
    path : Path
    saved_at : datetime
    by_name : bool
        Whether it is of version 0.1.0, which kept images of one name in one place: it may be of
        another image of that name and shape.
    others : tuple of Path
        Other saved annotations of the image; they stay.
    """

    path: Path
    saved_at: datetime
    by_name: bool = False
    others: tuple[Path, ...] = ()


def find_offer(
    runs_folder: Path, image_folder: Path, key: str, shape: tuple[int, ...]
) -> Offer | None:
    """Return the newest saved annotation of an image that can be read and fits it.

    One that version 0.1.0 left in the folder of the image's name comes last.
    """
    files = saved_files(runs_folder, key)
    for path in (*files, image_folder / FILE_BY_NAME):
        saved = read(path)
        if saved is not None and saved.shape == shape:
            with suppress(OSError):
                return Offer(
                    path,
                    datetime.fromtimestamp(path.stat().st_mtime),
                    by_name=path not in files,
                    others=tuple(other for other in files if other != path),
                )
    return None


def claim_file(folder: Path, key: str) -> Lock:
    """Return a file for an annotation that is not there yet, locked.

    Raises
    ------
    StorageError
        When the folder cannot be written to.
    """
    for number in count(1):
        path = folder / f"annotation.{key}{'' if number == 1 else f'.{number}'}{ENDING}"
        lock = Lock(path, "painting", is_folder=False)
        if path.exists():
            continue
        try:
            lock.acquire()
        except BusyError:
            continue
        if not path.exists():  # or its owner has written it and ended, between
            return lock
        lock.release()
    raise AssertionError("there is always another number")


class _Place:
    """The file of one annotation layer; nobody else writes to it while it is held.

    Parameters
    ----------
    runs_folder : Path
    folder : Path
        Where to make the file.
    key : ImageKey
    lock : Lock, optional
        The lock of a file that is written on; without it one is made when it is needed.
    """

    def __init__(
        self, runs_folder: Path, folder: Path, key: ImageKey, lock: Lock | None = None
    ) -> None:
        self.runs_folder = runs_folder
        self._folder = folder
        self._key = key
        self._lock = lock
        self._mutex = Mutex()
        # the newest alone: it is put in by the window and taken out by a thread
        self._due: deque[SavedAnnotation] = deque(maxlen=1)

    def keep(self, saved: SavedAnnotation) -> None:
        """Take what is to be written next; what was to be written before is outdated."""
        self._due.append(saved)

    def write(self) -> None:
        """Write what is due; waits for another thread that writes."""
        with self._mutex:
            try:
                saved = self._due.pop()
            except IndexError:
                return
            try:
                if self._lock is None:
                    self._lock = claim_file(self._folder, self._key())
                write(self._lock.path, saved)
            except OSError:
                # saving once more is an extra: painting must not stop because a disk is full; a
                # training saves the annotation too, and says so when it cannot
                if not self._due:
                    self._due.append(saved)

    def release(self) -> None:
        """Let others have the file."""
        with self._mutex:
            if self._lock is not None:
                self._lock.release()
            self._lock = None


def _write(place: _Place, *_: object) -> None:
    place.write()


class Autosave:
    """Saves the annotations of a session some time after they were painted, and at its end.

    The time is that of napari's Preferences, a minute by itself.

    Signals
    -------
    offered()
        What `offer` returns is another one.
    """

    offered = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._changed: dict[Labels, Unlabelled] = {}
        self._keys: WeakKeyDictionary[Image, ImageKey] = WeakKeyDictionary()
        self._places: WeakKeyDictionary[Labels, _Place] = WeakKeyDictionary()
        self._offer: Offer | None = None
        self._elsewhere: WeakSet[Image] = WeakSet()
        self._latest = Latest()
        self._is_closed = False
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(1000 * preferences().autosave_seconds)
        self._timer.timeout.connect(self.save)
        session.on(lambda now: now.edits, self._on_edited)
        session.on(
            lambda now: (now.choices.image, now.choices.annotation, now.choices.runs_folder),
            self._on_chosen,
        )
        session.closed.connect(self._on_closed)

    # saving

    def _on_edited(self, now: Situation) -> None:
        layer = now.choices.annotation
        if layer is not None:
            self._changed[layer] = now.choices.unlabelled
        if not self._timer.isActive():
            self._timer.start()

    def save(self) -> None:
        """Save what was painted since the last time, in the background."""
        for place in self._taken():
            run_in_thread(partial(_write, place), self._on_saved, self._on_saved)

    def _on_saved(self, _result: object) -> None:
        if not self._is_closed:
            self._look()

    def _on_closed(self) -> None:
        self._is_closed = True
        self._latest.drop()
        with suppress(RuntimeError):  # Qt may have deleted it: what was painted is saved still
            self._timer.stop()
        self._taken()
        for place in self._places.values():
            place.write()
            place.release()

    def _taken(self) -> list[_Place]:
        """Copy what was painted, and return the places that it is to be written to."""
        taken = []
        for layer, unlabelled in self._changed.items():
            place = self._place(layer) if layer in self._session.viewer.layers else None
            if place is not None:
                saved = take(layer, unlabelled)
                if len(saved.frames):
                    place.keep(saved)
                    taken.append(place)
        self._changed.clear()
        return taken

    def _place(self, layer: Labels) -> _Place | None:
        place, runs_folder = self._places.get(layer), self._session.runs_folder
        if place is not None and place.runs_folder == runs_folder:
            return place
        image = image_of(layer, self._session.images)
        if image is None:
            return place
        if place is not None:
            place.release()
        folder = self._session.image_folder(image)
        self._places[layer] = _Place(runs_folder, folder, self.key(image))
        return self._places[layer]

    def key(self, image: Image) -> ImageKey:
        """Return what the saved annotations of an image are found by; call it in a thread."""
        key = self._keys.get(image)
        if key is None or key.data is not image.data:
            key = self._keys[image] = ImageKey(image)
        return key

    # taking back

    def offer(self) -> Offer | None:
        """Return the saved annotation of the chosen image, if there is one to take back.

        It is looked for in a thread; `offered` says when it was found.
        """
        if not self._is_wanted or self._session.image in self._elsewhere:
            return None
        return self._offer

    def is_offered_elsewhere(self, images: Iterable[Image]) -> None:
        """Offer nothing of these images: somebody else does, with all that was done on them."""
        self._elsewhere = WeakSet(images)
        self.offered.emit()

    @property
    def _is_wanted(self) -> bool:
        return self._session.image is not None and self._session.annotation is None

    def _on_chosen(self, _now: Situation) -> None:
        self._offer = None
        self._look()

    def _look(self) -> None:
        request, image = self._latest.ask(), self._session.image
        if image is None or not self._is_wanted:
            return
        key, shape = self.key(image), image_shape(image)
        folders = self._session.runs_folder, self._session.image_folder(image)
        work = run_in_thread(
            lambda _stopped, _say: find_offer(*folders, key(), shape),
            request.only(self._on_found),
            request.only(lambda _trouble: self._on_found(None)),
        )
        request.holds(work)

    def _on_found(self, offer: Offer | None) -> None:
        if offer != self._offer:
            self._offer = offer
            self.offered.emit()

    def restore(self) -> str:
        """Add the saved annotation that is offered as a layer; returns why not."""
        image, offer = self._session.image, self.offer()
        if image is None:
            return "No image is chosen: open it first."
        if offer is None:
            return "No annotation of this image was saved: paint a new one."
        return self.take_back(image, offer)

    def take_back(self, image: Image, offer: Offer) -> str:
        """Add a saved annotation of an image as a layer, and choose it; returns why not."""
        # one that another window paints is copied, and then saved beside
        lock = None if offer.by_name else self._locked(offer.path)
        saved = read(offer.path)
        if saved is None or saved.shape != image_shape(image):
            if lock is not None:
                lock.release()
            return f'"{offer.path}" cannot be read any more: paint a new annotation.'
        layer = new_annotation(image, saved.classes, f"{image.name}: strokes")
        data: Any = layer.data
        if data.ndim == 3:
            data[saved.frames] = saved.planes
        elif len(saved.planes):
            data[:] = saved.planes[0]
        if lock is not None:
            # it is in the window again, and saved from there
            runs_folder, folder = self._session.runs_folder, offer.path.parent
            self._places[layer] = _Place(runs_folder, folder, self.key(image), lock)
        note_classes(layer, saved.classes, saved.unlabelled)
        if saved.labels_are == "particles":
            note(layer, AnnotationMark, labels_are="particles")
            layer.colormap = number_colors()
        belong(layer, image)
        self._session.viewer.add_layer(layer)
        self._session.annotation = layer
        return ""

    def _locked(self, path: Path) -> Lock | None:
        for layer, place in list(self._places.items()):
            if layer not in self._session.viewer.layers:  # its file can be written on by another
                place.release()
                del self._places[layer]
        try:
            return Lock(path, "painting", is_folder=False).acquire()
        except (BusyError, StorageError):
            return None
