"""One page on the particles of many images: sizes with fit and intervals, shapes, how it was made.

The same content as a page for the browser that stands alone (HTML) and as a sheet (PDF).
"""

from napari_tem_rf.particle_report.command import command_for
from napari_tem_rf.particle_report.content import (
    ENDINGS,
    Example,
    ParticleReport,
    ReportRequest,
    Source,
    check_ending,
    example_of,
    report_of,
    spread_places,
)
from napari_tem_rf.particle_report.wording import Fact, facts_of, short_facts
from napari_tem_rf.particle_report.writing import (
    rendered,
    rendered_in_worker,
    write_particle_report,
)

__all__ = [
    "ENDINGS",
    "Example",
    "Fact",
    "ParticleReport",
    "ReportRequest",
    "Source",
    "check_ending",
    "command_for",
    "example_of",
    "facts_of",
    "rendered",
    "rendered_in_worker",
    "report_of",
    "short_facts",
    "spread_places",
    "write_particle_report",
]
