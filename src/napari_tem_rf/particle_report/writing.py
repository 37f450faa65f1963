"""Reports on particles written to files."""

from pathlib import Path

from napari_tem_rf.particle_report.content import (
    ParticleReport,
    ReportRequest,
    check_ending,
    report_of,
)
from napari_tem_rf.particle_report.sheet import sheet
from napari_tem_rf.particle_report.web import web_page
from napari_tem_rf.protocol import Reporter, Stopped
from napari_tem_rf.storage import refuse_existing, write_aside

__all__ = ["rendered", "rendered_in_worker", "write_particle_report"]


def rendered(report: ParticleReport, ending: str) -> bytes:
    """Return a report as a file of that ending: ``.html`` or ``.pdf``."""
    return sheet(report) if ending.lower() == ".pdf" else web_page(report).encode()


def rendered_in_worker(
    request: ReportRequest, ending: str, *, report: Reporter, stopped: Stopped
) -> bytes:
    """Describe particles and draw their report, as `rendered` does; for an engine."""
    return rendered(report_of(request), ending)


def write_particle_report(path: Path, page: bytes, overwrite: bool = False) -> None:
    """Write a rendered report in one step.

    Raises
    ------
    FileExistsError
        If the file exists and may not be replaced.
    ValueError
        If its ending is none of a report.
    """
    check_ending(path)
    refuse_existing(path, overwrite)
    with write_aside(path) as aside:
        aside.write_bytes(page)
