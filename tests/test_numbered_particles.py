"""From numbered particles to numbered particles: training, run record, prediction."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_tem_rf import jobs, workflow
from napari_tem_rf.measuring.finishing import UNFINISHED
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, TrainingPlan
from napari_tem_rf.run_record import check_run_record
from napari_tem_rf.runs import Run, read_run

SHAPE = (97, 131)
SPEC = NetworkSpec((2,), filters=4)
PLAN = TrainingPlan(epochs=None, steps=60, crop_px=64, batch=4, learning_rate=1e-2, validation=0.0)


def scene(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return dark discs in rows that touch, and their numbers."""
    rng = np.random.default_rng(seed)
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    numbers, mass = np.zeros(SHAPE, np.uint16), np.zeros(SHAPE)
    for row in (16, 48, 80):
        column = rng.uniform(8, 14)
        while column < SHAPE[1]:
            radius = rng.uniform(9, 12)
            depth = 1 - ((rows - row) ** 2 + (columns - column) ** 2) / radius**2
            numbers[depth > 0] = numbers.max() + 1
            mass += np.sqrt(np.maximum(depth, 0))
            column += 1.9 * radius
    image = gaussian_filter(-3 * mass, 0.7) + 0.3 * rng.standard_normal(SHAPE)
    return image.astype(np.float32), numbers


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, list[str]]:
    """A run trained from numbered particles of two images, and what it said."""
    said: list[str] = []
    images, labels = zip(*(scene(seed) for seed in (1, 2)), strict=True)
    run = workflow.train(
        images,
        labels,
        tmp_path_factory.mktemp("runs") / "numbered",
        SPEC,
        PLAN,
        start=None,
        on_report=lambda report: (
            said.append(report.sentence) if isinstance(report, NoteReport) else None
        ),
    )
    return run, said


def test_the_users_classes_stay_what_they_are(trained: tuple[Run, list[str]]) -> None:
    run, said = trained
    record = run.record
    assert any("numbered particles; zeros are background" in each for each in said)
    assert record.labels_are == "particles"
    assert record.unlabelled == "background"
    assert record.classes.values == (0, 1)
    assert record.classes.names == ("background", "particle")
    assert record.spec.classes == 3
    assert record.border_px is not None
    assert 1 < record.border_px < 4
    assert record.summary()["classes"] == {"background": 0, "particle": 1}
    assert read_run(run.folder).record == record


def test_particles_that_touch_come_out_one_by_one(trained: tuple[Run, list[str]]) -> None:
    image, numbers = scene(3)
    result = workflow.predict(
        trained[0], image, probabilities=True, instances=True, finishing=UNFINISHED
    )
    assert result.instances is not None
    assert result.probabilities is not None
    np.testing.assert_array_equal(np.unique(result.labels), [0, 1])
    np.testing.assert_array_equal(result.instances > 0, result.labels > 0)
    assert result.probabilities.shape == (2, *SHAPE)
    np.testing.assert_allclose(result.probabilities.sum(axis=0), 1, atol=1e-5)
    np.testing.assert_array_equal(result.probabilities[1] > 0.5, result.labels == 1)
    # intersection over union, by hand: most particles are found as one
    found = 0
    for number in range(1, int(numbers.max()) + 1):
        truth = numbers == number
        inside = result.instances[truth]
        mine = np.bincount(inside[inside > 0], minlength=1).argmax()
        here = result.instances == mine
        found += bool(mine) and (truth & here).sum() > 0.5 * (truth | here).sum()
    assert found >= 0.8 * numbers.max()
    assert abs(int(result.instances.max()) - int(numbers.max())) <= 0.25 * numbers.max()


def test_labels_do_not_depend_on_whether_particles_are_numbered(
    trained: tuple[Run, list[str]],
) -> None:
    image, _ = scene(4)
    plain = workflow.predict(trained[0], image)
    assert plain.instances is None
    assert plain.probabilities is None
    numbered = workflow.predict(trained[0], image, instances=True)
    np.testing.assert_array_equal(plain.labels, numbered.labels)


def test_tiles_give_the_same_particles_as_the_whole(trained: tuple[Run, list[str]]) -> None:
    image, _ = scene(5)
    whole = workflow.predict(trained[0], image, instances=True).instances
    tiled = workflow.predict(trained[0], image, instances=True, tile_px=24).instances
    np.testing.assert_array_equal(whole, tiled)


def test_a_run_of_classes_splits_its_mask_at_necks(tmp_path: Path) -> None:
    image, numbers = scene(1)
    run = workflow.train(
        [image],
        [(numbers > 0).astype(np.uint8)],
        tmp_path / "run",
        SPEC,
        replace(PLAN, steps=30),
        unlabelled="background",
        start=None,
    )
    assert run.record.border_px is None
    assert run.record.labels_are == "classes"
    assert run.record.spec.classes == 2
    split = workflow.predict(run, image, instances=True)
    assert split.instances is not None
    np.testing.assert_array_equal(split.instances > 0, split.labels > 0)
    joined = workflow.predict(run, image, instances=True, neck=0.0)
    assert joined.instances is not None
    assert joined.instances.max() < split.instances.max()


def test_sparse_numbers_beside_a_painted_background_can_be_learned() -> None:
    """0 is not annotated, 1 background, then whole particles with a number each."""
    image, numbers = scene(1)
    labels = np.where((numbers > 2) & (numbers < 15), numbers, 0)
    labels[(numbers == 0) & (np.indices(SHAPE)[0] > 60)] = 1
    data = jobs.prepare(
        (LabelledImage("gold", image, labels),), "ignore", Cleaning(), labels_are="particles"
    )
    assert data.classes.values == (1, 2)
    assert data.learned == 3
    (learned,) = data.images
    np.testing.assert_array_equal(learned.labels == -1, labels == 0)
    np.testing.assert_array_equal(learned.labels == 0, labels == 1)
    np.testing.assert_array_equal(learned.labels > 0, labels > 1)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"border_px": None}, "numbered particles have one"),
        ({"labels_are": "classes"}, "numbered particles have one"),
        ({"labels_are": "both"}, "classes or particles"),
        ({"border_px": float("nan")}, "above 0"),
        ({"border_px": -1.0}, "above 0"),
        ({"spec": SPEC}, "a border is learned"),
    ],
)
def test_a_record_that_contradicts_itself_is_refused(
    trained: tuple[Run, list[str]], changes: dict[str, object], words: str
) -> None:
    record = replace(trained[0].record, **changes)  # type: ignore[arg-type]
    if changes == {"border_px": None}:
        record = replace(record, spec=SPEC)
    with pytest.raises(ValueError, match=words):
        check_run_record(record)
