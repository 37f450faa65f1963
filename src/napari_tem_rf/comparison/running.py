"""Run a comparison: give what is not done yet to an engine, and report how it goes."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from napari_tem_rf.comparison.holdout import hold_out
from napari_tem_rf.comparison.jobs import ContestantJob, contest
from napari_tem_rf.comparison.plan import ComparisonPlan, Contestant
from napari_tem_rf.comparison.record import Comparison, open_comparison, read_comparison
from napari_tem_rf.comparison.results import Result
from napari_tem_rf.engine import (
    AnyEngine,
    EngineError,
    InlineEngine,
    Job,
    JobCancelledError,
    Said,
    Task,
    run_all,
)
from napari_tem_rf.locking import locked
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.protocol import NoteReport, ProgressReport, Report, Stopped

__all__ = ["ComparisonReport", "run_comparison"]


@dataclass(frozen=True, slots=True)
class ComparisonReport:
    """How far a comparison is, after one of its trainings said something.

    Attributes
    ----------
    done, total : int
        Contestants that are over (done before, done now or failed), and all.
    fraction : float
        Of the whole, 0 to 1, what is running included.
    seconds_left : float, optional
        None while it is not known.
    contestant : Contestant, optional
        The one that said something.
    report : Report, optional
        What it said.
    result : Result, optional
        Its result, when it is done.
    failure : str
        Why it could not be done; empty otherwise.
    """

    done: int
    total: int
    fraction: float
    seconds_left: float | None = None
    contestant: Contestant | None = None
    report: Report | None = None
    result: Result | None = None
    failure: str = ""


def _silent(report: ComparisonReport) -> None:
    """Ignore the report."""


def run_comparison(
    images: Sequence[LabelledImage],
    plan: ComparisonPlan,
    folder: str | Path,
    *,
    engine: AnyEngine | None = None,
    on_report: Callable[[ComparisonReport], object] = _silent,
    stopped: Stopped = lambda: False,
    sources: dict[str, str] | None = None,
    label_sources: dict[str, str] | None = None,
) -> Comparison:
    """Train and score what a comparison's folder does not hold yet.

    What is done stays; what was stopped or killed continues from its checkpoint. Networks and seeds
    may be added to a comparison later.

    Parameters
    ----------
    images : sequence of LabelledImage
        All annotated images; see `hold_out` for what of them is scored.
    plan : ComparisonPlan
    folder : str or Path
        Of the comparison; new, or the one to continue. Workers on other machines must see it
        at the same path.
    engine : AnyEngine, optional
        Where to train; in a thread of this process when not given. It is not closed here.
    on_report : callable
        Called in this thread with each `ComparisonReport`.
    stopped : callable
        Asked several times a second. A stop breaks trainings off; they continue later from their
        last complete epoch (a plain ``InlineEngine()`` works inside this thread and ends the
        current training first).
    sources, label_sources : dict of str to str
        File of each image and of its labels, by image name; kept in the records.

    Returns
    -------
    Comparison
        What is done by now; complete unless it was stopped or something failed.

    Raises
    ------
    ValueError
        When images, labels and plan cannot be compared on, or the folder cannot be used;
        `BusyError` when somebody else compares in it.
    EngineUnavailableError
        When nothing can be trained at all: no scheduler answers, or no worker lasts.
    """
    with locked(folder, "comparing"):
        return _run(
            images,
            plan,
            Path(folder),
            engine,
            on_report,
            stopped,
            sources or {},
            label_sources or {},
        )


def _run(
    images: Sequence[LabelledImage],
    plan: ComparisonPlan,
    folder: Path,
    engine: AnyEngine | None,
    on_report: Callable[[ComparisonReport], object],
    stopped: Callable[[], bool],
    sources: dict[str, str],
    label_sources: dict[str, str],
) -> Comparison:
    held_out = hold_out(images, plan)
    comparison = open_comparison(folder, plan, images, held_out, sources, label_sources)
    waiting = [
        ContestantJob(comparison.folder, each, plan, held_out, sources, label_sources)
        for each in comparison.missing
    ]
    total = len(comparison.record.contestants)
    on_report(
        ComparisonReport(
            total - len(waiting),
            total,
            (total - len(waiting)) / total,
            report=NoteReport(held_out.sentence),
        )
    )
    own = InlineEngine(threaded=True) if engine is None else None
    try:
        failed = _Schedule(waiting, total, on_report).run(engine or own, stopped)  # type: ignore[arg-type]
    finally:
        if own is not None:
            own.close()
    return replace(read_comparison(comparison.folder), failed=tuple(failed))


class _Schedule:
    """The contestants that are still to be trained, and how far they are."""

    def __init__(
        self,
        waiting: Sequence[ContestantJob],
        total: int,
        on_report: Callable[[ComparisonReport], object],
    ) -> None:
        self.waiting = waiting
        self.total = total
        self.on_report = on_report
        self.begun = time.monotonic()
        self.over = 0
        self.fractions: dict[int, float] = {}
        self.failed: list[tuple[str, str]] = []

    def run(self, engine: AnyEngine, stopped: Stopped) -> list[tuple[str, str]]:
        """Train all, or those before a stop; return names and reasons of failures."""
        tasks = (
            Task(index, contest, (job,), f"{job.contestant.name}, seed {job.contestant.seed}")
            for index, job in enumerate(self.waiting)
        )
        for event in run_all(engine, tasks, stopped=stopped):
            if isinstance(event, Said):
                self._said(event.key, event.report)
            else:
                self._ended(event.key, event.job)
        return self.failed

    def _said(self, index: int, report: Report) -> None:
        if isinstance(report, ProgressReport):
            self.fractions[index] = report.fraction
        self._tell(self.waiting[index].contestant, report)

    def _ended(self, index: int, job: Job) -> None:
        self.fractions.pop(index, None)
        contestant = self.waiting[index].contestant
        result, failure = None, ""
        try:
            result = job.result()
        except JobCancelledError:
            pass
        except EngineError as error:
            failure = error.sentence
            self.failed.append((f"{contestant.name}, seed {contestant.seed}", failure))
        self.over += result is not None or bool(failure)
        self._tell(contestant, None, result, failure)

    def _tell(
        self,
        contestant: Contestant,
        report: Report | None,
        result: Result | None = None,
        failure: str = "",
    ) -> None:
        gained = self.over + sum(self.fractions.values())
        taken = time.monotonic() - self.begun
        earlier = self.total - len(self.waiting)
        left = taken * (len(self.waiting) - gained) / gained if gained > 0 else None
        self.on_report(
            ComparisonReport(
                done=earlier + self.over,
                total=self.total,
                fraction=(earlier + gained) / self.total,
                seconds_left=left,
                contestant=contestant,
                report=report,
                result=result,
                failure=failure,
            )
        )
