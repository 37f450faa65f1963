"""Where work runs, in a line at the end of the workspace, and the settings that are remembered."""

from pathlib import Path

import napari
from qtpy.QtWidgets import (
    QDialog,
    QDialogButtonBox,
    QFileDialog,
    QLineEdit,
    QPushButton,
    QToolButton,
    QWidget,
)

from napari_tem_rf.gui.pieces.parts import Sentence, column, listen, row, sentence
from napari_tem_rf.gui.pieces.text import PlainLabel
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.image_memory import forget_images, remembered_images
from napari_tem_rf.settings import address_trouble, remember, settings_file


class PlaceWidget(QWidget):
    """Says where work runs, what is wrong with that place, and opens the settings.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.words = Sentence(tone="quiet")
        self.here_button = QPushButton("Work on this machine")
        self.here_button.setToolTip(
            "Until the window is closed; the settings keep the scheduler's address"
        )
        self.here_button.clicked.connect(self.work_here)
        self.again_button = QPushButton("Try again")
        self.again_button.clicked.connect(self.try_again)
        self.settings_button = QToolButton()
        self.settings_button.setText("Settings...")
        self.settings_button.setToolTip(
            "Where runs are kept and where work runs, for this and later sessions"
        )
        self.settings_button.clicked.connect(self.open_settings)
        self.tour_button = QToolButton()
        self.tour_button.setText("Tour")
        self.tour_button.setToolTip("What is where in this dock, step by step")
        self.tour_button.clicked.connect(lambda: self.session.requested.emit("tour"))
        column(
            self,
            [
                row(self.words, self.tour_button, self.settings_button, stretch=0),
                row(self.here_button, self.again_button),
            ],
            spacing=4,
        )
        listen(self, self.session.background.engine_changed, self._show)
        self._show()

    def _show(self) -> None:
        engine = self.session.engine
        is_lost = bool(engine.state == "lost" and self.session.background.address)
        if is_lost:
            self.words.say(sentence(engine.trouble), "error")
        elif engine.trouble:
            self.words.say(sentence(engine.trouble), "warning")
        else:
            where = engine.describe() if engine.state == "ready" else _place(self.session)
            starting = ", starting" * (engine.state == "starting")
            self.words.say(f"Work runs on: {where}{starting}.", "quiet")
        for button in (self.here_button, self.again_button):
            button.setVisible(is_lost)

    def work_here(self) -> None:
        """Go on with processes on this machine, for this session only."""
        self._move("")

    def try_again(self) -> None:
        """Look for the scheduler again."""
        self.session.warm_up()

    def _move(self, address: str) -> None:
        try:
            self.session.background.move(address)
        except ValueError as error:
            self.words.say(sentence(str(error)), "warning")
            return
        self.session.warm_up()

    def open_settings(self) -> None:
        """Show the settings and take what is changed in them."""
        dialog = SettingsDialog(self.session, self)
        dialog.exec()
        dialog.deleteLater()


class SettingsDialog(QDialog):
    """The settings that are remembered between sessions.

    Parameters
    ----------
    session : Session
        The session that they hold for at once.
    parent : QWidget, optional
    """

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.setWindowTitle("Settings of napari-tem-rf")
        self.setMinimumWidth(460)
        self.folder = QLineEdit(str(session.runs_folder))
        self.folder.setToolTip("Each training makes a folder in here, sorted by image")
        choose = QPushButton("Choose...")
        choose.clicked.connect(self._choose)
        self.address = QLineEdit(session.background.address)
        self.address.setPlaceholderText("empty: this machine; or tcp://10.0.0.7:8786")
        self.address.setToolTip(
            "Address of a Dask scheduler: trainings and predictions go to its workers,\n"
            "which must see the folder of the runs at the same path"
        )
        self.forget_button = QPushButton()
        self.forget_button.setToolTip(
            "Pixel size, network, classes and runs that were noted of images are forgotten.\n"
            "Images, strokes and runs stay where they are."
        )
        self.forget_button.clicked.connect(self._forget)
        self._count_images()
        self.words = Sentence()
        buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Ok | QDialogButtonBox.StandardButton.Cancel
        )
        buttons.accepted.connect(self.accept)
        buttons.rejected.connect(self.reject)
        column(
            self,
            [
                PlainLabel("Runs are kept in"),
                row(self.folder, choose, stretch=0),
                PlainLabel("Work runs on the Dask cluster at"),
                self.address,
                row(self.forget_button),
                self.words,
                Sentence(f"Remembered in {settings_file()}.", "quiet"),
                buttons,
            ],
            margin=12,
        )

    def _choose(self) -> None:
        folder = QFileDialog.getExistingDirectory(self, "Keep runs in", self.folder.text())
        if folder:
            self.folder.setText(folder)

    def _count_images(self) -> None:
        number = remembered_images()
        images = "1 image" if number == 1 else f"{number:,} images"
        self.forget_button.setText(f"Forget what is remembered of {images}")
        self.forget_button.setEnabled(number > 0)

    def _forget(self) -> None:
        forget_images()
        self._count_images()

    def _say(self, trouble: str) -> None:
        self.words.say(sentence(trouble), "error")
        # lines that wrap do not make a window taller by themselves
        self.resize(self.width(), self.layout().totalHeightForWidth(self.width()))

    def accept(self) -> None:
        """Take the settings and remember them; or say what is wrong with them and stay open."""
        address, folder = self.address.text().strip(), self.folder.text().strip()
        trouble = address_trouble(address)
        if not trouble and not (folder and Path(folder).is_absolute()):
            trouble = f'"{folder}" is not the full path of a folder: choose one'
        if trouble:
            self._say(trouble)
            return
        moves = address != self.session.background.address
        try:
            self.session.background.move(address)
            remember(runs_folder=folder, scheduler=address)
        except (ValueError, OSError) as error:
            self._say(str(error))
            return
        self.session.runs_folder = Path(folder)
        if moves:
            self.session.warm_up()
        super().accept()


def _place(session: Session) -> str:
    return (
        f"the cluster {session.background.address}"
        if session.background.address
        else "this machine"
    )
