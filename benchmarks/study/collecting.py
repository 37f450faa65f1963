"""Do the pieces that are not done yet, here or on a cluster, and say how it goes."""

import time
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from napari_tem_rf.engine import Ended, Engine, InlineEngine, Task, run_all
from study.pieces import Piece
from study.sets import is_there
from study.working import Place, do


def waiting(
    pieces: Sequence[Piece], place: Place, done: frozenset[str] = frozenset()
) -> list[Piece]:
    """Return the pieces that can be done, are not in the folder and not among those named."""
    sets = {piece.set for piece in pieces}
    there = {name for name in sets if is_there(name, place.data, place.simulated)}
    return [
        piece
        for piece in pieces
        if piece.set in there
        and (piece.start != "published" or place.published)
        and piece.name not in done
        and not place.row(piece).is_file()
    ]


def collect(
    pieces: Sequence[Piece],
    place: Place,
    minutes: float,
    scheduler: str | None = None,
    workers: int = 0,
    done: frozenset[str] = frozenset(),
) -> None:
    """Do what is not done, until the time is over; a piece that was begun is finished.

    What is waiting is looked up after every piece: sets may come, and others may work in the same
    folder. Pieces that are named as done elsewhere are left out.
    """
    end = time.monotonic() + 60 * minutes
    engine = Engine(scheduler, workers=workers + 1) if scheduler or workers else InlineEngine()
    given: set[str] = set()
    failed: list[str] = []

    def tasks() -> Iterator[Task[Piece]]:
        while time.monotonic() < end:
            left = [each for each in waiting(pieces, place, done) if each.name not in given]
            if not left:
                return
            given.add(left[0].name)
            yield Task(left[0], do, (left[0], place), left[0].name)

    with engine:
        for event in run_all(engine, tasks()):
            if not isinstance(event, Ended):
                continue
            try:
                row = event.job.result()
                if row is None:
                    continue
                said = _sentence(row)
            except Exception as error:
                failed.append(event.key.name)
                said = f"failed: {error}"
            now = time.strftime("%H:%M:%S")
            print(f"{now} {event.key.name}: {said}", flush=True)
    left = len(waiting(pieces, place, done))
    print(f"{left} pieces to go, {len(failed)} failed" if left else "all is done", flush=True)


def _sentence(row: dict[str, Any]) -> str:
    dice = [each["dice"] for each in row["images"] if "dice" in each]
    score = f"Dice {np.mean(dice):.3f}" if dice else row.get("note", "no score")
    length = f", {row['steps']} steps, by {row['ended_by']}" if "steps" in row else ""
    field = f", w95 {row['w95_px']} of {row['nominal_px']} px" if "w95_px" in row else ""
    return f"{score}{length}{field}, {row['cpu_seconds']:.0f} s"
