"""What was done on the images in the viewer the last time they were open, and its way back.

While a session works on an image, what the user did is remembered (`image_memory`) a moment later:
pixel size, network, classes, strokes and runs. When the image is opened again it is looked up in a
thread, along with saved strokes and runs that nobody noted, and offered; `LastTime.bring_back` puts
it back, and without it everything stays in its files.
"""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from weakref import WeakKeyDictionary, WeakSet

import numpy as np
from napari.layers import Image, Labels
from psygnal import Signal
from qtpy.QtCore import QTimer

from napari_tem_rf.gui.layers.layers import (
    image_shape,
    pixel_size_nm,
    set_pixel_size_nm,
    source_of,
)
from napari_tem_rf.gui.session.annotations import (
    image_of,
    note_classes,
    start_annotation,
)
from napari_tem_rf.gui.session.autosave import Autosave, ImageKey, Offer, find_offer, read
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.choices import Choices, TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.image_memory import RememberedImage, keep, recall
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import Unlabelled
from napari_tem_rf.runs import WEIGHTS, Run, RunError, read_run

__all__ = ["FoundWork", "LastTime", "find_runs"]

PERIOD_MS = 2_000
"""After so long what the user did is remembered."""

MOST_FOLDERS = 50
"""So many of the newest folders of an image are looked at for runs that nobody noted."""

PixelSize = tuple[float, float] | None


@dataclass(frozen=True, slots=True, eq=False)
class FoundWork:
    """What was found of one image.

    Attributes
    ----------
    image : Image
    memory : RememberedImage, optional
    strokes : Offer, optional
        Its saved annotation.
    strokes_px : int
        Pixels painted in it.
    runs : tuple of TrainedRun
        The newest last.
    """

    image: Image
    memory: RememberedImage | None
    strokes: Offer | None
    strokes_px: int
    runs: tuple[TrainedRun, ...]

    @property
    def when(self) -> datetime | None:
        """When its strokes were saved last."""
        return None if self.strokes is None else self.strokes.saved_at

    @property
    def pixel_size_nm(self) -> PixelSize:
        """The remembered pixel size."""
        return None if self.memory is None else self.memory.pixel_size_nm

    @property
    def spec(self) -> NetworkSpec | None:
        """The network picked last, or that of the newest run."""
        if self.memory is not None and self.memory.spec is not None:
            return self.memory.spec
        specs = [run.spec for run in self.runs if run.spec is not None]
        return specs[-1].with_classes(2) if specs else None

    def is_worth_saying(self, choices: Choices) -> bool:
        """Whether it would change anything: a network alone that is picked already does not."""
        size = self.pixel_size_nm
        return bool(
            self.strokes_px
            or self.runs
            or (size is not None and size != pixel_size_nm(self.image))
            or (self.spec is not None and self.spec != choices.spec)
            or (self.memory is not None and self.memory.classes is not None)
        )


@dataclass(frozen=True, slots=True)
class _Wanted:
    """Where to look for what is known of an image; taken from the layer in the window's thread."""

    image: Image
    key: ImageKey
    shape: tuple[int, ...]
    source: Path | None
    runs_folder: Path
    folder: Path


class LastTime:
    """Remembers what is done on the images of a session, and offers what was done before.

    Signals
    -------
    changed()
        `found` or `answer` is another one.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._autosave = session.part(Autosave)
        self._found: dict[Image, FoundWork] = {}
        self._brought: tuple[FoundWork, ...] = ()
        self._looked: WeakSet[Image] = WeakSet()
        self._waiting: list[Image] = []
        self._sizes: WeakKeyDictionary[Image, PixelSize] = WeakKeyDictionary()
        self._touched: WeakSet[Labels] = WeakSet()
        self._due: dict[Image, None] = {}
        self._is_closed = False
        self._latest = Latest()
        self.answer = ""
        """"continued" or "fresh" once the user answered; empty before."""
        self._timer = QTimer()
        self._timer.setSingleShot(True)
        self._timer.setInterval(PERIOD_MS)
        self._timer.timeout.connect(self.remember)
        self.changed.connect(self._tell_autosave)
        session.changed.connect(self._on_changed)
        session.closed.connect(self._on_closed)
        self._look(session.situation)

    # looking

    @property
    def found(self) -> tuple[FoundWork, ...]:
        """What was found of the images in the viewer and not answered yet."""
        choices = self._session.situation.choices
        return tuple(each for each in self._found.values() if each.is_worth_saying(choices))

    @property
    def declined(self) -> tuple[FoundWork, ...]:
        """What the user did without, as long as its images are there."""
        images = self._session.images
        return tuple(each for each in self._brought if each.image in images)

    def _tell_autosave(self) -> None:
        """Have strokes offered in one place."""
        images = (each.image for each in (*self.found, *self.declined) if each.strokes_px)
        self._autosave.is_offered_elsewhere(images)

    def _look(self, now: Situation) -> None:
        gone = [image for image in self._found if image not in now.scene.images]
        for image in gone:
            del self._found[image]
        new = [image for image in now.scene.images if image not in self._looked]
        if gone:
            self.changed.emit()
        if not new:
            return
        wanted = [
            _Wanted(
                image,
                self._autosave.key(image),
                image_shape(image),
                source_of(image),
                self._session.runs_folder,
                self._session.image_folder(image),
            )
            for image in now.scene.images
            if image in new or image in self._waiting
        ]
        self._waiting = [each.image for each in wanted]
        self._looked.update(new)
        request = self._latest.ask()
        work = run_in_thread(
            lambda stopped, _say: _find(wanted, stopped),
            request.only(self._on_found),
            request.only(lambda _trouble: self._on_found([])),
        )
        request.holds(work)

    def _on_found(self, found: list[FoundWork]) -> None:
        self._waiting = []
        if self._is_closed:
            return
        images = self._session.images
        for each in found:
            if each.image in images:
                self._found[each.image] = each
        if self.found:
            self.answer = ""
        self.changed.emit()

    # answering

    def bring_back(self) -> str:
        """Put what was found, or what was declined before, back; returns what could not be."""
        found = self.found or self.declined
        session, troubles = self._session, []
        chosen = session.image
        for each in found:
            if each.image not in session.images:
                continue
            self._calibrate(each)
            troubles.append(self._annotate(each))
        runs = {run.folder: run for each in found for run in each.runs}
        for run in runs.values():
            session.add_run(run)
        main = next((each for each in found if each.image is chosen), found[0] if found else None)
        if main is not None and main.spec is not None:
            session.spec = main.spec
        if runs:
            last = (main.runs if main is not None and main.runs else tuple(runs.values()))[-1]
            session.choose(run=last, start=last.folder)
        if chosen is not None and chosen in session.images:
            session.image = chosen
        self._found.clear()
        self._brought = ()
        self.answer = "continued"
        self.changed.emit()
        return " ".join(trouble for trouble in troubles if trouble)

    def start_fresh(self) -> None:
        """Leave what was found where it is."""
        self._brought = self.found
        self._found.clear()
        self.answer = "fresh"
        self.changed.emit()

    def _calibrate(self, found: FoundWork) -> None:
        image, size = found.image, found.pixel_size_nm
        if size is None or size == pixel_size_nm(image):
            return
        images = self._session.images
        for layer in list(self._session.viewer.layers):
            if layer is image or image_of(layer, images) is image:
                set_pixel_size_nm(layer, size)
        self._session.viewer.reset_view()
        self._session.refresh()

    def _annotate(self, found: FoundWork) -> str:
        session, image, memory = self._session, found.image, found.memory
        if found.strokes is None and (memory is None or memory.classes is None):
            return ""
        images = session.images
        for layer in session.situation.scene.annotations:
            # what a sample brings along is there again whenever the sample is
            is_samples = layer.source.sample is not None and layer not in self._touched
            if is_samples and image_of(layer, images) is image:
                session.viewer.layers.remove(layer)
        if found.strokes is not None:
            trouble = self._autosave.take_back(image, found.strokes)
            if not trouble and session.annotation is not None:
                self._touched.add(session.annotation)
            return trouble
        assert memory is not None
        assert memory.classes is not None
        own = [each for each in session.situation.scene.annotations if image_of(each, images)]
        if not any(image_of(each, images) is image for each in own):
            taken = [layer.name for layer in session.viewer.layers]
            layer = start_annotation(image, memory.unlabelled, taken)
            note_classes(layer, memory.classes, memory.unlabelled)
            session.viewer.add_layer(layer)
        return ""

    # remembering

    def _on_changed(self, before: Situation, after: Situation) -> None:
        if self._is_closed:
            return
        if before.scene.images != after.scene.images:
            self._look(after)
        for image in self._changed_images(before, after):
            self._due[image] = None
        if self._due and not self._timer.isActive():
            self._timer.start()

    def _changed_images(self, before: Situation, after: Situation) -> set[Image]:
        """Return the images on which the user did something that is worth remembering."""
        old, new, scene = before.choices, after.choices, after.scene
        changed: set[Image] = set()
        layer = new.annotation
        if layer is not None and layer is old.annotation:
            meant = (after.scene.classes, new.unlabelled)
            is_painted = after.edits != before.edits
            if is_painted or meant != (before.scene.classes, old.unlabelled):
                self._touched.add(layer)
                image = image_of(layer, scene.images) or new.image
                changed |= {image} if image is not None else set()
        if new.image is not None and new.image is old.image and new.spec != old.spec:
            changed.add(new.image)
        if new.runs != old.runs or new.run is not old.run:
            changed |= {each.pair.image for each in scene.annotated}
            changed |= {new.image} if new.image is not None else set()
        if before.scene is not after.scene:
            for image in scene.images:
                size = pixel_size_nm(image)
                if self._sizes.setdefault(image, size) != size:
                    self._sizes[image] = size
                    changed.add(image)
        return changed & set(scene.images)

    def remember(self) -> None:
        """Remember what was done since the last time, in the background."""
        entries = self._taken()
        if entries:
            run_in_thread(lambda _stopped, _say: _keep(entries), _ignore, _ignore)

    def _taken(self) -> list[tuple[ImageKey, RememberedImage]]:
        due = [image for image in self._due if image in self._session.viewer.layers]
        self._due.clear()
        return [(self._autosave.key(image), self._entry(image)) for image in due]

    def _entry(self, image: Image) -> RememberedImage:
        now = self._session.situation
        strokes_px, classes, unlabelled = self._painted(image, now)
        is_worked_on = image is now.choices.image or strokes_px > 0
        runs = [str(run.folder) for run in now.choices.runs]
        if now.choices.run is not None:
            last = str(now.choices.run.folder)
            runs = [*(run for run in runs if run != last), last]
        return RememberedImage(
            name=str(image.name),
            pixel_size_nm=pixel_size_nm(image),
            spec=now.choices.spec if is_worked_on else None,
            classes=classes,
            unlabelled=unlabelled,
            strokes_px=strokes_px,
            runs_folder=str(now.choices.runs_folder),
            runs=tuple(runs) if is_worked_on else (),
        )

    def _painted(self, image: Image, now: Situation) -> tuple[int, Classes | None, Unlabelled]:
        """Return how much the user painted on an image, and with which classes."""
        for each in now.scene.annotated:
            if each.pair.image is image and each.pair.labels in self._touched:
                layer = each.pair.labels
                is_chosen = layer is now.choices.annotation
                classes = now.scene.classes if is_chosen else None
                return sum(each.pixels), classes, now.choices.unlabelled
        return 0, None, "ignore"

    def _on_closed(self) -> None:
        self._is_closed = True
        self._latest.drop()
        with suppress(RuntimeError):  # Qt may have deleted it
            self._timer.stop()
        with suppress(OSError):
            _keep(self._taken())


def find_runs(noted: Sequence[str], folder: Path, source: Path | None) -> tuple[TrainedRun, ...]:
    """Return the runs of an image that can be used, the oldest first.

    Those that were noted, and those in the image's folder that were trained from its file.

    Parameters
    ----------
    noted : sequence of str
        Folders that the memory names.
    folder : Path
        The folder in which the runs of images of that name are kept.
    source : Path, optional
        The image's file; without one only noted runs are its own.
    """
    found: dict[Path, Run] = {}
    for each in noted:
        run = _usable(Path(each))
        if run is not None:
            found[run.folder] = run
    if source is not None:
        with suppress(OSError):
            inside = sorted((each for each in folder.iterdir() if each.is_dir()), reverse=True)
            for path in inside[:MOST_FOLDERS]:
                run = None if path in found else _usable(path)
                if run is not None and any(
                    entry.source == str(source) for entry in run.record.data
                ):
                    found[run.folder] = run
    order = {Path(each): place for place, each in enumerate(noted)}
    # what was noted comes last: its last one is the one that was used last
    runs = sorted(found.values(), key=lambda run: (order.get(run.folder, -1), run.folder.name))
    return tuple(TrainedRun(run.folder, run.record) for run in runs)


def _usable(folder: Path) -> Run | None:
    try:
        return read_run(folder) if (folder / WEIGHTS).is_file() else None
    except (RunError, OSError):
        return None


def _find(wanted: Sequence[_Wanted], stopped: Callable[[], bool]) -> list[FoundWork]:
    found = []
    for each in wanted:
        if stopped():
            break
        key = each.key()
        memory = recall(key)
        strokes, strokes_px = _find_strokes(each, key, memory)
        noted = () if memory is None else memory.runs
        runs = find_runs(noted, each.folder, each.source)
        if memory is not None or strokes is not None or runs:
            found.append(FoundWork(each.image, memory, strokes, strokes_px, runs))
    return found


def _find_strokes(
    wanted: _Wanted, key: str, memory: RememberedImage | None
) -> tuple[Offer | None, int]:
    folders = [wanted.runs_folder]
    if memory is not None and memory.runs_folder:
        folders.append(Path(memory.runs_folder))
    for folder in dict.fromkeys(folders):
        with suppress(OSError):
            offer = find_offer(folder, wanted.folder, key, wanted.shape)
            # images of one name shared such a file: it may be another's
            if offer is not None and not offer.by_name:
                saved = read(offer.path)
                return offer, 0 if saved is None else int(np.count_nonzero(saved.planes))
    return None, 0


def _keep(entries: Sequence[tuple[ImageKey, RememberedImage]]) -> None:
    for key, entry in entries:
        keep(key(), entry)


def _ignore(_answer: object) -> None:
    """Remembering is an extra: a full disk must not stop anybody."""
