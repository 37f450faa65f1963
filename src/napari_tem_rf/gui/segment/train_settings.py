"""The settings of a training that are rarely changed."""

from dataclasses import replace
from pathlib import Path

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QFileDialog, QLabel, QSpinBox, QToolButton, QWidget

from napari_tem_rf.gui.pieces.parts import form, row
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.situation import Situation
from napari_tem_rf.protocol import PRESETS

_PRESET_NAMES = {"default": "this program's", "sytwu2022": "Sytwu et al. 2022"}
_DEVICE_NAMES = {"auto": "fastest there is", "cpu": "CPU", "cuda": "CUDA", "mps": "Apple GPU"}


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
        self.seed = QSpinBox()
        self.seed.setRange(0, 2**31 - 1)
        self.seed.setToolTip(
            "Seed of weights, crops and split: same seed, same result (on the CPU)"
        )
        self.seed.valueChanged.connect(lambda seed: self.session.change_plan(seed=seed))
        self.held_out = QSpinBox()
        self.held_out.setRange(0, 50)
        self.held_out.setSuffix(" %")
        self.held_out.setToolTip(
            "Part of the annotation that is not trained on but scored: whole images from three "
            "images on,\nblocks of each image below that; 0 for none"
        )
        self.held_out.valueChanged.connect(
            lambda percent: self.session.change_plan(validation=percent / 100)
        )
        self.patience = QSpinBox()
        self.patience.setRange(0, 1000)
        self.patience.setSpecialValueText("never")
        self.patience.setSuffix(" epochs without gain")
        self.patience.setToolTip(
            "End the training early after so many epochs without a lower loss on the held-out "
            "part;\nnever: train for as long as is set above"
        )
        self.patience.valueChanged.connect(
            lambda epochs: self.session.change_plan(patience=epochs or None)
        )
        self.preset = QComboBox()
        for name in PRESETS:
            self.preset.addItem(_PRESET_NAMES.get(name, name), name)
        self.preset.setToolTip(
            "The recipe: this program's own, or the protocol of Sytwu, Groschner, Scott (2022),\n"
            "which is slower and meant for comparison with the paper"
        )
        self.preset.activated.connect(self._set_preset)
        self.device = QComboBox()
        for name, title in _DEVICE_NAMES.items():
            self.device.addItem(title, name)
        self.device.setToolTip("Where to train")
        self.device.activated.connect(
            lambda _: self.session.change_plan(device=self.device.currentData())
        )
        self.folder = QLabel()
        self.folder.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
        self.folder.setWordWrap(True)
        self.folder_button = QToolButton()
        self.folder_button.setText("...")
        self.folder_button.setToolTip("Choose the folder in which runs are kept")
        self.folder_button.clicked.connect(self._ask_folder)
        lines = form(self)
        lines.addRow("recipe", self.preset)
        lines.addRow("held out", self.held_out)
        lines.addRow("stop early", self.patience)
        lines.addRow("seed", self.seed)
        lines.addRow("device", self.device)
        lines.addRow("runs in", row(self.folder, self.folder_button, stretch=0))
        self.session.watch(self, lambda now: now.choices.runs_folder, self._show_folder)
        self.session.watch(self, lambda now: now.choices.plan, self._show_plan)
        self._show_folder(self.session.situation)
        self._show_plan(self.session.situation)

    def _show_plan(self, now: Situation) -> None:
        plan = now.choices.plan
        parts = (self.seed, self.held_out, self.patience)
        for part in parts:
            part.blockSignals(True)
        self.seed.setValue(plan.seed)
        self.held_out.setValue(round(100 * plan.validation))
        self.patience.setValue(plan.patience or 0)
        for part in parts:
            part.blockSignals(False)
        self.preset.setCurrentIndex(self.preset.findData(plan.preset))
        self.device.setCurrentIndex(self.device.findData(plan.device))

    def _set_preset(self, _place: int) -> None:
        old = self.session.plan
        new = PRESETS[self.preset.currentData()]()
        if new.preset == "default":
            new = replace(new, epochs=old.epochs, seconds=old.seconds)
        self.session.plan = replace(new, seed=old.seed, device=old.device)

    def _ask_folder(self) -> None:
        folder = QFileDialog.getExistingDirectory(
            self, "Keep runs in", str(self.session.runs_folder)
        )
        if folder:
            self.session.runs_folder = Path(folder)

    def _show_folder(self, now: Situation) -> None:
        self.folder.setText(str(now.choices.runs_folder))
