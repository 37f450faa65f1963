"""Offers the pixel size of a file that another reader opened without it, and to read such files.

napari asks nobody which reader is the better one: a TIFF that is opened or dropped goes to its own,
which leaves the pixel size in the file. What the user does not press is not changed; which reader
opens which ending can be seen and changed in napari's preferences, under Plugins.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from weakref import WeakSet

import napari
from napari.layers import Image
from napari.settings import get_settings
from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.layers.layers import image_shape, pixel_size_nm, set_pixel_size_nm
from napari_tem_rf.gui.layers.marks import ImageMark, note
from napari_tem_rf.gui.pieces.parts import Sentence, column, row
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.annotations import image_of
from napari_tem_rf.gui.session.background import Latest, run_in_thread
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.settings import read_settings, remember
from napari_tem_rf.storage import StorageError

__all__ = ["ReaderOffer"]

PLUGIN = "napari-tem-rf"


@dataclass(frozen=True, slots=True, eq=False)
class _Better:
    """What the program's own reader finds in the file of a layer."""

    image: Image
    path: Path
    pixel_size_nm: tuple[float, float]
    notes: tuple[str, ...]


class ReaderOffer(QWidget):
    """Says that a file holds a pixel size that its reader did not take; hidden otherwise.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self._found: list[_Better] = []
        self._looked: WeakSet[Image] = WeakSet()
        self._latest = Latest()
        self.words = Sentence()
        self.use_button = QPushButton("Use it")
        self.use_button.setToolTip("Give these images the pixel size of their files")
        self.use_button.clicked.connect(self._use)
        self.always_button = QPushButton()
        self.always_button.clicked.connect(self._always)
        self.no_button = QPushButton("No")
        self.no_button.setToolTip("Leave them as they are, and do not ask for such files again")
        self.no_button.clicked.connect(self._decline)
        column(
            self,
            [self.words, row(self.use_button, self.always_button, self.no_button)],
            spacing=4,
        )
        self.hide()
        self.session.watch(
            self, lambda now: (now.scene.images, now.scene.pixel_size_nm), self._look
        )
        self._look(self.session.situation)

    # looking

    def _look(self, now: Situation) -> None:
        self._found = [each for each in self._found if _is_open(each, now.scene.images)]
        self._show()
        declined = _declined()
        new = []
        for image in now.scene.images:
            if image in self._looked:
                continue
            self._looked.add(image)
            path = image.source.path
            reader = image.source.reader_plugin
            is_foreign = path is not None and reader not in (None, PLUGIN)
            if is_foreign and pixel_size_nm(image) is None and _ending(path) not in declined:
                new.append((image, Path(path), image_shape(image)))
        if not new:
            return
        request = self._latest.ask()
        work = run_in_thread(
            lambda stopped, _say: _better(new, stopped),
            request.only(self._on_found),
            request.only(lambda _trouble: None),
            owner=self,
        )
        request.holds(work)

    def _on_found(self, found: list[_Better]) -> None:
        images = self.session.images
        self._found += [each for each in found if _is_open(each, images)]
        self._show()

    def _show(self) -> None:
        found = self._found
        self.setVisible(bool(found))
        if not found:
            return
        sizes = {each.pixel_size_nm for each in found}
        size = f" ({sizes.pop()[1]:.4g} nm)" if len(sizes) == 1 else ""
        first = found[0]
        if len(found) == 1:
            what = f"{first.path.name} was opened without the pixel size in its file{size}."
        else:
            what = f"{len(found)} images were opened without the pixel size in their files{size}."
        self.words.say(what)
        set_tip(self.words, f"They were opened by {first.image.source.reader_plugin}.")
        ending = _ending(first.path)
        self.always_button.setText(f"Use it for every {ending}")
        set_tip(
            self.always_button,
            f"From now on napari opens {ending} files with {PLUGIN};\n"
            "File > Preferences > Plugins changes it back",
        )
        # who chose a reader for this ending has answered already
        chosen = get_settings().plugins.extension2reader
        self.always_button.setVisible(f"*{ending}" not in chosen)

    # answering

    def _use(self) -> None:
        session = self.session
        for each in self._found:
            on_it = [
                layer
                for layer in session.viewer.layers
                if layer is not each.image
                and image_of(layer, session.images) is each.image
                and image_shape(layer)[-2:] == image_shape(each.image)[-2:]
            ]
            for layer in (*on_it, each.image):
                set_pixel_size_nm(layer, each.pixel_size_nm)
            note(each.image, ImageMark, source=each.path, notes=each.notes)
        self._found = []
        session.viewer.reset_view()
        session.refresh()
        self._show()

    def _always(self) -> None:
        plugins = get_settings().plugins
        endings = dict.fromkeys(_ending(each.path) for each in self._found)
        chosen = plugins.extension2reader
        new = {f"*{ending}": PLUGIN for ending in endings if f"*{ending}" not in chosen}
        plugins.extension2reader = {**chosen, **new}
        self._use()

    def _decline(self) -> None:
        endings = {_ending(each.path) for each in self._found} | _declined()
        self._found = []
        self._show()
        try:
            remember(declined_endings=",".join(sorted(endings)))
        except StorageError:
            return  # asked again the next time


def _declined() -> set[str]:
    return set(filter(None, read_settings().declined_endings.split(",")))


def _ending(path: str | Path) -> str:
    """Return the ending of a file as napari's preferences have it."""
    return Path(path).suffix


def _is_open(better: _Better, images: Sequence[Image]) -> bool:
    return better.image in images and pixel_size_nm(better.image) is None


def _better(
    wanted: Sequence[tuple[Image, Path, tuple[int, ...]]], stopped: Callable[[], bool]
) -> list[_Better]:
    from napari_tem_rf.micrographs.reading import read_micrographs

    found = []
    for image, path, shape in wanted:
        if stopped():
            break
        try:
            micrographs = read_micrographs(path)
        except (ValueError, OSError):
            continue  # no micrograph: whoever opened it knows better
        fitting = [each for each in micrographs if each.pixels.shape == shape]
        if len(micrographs) == len(fitting) == 1 and fitting[0].pixel_size_nm is not None:
            found.append(_Better(image, path, fitting[0].pixel_size_nm, tuple(fitting[0].notes)))
    return found
