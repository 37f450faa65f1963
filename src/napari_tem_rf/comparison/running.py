"""Run a comparison: give what is not done yet to an engine, and hear how it goes."""

import queue
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from napari_tem_rf.comparison.holdout import hold_out
from napari_tem_rf.comparison.jobs import Contest, contest
from napari_tem_rf.comparison.plan import ComparisonPlan, Contestant
from napari_tem_rf.comparison.record import Comparison, open_comparison, read_comparison
from napari_tem_rf.comparison.results import Result
from napari_tem_rf.engine import AnyEngine, EngineError, InlineEngine, Job, JobCancelledError
from napari_tem_rf.locking import locked
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.protocol import NoteReport, ProgressReport, Report

__all__ = ["ComparisonReport", "run_comparison"]

_ASK_SECONDS = 0.2


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
        Why it could not be done; empty else.
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
    """Say nothing."""


def run_comparison(
    images: Sequence[LabelledImage],
    plan: ComparisonPlan,
    folder: str | Path,
    *,
    engine: AnyEngine | None = None,
    on_report: Callable[[ComparisonReport], object] = _silent,
    stopped: Callable[[], bool] = lambda: False,
    sources: dict[str, str] | None = None,
    label_sources: dict[str, str] | None = None,
) -> Comparison:
    """Train and score what a comparison's folder does not hold yet.

    What is done stays; what was stopped or killed goes on from its checkpoint. Networks and seeds
    may be added to a comparison later.

    Parameters
    ----------
    images : sequence of LabelledImage
        All annotated images; see `hold_out` for what of them is scored.
    plan : ComparisonPlan
    folder : str or Path
        Of the comparison; new, or the one to go on with. Workers on other machines must see it
        at the same path.
    engine : AnyEngine, optional
        Where to train; in a thread of this process when not given. It is not closed here.
    on_report : callable
        Called in this thread with each `ComparisonReport`.
    stopped : callable
        Asked several times a second. A stop breaks trainings off, and they go on from their last
        complete epoch (a plain ``InlineEngine()`` works inside this thread and ends the one in
        hand first).
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
        Contest(comparison.folder, each, plan, held_out, sources, label_sources)
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
        failed = _Course(waiting, total, on_report, stopped).run(engine or own)  # type: ignore[arg-type]
    finally:
        if own is not None:
            own.close()
    return replace(read_comparison(comparison.folder), failed=tuple(failed))


@dataclass(frozen=True, slots=True)
class _Said:
    """A message of a job: a report, or its end."""

    index: int
    report: Report | None = None
    over: bool = False


class _Course:
    """The way of the contests through an engine."""

    def __init__(
        self,
        contests: Sequence[Contest],
        total: int,
        on_report: Callable[[ComparisonReport], object],
        stopped: Callable[[], bool],
    ) -> None:
        self.contests = contests
        self.total = total
        self.on_report = on_report
        self.stopped = stopped
        self.begun = time.monotonic()
        self.over = 0
        self.fractions: dict[int, float] = {}
        self.jobs: dict[int, Job] = {}
        self.failed: list[tuple[str, str]] = []
        self.said: queue.SimpleQueue[_Said] = queue.SimpleQueue()

    def run(self, engine: AnyEngine) -> list[tuple[str, str]]:
        """Run all contests, or those before a stop; returns names and reasons of failures."""
        following = 0
        stopping = False
        try:
            while self.jobs or (following < len(self.contests) and not stopping):
                if self.stopped() and not stopping:
                    stopping = True
                    for job in list(self.jobs.values()):
                        job.stop()
                # one more than can run, so that no worker waits for its next
                while (
                    not stopping
                    and following < len(self.contests)
                    and len(self.jobs) <= engine.width
                ):
                    self._submit(engine, following)
                    following += 1
                    stopping = self.stopped()
                self._listen()
        finally:
            for job in self.jobs.values():
                job.cancel()
        return self.failed

    def _submit(self, engine: AnyEngine, index: int) -> None:
        work = self.contests[index]
        job = engine.submit(
            contest,
            work,
            on_report=lambda report: self.said.put(_Said(index, report)),
            name=f"{work.contestant.name}, seed {work.contestant.seed}",
        )
        self.jobs[index] = job
        job.listen(partial(self._ended, index))

    def _ended(self, index: int, job: Job) -> None:
        self.said.put(_Said(index, over=True))

    def _listen(self) -> None:
        """Hear what the jobs say, until all is heard."""
        timeout: float | None = _ASK_SECONDS
        while True:
            try:
                said = self.said.get(timeout=timeout) if timeout else self.said.get_nowait()
            except queue.Empty:
                return
            timeout = None
            self._hear(said)

    def _hear(self, said: _Said) -> None:
        contestant = self.contests[said.index].contestant
        if not said.over:
            if isinstance(said.report, ProgressReport):
                self.fractions[said.index] = said.report.fraction
            self._tell(contestant, said.report)
            return
        job = self.jobs.pop(said.index)
        self.fractions.pop(said.index, None)
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
        earlier = self.total - len(self.contests)
        left = taken * (len(self.contests) - gained) / gained if gained > 0 else None
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
