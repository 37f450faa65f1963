"""Somebody's weights become a run: what their file does not say is asked in a small form."""

import re
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import napari
from qtpy.QtWidgets import QPushButton, QWidget
from superqt.utils import signals_blocked

from napari_tem_rf import jobs
from napari_tem_rf.describing import told
from napari_tem_rf.gui.pieces.forms import Form
from napari_tem_rf.gui.pieces.parts import Choice, Fold, Sentence, column, listen, row, sentence
from napari_tem_rf.gui.pieces.text import set_tip
from napari_tem_rf.gui.segment.own_network import whole_numbers
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.foreign_weights import ForeignWeights
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.runs import RunRecord

__all__ = ["AdoptWidget", "Answers", "adopt_request"]

_RARE = ("dilations", "class_names", "decoder", "norm_epsilon", "licence", "source")
"""Settings that are seldom needed."""

_END = 18
"""Letters of each end of a long file name."""


@dataclass(frozen=True, slots=True)
class Answers:
    """What only those who trained a network can know, as it is typed."""

    pools: str = told(
        "",
        "pools",
        "Size of the max pool of each level, that of the image's own level first. Pools have no "
        "weights, so the file does not say",
        none="such as 2, 2, 2, 2",
    )
    pixel_size_nm: float | None = told(
        None,
        "pixel size",
        "Of the images that it was trained on. Images of another size are then shown to it at that "
        "size",
        unit="nm",
        none="not known",
        least=0.0001,
        step=0.0001,
    )
    normalisation: str = told(
        "",
        "its images had",
        "How images were normalised before the network was shown them. This program gives each "
        "image mean 0 and standard deviation 1; another normalisation is made up for in the first "
        "layer",
        choices={
            "": "choose...",
            "standardised": "each mean 0, deviation 1",
            "other": "other mean, deviation",
        },
    )
    mean: float = told(
        0.5,
        "mean",
        "Usual mean of the images as the network was shown them",
        least=-100_000,
        step=0.001,
        needs=lambda answers: answers.normalisation == "other",
    )
    deviation: float = told(
        0.2,
        "standard deviation",
        "Usual standard deviation of the images as the network was shown them",
        least=0.001,
        step=0.001,
        needs=lambda answers: answers.normalisation == "other",
    )
    dilations: str = told(
        "",
        "dilations",
        "Dilation of the 3x3 convolutions of each level, then of the bottleneck",
        none="all 1",
    )
    class_names: str = told(
        "",
        "classes",
        "Names of its outputs in their order. The one called background is it; when none is, the "
        "first",
        none="background, particle",
    )
    decoder: str = told(
        "skip first",
        "decoder sees first",
        "Which channels a decoder block sees before the others; nothing in the file says so",
        choices={"skip first": "its own level", "below first": "the level below"},
    )
    norm_epsilon: float | None = told(
        None,
        "norms add",
        "What its batch norms add to the variance",
        none="as usual",
        least=0.000001,
        most=1,
        step=0.000001,
    )
    licence: str = told(
        "",
        "licence",
        "Under which the weights may be passed on; sharing the run says it on",
        none="not known",
    )
    source: str = told("", "source", "Who published the weights, and where", none="not known")


def adopt_request(
    file: Path, run: Path, found: jobs.WeightsFound, answers: Answers
) -> jobs.AdoptRequest:
    """Return what is to be adopted.

    Raises
    ------
    ValueError
        When an answer is missing or cannot be; the message is one sentence.
    """
    pools = whole_numbers("pools", answers.pools)
    if len(pools) != found.levels or min(pools, default=2) < 2:
        one = found.levels == 1
        raise ValueError(
            f"type the size{'s' * (not one)} of its {'pool' if one else f'{found.levels} pools'}, "
            f"each 2 or more: {', '.join(['2'] * found.levels)} is usual"
        )
    dilations = whole_numbers("dilations", answers.dilations)
    if dilations and (len(dilations) != found.levels + 1 or min(dilations) < 1):
        raise ValueError(
            f"type {found.levels + 1} dilations, one a level and one for the bottleneck, or none"
        )
    if not answers.normalisation:
        raise ValueError("choose how the images were normalised that it was shown")
    names = tuple(each.strip() for each in answers.class_names.split(",") if each.strip())
    if names and len(names) != found.classes:
        raise ValueError(f"{len(names)} classes are named, but it has {found.classes}")
    if len(set(names)) != len(names):
        raise ValueError("two classes have the same name")
    size = answers.pixel_size_nm
    is_standard = answers.normalisation == "standardised"
    return jobs.AdoptRequest(
        file=file,
        run=run,
        pools=pools,
        dilations=dilations,
        pixel_size_nm="unknown" if size is None else (size, size),
        sees=(0.0, 1.0) if is_standard else (answers.mean, answers.deviation),
        class_names=names,
        part=found.part or None,
        skip_first=answers.decoder == "skip first",
        norm_epsilon=answers.norm_epsilon,
        licence=answers.licence.strip(),
        source=answers.source.strip(),
    )


class AdoptWidget(QWidget):
    """Says what network a file holds, asks the rest and makes a run of it; hidden without a file.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.file: Path | None = None
        self.answers = Answers()
        self._found: tuple[jobs.WeightsFound, ...] = ()
        self.words = Sentence()
        self.parts = Choice()
        set_tip(self.parts, "The file holds several networks: choose one")
        self.parts.activated.connect(lambda _place: self._show())
        self.form = Form(self.answers, leave_out=_RARE)
        usual = [name for name in Answers.__dataclass_fields__ if name not in _RARE]
        self.rare = Form(self.answers, leave_out=usual)
        self.more = Fold("Seldom needed", self.rare)
        for each in (self.form, self.rare):
            each.changed.connect(self._take)
        # a form takes a text when it is finished; the button is to follow each letter
        for name, each in (("pools", self.form), ("dilations", self.rare)):
            each.box(name).textEdited.connect(partial(self._typed, name))
        self.reason = Sentence()
        self.adopt_button = QPushButton("Adopt")
        self.adopt_button.setToolTip("Make a run of these weights: it predicts like any other")
        self.adopt_button.clicked.connect(self._adopt)
        self.leave_button = QPushButton("Cancel")
        self.leave_button.setToolTip("Leave the file alone")
        self.leave_button.clicked.connect(self.leave)
        self._asked = QWidget()
        column(
            self._asked,
            [
                self.parts,
                self.form,
                self.more,
                row(self.adopt_button, self.leave_button),
                self.reason,
            ],
        )
        column(self, [self.words, self._asked])
        listen(self, self.session.part(ForeignWeights).offered, self.look_into)
        self.leave()

    def leave(self) -> None:
        """Ask nothing more."""
        self.file, self._found = None, ()
        self.hide()

    def look_into(self, file: Path) -> None:
        """See in the background what a file holds, then ask what it does not say."""
        self.file, self._found = file, ()
        self.answers = Answers()
        self._asked.hide()
        self._say(f"Looking into {_shortened(file.name)}...")
        self.show()
        self.session.submit(
            jobs.look_into_weights,
            file,
            name=f"looking into {file.name}",
            on_done=lambda found: self._ask(file, found),
            on_failed=lambda trouble: self._refuse(file, trouble),
        )

    def _ask(self, file: Path, found: tuple[jobs.WeightsFound, ...]) -> None:
        if file != self.file:
            return  # another one was chosen meanwhile
        self._found = found
        with signals_blocked(self.parts):
            self.parts.clear()
            self.parts.addItems([each.part or file.name for each in found])
        self.parts.setVisible(len(found) > 1)
        for each in (self.form, self.rare):
            each.show_plan(self.answers)
        self._asked.show()
        self._show()
        self.session.part(Status).say(
            f"{_shortened(file.name)} holds a network: say under 5 Result what the file does not.",
            "advice",
        )

    @property
    def _chosen(self) -> jobs.WeightsFound:
        return self._found[max(0, self.parts.currentIndex())]

    def _take(self, answers: Answers) -> None:
        self.answers = answers
        for each in (self.form, self.rare):
            each.show_plan(answers)
        self._show()

    def _typed(self, name: str, text: str) -> None:
        changes: dict[str, Any] = {name: text}
        self.answers = replace(self.answers, **changes)
        self._show()

    def _show(self) -> None:
        """Say what was found, and why it cannot be adopted yet."""
        found = self._chosen
        levels = "no pools" if not found.levels else f"{found.levels} pool"
        classes = "1 output" if found.outputs == 1 else f"{found.outputs} outputs"
        self.words.say(
            f"{self._name}: a network of this family, {levels}{'s' * (found.levels > 1)}, "
            f"{', '.join(map(str, found.widths))} channels, {classes}. What the file does not say:"
        )
        try:
            self._request()
        except ValueError as error:
            self.reason.say(sentence(str(error)), "quiet")
            self.adopt_button.setEnabled(False)
            return
        self.reason.say("")
        self.adopt_button.setEnabled(True)

    @property
    def _name(self) -> str:
        return "" if self.file is None else _shortened(self.file.name)

    def _request(self) -> jobs.AdoptRequest:
        assert self.file is not None
        folder = _free(self.session.runs_folder / "adopted", self.file.stem)
        return adopt_request(self.file, folder, self._chosen, self.answers)

    def _adopt(self) -> None:
        if self.file is None or not self._found:
            return
        file, request = self.file, self._request()
        self._asked.hide()
        self._say(f"Adopting {_shortened(file.name)}...")
        self.session.submit(
            jobs.adopt_weights,
            request,
            name=f"adopting {file.name}",
            on_done=lambda record: self._on_adopted(file, request.run, record),
            on_failed=lambda trouble: self._ask_again(file, trouble),
        )

    def _on_adopted(self, file: Path, folder: Path, record: RunRecord) -> None:
        self.session.add_run(TrainedRun(folder, record))
        self.session.part(Status).say(
            f"{_shortened(file.name)} is adopted: Predict and Predict all use it. It has no scores "
            "until masks of it are evaluated.",
            "good",
        )
        if file == self.file:
            self.leave()

    def _ask_again(self, file: Path, trouble: str) -> None:
        if file == self.file:
            self._asked.show()
            self._show()
            self.reason.say(sentence(trouble), "error")

    def _refuse(self, file: Path, trouble: str) -> None:
        self.session.part(Status).say(
            f"{_shortened(file.name)} is not adopted: 5 Result says why.", "error"
        )
        if file == self.file:
            self.words.say(sentence(trouble), "error")
            self.file = None

    def _say(self, words: str) -> None:
        self.words.say(words, "quiet")
        self.session.part(Status).say(words, "quiet")


def _shortened(name: str) -> str:
    """Return a file's name, its middle left out where it would be wider than the dock."""
    return name if len(name) <= 2 * _END else f"{name[:_END]}…{name[-_END:]}"


def _free(parent: Path, name: str) -> Path:
    """Return the path of a folder that does not exist yet."""
    safe = re.sub(r"[^\w.-]+", "_", name).strip("._") or "weights"
    folder, number = parent / safe, 1
    while folder.exists():
        number += 1
        folder = parent / f"{safe}_{number}"
    return folder
