"""What ``measure`` needs for a report: images of the masks, examples of outlines, provenance."""

import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from numpy.typing import NDArray

from napari_tem_rf.cli.inputs import named_files
from napari_tem_rf.cli.output import say
from napari_tem_rf.measuring.populations import PopulationSettings, SurveyedFrame
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.annotation import shape_text
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.particle_report import (
    Example,
    ReportRequest,
    Source,
    check_ending,
    example_of,
    rendered,
    report_of,
    spread_places,
    write_particle_report,
)
from napari_tem_rf.provenance import file_hash, read_provenance


@dataclass(frozen=True, slots=True)
class Picture:
    """The image of a mask.

    Attributes
    ----------
    grey : callable, optional
        Gives the grey values of a frame; None where no image is known.
    has_lattice : bool
        Whether the lattice of its particles is measured.
    """

    grey: Callable[[int], NDArray[Any]] | None = None
    has_lattice: bool = False


class ReportPages:
    """Gathers what a report is made from, frame by frame, and writes it.

    Parameters
    ----------
    path : Path
        The report.
    number : int
        How many frames will come.
    finding : Finding
    settings : PopulationSettings
    command : str
        The command line.
    """

    def __init__(
        self,
        path: Path,
        number: int,
        finding: Finding,
        settings: PopulationSettings,
        command: str,
    ) -> None:
        self.path, self.command = path, command
        self.finding, self.settings = finding, settings
        self._coming = 0
        self._wanted = spread_places(number)
        self._frames: list[SurveyedFrame] = []
        self._examples: list[Example] = []
        self._sources: list[Source] = []

    def add(self, frame: SurveyedFrame, labels: NDArray[Any], picture: Picture) -> None:
        """Take a frame in; a few that show particles are kept as examples."""
        self._frames.append(frame)
        if self._wanted and self._coming >= self._wanted[0] and len(frame.table):
            self._wanted.pop(0)
            title = frame.image if frame.frame is None else f"{frame.image}, frame {frame.frame}"
            grey = None if picture.grey is None else picture.grey(frame.frame or 0)
            self._examples.append(example_of(title, grey, labels, frame.pixel_size_nm))
        self._coming += 1

    def add_source(
        self,
        name: str,
        mask: Path,
        image: Path | None,
        pixel_size_nm: tuple[float, float] | None,
    ) -> None:
        """Note which files an image's particles come from."""
        record = read_provenance(mask) or {}
        run = record.get("run")
        particles = record.get("particles")
        by_hand = record.get("by_hand")
        if isinstance(particles, dict):
            by_hand = particles.get("corrected_by_hand")
        self._sources.append(
            Source(
                image=name,
                mask=str(mask),
                mask_sha256=file_hash(mask),
                source=None if image is None else str(image),
                source_sha256=None if image is None else file_hash(image),
                run=run if isinstance(run, str) else None,
                pixel_size_nm=pixel_size_nm,
                by_hand=by_hand is True,
            )
        )

    def write(self) -> dict[str, Any]:
        """Write the report, and return its main numbers for JSON."""
        first = self._sources[0].image
        others = len(self._sources) - 1
        title = first if not others else f"{first} and {others:,} more"
        made = report_of(
            ReportRequest(
                title=f"Particles of {title}",
                frames=tuple(self._frames),
                examples=tuple(self._examples),
                sources=tuple(self._sources),
                finding=self.finding,
                settings=self.settings,
                command=self.command,
            )
        )
        write_particle_report(self.path, rendered(made, self.path.suffix))
        everything = made.populations[0]
        for note in everything.notes:
            say(note)

        def interval(of: Any) -> list[float]:
            return [of.low, of.high]

        return {
            "report": str(self.path),
            "mean_interval": interval(everything.found.mean),
            "sd_interval": interval(everything.found.sd),
            "resampled": everything.found.units,
            "coverage": everything.coverage.value,
            "per_area": everything.per_area.value,
            "area_unit": everything.area_unit,
            "nearest_neighbour": everything.neighbour.value,
            "fits": [
                {
                    "name": fit.name,
                    "parameters": dict(fit.parameters),
                    "aicc": fit.aicc,
                    "p_value": fit.p_value,
                }
                for fit in everything.fits
            ],
        }


def check_outputs(out: Path | None, report: Path | None, more: bool = False) -> None:
    """Raise where nothing would be written (unless there is more), or something overwritten."""
    if out is None and report is None and not more:
        raise typer.BadParameter(
            "name the table that is wanted, or a report with --report, or both", param_hint="--out"
        )
    for path, option in ((out, "--out"), (report, "--report")):
        if path is not None and path.exists():
            raise ValueError(
                f'"{path}" exists and nothing is overwritten: name another file with {option}, or '
                "delete it"
            )
    if report is not None:
        check_ending(report)


def images_of(
    masks: Mapping[str, Path], images: Sequence[Path], lattice: bool | None
) -> dict[str, Path]:
    """Return the image of each mask, by name."""
    if not images:
        if lattice:
            raise typer.BadParameter(
                "a lattice is measured in an image: give --images", param_hint="--lattice"
            )
        return {}
    named = named_files(images)
    found = {name: named[name] for name in masks if name in named}
    if not found:
        raise ValueError(
            f"no image has the name of a mask: masks are {_some(masks)}, images are "
            f"{_some(named)}; name each mask like its image"
        )
    if missing := masks.keys() - found.keys():
        say(f"{len(missing)} masks have no image: {_some(dict.fromkeys(missing))}")
    return found


def open_picture(
    name: str,
    image: Path | None,
    shape: tuple[int, ...],
    mask: Path,
    lattice: bool | None,
) -> Picture:
    """Return the image of a mask, and whether its particles' lattices are measured."""
    if image is None:
        return Picture()
    micrograph = read_micrographs(image)[0]
    if tuple(micrograph.pixels.shape) != tuple(shape):
        raise ValueError(
            f'mask "{mask}" is {shape_text(shape)} but image "{image}" is '
            f"{shape_text(micrograph.pixels.shape)}: give the image that it was made from"
        )
    if lattice is None:
        from napari_tem_rf.measuring.lattice import lattice_period

        lattice = lattice_period(micrograph.frame(), micrograph.pixel_size_nm) is not None
    return Picture(micrograph.frame, lattice)


def command_of(context: typer.Context) -> str:
    """Return a command line as it can be typed again, in the shell's own quotes."""
    words = ["napari-tem-rf", context.info_name or ""]
    options: list[str] = []
    for parameter in context.command.params:
        name = parameter.name or ""
        source = context.get_parameter_source(name)
        if source is None or source.name != "COMMANDLINE":
            continue
        value = context.params[name]
        if parameter.param_type_name == "argument":
            words += [str(each) for each in value]
        elif isinstance(value, bool):
            options.append(parameter.opts[0] if value else parameter.secondary_opts[0])
        else:
            for each in value if isinstance(value, list | tuple) else [value]:
                options += [parameter.opts[0], str(each)]
    return shlex.join([*words, *options])


def _some(names: Mapping[str, Any], most: int = 3) -> str:
    listed = sorted(names)
    rest = f" and {len(listed) - most} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + rest
