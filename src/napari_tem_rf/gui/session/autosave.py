"""Annotations are saved while they are painted, so that a crash loses a minute at most."""

import json
import zipfile
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from shutil import copy2
from typing import Any

import numpy as np
from napari.layers import Image, Labels
from napari.qt.threading import create_worker
from numpy.typing import NDArray
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.layers.layers import frame_labels, image_shape, new_annotation
from napari_tem_rf.gui.session.annotations import (
    belong,
    classes_of,
    frames_in,
    image_of,
    note_classes,
)
from napari_tem_rf.gui.session.label_counts import label_counts
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.protocol import Unlabelled
from napari_tem_rf.storage import write_aside

PERIOD_MS = 60_000
FILE = "annotation.autosave.npz"


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
    """

    shape: tuple[int, ...]
    frames: NDArray[np.integer]
    planes: NDArray[np.integer]
    classes: Classes
    unlabelled: Unlabelled


def take(layer: Labels, unlabelled: Unlabelled) -> SavedAnnotation:
    """Return a copy of what is painted in a layer."""
    counts, shape = label_counts(layer), image_shape(layer)
    frames = frames_in(counts)
    planes = [frame_labels(layer, frame) for frame in frames]
    return SavedAnnotation(
        shape=shape,
        frames=np.array(frames, np.int64),
        planes=np.array(planes) if planes else np.zeros((0, *shape[-2:]), np.uint8),
        classes=classes_of(layer, unlabelled, counts),
        unlabelled=unlabelled,
    )


def write(path: Path, saved: SavedAnnotation) -> None:
    """Write an annotation; the earlier file stays until the new one is whole."""
    words = {
        "shape": saved.shape,
        "values": saved.classes.values,
        "names": saved.classes.names,
        "colors": saved.classes.colors,
        "unlabelled": saved.unlabelled,
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
            )
    except (OSError, ValueError, KeyError, TypeError, zipfile.BadZipFile):
        return None


class Autosave:
    """Saves the annotations of a session a minute after they were painted, and at its end."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._changed: list[Labels] = []
        self._ours: set[Path] = set()
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PERIOD_MS)
        self._timer.timeout.connect(self.save)
        session.on(lambda now: now.edits, self._on_edited)
        session.closed.connect(self._on_closed)

    def _on_edited(self, now: Situation) -> None:
        layer = now.choices.annotation
        if layer is not None and layer not in self._changed:
            self._changed.append(layer)
        if not self._timer.isActive():
            self._timer.start()

    def save(self) -> None:
        """Save what was painted since the last time, in the background."""
        for path, saved in self._taken():
            create_worker(_write_quietly, path, saved, _start_thread=True)

    def _on_closed(self) -> None:
        with suppress(RuntimeError):  # Qt may have deleted it: what was painted is saved still
            self._timer.stop()
        for path, saved in self._taken():
            _write_quietly(path, saved)

    def _taken(self) -> list[tuple[Path, SavedAnnotation]]:
        images = self._session.images
        taken = []
        for layer in self._changed:
            image = image_of(layer, images)
            if image is not None and layer in self._session.viewer.layers:
                saved = take(layer, self._session.unlabelled)
                if len(saved.frames):
                    path = self.path(image)
                    self._keep_earlier(path)
                    taken.append((path, saved))
        self._changed.clear()
        return taken

    def _keep_earlier(self, path: Path) -> None:
        """Keep a copy of what an earlier session, or an image of the same name, has saved here."""
        if path in self._ours:
            return
        self._ours.add(path)
        with suppress(OSError):
            saved_at = datetime.fromtimestamp(path.stat().st_mtime)
            copy2(path, path.with_name(f"annotation.{saved_at:%Y-%m-%d_%H-%M-%S}.npz"))

    def path(self, image: Image) -> Path:
        """Return where the annotation of an image is saved."""
        return self._session.image_folder(image) / FILE

    def offer(self) -> datetime | None:
        """Return when an annotation of the chosen image was saved, if it could be taken back."""
        image = self._session.image
        if image is None or self._session.annotation is not None:
            return None
        path = self.path(image)
        return datetime.fromtimestamp(path.stat().st_mtime) if path.is_file() else None

    def restore(self) -> str:
        """Add the saved annotation of the chosen image as a layer; returns why not."""
        image = self._session.image
        if image is None:
            return "No image is chosen: open it first."
        saved = read(self.path(image))
        if saved is None:
            return f'"{self.path(image)}" cannot be read: paint a new annotation.'
        if saved.shape != image_shape(image):
            sides = " x ".join(map(str, saved.shape))
            return f"The saved annotation is {sides}, not as the image: it is of another image."
        layer = new_annotation(image, saved.classes, f"{image.name}: strokes")
        data: Any = layer.data
        if data.ndim == 3:
            data[saved.frames] = saved.planes
        elif len(saved.planes):
            data[:] = saved.planes[0]
        # it is in the window again, and saved from there
        self._ours.add(self.path(image))
        note_classes(layer, saved.classes, saved.unlabelled)
        belong(layer, image)
        self._session.viewer.add_layer(layer)
        self._session.annotation = layer
        return ""


def _write_quietly(path: Path, saved: SavedAnnotation) -> None:
    try:
        write(path, saved)
    except OSError:
        # saving once more is an extra: painting must not stop because a disk is full; a training
        # saves the annotation too, and says so when it cannot
        return
