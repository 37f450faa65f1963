"""``train`` from a run: again (``--repeat``), or continued from its checkpoint (``--resume``)."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import typer

from napari_tem_rf import jobs
from napari_tem_rf.cli.output import say
from napari_tem_rf.jobs.repeating import largest_difference, repetition
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.run_archive import is_unpacked
from napari_tem_rf.runs import Run, read_run

_MAY_BE_GIVEN = {"images", "repeat", "run", "device", "scheduler", "json"}
_OF_THE_NETWORK = (
    *("receptive_field", "receptive_field_nm", "parameters"),
    *("pools", "dilations", "filters"),
)


def refuse_settings(context: typer.Context) -> None:
    """Raise a usage error when settings are given that a repeated training takes from its run."""
    for name, option in given_options(context).items():
        if name not in _MAY_BE_GIVEN:
            raise typer.BadParameter(
                "a repeated training takes it from its run: leave it out", param_hint=option
            )


def refuse_changes(
    context: typer.Context, earlier: Run, pick: Callable[[], tuple[NetworkSpec, str]]
) -> None:
    """Raise ValueError where a resumed training is given other settings than its run has.

    The same ones may be given, so that adding ``--resume`` continues a command that was cut off.

    Parameters
    ----------
    context : typer.Context
    earlier : Run
    pick : callable
        Gives the network that the options name.

    Raises
    ------
    ValueError
    """
    record, given = earlier.record, given_options(context)
    has: dict[str, Any] = {"unlabelled": record.unlabelled, "preset": record.plan.preset}
    has["labels_are"], has["frozen"] = record.labels_are, record.plan.frozen
    has |= record.cleaning.to_dict()
    for name in given.keys() & has.keys():
        wanted = context.params[name]
        if (name, wanted) == ("labels_are", "auto"):
            continue
        if wanted != has[name]:
            option = given[name]
            known = f"without {option}" if has[name] is None else f"with {option} {has[name]}"
            raise ValueError(
                f'run "{earlier.folder}" was begun {known}, not {wanted}: a resumed training keeps '
                f"it; leave {option} out or start a new run"
            )
    if options := [given[name] for name in _OF_THE_NETWORK if name in given]:
        theirs = record.network
        spec = replace(pick()[0], channels=theirs.channels, classes=theirs.classes)
        if spec != theirs:
            raise ValueError(
                f'run "{earlier.folder}" has the network {theirs}, not {spec}: a resumed '
                f"training keeps it; leave {', '.join(options)} out or start a new run"
            )


def given_options(context: typer.Context) -> dict[str, str]:
    """Return the options on the command line, by the name of their parameter."""
    given = {}
    for parameter in context.command.params:
        source = context.get_parameter_source(parameter.name or "")
        if source is not None and source.name == "COMMANDLINE":
            given[str(parameter.name)] = parameter.opts[0]
    return given


def repeat_request(
    earlier: Run, folder: Path | None, images: Sequence[Path], device: str
) -> jobs.TrainRequest:
    """Return the training that repeats a run, and say what may come out differently."""
    again = repetition(earlier, folder or new_folder(earlier.folder), images)
    for note in again.notes:
        say(note)
    request = again.request
    if device == "auto":
        return request
    return replace(request, plan=replace(request.plan, device=device))  # type: ignore[arg-type]


def new_folder(folder: Path) -> Path:
    """Return a folder beside a run's that does not exist yet: ``<run>_repeat``.

    That of a run that was unpacked from a zip is in the working folder.
    """
    folder = Path.cwd() / folder.name if is_unpacked(folder) else folder.resolve()
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
