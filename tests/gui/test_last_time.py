"""What was done on an image is offered when it is opened again, and nothing of it is lost."""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from napari.layers import Image
from qtpy.QtWidgets import QApplication

from napari_tem_rf.gui.layers.layers import micrograph_layer, pixel_size_nm, set_pixel_size_nm
from napari_tem_rf.gui.segment.annotation import AnnotationWidget
from napari_tem_rf.gui.segment.last_time import LastTimeWidget
from napari_tem_rf.gui.segment.place import SettingsDialog
from napari_tem_rf.gui.segment.training import begin_training
from napari_tem_rf.gui.session import last_time
from napari_tem_rf.gui.session.annotations import note_classes, start_annotation
from napari_tem_rf.gui.session.autosave import Autosave
from napari_tem_rf.gui.session.last_time import find_runs
from napari_tem_rf.gui.session.viewers import session_of
from napari_tem_rf.image_memory import memory_folder, recall, remembered_images
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.run_record import DataEntry, RunRecord
from napari_tem_rf.runs import WEIGHTS, create_run

GOLD = Classes((1, 2, 3), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))
SMALL = NetworkSpec((2, 2), filters=4)


class Sitting:
    """A window in which files are worked on, from its opening to its end."""

    def __init__(self, viewer: Any, runs_folder: Path, qtbot: Any) -> None:
        self.viewer, self.qtbot = viewer, qtbot
        self.session = session_of(viewer)
        self.session.runs_folder = runs_folder
        self.widget = LastTimeWidget(viewer)
        qtbot.addWidget(self.widget)

    def open(self, *files: Path) -> list[Image]:
        images = []
        for file in files:
            (micrograph,) = read_micrographs(file)
            pixels, attributes, _ = micrograph_layer(micrograph)
            images.append(self.viewer.add_image(pixels, **attributes))
        self.session.image = images[0]
        return images

    def paint(self, image: Image, rows: int = 5) -> Any:
        layer = start_annotation(image, "ignore", [each.name for each in self.viewer.layers])
        note_classes(layer, GOLD, "ignore")
        layer.data[:rows], layer.data[40 : 40 + rows] = 2, 1
        self.viewer.add_layer(layer)
        self.session.annotation = layer
        self.session.edited()
        return layer

    def train(self) -> Path:
        begin_training(self.session)
        self.qtbot.waitUntil(lambda: self.session.training is None, timeout=20_000)
        self.qtbot.waitUntil(lambda: self.session.predicting is None, timeout=20_000)
        folder: Path = self.session.runs[-1].folder
        (folder / WEIGHTS).write_bytes(b"")  # what answers at once has none
        return folder

    @property
    def offers(self) -> bool:
        return not self.widget.continue_button.isHidden() and not self.widget.isHidden()

    def wait_for_offer(self) -> str:
        self.qtbot.waitUntil(lambda: self.offers, timeout=20_000)
        return self.widget.words.text()

    def end(self) -> None:
        self.session.close()
        self.viewer.close()
        QApplication.processEvents()


@pytest.fixture
def sitting(
    make_napari_viewer: Callable[..., Any],
    tmp_path: Path,
    worker: None,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Callable[[], Sitting]]:
    monkeypatch.setenv("TEM_RF_CONFIG", str(tmp_path / "config" / "settings.json"))
    begun: list[Sitting] = []

    def begin() -> Sitting:
        begun.append(Sitting(make_napari_viewer(), tmp_path / "runs", qtbot))
        return begun[-1]

    yield begin
    for each in begun:
        each.end()


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / f"gold_{number}.tif" for number in range(2)]
    for seed, path in enumerate(paths):
        tifffile.imwrite(path, np.random.default_rng(seed).normal(size=(61, 83)).astype("f4"))
    return paths


def test_nothing_is_offered_and_nothing_written_where_nothing_was_done(
    sitting: Any, files: list[Path], qtbot: Any
) -> None:
    first = sitting()
    first.open(*files)
    assert not first.offers
    first.end()
    second = sitting()
    second.open(*files)
    qtbot.wait(300)
    assert not second.offers
    assert remembered_images() == 0


def test_all_of_it_comes_back_with_one_click(sitting: Any, files: list[Path], qtbot: Any) -> None:
    first = sitting()
    images = first.open(*files)
    for image in images:
        first.paint(image)
        set_pixel_size_nm(image, (0.5, 0.5))
        first.session.refresh()
    first.session.spec = SMALL
    run = first.train()
    first.end()

    second = sitting()
    annotation = AnnotationWidget(second.viewer)
    qtbot.addWidget(annotation)
    again = second.open(*files)
    words = second.wait_for_offer()
    # strokes are offered in one place, with all else
    autosave = second.session.part(Autosave)
    qtbot.waitUntil(lambda: autosave._offer is not None)
    assert autosave.offer() is None
    assert annotation.restore_button.isHidden()
    assert annotation.words.text() == "Press New and paint a few strokes."
    assert words == ("Last time: strokes 1,660 px on 2 images, a run (44 px, 2 classes), 0.5 nm/px")
    assert str(run) in second.widget.words.toolTip()
    second.widget.continue_button.click()
    assert not second.offers
    session = second.session
    assert session.image is again[0]
    assert session.spec == SMALL
    assert session.run.folder == run
    assert session.situation.start == run
    assert [pixel_size_nm(image) for image in again] == [(0.5, 0.5), (0.5, 0.5)]
    assert session.situation.scene.classes == GOLD
    annotated = session.situation.scene.annotated
    assert {each.pair.image for each in annotated} == set(again)
    for each in annotated:
        assert each.pixels == (415, 415, 0)
        assert pixel_size_nm(each.pair.labels) == (0.5, 0.5)
    assert second.widget.words.text().startswith("As last time: strokes 1,660 px on 2 images")
    assert "Predict all shows the masks" in second.widget.words.text()


def test_start_fresh_leaves_all_files_and_can_be_taken_back(
    sitting: Any, files: list[Path], tmp_path: Path
) -> None:
    first = sitting()
    (image,) = first.open(files[0])
    first.paint(image)
    first.end()
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    second = sitting()
    second.open(files[0])
    second.wait_for_offer()
    second.widget.fresh_button.click()
    assert second.session.annotation is None
    assert "stays in its files" in second.widget.words.text()
    assert ".autosave.npz" in second.widget.words.toolTip()
    assert {path: path.read_bytes() for path in before} == before
    second.widget.back_button.click()
    assert second.session.annotation is not None
    assert (second.session.annotation.data == 2).sum() == 5 * 83


def test_new_strokes_after_start_fresh_do_not_overwrite_the_old(
    sitting: Any, files: list[Path], tmp_path: Path
) -> None:
    first = sitting()
    first.paint(*first.open(files[0]))
    first.end()
    (old,) = (tmp_path / "runs").rglob("*.autosave.npz")
    held = old.read_bytes()
    second = sitting()
    (image,) = second.open(files[0])
    second.wait_for_offer()
    second.widget.fresh_button.click()
    second.paint(image, rows=9)
    second.end()
    assert old.read_bytes() == held
    assert len(list((tmp_path / "runs").rglob("*.autosave.npz"))) == 2
    third = sitting()
    third.open(files[0])
    assert "strokes 1,494 px" in third.wait_for_offer()  # twice 9 rows of 83


def test_of_a_sample_the_strokes_that_were_added_come_back_in_its_own_place(
    sitting: Any, qtbot: Any
) -> None:
    first = sitting()
    first.viewer.open_sample("napari-tem-rf", "gold_low_magnification")
    qtbot.wait(100)
    layer = first.session.annotation
    assert layer is not None
    layer.data[100:110, 100:110] = 2
    painted = layer.data.copy()
    first.session.edited()
    first.end()
    second = sitting()
    second.viewer.open_sample("napari-tem-rf", "gold_low_magnification")
    assert "strokes" in second.wait_for_offer()
    layers = len(second.viewer.layers)
    second.widget.continue_button.click()
    assert len(second.viewer.layers) == layers
    annotated = second.session.situation.scene.annotated
    assert len(annotated) == 4
    assert any(np.array_equal(each.pair.labels.data, painted) for each in annotated)


def test_another_image_of_that_name_is_offered_nothing(
    sitting: Any, files: list[Path], tmp_path: Path, qtbot: Any
) -> None:
    first = sitting()
    first.paint(*first.open(files[0]))
    first.end()
    other = tmp_path / "other" / files[0].name
    other.parent.mkdir()
    tifffile.imwrite(other, np.random.default_rng(9).normal(size=(61, 83)).astype("f4"))
    second = sitting()
    second.open(other)
    qtbot.wait(300)
    assert not second.offers


def test_a_damaged_memory_still_finds_strokes_and_runs(sitting: Any, files: list[Path]) -> None:
    first = sitting()
    first.paint(*first.open(files[0]))
    run = first.train()
    first.end()
    for path in memory_folder().iterdir():
        path.write_bytes(b"\0" * 100)
    second = sitting()
    second.open(files[0])
    assert "strokes 830 px" in second.wait_for_offer()
    second.widget.continue_button.click()
    assert second.session.annotation is not None
    assert run.is_dir()


def test_two_windows_on_one_image(sitting: Any, files: list[Path]) -> None:
    """The second gets a copy; what either of them did is remembered."""
    first, second = sitting(), sitting()
    (image,) = first.open(files[0])
    first.paint(image)
    (again,) = second.open(files[0])
    second.session.spec = SMALL
    set_pixel_size_nm(again, (0.25, 0.25))
    second.session.refresh()
    second.end()
    first.end()
    (key,) = (path.stem for path in memory_folder().glob("*.json"))
    found = recall(key)
    assert found is not None
    assert found.strokes_px == 830
    assert found.classes == GOLD


def test_remembering_happens_while_one_works(
    sitting: Any, files: list[Path], qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A crash loses no more than the last seconds."""
    monkeypatch.setattr(last_time, "PERIOD_MS", 10)
    first = sitting()
    first.paint(*first.open(files[0]))
    qtbot.waitUntil(lambda: remembered_images() == 1, timeout=10_000)


def test_it_can_be_forgotten(sitting: Any, files: list[Path], qtbot: Any, tmp_path: Path) -> None:
    first = sitting()
    first.paint(*first.open(files[0]))
    first.session.part(last_time.LastTime).remember()
    qtbot.waitUntil(lambda: remembered_images() == 1, timeout=10_000)
    dialog = SettingsDialog(first.session)
    qtbot.addWidget(dialog)
    assert dialog.forget_button.text() == "Forget what is remembered of 1 image"
    dialog.forget_button.click()
    assert remembered_images() == 0
    assert not dialog.forget_button.isEnabled()


def test_runs_of_a_file_are_found_in_its_folder_without_a_note(tmp_path: Path) -> None:
    source = tmp_path / "gold.tif"
    for name, trained_from in (("1", source), ("2", tmp_path / "other.tif"), ("3", source)):
        entry = DataEntry(
            name="gold",
            group="gold",
            shape=(61, 83),
            pixels_sha256="ab",
            labels_sha256="cd",
            source=str(trained_from),
            annotation="annotation.ome.tif",
        )
        record = RunRecord(
            name=name,
            spec=SMALL,
            plan=TrainingPlan(),
            classes=Classes((1, 2), ("background", "gold")),
            unlabelled="ignore",
            cleaning=Cleaning(),
            pixel_size_nm=None,
            data=(entry,),
            state="finished",
        )
        run = create_run(
            tmp_path / "gold" / name, record, {"annotation.ome.tif": np.eye(7, 9, dtype=np.uint8)}
        )
        run.weights.write_bytes(b"")
    (tmp_path / "gold" / "notes").mkdir()

    def names(noted: list[str], source: Path | None) -> list[str]:
        return [run.folder.name for run in find_runs(noted, tmp_path / "gold", source)]

    assert names([], source) == ["1", "3"]
    assert names([], None) == []
    # the one used last comes last, and one that is gone does not come
    noted = [str(tmp_path / "gold" / name) for name in ("3", "gone", "1")]
    assert names(noted, source) == ["3", "1"]
    assert names(noted, None) == ["3", "1"]
