"""A run is handed on by a button, and a shared one is dropped on the window."""

import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.utils.notifications import notification_manager
from qtpy.QtWidgets import QFileDialog

from napari_tem_rf import run_archive
from napari_tem_rf.gui.export.sharing import ShareButton
from napari_tem_rf.gui.manifest import get_reader
from napari_tem_rf.gui.segment.image import LoadWidget
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.request import training_request
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.run_archive import is_unpacked
from napari_tem_rf.runs import RunRecord, create_run, read_run

from .conftest import fake_train

NAME = "gold of Monday"


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(run_archive.CACHE_VARIABLE, str(tmp_path / "cache"))


@pytest.fixture
def run(session: Session, strokes: Any, worker: None, tmp_path: Path) -> TrainedRun:
    """A run with weights, in a folder of this name."""
    request = training_request(session)
    record = fake_train(request, report=lambda _: None, stopped=lambda: False)
    folder = request.run.rename(tmp_path / NAME)
    opened = read_run(folder)
    network = random_network(opened.record.network, 752)
    opened.write_weights({name: value.numpy() for name, value in network.state_dict().items()})
    run = TrainedRun(folder, record)
    session.add_run(run)
    return run


def said_in(session: Session) -> list[str]:
    words: list[str] = []
    session.part(Status).said.connect(lambda text, _tone: words.append(text))
    return words


def answer(monkeypatch: pytest.MonkeyPatch, path: Path, filter_title: str) -> list[str]:
    """Let the file dialog answer, and return the filters that it offered."""
    offered: list[str] = []

    def ask(_parent: Any, _title: str, _first: str, filters: str) -> tuple[str, str]:
        offered.extend(filters.split(";;"))
        (chosen,) = (each for each in offered if each.startswith(filter_title))
        return str(path), chosen

    monkeypatch.setattr(QFileDialog, "getSaveFileName", ask)
    return offered


def test_a_run_goes_into_a_zip_and_comes_back_by_a_drop(
    viewer: Any,
    session: Session,
    run: TrainedRun,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    words = said_in(session)
    offered = answer(monkeypatch, tmp_path / "out", "Run")
    widget.share_button.click()
    qtbot.waitUntil(lambda: any("Written" in each for each in words), timeout=20_000)
    out = tmp_path / "out.zip"
    assert words[-1] == f"Written {out}."
    assert [each.partition(" (")[0] for each in offered] == [
        "Run, for napari-tem-rf",
        "Model of the BioImage Model Zoo",
        "ONNX, for other programs",
    ]
    with zipfile.ZipFile(out) as archive:
        assert not [name for name in archive.namelist() if "annotation" in name]
    load = LoadWidget(viewer)
    qtbot.addWidget(load)
    load.open_files([out])
    qtbot.waitUntil(lambda: session.run is not run, timeout=20_000)
    assert session.run is not None
    assert session.run.folder != run.folder
    assert is_unpacked(session.run.folder)
    assert session.run.spec == run.spec
    # it has the name of its file: that of its record is a date
    assert words[-1].startswith('The run "out" is open')


def test_napari_opens_the_zip_of_a_run_and_shows_the_dock(
    viewer: Any, session: Session, run: TrainedRun, tmp_path: Path, qtbot: Any
) -> None:
    from napari_tem_rf import jobs

    out = tmp_path / "gold.zip"
    jobs.share_run(
        jobs.ShareRequest(run=run.folder, shared_as="run", out=out),
        report=lambda _: None,
        stopped=lambda: False,
    )
    layers = len(viewer.layers)
    viewer.open(out, plugin="napari-tem-rf")
    qtbot.waitUntil(lambda: session.run is not run, timeout=20_000)
    assert len(viewer.layers) == layers
    assert "TEM segmentation (napari-tem-rf)" in viewer.window.dock_widgets


def test_a_zip_that_is_no_run_is_left_to_others(tmp_path: Path) -> None:
    letter = tmp_path / "letter.zip"
    with zipfile.ZipFile(letter, "w") as archive:
        archive.writestr("letter.txt", "Dear Ada")
    assert get_reader(str(letter)) is None
    assert get_reader(str(tmp_path / "image.tif")) is not None


def test_a_zip_that_is_refused_is_said(
    viewer: Any, session: Session, run: TrainedRun, tmp_path: Path, qtbot: Any
) -> None:
    by_hand = tmp_path / "by hand.zip"
    with zipfile.ZipFile(by_hand, "w") as archive:
        for path in run.folder.iterdir():
            archive.write(path, f"run/{path.name}")
    words = said_in(session)
    load = LoadWidget(viewer)
    qtbot.addWidget(load)
    notification_manager.records.clear()
    load.open_files([by_hand])
    qtbot.waitUntil(lambda: any("is not opened as a run" in each for each in words), timeout=20_000)
    assert session.run is run
    assert any("is not opened" in str(each.message) for each in notification_manager.records)
    notification_manager.records.clear()


def test_it_is_grey_without_a_run_and_offers_a_forest_as_a_run_alone(
    viewer: Any, session: Session, tmp_path: Path, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    button = ShareButton(viewer)
    qtbot.addWidget(button)
    assert not button.isEnabled()
    record = RunRecord(
        name="forest",
        spec=None,
        plan=TrainingPlan(),
        classes=Classes((0, 1), ("background", "particle")),
        unlabelled="background",
        cleaning=Cleaning(),
        pixel_size_nm=None,
        data=(),
        state="finished",
        method="forest",
    )
    create_run(tmp_path / "forest", record, {}).write_weights({"depth": np.arange(3)})
    session.add_run(TrainedRun(tmp_path / "forest", record))
    assert button.isEnabled()
    offered = answer(monkeypatch, tmp_path / "never", "Run")
    monkeypatch.setattr(button, "share_to", lambda *_, **__: None)
    button.click()
    assert len(offered) == 1


def test_what_cannot_be_shared_is_said(
    viewer: Any, session: Session, run: TrainedRun, tmp_path: Path, qtbot: Any
) -> None:
    (run.folder / "weights.safetensors").unlink()
    button = ShareButton(viewer)
    qtbot.addWidget(button)
    words = said_in(session)
    button.share_to(tmp_path / "out.zip", "run")
    assert not button.isEnabled()
    qtbot.waitUntil(button.isEnabled, timeout=20_000)
    assert "has no weights.safetensors" in words[-1]
    assert not (tmp_path / "out.zip").exists()
