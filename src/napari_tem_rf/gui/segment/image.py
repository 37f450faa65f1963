"""The load widget: open files, see and set the pixel size, read what the microscope wrote."""

import re
from collections.abc import Mapping
from math import isclose
from pathlib import Path
from typing import Any
from weakref import WeakSet

import napari
from napari.layers import Image, Layer
from qtpy.QtWidgets import (
    QAbstractItemView,
    QFileDialog,
    QHeaderView,
    QLineEdit,
    QPushButton,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)

from napari_tem_rf.gui.layers.layers import (
    image_shape,
    pixel_size_nm,
    set_pixel_size_nm,
)
from napari_tem_rf.gui.layers.marks import MARK, ImageMark, mark_of
from napari_tem_rf.gui.layers.plane import fit_view
from napari_tem_rf.gui.manifest import LayerData, read_several
from napari_tem_rf.gui.pieces.parts import Fold, Sentence, column, row
from napari_tem_rf.gui.pieces.text import PlainLabel, set_tip
from napari_tem_rf.gui.segment.cleaning import CleaningWidget
from napari_tem_rf.gui.segment.image_line import ImageLine
from napari_tem_rf.gui.segment.scale_bar import ScaleBar
from napari_tem_rf.gui.session.background import ThreadWork, run_in_thread
from napari_tem_rf.gui.session.current_image import CurrentImage
from napari_tem_rf.gui.session.foreign_weights import ForeignWeights, is_weights
from napari_tem_rf.gui.session.shared_runs import open_shared_run
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.run_archive import is_run_archive

_NUMBER = r"[0-9]*[.,]?[0-9]+(?:[eE][-+]?[0-9]+)?"
_UNITS = {"nm": 1.0, "pm": 1e-3, "å": 0.1, "a": 0.1, "angstrom": 0.1, "µm": 1e3, "um": 1e3}


def parse_pixel_size(text: str) -> tuple[float, float] | None:
    """Return a typed pixel size as (row, column) in nm; None for an empty text.

    ``0.02``, ``0.02 nm``, ``20 pm``, ``0.2 angstrom`` and ``0.02 x 0.021`` are understood.

    Raises
    ------
    ValueError
        When the text is not a length above 0; the message says what is understood.
    """
    words = text.strip().lower().replace("/px", "").replace("×", "x")
    if not words:
        return None
    match = re.fullmatch(rf"({_NUMBER})(?:\s*x\s*({_NUMBER}))?\s*([a-zµå]*)", words)
    factor = _UNITS.get(match[3] or "nm") if match else None
    if match is None or factor is None:
        raise ValueError(f'"{text}" is not a pixel size: type nm per pixel, like 0.02 or 20 pm')
    first, second = (
        float((each or match[1]).replace(",", ".")) * factor for each in match.group(1, 2)
    )
    if not (first > 0 and second > 0):
        raise ValueError(f'"{text}" is not a pixel size: it must be above 0')
    return first, second


def format_pixel_size(size_nm: tuple[float, float] | None) -> str:
    """Return a pixel size in nm as text with four significant digits."""
    if size_nm is None:
        return ""
    rows, columns = (f"{each:.4g}" for each in size_nm)
    return rows if rows == columns else f"{rows} x {columns}"


_TALLEST_TABLE_PX = 200
_TERM_UNITS = {"kv": "kV", "nm": "nm", "s": "s"}


class LoadWidget(QWidget):
    """Open micrographs, choose one, see and set its pixel size.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.setAcceptDrops(True)
        self._typed: WeakSet[Image] = WeakSet()
        self._reading: ThreadWork | None = None

        self.open_button = QPushButton("Open...")
        self.open_button.setToolTip(
            "Open micrographs: dm3, dm4, emd, ser, emi, mrc, hspy, zspy, TIFF, PNG, NPY;\n"
            "outlines on them: ROIs of ImageJ (.zip), GeoJSON of QuPath.\n"
            "Or drop files on this dock, also the zip of a run that somebody shared."
        )
        self.open_button.clicked.connect(self._ask_files)
        self.images = ImageLine(self.session, self.open_button)

        self.size = QLineEdit()
        self.size.setMaximumWidth(110)
        self.size.setPlaceholderText("unknown")
        self.size.setToolTip(
            "Pixel size in nm per pixel (row x column where they differ).\n"
            "Type it like 0.02, 20 pm or 0.02 x 0.021 and press Enter."
        )
        self.size.editingFinished.connect(self._set_size)
        self._unit = PlainLabel("nm/px")
        self.scale_bar = ScaleBar(self.session, parse_pixel_size, self._calibrate)
        self.bar_button = QPushButton("From scale bar...")
        self.bar_button.setToolTip(
            "Draw a line along the image's scale bar, then type the bar's length in nm"
        )
        self.bar_button.clicked.connect(self.scale_bar.begin)

        self.sizes_line = QWidget()
        self._other_sizes = Sentence(tone="quiet")
        self.all_button = QPushButton()
        self.all_button.setToolTip("Give all images this pixel size, with what lies on them")
        self.all_button.clicked.connect(self._calibrate_all)
        column(self.sizes_line, [row(self._other_sizes, self.all_button, stretch=0)])

        self.words = Sentence()
        self.table = QTableWidget(0, 2)
        self.table.setHorizontalHeaderLabels(["the file says", ""])
        self.table.verticalHeader().hide()
        self.table.horizontalHeader().setSectionResizeMode(
            0, QHeaderView.ResizeMode.ResizeToContents
        )
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.horizontalHeader().hide()
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.NoEditTriggers)
        self.table.setShowGrid(False)
        self.fold = Fold("What the file says", self.table)
        self.cleaning = CleaningWidget(viewer)
        self.cleaning_fold = Fold("Cleaning: nothing", self.cleaning)

        column(
            self,
            [
                self.images,
                row(PlainLabel("pixel size"), self.size, self._unit, self.bar_button),
                self.sizes_line,
                self.scale_bar,
                self.words,
                self.fold,
                self.cleaning_fold,
            ],
        )
        self.session.watch(
            self,
            lambda now: (now.choices.image, now.scene.images, now.scene.pixel_size_nm),
            self._show,
        )
        self.session.watch(self, lambda now: now.choices.cleaning, self._show_cleaning)
        self._show(self.session.situation)
        self._show_cleaning(self.session.situation)

    # showing

    def _show_cleaning(self, now: Situation) -> None:
        self.cleaning_fold.set_title(f"Cleaning: {now.choices.cleaning.sentence}")

    def _show(self, now: Situation) -> None:
        image = now.choices.image
        self._show_other_sizes(now)
        for part in (self.size, self.bar_button):
            part.setEnabled(image is not None)
        if image is None:
            self.size.clear()
            self.words.say("")
            self.fold.hide()
            return
        if not self.size.hasFocus():
            self.size.setText(format_pixel_size(pixel_size_nm(image)))
        self._say_what_it_is(image)
        self._fill_table(image.metadata)

    def _say_what_it_is(self, image: Image) -> None:
        shape = image_shape(image)
        size = pixel_size_nm(image)
        what = f"{shape[-2]} x {shape[-1]} px"
        if len(shape) == 3:
            what = f"{shape[0]} frames of {what}"
        if size is None:
            self.words.say(
                f"{what}; no pixel size is known, so lengths are in px: "
                "type it above, or draw it along a scale bar.",
                "warning",
            )
            return
        sides = f"{shape[-2] * size[0]:.4g} x {shape[-1] * size[1]:.4g} nm"
        mark = mark_of(image)
        notes = mark.notes if isinstance(mark, ImageMark) else ()
        self.words.say(" ".join([f"{what}, {sides}.", *notes]), "quiet")

    def _fill_table(self, metadata: Mapping[str, Any]) -> None:
        lines = list(_flat({key: value for key, value in metadata.items() if key != MARK}))
        self.table.setRowCount(len(lines))
        for place, (name, value) in enumerate(lines):
            for at, text in enumerate((name, value)):
                item = QTableWidgetItem(text)
                set_tip(item, text)
                self.table.setItem(place, at, item)
        height = self.table.verticalHeader().length() + 2 * self.table.frameWidth()
        self.table.setFixedHeight(min(height, _TALLEST_TABLE_PX))
        entries = "1 entry" if len(lines) == 1 else f"{len(lines)} entries"
        self.fold.set_title(f"What the file says ({entries})")
        self.fold.setVisible(bool(lines))

    def _show_other_sizes(self, now: Situation) -> None:
        """Offer the image's pixel size for others that have none; a typed one for all others."""
        image, images, size = now.choices.image, now.scene.images, now.scene.pixel_size_nm
        sizes = [pixel_size_nm(each) for each in images]
        others = 0
        if size is not None and image is not None:
            others = sum(each is None for each in sizes)
            if image in self._typed:
                others = sum(each is None or not _same(each, size) for each in sizes)
        self.sizes_line.setVisible(others > 0)
        self.all_button.setText(f"For all {len(images)}")
        have = "other image has" if others == 1 else "other images have"
        kind = "no size" if None in sizes else "another size"
        self._other_sizes.say(f"{others} {have} {kind}", "quiet")

    # opening

    def _ask_files(self) -> None:
        names, _ = QFileDialog.getOpenFileNames(self, "Open micrographs")
        if names:
            self.open_files([Path(name) for name in names])

    def open_files(self, paths: list[Path]) -> None:
        """Read files in the background and add their images as layers."""
        if self._reading is not None:
            self.words.say(
                "Still reading the files before: try again when they are shown.", "warning"
            )
            return
        runs = [path for path in paths if is_run_archive(path)]
        for path in runs:
            open_shared_run(self.session, path)
        weights = [path for path in paths if is_weights(path)]
        for path in weights[:1]:
            self.session.part(ForeignWeights).offered.emit(path)
        paths = [path for path in paths if path not in (*runs, *weights)]
        if not paths:
            return
        names = paths[0].name if len(paths) == 1 else f"{len(paths)} files"
        self.words.say(f"Reading {names}...", "quiet")
        images, chosen = list(self.session.images), self.session.image
        self._reading = run_in_thread(
            lambda _stopped, _say: read_several(paths, images, chosen),
            self._add,
            self._on_unread,
            owner=self,
        )

    def _on_unread(self, trouble: str) -> None:
        self._reading = None
        self._say_trouble(trouble)

    def _say_trouble(self, trouble: str) -> None:
        self.words.say(trouble, "error")
        self.session.part(Status).say(trouble, "error")

    def _add(self, result: tuple[list[LayerData], list[str]]) -> None:
        self._reading = None
        data, refusals = result
        added = [Layer.create(*each) for each in data]
        for layer in added:
            self.session.viewer.add_layer(layer)
        images = [layer for layer in added if isinstance(layer, Image)]
        if images:
            self.session.part(CurrentImage).choose(images[0])
        if refusals:
            self._say_trouble(" ".join(refusals))

    def dragEnterEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Take files."""
        if event.mimeData().hasUrls():
            event.acceptProposedAction()

    def dropEvent(self, event: Any) -> None:  # noqa: N802 - Qt's name
        """Open the files dropped."""
        paths = [Path(url.toLocalFile()) for url in event.mimeData().urls() if url.isLocalFile()]
        if paths:
            self.open_files(paths)

    # pixel size

    def _set_size(self) -> None:
        image = self.session.image
        if image is None or not self.size.isModified():
            return
        self.size.setModified(False)
        try:
            size = parse_pixel_size(self.size.text())
        except ValueError as error:
            self.words.say(str(error), "error")
            return
        self._calibrate(image, size)

    def _calibrate(self, image: Image, size: tuple[float, float] | None) -> None:
        """Calibrate an image and what lies on it, and look at it: it is of another size now."""
        self._typed.add(image)
        self._calibrate_layers(image, size)
        fit_view(self.session.viewer, [image])
        self._show(self.session.refresh())

    def _calibrate_all(self) -> None:
        """Give all images the pixel size of the chosen one."""
        image, size = self.session.image, self.session.pixel_size_nm
        for each in self.session.images:
            if each is not image:
                self._calibrate_layers(each, size)
        if image is not None:
            fit_view(self.session.viewer, [image])
        self._show(self.session.refresh())

    def _calibrate_layers(self, image: Image, size: tuple[float, float] | None) -> None:
        current = self.session.part(CurrentImage)
        on_it = [
            layer
            for layer in current.layers_of(image)
            if layer is not image and image_shape(layer)[-2:] == image_shape(image)[-2:]
        ]
        for layer in (*on_it, image):
            set_pixel_size_nm(layer, size)


def _same(one: tuple[float, float], other: tuple[float, float]) -> bool:
    return all(isclose(a, b, rel_tol=1e-6) for a, b in zip(one, other, strict=True))


def _with_unit(name: str) -> str:
    """Return the name of a term of `Micrograph.metadata` as people write it."""
    term, _, unit = name.rpartition("_")
    return f"{term} ({_TERM_UNITS[unit]})" if unit in _TERM_UNITS else name.replace("_", " ")


def _flat(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    """Return nested metadata as lines of (name, value)."""
    lines: list[tuple[str, str]] = []
    for name, value in values.items():
        title = before + _with_unit(str(name))
        if isinstance(value, Mapping):
            lines += _flat(value, f"{title}: ")
        else:
            text = f"{value:.6g}" if isinstance(value, float) else str(value)
            lines.append((title, text))
    return lines
