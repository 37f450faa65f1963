"""Live prediction in a worker: what is kept, what is asked for again, and equal answers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from napari_tem_rf import jobs
from napari_tem_rf.jobs import learning_on, live
from napari_tem_rf.learning.live import GREY_FEATURES, LIVE_MARGIN_PX, fit_live, live_features
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.annotation import LabelledImage
from napari_tem_rf.micrographs.cleaning import Cleaning, standardise
from napari_tem_rf.micrographs.splitting import in_judging_block
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, PreviewReport, TrainingPlan

SHAPE = (131, 167)


def deaf(_report: object) -> None:
    pass


def never() -> bool:
    return False


def disc(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    rows, columns = np.ogrid[: shape[0], : shape[1]]
    return (rows - 60) ** 2 + (columns - 80) ** 2 < 30**2


def pixels(shape: tuple[int, int] = SHAPE) -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=shape)
    return (noise - 2 * disc(shape)).astype(np.float32)


def strokes(key: str = "a", by: int = 1) -> jobs.LiveStrokes:
    """A stroke across the disc and one beside it."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[58:63, 60:100] = 2
    labels[10:15, 20:120] = 1
    rows, columns = np.nonzero(labels)
    return jobs.LiveStrokes(
        key,
        (rows * by).astype(np.int32),
        (columns * by).astype(np.int32),
        (labels[rows, columns] - 1).astype(np.uint8),
    )


def whole(shape: tuple[int, int] = SHAPE) -> tuple[slice, slice]:
    return slice(0, shape[0]), slice(0, shape[1])


def ask(request: jobs.LiveRequest) -> jobs.LiveAnswer:
    """Ask as the window does, until nothing is left to compute."""
    while (answer := jobs.predict_live(request, report=deaf, stopped=never)).left:
        pass
    return answer


def keep(key: str, image: np.ndarray, cleaning: Cleaning | None = None) -> None:
    jobs.keep_live_image(key, image, cleaning or Cleaning(), report=deaf, stopped=never)


@pytest.fixture(autouse=True)
def empty() -> Iterator[None]:
    """A worker that holds nothing."""
    for kept in (live._images, live._features):
        kept.clear()
    live._fitted.clear()
    yield
    for kept in (live._images, live._features):
        kept.clear()


def test_strokes_become_a_mask_and_equal_strokes_an_equal_one() -> None:
    keep("a", pixels())
    request = jobs.LiveRequest((strokes(),), "a", whole())
    answer = ask(request)
    assert answer.classes is not None
    assert answer.classes.shape == SHAPE
    assert dice(answer.classes == 1, disc()) > 0.9
    live._fitted.clear()
    live._features.clear()
    again = ask(request)
    assert again.classes is not None
    np.testing.assert_array_equal(again.classes, answer.classes)


def test_pixels_that_the_worker_lacks_are_asked_for() -> None:
    request = jobs.LiveRequest((strokes("a"), strokes("b")), "b", whole())
    assert ask(request).missing == ("b", "a")
    keep("b", pixels())
    assert ask(request).missing == ("a",)


def test_a_stopped_job_keeps_what_it_has_and_the_next_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "TILE_PX", 64)
    keep("a", pixels())
    request = jobs.LiveRequest((strokes(),), "a", whole())
    left = []
    while (answer := jobs.predict_live(request, report=deaf, stopped=lambda: True)).left:
        left.append(answer.left)
    assert left == list(range(8, 0, -1))  # 3 x 3 tiles, one a job
    assert answer.classes is None
    assert ask(request).classes is not None


def test_only_tiles_in_view_and_under_strokes_are_computed(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "TILE_PX", 64)
    keep("a", pixels())
    tiles = live._tiles_of(jobs.LiveRequest((strokes(),), "a", (slice(70, 90), slice(130, 150))))
    # both strokes lie in the first row of tiles; the second tile has more of them
    assert tiles == [("a", 1, 0, 64), ("a", 1, 0, 0), ("a", 1, 64, 128)]
    monkeypatch.setattr(live, "MOST_TILES", 2)
    tiles = live._tiles_of(jobs.LiveRequest((strokes(),), "a", (slice(70, 90), slice(130, 150))))
    assert tiles == [("a", 1, 0, 64), ("a", 1, 64, 128)]


def test_features_of_a_part_are_those_of_the_whole_image() -> None:
    image = standardise(pixels((96, 192)))
    networks = live._networks()
    all_of_it = live_features(image, networks)
    part = live_features(np.ascontiguousarray(image[:, 32:]), networks)
    margin = LIVE_MARGIN_PX
    np.testing.assert_allclose(
        part[:, margin:].astype(np.float32),
        all_of_it[:, 32 + margin :].astype(np.float32),
        atol=0.02,
    )
    assert not np.allclose(part[:, 0], all_of_it[:, 32], atol=0.02)  # the cut edge shows
    assert all_of_it.shape[-1] == GREY_FEATURES + 8 + 8 + 8  # last maps of three networks


def test_a_view_of_a_large_image_is_predicted_as_the_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    keep("a", pixels())
    at_once = ask(jobs.LiveRequest((strokes(),), "a", whole())).classes
    assert at_once is not None
    live._features.clear()
    live._fitted.clear()
    monkeypatch.setattr(live, "TILE_PX", 64)
    monkeypatch.setattr(live, "LONGEST_S", 60.0)
    window = (slice(40, 90), slice(50, 120))
    part = ask(jobs.LiveRequest((strokes(),), "a", window)).classes
    assert part is not None
    # tiles carry their margin: what rounding moves is a pixel in a hundred at most
    assert (part != at_once[window]).mean() < 0.01


def test_strokes_of_one_image_teach_another() -> None:
    keep("a", pixels())
    keep("b", np.fliplr(pixels()))
    answer = ask(jobs.LiveRequest((strokes("a"),), "b", whole()))
    assert answer.classes is not None
    assert dice(answer.classes == 1, np.fliplr(disc())) > 0.9


@pytest.mark.parametrize(("step", "binning"), [(2, 1), (1, 2)])
def test_a_large_view_is_seen_in_blocks(step: int, binning: int) -> None:
    cleaning = Cleaning(binning=binning)
    large = np.kron(pixels(), np.ones((2, 2), np.float32))
    keep("a", large, cleaning)
    window = (slice(3, 259), slice(1, 333))
    answer = ask(jobs.LiveRequest((strokes(by=2),), "a", window, step, cleaning))
    assert answer.classes is not None
    assert answer.classes.shape == (256, 332)
    truth = np.kron(disc(), np.ones((2, 2), bool))[window]
    assert dice(answer.classes == 1, truth) > 0.9


def test_the_worker_forgets_what_was_used_longest_ago() -> None:
    kept = live._Kept(most_bytes=3000)
    for name in "abc":
        kept.put(name, np.zeros(1000, np.uint8))
    assert kept.get("a") is not None
    kept.put("d", np.zeros(1000, np.uint8))
    assert kept.get("b") is None
    assert kept.get("a") is not None


def test_before_the_first_stroke_features_are_made_ready() -> None:
    keep("a", pixels())
    answer = ask(jobs.LiveRequest((), "a", whole()))
    assert (answer.classes, answer.missing, answer.left) == (None, (), 0)
    assert live._features.get(("a", 1, 0, 0)) is not None


def test_the_classifier_that_does_better_on_held_out_squares_counts() -> None:
    rng = np.random.default_rng(11)
    classes = np.repeat([0, 1], 200).astype(np.uint8)
    places = np.arange(400) // 20
    shown, noise = classes[:, None] + 0.1 * rng.normal(size=(400, 24)), rng.normal(size=(400, 24))
    by_grey = fit_live(np.hstack([shown, noise]).astype(np.float32), classes, places, 1)
    by_maps = fit_live(np.hstack([noise, shown]).astype(np.float32), classes, places, 1)
    assert by_grey.share > 0.9
    assert by_maps.share < 0.1
    for fitted in (by_grey, by_maps):
        assert fitted.classes.tolist() == [0, 1]


def test_pixels_between_are_asked_where_their_surroundings_disagree() -> None:
    """Two halves: only at the border the answer for every second pixel is not enough."""
    rng = np.random.default_rng(12)
    truth = np.zeros((41, 53), np.uint8)
    truth[:, 26:] = 2  # a class between was not painted
    features = (truth[..., None] + 0.1 * rng.normal(size=(41, 53, 48))).astype(np.float32)
    classifier = fit_live(features.reshape(-1, 48), truth.ravel(), np.arange(truth.size) // 53, 1)
    np.testing.assert_array_equal(classifier.predict(features), truth)


def test_the_live_prediction_is_judged_on_strokes_that_it_did_not_learn_from() -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:80:4, 52:108] = 2
    labels[0:24:4] = 1
    labels[100:130:4] = 1
    rows, columns = np.nonzero(labels)
    painted = jobs.LiveStrokes(
        "a",
        rows.astype(np.int32),
        columns.astype(np.int32),
        (labels[rows, columns] - 1).astype(np.uint8),
    )
    keep("a", pixels())
    request = jobs.LiveRequest((painted,), "a", whole())
    ask(request)
    held_out = in_judging_block(rows, columns)
    assert 0.1 < held_out.mean() < 0.5
    judgement = jobs.judge_live(request, report=deaf, stopped=never)
    assert judgement is not None
    assert judgement.dice > 0.9
    assert 0 < judgement.loss < 0.3
    teaching = jobs.LiveStrokes(
        "a", *(each[~held_out] for each in (painted.rows, painted.columns, painted.classes))
    )
    few = jobs.LiveRequest((teaching,), "a", whole())
    assert jobs.judge_live(few, report=deaf, stopped=never) is None


def test_a_network_learns_on_from_the_weights_that_it_has(tmp_path: Path) -> None:
    labels = np.zeros(SHAPE, np.uint8)
    labels[40:80:4, 52:108] = 2
    labels[0:24:4] = 1
    labels[100:130:4] = 1
    request = jobs.TrainRequest(
        run=tmp_path / "run",
        images=(LabelledImage("a", pixels(), labels),),
        spec=NetworkSpec(pools=(2, 2), filters=4),
        plan=TrainingPlan(epochs=1, steps=2, validation=0.0),
        watched=jobs.Watched(pixels()),
        class_names={1: "background", 2: "particle"},
        class_colors={1: "#000000", 2: "#ffffff"},
    )
    reports: list[object] = []
    learning_on._learnt.clear()
    jobs.learn_on(request, "b", report=reports.append, stopped=never)
    (epoch,) = (each for each in reports if isinstance(each, EpochReport))
    assert epoch.validation_dice is not None  # of the strokes in the judging blocks
    first = learning_on._learnt["b"][1]
    before = {name: value.copy() for name, value in first.items()}
    again: list[object] = []
    jobs.learn_on(request, "b", report=again.append, stopped=never)
    # it sees already: its prediction is there before the first step
    assert [each.epoch for each in again if isinstance(each, PreviewReport)][:1] == [0]
    after = learning_on._learnt["b"][1]
    name = "encoder.0.conv1.weight"
    moved = np.abs(after[name] - before[name]).max()
    assert 0 < moved < 0.1  # two steps from where it was, not from new weights
    assert not (tmp_path / "run").exists()
