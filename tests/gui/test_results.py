"""A folder of results is opened from the line that names it, with its images and masks."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_tem_rf.gui.layers.layers import pixel_size_nm
from napari_tem_rf.gui.layers.marks import PredictionMark, mark_of
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.segment.results import ResultsLine
from napari_tem_rf.gui.session.choices import TrainedRun
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.writing import write_labels
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.provenance import provenance_of, write_provenance
from napari_tem_rf.result_folders import read_results, result_kind
from napari_tem_rf.run_record import DataEntry, RunRecord
from napari_tem_rf.runs import Run, array_hash, create_run

SHAPE = (61, 83)
SPEC = NetworkSpec((2, 2), filters=4, classes=3)
CLASSES = Classes((1, 2, 3), ("background", "gold", "dirt"), ("#0072b2", "#e69f00", "#cc79a7"))


def write_image(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    tifffile.imwrite(
        path,
        np.random.default_rng(seed).integers(0, 999, SHAPE, np.uint16),
        imagej=True,
        resolution=(50, 40),
        metadata={"unit": "nm", "axes": "YX"},
    )


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = [tmp_path / "images" / f"gold_{number}.tif" for number in range(2)]
    for seed, path in enumerate(paths):
        write_image(path, seed)
    return paths


def labels_of(seed: int) -> Any:
    return np.random.default_rng([seed, 5]).integers(0, 4, SHAPE, np.uint8)


@pytest.fixture
def run(tmp_path: Path, images: list[Path]) -> Run:
    entries = [
        DataEntry(
            name=path.stem,
            group=path.stem,
            shape=SHAPE,
            pixels_sha256="ab",
            labels_sha256=array_hash(labels_of(number)),
            source=str(path),
            annotation=f"annotation_{number}.ome.tif",
        )
        for number, path in enumerate(images)
    ]
    record = RunRecord(
        name="run",
        spec=SPEC,
        plan=TrainingPlan(),
        classes=CLASSES,
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=(0.025, 0.02),
        data=tuple(entries),
        state="finished",
    )
    kept = {entry.annotation: labels_of(number) for number, entry in enumerate(entries)}
    return create_run(tmp_path / "run", record, kept)


@pytest.fixture
def masks(tmp_path: Path, run: Run, images: list[Path]) -> Path:
    """Masks of both images as `predict` writes them."""
    folder = tmp_path / "masks"
    for number, path in enumerate(images):
        mask = folder / path.name
        write_labels(mask, labels_of(number) // 2 * 2, (0.025, 0.02))
        write_provenance(mask, provenance_of(run, path.stem, path, (0.025, 0.02)))
    return folder


@pytest.fixture
def line(viewer: Any, qtbot: Any) -> ResultsLine:
    line = ResultsLine(viewer)
    qtbot.addWidget(line)
    return line


def show(line: ResultsLine, qtbot: Any) -> str:
    line.show_button.click()
    qtbot.waitUntil(line.show_button.isEnabled, timeout=20_000)
    return line.note.text()


def test_a_folder_of_masks_comes_in_with_its_images(
    line: ResultsLine, session: Session, masks: Path, run: Run, qtbot: Any
) -> None:
    line.name_folder(masks)
    assert not line.isHidden()
    assert line.words.text().startswith("Masks are in ")
    assert line.words.toolTip() == str(masks)
    assert show(line, qtbot) == "2 images shown."
    assert [image.name for image in session.images] == ["gold_0", "gold_1"]
    predictions = session.refresh().scene.predictions
    assert {layer.name for layer in predictions} == {"gold_0: field 44 px", "gold_1: field 44 px"}
    for image in session.images:
        assert pixel_size_nm(image) == pytest.approx((0.025, 0.02))
        (layer,) = (each for each in predictions if each.name.startswith(image.name))
        mark = mark_of(layer)
        assert isinstance(mark, PredictionMark)
        assert (mark.image, mark.run) == (image.name, run.folder)
        assert tuple(layer.scale) == tuple(image.scale)
        number = int(image.name[-1])
        np.testing.assert_array_equal(layer.data, labels_of(number) // 2 * 2)
        # the run's colours: gold is orange (#e69f00)
        assert layer.colormap.color_dict[2][:3] == pytest.approx(
            (0xE6 / 255, 0x9F / 255, 0), abs=0.01
        )
    # once more changes nothing
    layers = list(session.viewer.layers)
    assert show(line, qtbot) == "2 images shown."
    assert list(session.viewer.layers) == layers


def test_a_run_comes_in_with_its_strokes(
    line: ResultsLine, session: Session, run: Run, qtbot: Any
) -> None:
    line.name_folder(run.folder)
    assert line.words.text().startswith("The run is in ")
    assert show(line, qtbot) == "2 images shown."
    annotated = session.refresh().scene.annotated
    assert {each.pair.labels.name for each in annotated} == {"gold_0: strokes", "gold_1: strokes"}
    for each in annotated:
        number = int(each.pair.image.name[-1])
        np.testing.assert_array_equal(each.pair.labels.data, labels_of(number))
    assert session.situation.scene.classes == CLASSES


def test_what_the_user_painted_stays(
    line: ResultsLine, session: Session, run: Run, images: list[Path], qtbot: Any
) -> None:
    session.viewer.open(images[0], plugin="napari-tem-rf")
    (image,) = session.images
    from napari_tem_rf.gui.session.annotations import start_annotation

    own = start_annotation(image, "ignore", [])
    own.data[3:9] = 2
    painted = own.data.copy()
    session.viewer.add_layer(own)
    line.name_folder(run.folder)
    show(line, qtbot)
    np.testing.assert_array_equal(own.data, painted)
    assert [layer.name for layer in session.viewer.layers].count("gold_0") == 1
    names = [layer.name for layer in session.viewer.layers]
    assert sum(name.startswith("gold_0: strokes") for name in names) == 1
    assert "gold_1: strokes" in names


def test_what_is_missing_is_named_and_the_rest_is_shown(
    line: ResultsLine, session: Session, masks: Path, images: list[Path], qtbot: Any
) -> None:
    images[0].unlink()
    (masks / "gold_1.tif").write_bytes(b"no mask")
    line.name_folder(masks)
    words = show(line, qtbot)
    assert f'"{images[0]}" is not there any more: open the image, then press Show again' in words
    assert "gold_1.tif" in words
    assert words.startswith("⚠ 0 images shown.")
    # opened from another place it is taken
    write_image(images[0].parent / "moved" / "gold_0.tif", 0)
    session.viewer.open(images[0].parent / "moved" / "gold_0.tif", plugin="napari-tem-rf")
    show(line, qtbot)
    predictions = session.refresh().scene.predictions
    assert [layer.name for layer in predictions] == ["gold_0: field 44 px"]


def test_a_mask_of_another_image_is_refused(
    line: ResultsLine, session: Session, masks: Path, qtbot: Any
) -> None:
    write_labels(masks / "gold_0.tif", np.zeros((7, 9), np.uint8), (0.025, 0.02), overwrite=True)
    line.name_folder(masks)
    words = show(line, qtbot)
    assert "the labels of gold_0 are 7 x 9 px, but the image is 61 x 83 px" in words.lower()


def test_records_that_lie_are_named(masks: Path, run: Run) -> None:
    path = masks / "gold_0.tif.json"
    values = json.loads(path.read_text(encoding="utf-8"))
    for changes in (
        {"network": None},
        {"network": {"pools": [4096] * 9}},
        {"run": "/nowhere", "classes": {"gold": "two"}},
        {"run": "/nowhere", "classes": {"gold": 2}},
        {"image": 5, "source": ["x"]},
    ):
        path.write_text(json.dumps({**values, **changes}), encoding="utf-8")
        first, second = read_results(masks)
        assert first.trouble
        assert second.trouble == ""
    path.write_text("[" * 9999, encoding="utf-8")
    assert [result.name for result in read_results(masks)] == ["gold_1"]


def test_another_folder_is_no_result(tmp_path: Path, images: list[Path]) -> None:
    assert result_kind(images[0].parent) == ""
    assert result_kind(tmp_path / "nowhere") == ""
    with pytest.raises(ValueError, match="holds neither a run nor masks with their records"):
        list(read_results(images[0].parent))


def test_open_run_takes_a_folder_of_masks_and_names_a_run(
    viewer: Any, session: Session, masks: Path, run: Run, qtbot: Any
) -> None:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    assert widget.results.isHidden()
    widget.open_run(masks)
    assert not widget.results.isHidden()
    assert session.runs == ()
    widget.open_run(run.folder)
    assert widget.results.folder == run.folder
    assert session.runs == (TrainedRun(run.folder, run.record),)
