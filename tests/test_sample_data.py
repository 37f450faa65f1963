"""The simulated micrographs are what sample_data/README.md says."""

import importlib.util
import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from scipy.ndimage import distance_transform_edt

ROOT = Path(__file__).parents[1] / "sample_data"
PIXEL_SIZES_NM = {"high_resolution": (0.02, 0.04), "low_magnification": (0.1, 0.2)}
STEMS = {"high_resolution": "gold_hr", "low_magnification": "gold_lm"}
IMAGES = sorted(ROOT.glob("*/images/*.tif"))


def other(image: Path, kind: str) -> Path:
    return image.parents[1] / kind / image.name


def pixel_size_nm(path: Path) -> tuple[float, float]:
    """Read an ImageJ calibration by hand: resolution tags are pixels per unit."""
    with tifffile.TiffFile(path) as file:
        assert file.imagej_metadata is not None
        assert file.imagej_metadata["unit"] == "nm"
        tags = file.pages[0].tags
        (y_pixels, y_units), (x_pixels, x_units) = (
            tags["YResolution"].value,
            tags["XResolution"].value,
        )
        return y_units / y_pixels, x_units / x_pixels


def script(name: str) -> Any:
    """Return a script of the sample data, which is no part of the package."""
    spec = importlib.util.spec_from_file_location(name, ROOT / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def contrast(image: Path) -> float:
    """Difference of the class means over the pooled standard deviation."""
    pixels = tifffile.imread(image).astype(float)
    mask = tifffile.imread(other(image, "labels")) == 1
    centred = np.where(mask, pixels - pixels[mask].mean(), pixels - pixels[~mask].mean())
    return float((pixels[mask].mean() - pixels[~mask].mean()) / centred.std())


@pytest.mark.parametrize("name", sorted(PIXEL_SIZES_NM))
def test_each_set_has_images_masks_and_strokes_of_the_same_names(name: str) -> None:
    images = sorted(path.name for path in (ROOT / name / "images").iterdir())
    labels = sorted(path.name for path in (ROOT / name / "labels").iterdir())
    strokes = {path.name for path in (ROOT / name / "strokes").iterdir()}
    assert images == [f"{STEMS[name]}_{number:02d}.tif" for number in range(1, len(images) + 1)]
    assert len(images) >= 6
    assert labels == images
    assert strokes <= set(images)
    assert len(strokes) >= 3


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_image_is_unsaturated_uint16_with_its_pixel_size(path: Path) -> None:
    pixels = tifffile.imread(path)
    assert pixels.shape == (512, 512)
    assert pixels.dtype == np.uint16
    assert pixels.min() > 0
    assert pixels.max() < 65535
    smallest, largest = PIXEL_SIZES_NM[path.parents[1].name]
    rows_nm, columns_nm = pixel_size_nm(path)
    assert rows_nm == pytest.approx(columns_nm)
    assert smallest - 1e-6 <= rows_nm <= largest + 1e-6


@pytest.mark.parametrize("path", IMAGES, ids=lambda path: path.stem)
def test_mask_is_binary_and_calibrated_like_its_image(path: Path) -> None:
    mask = tifffile.imread(other(path, "labels"))
    assert mask.shape == (512, 512)
    assert mask.dtype == np.uint8
    assert np.unique(mask).tolist() == [0, 1]
    assert 0.05 < mask.mean() < 0.6
    assert pixel_size_nm(other(path, "labels")) == pytest.approx(pixel_size_nm(path))


@pytest.mark.parametrize(
    "path", [p for p in IMAGES if other(p, "strokes").exists()], ids=lambda path: path.stem
)
def test_strokes_lie_inside_their_class(path: Path) -> None:
    strokes = tifffile.imread(other(path, "strokes"))
    mask = tifffile.imread(other(path, "labels"))
    assert strokes.shape == (512, 512)
    assert np.unique(strokes).tolist() == [0, 1, 2]
    assert (mask[strokes == 2] == 1).all()
    assert (mask[strokes == 1] == 0).all()
    assert 4500 < np.count_nonzero(strokes) < 7000
    assert pixel_size_nm(other(path, "strokes")) == pytest.approx(pixel_size_nm(path))


def test_the_strokes_are_those_of_the_script(tmp_path: Path) -> None:
    path = ROOT / "high_resolution/strokes/gold_hr_02.tif"
    for kind in ("labels", "strokes"):
        (tmp_path / kind).mkdir()
        shutil.copy(other(path, kind), tmp_path / kind)
    script("strokes").redraw(tmp_path, seed=1)
    drawn = tifffile.imread(tmp_path / "strokes" / path.name)
    np.testing.assert_array_equal(drawn, tifffile.imread(path))


@pytest.mark.parametrize(
    "path", [p for p in IMAGES if other(p, "strokes").exists()], ids=lambda path: path.stem
)
def test_strokes_leave_no_wide_background_unpainted(path: Path) -> None:
    """Far from any stroke, and at the edges of the image, masks have false areas."""
    strokes = tifffile.imread(other(path, "strokes"))
    mask = tifffile.imread(other(path, "labels")) > 0
    far = distance_transform_edt(strokes != 1)
    assert far[~mask].max() < 200
    edge = np.ones_like(mask)
    edge[16:-16, 16:-16] = False
    assert np.count_nonzero((strokes == 1) & edge) > 200


def test_some_high_resolution_particles_are_as_grey_as_their_background() -> None:
    contrasts = [abs(contrast(path)) for path in IMAGES if path.stem.startswith("gold_hr")]
    assert min(contrasts) < 0.3
    assert max(contrasts) > 2.0 * min(contrasts)


def test_low_magnification_particles_are_dark() -> None:
    assert all(contrast(path) < -1.0 for path in IMAGES if path.stem.startswith("gold_lm"))


def test_parameters_describe_every_image() -> None:
    sets = json.loads((ROOT / "parameters.json").read_text(encoding="utf-8"))
    rows = {row["name"]: row for rows in sets.values() for row in rows}
    assert sorted(rows) == [path.stem for path in sorted(IMAGES, key=lambda path: path.stem)]
    for path in IMAGES:
        row = rows[path.stem]
        assert row["pixel_size_nm"] == pytest.approx(pixel_size_nm(path)[0], rel=1e-4)
        assert row["amplitude_contrast"] == pytest.approx(contrast(path), abs=1e-6)


def test_the_folder_stays_small() -> None:
    assert sum(path.stat().st_size for path in ROOT.rglob("*") if path.is_file()) < 12e6


def test_particles_that_touch_are_crowded_overlap_and_have_a_number_each():
    draw_touching = script("touching").draw_touching
    scene = draw_touching(np.random.default_rng([1, 2]), 192)
    again = draw_touching(np.random.default_rng([1, 2]), 192)
    np.testing.assert_array_equal(scene.image, again.image)
    assert (scene.image.shape, scene.image.dtype) == ((192, 192), np.uint16)
    numbers = scene.numbers
    present = np.unique(numbers)
    np.testing.assert_array_equal(present, np.arange(len(present)))
    assert 0.2 < (numbers > 0).mean() < 0.6
    # particles are darker, and most touch another one
    assert scene.image[numbers > 0].mean() < 0.9 * scene.image[numbers == 0].mean()
    touched = set()
    for one, other in ((numbers[1:], numbers[:-1]), (numbers[:, 1:], numbers[:, :-1])):
        apart = (one != other) & (one > 0) & (other > 0)
        touched |= set(one[apart].tolist()) | set(other[apart].tolist())
    assert len(touched) > 0.5 * (len(present) - 1)
