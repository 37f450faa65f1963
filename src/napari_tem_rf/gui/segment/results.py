"""The line that names a folder of results: open the folder, or bring its images and masks in."""

from collections.abc import Callable, Generator
from pathlib import Path

import napari
from napari.layers import Image, Layer
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.layers.layers import (
    frame_name,
    image_shape,
    micrograph_layer,
    new_annotation,
    source_of,
)
from napari_tem_rf.gui.pieces.parts import Sentence, column, row, sentence
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.annotations import belong, note_classes
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread, stepwise
from napari_tem_rf.gui.session.predictions import show_prediction, show_series
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.result_folders import FolderImage, Mask, Strokes, read_results, result_kind

__all__ = ["ResultsLine", "show_result"]

_MOST_TROUBLES = 3
_KINDS = {"masks": "Masks are in", "run": "The run is in", "comparison": "The comparison is in"}


class ResultsLine(QWidget):
    """Names a folder of results, opens it, and brings its images and masks in; hidden without one.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.folder: Path | None = None
        self._work: ThreadWork | None = None
        self._shown: set[str] = set()
        self._troubles: list[str] = []
        self.words = Sentence()
        self.folder_button = QPushButton("Open folder")
        self.folder_button.setToolTip("Show the folder's files in the file manager")
        self.folder_button.clicked.connect(self.open_folder)
        self.show_button = QPushButton("Show")
        self.show_button.setToolTip(
            "Bring the folder's images in, with their masks or strokes on them"
        )
        self.show_button.clicked.connect(self.show_results)
        self.note = Sentence()
        column(
            self,
            [self.words, row(self.folder_button, self.show_button), self.note],
            spacing=4,
        )
        self.hide()

    def name_folder(self, folder: Path | None) -> None:
        """Name a folder of results; None to name none."""
        self.folder = folder
        kind = "" if folder is None else result_kind(folder)
        self.setVisible(bool(kind))
        self.note.say("")
        if folder is not None and kind:
            self.words.say(f"{_KINDS[kind]} {_shortened(folder)}.", "quiet")
            set_tip(self.words, str(folder))

    def open_folder(self) -> None:
        """Show the folder in the system's file manager."""
        if self.folder is not None and not QDesktopServices.openUrl(
            QUrl.fromLocalFile(str(self.folder.resolve()))
        ):
            self.note.say(f"No file manager answered: the folder is {self.folder}.", "warning")

    def show_results(self) -> None:
        """Bring the folder's images in, with what belongs to them; images that are there stay."""
        folder = self.folder
        if folder is None or self._work is not None:
            return
        self._shown, self._troubles = set(), []
        self.show_button.setEnabled(False)
        self.note.say("Reading the images.", "quiet")

        def results(stopped: Callable[[], bool]) -> Generator[FolderImage, None, None]:
            for result in read_results(folder):
                if stopped():
                    return
                yield result

        self._work = run_in_thread(
            stepwise(results), self._on_all, self._on_failed, self._on_result, owner=self
        )

    def _on_result(self, result: FolderImage) -> None:
        trouble = show_result(self.session, result)
        if trouble:
            self._troubles.append(sentence(trouble))
        if result.name and not trouble:
            self._shown.add(result.name)
            self.note.say(f"{len(self._shown)} shown.", "quiet")

    def _on_all(self, _none: object) -> None:
        self._end()
        number = len(self._shown)
        images = "1 image" if number == 1 else f"{number} images"
        rest = len(self._troubles) - _MOST_TROUBLES
        more = [f"And {rest} more like these."] if rest > 0 else []
        words = [f"{images} shown.", *self._troubles[:_MOST_TROUBLES], *more]
        self.note.say(" ".join(words), "warning" if self._troubles else "quiet")

    def _on_failed(self, trouble: str) -> None:
        self._end()
        self.note.say(sentence(trouble), "error")

    def _end(self) -> None:
        self._work = None
        self.show_button.setEnabled(True)


def show_result(session: Session, result: FolderImage) -> str:
    """Show one image of a folder of results; returns what could not be shown.

    An image that is in the viewer is not added again, and strokes are added beside what the user
    painted, never into it.
    """
    if not result.name:
        return result.trouble
    image = _image_of(session, result)
    if image is None:
        return result.trouble or f"{result.name} cannot be shown"
    content = result.content
    if content is None:
        return result.trouble
    if isinstance(content, Mask) and content.labels is None:
        classes, spec = content.classes, content.spec
        show_series(session, image, content.path, classes, spec, run=content.run)
        return ""
    labels, shape = content.labels, image_shape(image)
    assert labels is not None
    frame = _frame_of(image, result.name)
    if frame is None and labels.shape != shape:
        return (
            f"the labels of {result.name} are {_sides(labels.shape)} px, but the image is "
            f"{_sides(shape)} px: they are of another image"
        )
    if isinstance(content, Mask):
        planes = [(frame, labels)] if frame is not None else list(enumerate(labels))
        if labels.ndim == 2:
            planes = [(frame or 0, labels)]
        for number, plane in planes:
            show_prediction(
                session, image, plane, content.classes, content.spec, run=content.run, frame=number
            )
    elif not _is_annotated(session, image):
        _add_strokes(session, image, content, frame)
    return ""


def _image_of(session: Session, result: FolderImage) -> Image | None:
    """Return the layer of a result's image: the one that is there, or a new one."""
    for image in session.images:
        names = {str(image.name), frame_name(image, _frame_of(image, result.name) or 0)}
        if result.name in names and source_of(image) in (result.source, None):
            return image
    if result.image is None:
        # its file is gone, but the user opened it from elsewhere
        return next((each for each in session.images if each.name == result.name), None)
    layer = Layer.create(*micrograph_layer(result.image))
    with session.layer_list_kept():
        session.viewer.add_layer(layer)
    return layer if isinstance(layer, Image) else None


def _frame_of(image: Image, name: str) -> int | None:
    """Return the frame of a series that a name is of: "gold [3]"; None for a whole image."""
    if len(image_shape(image)) != 3:
        return None
    start, bracket, number = name.removesuffix("]").rpartition(" [")
    is_frame = bracket and start == image.name and number.isdecimal()
    return min(int(number), image_shape(image)[0] - 1) if is_frame else None


def _is_annotated(session: Session, image: Image) -> bool:
    return any(
        each.pair.image is image and any(each.pixels) for each in session.situation.scene.annotated
    )


def _add_strokes(session: Session, image: Image, strokes: Strokes, frame: int | None) -> None:
    layer = new_annotation(image, strokes.classes, f"{image.name}: strokes")
    plane = layer.data if frame is None else layer.data[frame]
    plane[...] = strokes.labels
    note_classes(layer, strokes.classes, strokes.unlabelled)
    belong(layer, image)
    with session.layer_list_kept():
        session.viewer.add_layer(layer)
    session.refresh()


def _sides(shape: tuple[int, ...]) -> str:
    return " x ".join(f"{length:,}" for length in shape)


def _shortened(folder: Path) -> str:
    """Return the end of a path: the whole is in the tooltip."""
    parts = folder.parts[-2:]
    return str(folder) if len(folder.parts) <= 3 else str(Path("…", *parts))
