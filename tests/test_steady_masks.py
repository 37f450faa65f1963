"""Masks of a series made with its neighbouring frames: steadier, the same by all ways, recorded."""

import threading
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy import ndimage

from napari_tem_rf import jobs, predict, predict_movie, workflow
from napari_tem_rf.engine import InlineEngine
from napari_tem_rf.jobs.mask_files import ForeignMaskError, MaskFile
from napari_tem_rf.mask_predicting import predict_folder, predict_masks
from napari_tem_rf.measuring.finishing import UNFINISHED
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.micrographs.micrograph import Micrograph
from napari_tem_rf.micrographs.reading import read_labels
from napari_tem_rf.movies import Steadying
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import TrainingPlan
from napari_tem_rf.provenance import read_provenance
from napari_tem_rf.runs import Run, read_run

SHAPE = (79, 95)
FRAMES = 9
STEP = np.array([2, -3])
NOISE = 0.5
PLAN = TrainingPlan(epochs=None, steps=60, batch=4, crop_px=32, validation=0.0, learning_rate=2e-2)
SPEC = NetworkSpec(pools=(2,), filters=3)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def specimen() -> tuple[np.ndarray, np.ndarray]:
    """Return a film with discs, larger than a frame, and where they are."""
    rng = np.random.default_rng(3)
    whole = tuple(side + 2 * FRAMES * 3 for side in SHAPE)
    film = ndimage.gaussian_filter(rng.normal(size=whole), 1.5)
    film *= 0.2 / film.std()
    rows, columns = np.indices(whole)
    mask = np.zeros(whole, bool)
    for row in range(14, whole[0], 24):
        for column in range(14, whole[1], 24):
            mask |= (rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(4, 7) ** 2
    return film - mask, mask


def series(noise: float = NOISE) -> tuple[np.ndarray, np.ndarray]:
    """Return frames that the stage moves by whole pixels under, and their true masks."""
    rng = np.random.default_rng(5)
    film, mask = specimen()
    images, truth = np.zeros((FRAMES, *SHAPE), np.float32), np.zeros((FRAMES, *SHAPE), np.uint8)
    for frame in range(FRAMES):
        first = np.array([3 * FRAMES, 3 * FRAMES]) - frame * STEP
        part = tuple(slice(at, at + side) for at, side in zip(first, SHAPE, strict=True))
        images[frame] = film[part] + noise * rng.normal(size=SHAPE)
        truth[frame] = mask[part]
    return images, truth


@pytest.fixture(scope="module")
def movie() -> tuple[np.ndarray, np.ndarray]:
    return series()


@pytest.fixture(scope="module")
def run(movie: tuple[np.ndarray, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was trained on the first frame."""
    images, truth = movie
    folder = tmp_path_factory.mktemp("steady") / "run"
    return workflow.train(
        *([images[0]], [truth[0]], folder, SPEC, PLAN), unlabelled="background", start=None
    )


def wrong(labels: list[np.ndarray], truth: np.ndarray) -> np.ndarray:
    """Return the share of pixels of each frame that are not as the truth."""
    return np.array([((a > 0) != (b > 0)).mean() for a, b in zip(labels, truth, strict=True)])


def test_steady_masks_are_nearer_to_the_truth(
    run: Run, movie: tuple[np.ndarray, np.ndarray]
) -> None:
    images, truth = movie
    alone = [each.labels for each in predict_movie(run, images, finishing=UNFINISHED)]
    steady = [each.labels for each in predict_movie(run, images, steady=2, finishing=UNFINISHED)]
    np.testing.assert_array_equal(alone[4], predict(run, images[4], finishing=UNFINISHED).labels)
    assert (wrong(steady, truth) < wrong(alone, truth)).all()
    assert wrong(steady, truth).mean() < 0.8 * wrong(alone, truth).mean()


def test_it_is_the_mean_of_the_probabilities_along_the_drift(
    run: Run, movie: tuple[np.ndarray, np.ndarray]
) -> None:
    """By hand, for a frame whose neighbours moved by whole pixels."""
    images, _ = movie
    around = range(3, 6)
    likely = [predict(run, images[frame], probabilities=True).probabilities for frame in around]
    moved = [
        np.roll(each, tuple(-(frame - 4) * STEP), axis=(1, 2))
        for frame, each in zip(around, likely, strict=True)
    ]
    found = next(islice(predict_movie(run, images, steady=1, probabilities=True), 4, None))
    inside = (slice(None), slice(4, -4), slice(4, -4))
    # the measured drift is whole within some hundredths of a pixel
    apart = np.abs(found.probabilities - np.mean(moved, axis=0))[inside]
    assert np.median(apart) < 0.01
    assert apart.max() < 0.15


def test_a_black_frame_helps_no_other_and_none_helps_it(
    run: Run, movie: tuple[np.ndarray, np.ndarray]
) -> None:
    images, truth = movie
    broken = images.copy()
    broken[4] = 0
    frames = list(predict_movie(run, broken, steady=1, finishing=UNFINISHED))
    np.testing.assert_array_equal(
        frames[4].labels, predict(run, broken[4], finishing=UNFINISHED).labels
    )
    others = [frame for frame in range(FRAMES) if frame != 4]
    alone = [predict(run, images[frame], finishing=UNFINISHED).labels for frame in others]
    steady = [frames[frame].labels for frame in others]
    assert wrong(steady, truth[others]).mean() < wrong(alone, truth[others]).mean()


def mask_of(run: Run, folder: Path, images: np.ndarray, frames: int = 1, **more: Any) -> MaskFile:
    return MaskFile(
        *(run, Micrograph(images, "film"), folder / "film.tif"), steadying=Steadying(frames), **more
    )


@pytest.mark.parametrize("threaded", [False, True])
def test_files_hold_the_same_and_say_it(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path, threaded: bool
) -> None:
    images, _ = movie
    file = mask_of(run, tmp_path, images)
    with InlineEngine(threaded) as engine:
        steps = list(predict_masks(engine, [file], tile_px=32))
    assert [step.event for step in steps][-2:] == ["joining", "finished"]
    assert [step.frame for step in steps if step.event == "written"] == list(range(FRAMES))
    fractions = [step.fraction for step in steps]
    assert fractions == sorted(fractions)
    expected = [each.labels for each in predict_movie(run, images, steady=1)]
    np.testing.assert_array_equal(read_labels(file.target), expected)
    made = read_provenance(file.target)
    assert made is not None
    assert made["steady"]["frames"] == 1
    # what is seen has moved by STEP from frame to frame
    np.testing.assert_allclose(
        made["drift"]["offsets_px"], np.arange(FRAMES)[:, None] * STEP, atol=0.5
    )
    assert mask_of(run, tmp_path, images).is_done
    for other in (0, 2):
        with pytest.raises(ForeignMaskError, match="steady over 1 frames"):
            mask_of(run, tmp_path, images, other)


def test_a_few_frames_and_then_the_others(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: Any
) -> None:
    """Neighbours are looked at, and not written; what is written is not made again."""
    images, _ = movie
    looked: list[int] = []
    look = jobs.look_at_frame

    def note(folder: Path, pixels: Any, *options: Any, **more: Any) -> Any:
        looked.append(int(np.argmin([np.abs(each - pixels).max() for each in images])))
        return look(folder, pixels, *options, **more)

    monkeypatch.setattr(jobs, "look_at_frame", note)
    with InlineEngine() as engine:
        steps = list(predict_masks(engine, [mask_of(run, tmp_path, images)], frames=[2, 6]))
        assert [step.frame for step in steps if step.event == "written"] == [2, 6]
        assert looked == [1, 2, 3, 5, 6, 7]
        again = mask_of(run, tmp_path, images)
        # the drift of before the break is known
        assert list(again.measure_drift()) == []
        steps = list(predict_masks(engine, [again]))
    assert sorted(step.frame or 0 for step in steps if step.event == "written") == [
        *(0, 1, 3, 4, 5, 7, 8)
    ]
    expected = [each.labels for each in predict_movie(run, images, steady=1)]
    np.testing.assert_array_equal(read_labels(again.target), expected)


def test_a_series_with_a_black_frame_comes_to_its_end(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """What comes after it is made with what comes before it."""
    broken = movie[0].copy()
    broken[4] = 0
    file = mask_of(run, tmp_path, broken, 2)
    with InlineEngine() as engine:
        *_, last = predict_masks(engine, [file])
    assert last.event == "finished"
    assert file.neighbours(5) == (3, 5, 6, 7)
    expected = [each.labels for each in predict_movie(run, broken, steady=2)]
    np.testing.assert_array_equal(read_labels(file.target), expected)
    made = read_provenance(file.target)
    assert made is not None
    assert list(made["drift"]["left_out"]) == ["4"]


def test_few_frames_are_held_however_long_the_series(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: Any
) -> None:
    images, _ = movie
    held: list[int] = []
    arguments = MaskFile.steady_arguments

    def count(self: MaskFile, index: int, said: Any) -> Any:
        held.append(len(said))
        return arguments(self, index, said)

    monkeypatch.setattr(MaskFile, "steady_arguments", count)
    long = np.concatenate([images, images[::-1], images])
    with InlineEngine() as engine:
        list(predict_masks(engine, [mask_of(run, tmp_path, long)]))
    assert len(held) == 3 * FRAMES
    # the frame, one on each side, and one more that may be on the way
    assert max(held) <= 4


def test_a_stop_keeps_what_is_written(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, _ = movie
    stop = threading.Event()
    with InlineEngine() as engine:
        file = mask_of(run, tmp_path, images)
        for step in predict_masks(engine, [file], stopped=stop.is_set):
            if step.event == "written" and step.frame == 3:
                stop.set()
        assert step.event != "finished"
        assert not file.target.exists()
        *_, last = predict_masks(engine, [mask_of(run, tmp_path, images)])
    assert last.event == "finished"


def test_a_frame_that_fails_ends_its_mask_alone(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path, monkeypatch: Any
) -> None:
    images, _ = movie
    steady = jobs.predict_steadily

    def fail(folder: Path, frames: Any, *options: Any, **more: Any) -> Any:
        if len(seen) == 4:
            raise ValueError("the memory was full")
        seen.append(1)
        return steady(folder, frames, *options, **more)

    seen: list[int] = []
    monkeypatch.setattr(jobs, "predict_steadily", fail)
    with InlineEngine() as engine:
        steps = list(predict_masks(engine, [mask_of(run, tmp_path, images)]))
    assert steps[-1].event == "failed"
    assert (steps[-1].frame, steps[-1].failure) == (4, "the memory was full")


def test_a_single_image_has_no_neighbours(
    run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    images, _ = movie
    file = mask_of(run, tmp_path, images[0], 5)
    assert not file.is_steadied
    with InlineEngine() as engine:
        list(predict_masks(engine, [file]))
    np.testing.assert_array_equal(read_labels(file.target), predict(run, images[0]).labels)
    made = read_provenance(file.target)
    assert made is not None
    assert "steady" not in made


def test_folders_too(run: Run, movie: tuple[np.ndarray, np.ndarray], tmp_path: Path) -> None:
    images, _ = movie
    np.save(tmp_path / "film.npy", images)
    with InlineEngine() as engine:
        list(
            predict_folder(
                *(engine, run, [tmp_path / "film.npy"], tmp_path / "masks", None, lambda: False),
                steadying=Steadying(1),
            )
        )
    expected = [each.labels for each in predict_movie(run, images, steady=1)]
    np.testing.assert_array_equal(read_labels(tmp_path / "masks" / "film.tif"), expected)


def test_binned_images_and_numbered_particles(
    movie: tuple[np.ndarray, np.ndarray], tmp_path: Path
) -> None:
    """The drift in px of the image is that of half as many px that the network sees."""
    images, truth = movie
    numbers = [ndimage.label(mask)[0].astype(np.uint16) for mask in truth]
    run = workflow.train(
        *([images[0]], [numbers[0]], tmp_path / "run", SPEC, PLAN),
        unlabelled="background",
        start=None,
        cleaning=Cleaning(binning=2),
    )
    assert read_run(run.folder).record.border_px is not None
    alone = list(predict_movie(run, images, instances=True, finishing=UNFINISHED))
    steady = list(predict_movie(run, images, instances=True, steady=1, finishing=UNFINISHED))
    before = wrong([each.labels for each in alone], truth).mean()
    assert wrong([each.labels for each in steady], truth).mean() < before
    for result in steady:
        assert result.instances is not None
        assert result.instances.shape == SHAPE
        assert ((result.instances > 0) <= (result.labels > 0)).all()
        assert result.instances.max() > 3
