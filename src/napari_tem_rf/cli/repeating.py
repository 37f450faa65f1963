"""``train --repeat RUN``: the training of a run once more, from its folder alone."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.output import say
from napari_tem_rf.jobs.repeating import largest_difference, repetition
from napari_tem_rf.runs import Run, read_run

_MAY_BE_GIVEN = {"images", "repeat", "run", "device", "scheduler", "json"}


def refuse_settings(context: typer.Context) -> None:
    """Raise a usage error when settings are given that a repeated training has of its run."""
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        given = source is not None and source.name == "COMMANDLINE"
        if given and parameter.name not in _MAY_BE_GIVEN:
            raise typer.BadParameter(
                "a repeated training takes it from its run: leave it out",
                param_hint=parameter.opts[0],
            )


def repeat_request(
    earlier: Run, folder: Path | None, images: Sequence[Path], device: str
) -> jobs.TrainRequest:
    """Return the training that repeats a run, and say what may come out otherwise."""
    again = repetition(earlier, folder or new_folder(earlier.folder), images)
    for note in again.notes:
        say(note)
    request = again.request
    if device == "auto":
        return request
    return replace(request, plan=replace(request.plan, device=device))  # type: ignore[arg-type]


def new_folder(folder: Path) -> Path:
    """Return a folder beside a run's that does not exist yet: ``<run>_repeat``."""
    folder = folder.resolve()
    first = folder.with_name(f"{folder.name}_repeat")
    new, count = first, 1
    while new.exists():
        count += 1
        new = first.with_name(f"{first.name}_{count}")
    return new


def compare_weights(earlier: Run, folder: Path) -> tuple[float, str]:
    """Return the largest difference of the weights of a run and its repetition, and a sentence."""
    difference = largest_difference(earlier, read_run(folder))
    if difference == 0:
        return 0.0, f'the weights are those of "{earlier.folder}": largest difference 0'
    return difference, (
        f'the weights differ from those of "{earlier.folder}" by up to {difference:.2g}'
    )
