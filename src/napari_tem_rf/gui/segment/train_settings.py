"""The settings of a training that are rarely changed."""

from dataclasses import replace
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QLineEdit, QToolButton, QWidget

from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.protocol import PRESETS, TrainingPlan


class TrainSettings(QWidget):
    """Recipe, held-out part, early stop, seed, device and folder of a training.

    Parameters
    ----------
    session : Session
        Whose plan is shown and changed.
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        # how long is asked for beside the button that trains
        self.form = Form(session.plan, leave_out=("epochs", "seconds"))
        self.preset = self.form.box("preset")
        self.held_out = self.form.box("validation")
        self.patience = self.form.box("patience")
        self.seed = self.form.box("seed")
        self.device = self.form.box("device")
        self.folder = QLineEdit()
        self.folder.setReadOnly(True)
        self.folder_button = QToolButton()
        self.folder_button.setText("...")
        self.folder_button.setToolTip("Choose the folder in which runs are kept")
        self.folder_button.clicked.connect(self._ask_folder)
        self.form.add_line("runs in", row(self.folder, self.folder_button, stretch=0))
        column(self, [self.form])
        self.form.changed.connect(self._set)
        self.session.watch(self, lambda now: now.choices.runs_folder, self._show_folder)
        self.session.watch(self, lambda now: now.choices.plan, self._show_plan)
        self._show_folder(self.session.situation)

    def _show_plan(self, now: Situation) -> None:
        self.form.show_plan(now.choices.plan)

    def _set(self, plan: TrainingPlan) -> None:
        old = self.session.plan
        if plan.preset != old.preset:
            recipe = PRESETS[plan.preset]()
            if recipe.preset == "default":
                recipe = replace(recipe, epochs=old.epochs, seconds=old.seconds)
            plan = replace(recipe, seed=old.seed, device=old.device, frozen=old.frozen)
        self.session.plan = plan

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Keep runs in", str(self.session.runs_folder)
        )
        if folder:
            self.session.runs_folder = Path(folder)

    def _show_folder(self, now: Situation) -> None:
        folder = now.choices.runs_folder
        self.folder.setText(str(folder))
        self.folder.setCursorPosition(0)
        set_tip(self.folder, f"{folder}\nThe folder in which runs are kept, one folder an image")
