"""The compare dock: which network for these images? Plan, run, read, look, use."""

import shutil
from pathlib import Path

import napari
from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import (
    QFileDialog,
    QPushButton,
    QWidget,
)

from napari_tem_rf.comparison import BaselineOffer, Comparison, network_table
from napari_tem_rf.gui.compare.comparing import Comparing
from napari_tem_rf.gui.compare.curve import CompareCurve
from napari_tem_rf.gui.compare.plan_part import PlanPart
from napari_tem_rf.gui.compare.predictions import Ensembles, run_of
from napari_tem_rf.gui.compare.run_part import RunPart
from napari_tem_rf.gui.compare.table import CompareTable
from napari_tem_rf.gui.compare.view_part import ViewPart
from napari_tem_rf.gui.pieces.parts import (
    DOCK_MARGIN,
    Dock,
    Fold,
    Sentence,
    column,
    listen,
    row,
    sentence,
)
from napari_tem_rf.gui.pieces.preloading import MATPLOTLIB, PANDAS, preload
from napari_tem_rf.gui.pieces.text import Markup, RichLabel, markup
from napari_tem_rf.gui.segment.results import ResultsLine
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.runs import read_run
from napari_tem_rf.spreadsheets import csv_of
from napari_tem_rf.storage import write_text

__all__ = ["CompareWidget"]

_SAVED_AS = (
    "Report, one page (*.html)",
    "Table of networks (*.csv)",
    "Curve shown (*.png)",
    "Curve shown (*.svg)",
)
_MOST_FINDINGS = 5


class CompareWidget(Dock):
    """Compare networks on the same annotations.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        super().__init__()
        self.session = session_of(viewer)
        self.comparing = self.session.part(Comparing)
        self.ensembles = Ensembles(self.session, self.comparing)
        self._shown: Comparison | None = None
        self._offered: BaselineOffer | None = None

        self.plan = PlanPart(self.session)
        self.run = RunPart(self.session, self.plan)
        self._make_results()
        self.run.begins.connect(self.view.forget)
        self.plan_fold = Fold("Networks to compare", self.plan, is_open=True, heading=True)
        self.result_fold = Fold("Result", self._results, is_open=True, heading=True)
        content = QWidget()
        column(
            content,
            [self.plan_fold, self.run, self.result_fold],
            margin=DOCK_MARGIN,
        ).addStretch(1)
        self.setWidget(content)

        listen(self, self.comparing.changed, self._show)
        listen(self, self.comparing.report_written, self._on_written)
        listen(self, self.ensembles.shown, self._say)
        listen(self, self.ensembles.failed, self._say_error)
        self._show()
        # for the first result
        preload(self, PANDAS, MATPLOTLIB)

    def _make_results(self) -> None:
        self._results = QWidget()
        self.findings = RichLabel()
        self.offer = Sentence(tone="plain")
        self.offer_button = QPushButton("Use it")
        self.offer_button.setToolTip("Make it the run that predicts")
        self.offer_button.clicked.connect(self.use_offered)
        self.table = CompareTable()
        self.view = ViewPart(self.session, self.comparing)
        self.table.ticked.connect(self.view.show_ticked)
        self.table.refused.connect(self.view.refuse)
        self.table.chosen.connect(self._show_chosen)
        self.curve = CompareCurve()
        self.chosen = Sentence()
        self.use_button = QPushButton("Use this network")
        self.use_button.setToolTip(
            "Make it the picked network, and its best seed the run that predicts"
        )
        self.use_button.clicked.connect(self.use)
        self.ensemble_button = QPushButton("Ask all seeds")
        self.ensemble_button.setToolTip(
            "Predict the image in view with all seeds of this network: mean probability, and\n"
            "spread, which tells where chance decides"
        )
        self.ensemble_button.clicked.connect(self.ask_seeds)
        self.report_button = QPushButton("Open report")
        self.report_button.setToolTip("The HTML page with table, curves and pictures")
        self.report_button.clicked.connect(self.open_report)
        self.save_button = QPushButton("Save...")
        self.save_button.setToolTip(
            "Write the report (.html), the table (.csv) or the curve shown (.png, .svg);\n"
            "the file's ending chooses"
        )
        self.save_button.clicked.connect(self._ask_file)
        self.note = Sentence(tone="quiet")
        self.folder_line = ResultsLine(self.session.viewer)
        column(
            self._results,
            [
                self.findings,
                row(self.offer, self.offer_button, stretch=0),
                self.table,
                self.chosen,
                row(self.use_button, self.ensemble_button),
                self.note,
                self.view,
                self.curve,
                row(self.report_button, self.save_button),
                self.folder_line,
            ],
        )

    # doing

    def use(self) -> None:
        """Pick the chosen row's network and make its best run the one that predicts."""
        if self.table.name is not None:
            self._use(self.table.name)

    def use_offered(self) -> None:
        """Make the baseline that is offered the run that predicts."""
        if self._offered is not None:
            self._use(self._offered.name)

    def _use(self, name: str) -> None:
        comparison = self.comparing.comparison
        if comparison is None:
            return
        contestant = run_of(comparison, name)
        try:
            run = read_run(comparison.folder / contestant.folder)
        except ValueError as error:
            self._say_error(str(error))
            return
        self.session.add_run(TrainedRun(run.folder, run.record))
        if contestant.spec is None:
            self._say(f"The {name} predicts now: press Predict under Result.")
            return
        self.session.spec = contestant.spec.with_classes(2)
        self._say(
            f"{name} is picked; its run with seed {contestant.seed} predicts: press Predict under "
            "Result, or train it on all of the annotation."
        )

    def ask_seeds(self) -> None:
        """Show what all seeds of the chosen network say together of the image in view."""
        image, name = self.session.image, self.table.name
        if image is None or name is None:
            return
        try:
            self.ensembles.ask(name, (image, self.session.frame))
        except ValueError as error:
            self._say(sentence(str(error)))
        else:
            self._say("Predicting with all seeds.")

    def open_report(self) -> None:
        """Open the report in the browser."""
        path = self.comparing.report
        if path is not None:
            QDesktopServices.openUrl(QUrl.fromLocalFile(str(path.resolve())))

    def _ask_file(self) -> None:
        name, _ = QFileDialog.getSaveFileName(self, "Save", "comparison", ";;".join(_SAVED_AS))
        if name:
            self.save(Path(name))

    def save(self, path: Path) -> None:
        """Write report, table or curve; the path's ending chooses."""
        comparison, report = self.comparing.comparison, self.comparing.report
        if comparison is None:
            return
        try:
            match path.suffix.lower():
                case ".html" if report is not None:
                    shutil.copyfile(report, path)
                case ".html":
                    raise ValueError("the report is not written yet: wait a moment")
                case ".csv":
                    write_text(path, csv_of(network_table(comparison.results)))
                case ".png" | ".svg" | ".pdf":
                    self.curve.save(path)
                case other:
                    raise ValueError(
                        f'"{other}" is not an ending that can be written: give .html, .csv, .png, '
                        ".svg"
                    )
        except (OSError, ValueError) as error:
            self._say_error(str(error))
        else:
            self._say(f"Saved as {path}.")

    # showing

    def _say(self, words: str) -> None:
        self.note.say(words, "quiet")

    def _say_error(self, words: str) -> None:
        self.note.say(sentence(words), "error")

    def _show(self, _change: object = None) -> None:
        comparison = self.comparing.comparison
        if comparison is None or (
            self._shown is not None and comparison.folder != self._shown.folder
        ):
            self.view.forget()
            self.table.tick(())
            self.note.say("")
        if comparison is not None and comparison.folder != self.folder_line.folder:
            self.folder_line.name_folder(comparison.folder)
        self._shown = comparison
        self.table.show_comparison(comparison)
        self.curve.show_comparison(comparison)
        self._show_results()

    def _show_results(self) -> None:
        comparison = self.comparing.comparison
        has_results = comparison is not None and bool(comparison.results)
        self.result_fold.setVisible(comparison is not None)
        self.table.setVisible(has_results)
        for part in (self.use_button, self.ensemble_button, self.save_button, self.view):
            part.setVisible(has_results)
        self.report_button.setVisible(has_results)
        self.report_button.setEnabled(self.comparing.report is not None)
        self._offered = None if comparison is None else _offer(comparison)
        self.offer.say("" if self._offered is None else f"{self._offered.sentence}.", "plain")
        self.offer_button.setVisible(self._offered is not None)
        says = Markup() if comparison is None else _says(comparison, self._offered)
        self.findings.show_markup(says)
        self._show_chosen(self.table.name or "")

    def _show_chosen(self, name: str) -> None:
        comparison = self.comparing.comparison
        if comparison is None or not name:
            self.chosen.say("")
            return
        results = [each for each in comparison.results if each.contestant.name == name]
        is_network = bool(results) and not results[0].is_baseline
        is_run = bool(comparison.runs(name))
        self.use_button.setEnabled(is_run)
        self.use_button.setText("Use this network" if is_network else f"Use the {name}")
        self.ensemble_button.setEnabled(is_network and len(results) > 1)
        reason = "" if is_run else " (an earlier version kept no run of it: compare again)"
        self.chosen.say(f"Chosen: {name}{reason}", "plain")

    def _on_written(self, _path: Path | None) -> None:
        self._show_results()
        if self.comparing.trouble:
            self._say_error(self.comparing.trouble)


def _offer(comparison: Comparison) -> BaselineOffer | None:
    """Return the baseline to offer: the best of those that do as well as networks; None: none."""
    offers = comparison.findings.offers
    return next((each for each in offers if comparison.runs(each.name)), None)


def _says(comparison: Comparison, offered: BaselineOffer | None) -> Markup:
    """Return what a comparison says, the suggestion first and in bold; but what is offered."""
    said = [
        each
        for each in comparison.findings.sentences
        if offered is None or each != offered.sentence
    ]
    first, *others = said[:_MOST_FINDINGS] or ("",)
    lines: list[str] = [markup("<b>{}.</b>", first)] if first else []
    lines += [f"{each}." for each in others]
    lines += [
        f"The {each.contestant.name} is left out: {sentence(each.note)}"
        for each in comparison.left_out
    ]
    if not lines:
        return markup("No network is done yet.")
    if comparison.missing:
        lines.append(markup("<i>So far: {} are still missing.</i>", len(comparison.missing)))
    return Markup("".join(markup('<p style="margin: 2px 0;">{}</p>', line) for line in lines))
