"""The drift against the path that was simulated, and series that are not as they should be."""

from typing import Any

import numpy as np
import pytest
import tifffile
from scipy import ndimage

from napari_tem_rf.micrographs.reading import read_micrographs
from napari_tem_rf.movies import Drift, DriftSettings, measure_drift, moved_back, write_aligned


def measured(stack: Any, settings: DriftSettings | None = None) -> Drift:
    job = measure_drift(lambda index: stack[index], len(stack), settings)
    fractions = []
    while True:
        try:
            fractions.append(next(job))
        except StopIteration as end:
            assert fractions == sorted(fractions)
            drift: Drift = end.value
            return drift


def test_the_path_is_right_within_a_third_of_a_pixel(movie: Any) -> None:
    drift = measured(movie.images)
    assert np.ptp(movie.drift_px, axis=0).max() > 3
    assert np.abs(drift.offsets_px - movie.drift_px).max() < 0.3
    assert drift.spread_px is not None
    assert drift.spread_px < 0.3


def test_far_comparisons_keep_errors_from_adding_up(movie: Any) -> None:
    def error(reach: int) -> float:
        offsets = measured(movie.images, DriftSettings(reach=reach)).offsets_px
        return float(np.sqrt(((offsets - movie.drift_px) ** 2).mean()))

    assert error(16) < error(1)


def test_frames_that_cannot_be_compared_are_left_out_and_the_path_goes_on(movie: Any) -> None:
    stack = list(movie.images)
    stack[7] = np.zeros_like(stack[0])
    stack[20] = np.full(stack[0].shape, np.nan, np.float32)
    stack[21] = stack[0][:100]
    drift = measured(stack)
    assert list(drift.left_out) == [7, 20, 21]
    assert drift.left_out[7] == "it is black or of one grey level"
    assert "pixels without a value" in drift.left_out[20]
    assert "(100, 320)" in drift.left_out[21]
    good = [frame for frame in range(len(stack)) if frame not in drift.left_out]
    assert np.abs(drift.offsets_px - movie.drift_px)[good].max() < 0.3
    assert "Left out: frame 7, 20, 21" in drift.sentence


def test_a_frame_that_jumps_does_not_pull_the_others_along(movie: Any) -> None:
    stack = movie.images.copy()
    rng = np.random.default_rng(1)
    stack[12] = rng.normal(3000, 400, stack[0].shape)  # another place: nothing in common
    drift = measured(stack)
    others = np.arange(len(stack)) != 12
    assert np.abs(drift.offsets_px - movie.drift_px)[others].max() < 0.3


def test_masks_have_a_drift_too(movie: Any) -> None:
    # particles that wander by themselves are all that masks show
    drift = measured(movie.labels > 0)
    assert drift.left_out == {}
    assert np.abs(drift.offsets_px - movie.drift_px).max() < 1


def test_one_frame_and_stop() -> None:
    image = np.random.default_rng(0).normal(size=(32, 32))
    drift = measured(image[None])
    assert drift.offsets_px.tolist() == [[0, 0]]
    assert drift.sentence == "Fewer than two frames: there is no drift to measure."
    asked: list[int] = []

    def frames(index: int) -> Any:
        asked.append(index)
        return np.roll(image, index, axis=1)

    job = measure_drift(frames, 5, stopped=lambda: len(asked) == 3)
    drift = None
    while drift is None:
        try:
            next(job)
        except StopIteration as end:
            drift = end.value
    assert drift.frames == 3


def test_large_frames_are_binned_and_the_path_is_in_their_pixels() -> None:
    rng = np.random.default_rng(5)
    specimen = ndimage.gaussian_filter(rng.normal(size=(1300, 2300)), 6)
    stack = [specimen[50:1250, 60 + shift : 60 + shift + 2200] for shift in (0, 9, 30)]
    drift = measured(stack)
    assert np.abs(drift.offsets_px - [[0, 0], [0, -9], [0, -30]]).max() < 0.3


def test_an_aligned_series_stands_still_and_holds_what_all_frames_show(
    movie: Any, tmp_path: Any
) -> None:
    drift = Drift(movie.drift_px, pixel_size_nm=(0.5, 0.5))
    path = tmp_path / "aligned.tif"
    shape = write_aligned(path, lambda index: movie.images[index], drift)
    (read,) = read_micrographs(path)
    assert read.pixels.shape == (40, *shape)
    assert read.pixels.dtype == np.uint16
    assert read.pixel_size_nm == pytest.approx((0.5, 0.5))
    still = measured(np.asarray(read.pixels))
    assert np.abs(still.offsets_px).max() < 0.3
    with pytest.raises(FileExistsError, match="exists"):
        write_aligned(path, lambda index: movie.images[index], drift)


def test_whole_pixels_are_moved_without_a_change_of_values() -> None:
    pixels = np.arange(20, dtype=np.uint16).reshape(4, 5)
    assert (moved_back(pixels, np.array([1.0, -2.0]))[:3, 2:] == pixels[1:, :3]).all()


def test_a_series_that_leaves_its_field_of_view_is_refused() -> None:
    drift = Drift(np.array([[0.0, 0.0], [0.0, 70.0]]))
    with pytest.raises(ValueError, match="no part of its 64 x 64 px is seen in all frames"):
        drift.common_box((64, 64))


def test_the_tiff_is_read_by_others_with_its_size(tmp_path: Any) -> None:
    stack = np.random.default_rng(2).integers(0, 255, (3, 16, 16)).astype(np.uint8)
    drift = Drift(np.zeros((3, 2)), pixel_size_nm=(2.0, 4.0))
    write_aligned(tmp_path / "a.tif", lambda index: stack[index], drift)
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        assert (file.asarray() == stack).all()
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "nm"
