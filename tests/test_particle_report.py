"""The report on particles: true words, harmless names, one file that needs no other."""

import base64
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from napari_tem_rf.measuring.distributions import ConfidenceInterval
from napari_tem_rf.measuring.populations import PopulationSettings, SurveyedFrame
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.particle_report import (
    ReportRequest,
    Source,
    command_for,
    example_of,
    facts_of,
    rendered,
    report_of,
    short_facts,
    spread_places,
    write_particle_report,
)
from napari_tem_rf.particle_report.wording import with_interval

HOSTILE = '<script>alert("$x_1$")</script>&'
SHAPE = (211, 307)


def frame(image, seed, classes=False):
    rng = np.random.default_rng(seed)
    n = 30
    d = rng.lognormal(np.log(5), 0.25, n)
    table = {
        "label": np.arange(1, n + 1),
        "area_nm2": np.pi / 4 * d**2,
        "equivalent_diameter_nm": d,
        "aspect_ratio": rng.uniform(1, 1.4, n),
        "circularity": rng.uniform(0.8, 0.95, n),
        "row_nm": rng.uniform(0, 105, n),
        "column_nm": rng.uniform(0, 153, n),
        "touches_border": np.zeros(n, bool),
        "lattice_spacing_nm": np.where(np.arange(n) % 3 == 0, 0.235, np.nan),
        "lattice_spacing_error_nm": np.full(n, 0.001),
        "lattice_angle_deg": rng.uniform(0, 180, n),
        "lattice_strength": np.full(n, 50.0),
    }
    if classes:
        table["class"] = 1 + np.arange(n) % 2
    boxes = np.full((n, 2), 10)
    return SurveyedFrame(image, None, SHAPE, (0.5, 0.5), pd.DataFrame(table), boxes)


def request_of(classes=False, title="Particles of gold", image="gold"):
    rng = np.random.default_rng(0)
    labels = np.zeros(SHAPE, np.int32)
    labels[20:60, 30:80] = 7
    pixels = rng.normal(100, 10, SHAPE)
    return ReportRequest(
        title=title,
        frames=tuple(frame(f"{image} {at}", at, classes) for at in range(6)),
        examples=(example_of(image, pixels, labels, (0.5, 0.5)),),
        sources=(Source(image, f"{image}.tif", "ab" * 32, run=f"runs/{image}"),),
        finding=Finding(smallest_px=20),
        settings=PopulationSettings(),
        command=f"napari-tem-rf measure {shlex.quote(image)}.tif --report r.html",
        command_note=f"first {image}",
    )


def test_the_page_says_what_was_measured_and_needs_no_other_file():
    report = report_of(request_of())
    page = rendered(report, ".html").decode()
    everything = report.populations[0]
    assert everything.found.number == 180
    for fact in facts_of(everything):
        assert fact.value in page
    assert everything.fits[0].name == "log-normal"
    assert "in 60 of 180, median 0.235 nm" in page
    assert "napari-tem-rf measure gold.tif --report r.html" in page
    assert "<td>20 px</td>" in page
    for version in report.versions.values():
        assert version in page
    sources = re.findall(r'(?:src|href)="([^"]{0,30})', page)
    # histogram, shapes, lattices; an example
    assert [source.partition(";")[0] for source in sources] == [
        *["data:image/svg+xml"] * 3,
        "data:image/png",
    ]
    picture = base64.b64decode(re.findall(r"data:image/png;base64,([^\"]+)", page)[0])
    assert picture.startswith(b"\x89PNG")


def test_names_are_data():
    page = rendered(report_of(request_of(title=HOSTILE, image=HOSTILE)), ".html").decode()
    assert "<script" not in page
    assert "&lt;script&gt;alert(&quot;$x_1$&quot;)&lt;/script&gt;&amp;" in page
    assert rendered(report_of(request_of(title=HOSTILE, image=HOSTILE)), ".pdf")


def test_a_sheet_for_all_and_one_for_each_class():
    one, three = (rendered(report_of(request_of(classes)), ".pdf") for classes in (False, True))
    assert one.startswith(b"%PDF")
    assert [len(re.findall(rb"/Type /Page\b", pdf)) for pdf in (one, three)] == [1, 3]
    page = rendered(report_of(request_of(classes=True)), ".html").decode()
    assert "<h2>Class 1</h2>" in page
    assert "<h2>Class 2</h2>" in page


def test_a_series_gets_a_page_of_time():
    still = request_of()
    series = tuple(
        replace(each, image=f"film {HOSTILE}", frame=at) for at, each in enumerate(still.frames)
    )
    report = report_of(replace(still, frames=series))
    (course,) = report.courses
    assert course.frames["number"].tolist() == [30] * 6
    assert len(re.findall(rb"/Type /Page\b", rendered(report, ".pdf"))) == 2
    page = rendered(report, ".html").decode()
    assert "<h2>Frame by frame: film &lt;script&gt;" in page
    assert "<script" not in page
    assert report_of(still).courses == ()


def test_nothing_found_is_a_report_too():
    asked = request_of()
    empty = [frame("gold", 1)]
    empty = [SurveyedFrame("gold", None, SHAPE, (0.5, 0.5), empty[0].table[:0], empty[0].boxes[:0])]
    report = report_of(
        ReportRequest("gold", tuple(empty), (), asked.sources, None, asked.settings, "command")
    )
    assert "No particle counts" in rendered(report, ".html").decode()
    assert rendered(report, ".pdf").startswith(b"%PDF")
    assert short_facts(report.populations[0]) == ()


@pytest.mark.parametrize(
    ("interval", "words"),
    [
        (ConfidenceInterval(5.0213, 4.9123, 5.1303), "5.02 nm (4.91 to 5.13)"),
        (ConfidenceInterval(26544.0, 19497.0, 36139.0), "26,500 nm (19,500 to 36,100)"),
        (ConfidenceInterval(0.01234, 0.01204, 0.01264), "0.01234 nm (0.01204 to 0.01264)"),
        (ConfidenceInterval(3.14159, np.nan, np.nan), "3.14 nm"),
        (ConfidenceInterval(26544.0, np.nan, np.nan), "26,500 nm"),
        (ConfidenceInterval(np.nan, np.nan, np.nan), "not known"),
    ],
)
def test_digits_are_those_that_the_interval_allows(interval, words):
    assert with_interval(interval, "nm") == words


def test_files_are_not_overwritten_unasked(tmp_path):
    path = tmp_path / "r.html"
    write_particle_report(path, b"one")
    with pytest.raises(FileExistsError, match="exists"):
        write_particle_report(path, b"two")
    assert path.read_bytes() == b"one"
    write_particle_report(path, b"two", overwrite=True)
    assert path.read_bytes() == b"two"
    with pytest.raises(ValueError, match=r"written as \.html or \.pdf"):
        write_particle_report(tmp_path / "r.docx", b"one")


def test_examples_of_large_images_are_small():
    labels = np.zeros((1500, 2100), np.int64)
    labels[800:900, 100:400] = 3
    pixels = np.arange(1500)[:, None] + np.zeros(2100)
    example = example_of("large", pixels, labels, (0.1, 0.2))
    assert example.pixels.shape == example.labels.shape == (375, 525)
    assert example.pixel_size_nm == pytest.approx((0.4, 0.8))
    assert example.pixels[10, 0] == pytest.approx(41.5)  # mean of rows 40 to 43
    assert np.unique(example.labels).tolist() == [0, 3]
    assert spread_places(1) == [0]
    assert spread_places(2) == [0, 1]
    assert spread_places(101) == [0, 50, 100]


def test_the_command_depends_on_what_there_is():
    report, settings, finding = Path("r.pdf"), PopulationSettings(), Finding(border=False)
    common = {"lattice": True, "by_hand": False}
    command, note = command_for(
        *(report, settings, finding),
        mask=Path("a b.tif"), run=None, image=Path("i.tif"), **common,
    )  # fmt: skip
    assert command == (
        "napari-tem-rf measure 'a b.tif' --no-border --images i.tif --lattice --report r.pdf"
    )
    assert note == ""
    command, note = command_for(
        *(report, settings, finding), mask=None, run=Path("runs/1"), image=Path("i.tif"), **common
    )
    assert command.startswith("napari-tem-rf predict runs/1 i.tif --out masks && napari-tem-rf")
    command, note = command_for(
        *(report, PopulationSettings(quantity="feret_max"), finding),
        mask=Path("m.tif"), run=None, image=None, lattice=False, by_hand=True,
    )  # fmt: skip
    assert command == (
        "napari-tem-rf measure particles.tif --no-split --smallest 1 --size feret_max "
        "--report r.pdf"
    )
    assert note == "Write the particles with Export... first, as particles.tif."
    command, note = command_for(
        *(report, settings, None), mask=None, run=None, image=Path("x/gold 1.tif"), **common
    )
    assert command.startswith("napari-tem-rf measure 'particles/gold 1.tif' --no-split")
    assert note.endswith("as particles/gold 1.tif.")
