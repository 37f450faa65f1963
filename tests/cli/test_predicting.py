"""``predict``, ``evaluate`` and ``effective-field``: from a run to masks and their scores."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_tem_rf import jobs
from napari_tem_rf.jobs import mask_files
from napari_tem_rf.micrographs.cleaning import Cleaning, clean
from napari_tem_rf.micrographs.reading import read_labels, read_micrographs
from napari_tem_rf.runs import read_run

from .conftest import PIXEL_SIZE_NM, QUICK, SHAPE, discs


def files_of(folder):
    return {path.name: path.read_bytes() for path in sorted(Path(folder).iterdir())}


@pytest.fixture(scope="module")
def masks(run, data, tmp_path_factory):
    """Folder of the masks of all four images; the fourth was never trained from."""
    from napari_tem_rf.cli import main

    out = tmp_path_factory.mktemp("masks") / "out"
    with pytest.raises(SystemExit) as left:
        main(["predict", str(run), str(data.images), "--out", str(out)])
    assert not left.value.code
    return out


def test_train_predict_evaluate_finds_the_particles(cli, data, masks):
    """Discs 7 sd from the background can be told from it nearly pixel by pixel."""
    answer = cli("evaluate", masks, "--labels", data.masks, "--json")
    assert answer.code == 0
    scores = answer.json
    assert scores["dice"] > 0.9
    assert scores["object_f1"] > 0.6
    assert [each["name"] for each in scores["images"]] == [f"gold_{n}" for n in range(4)]
    held_out = scores["images"][3]
    assert held_out["dice"] > 0.9
    found = read_labels(masks / "gold_3.tif") > 0
    true = data.truth("gold_3") > 0
    both = np.count_nonzero(found & true)
    assert held_out["dice"] == pytest.approx((2 * both + 1) / (found.sum() + true.sum() + 1))
    for name in ("dice", "iou", "precision", "recall", "object_f1"):
        per_image = [each[name] for each in scores["images"]]
        assert scores[name] == pytest.approx(np.mean(per_image))


def test_masks_are_calibrated_and_have_provenance(run, data, masks):
    assert sorted(path.name for path in masks.iterdir()) == sorted(
        name for n in range(4) for name in (f"gold_{n}.tif", f"gold_{n}.tif.json")
    )
    for number in range(4):
        labels = read_labels(masks / f"gold_{number}.tif")
        assert labels.shape == SHAPE
        assert set(np.unique(labels)) == {0, 1}
        (micrograph,) = read_micrographs(masks / f"gold_{number}.tif")
        assert micrograph.pixel_size_nm == pytest.approx((PIXEL_SIZE_NM,) * 2, rel=1e-6)
        made = json.loads((masks / f"gold_{number}.tif.json").read_text())
        assert made["source"] == str(data.images / f"gold_{number}.tif")
        assert made["run"] == str(run)
        assert made["parameters"] == 1826


def test_json_of_predict(cli, run, data, tmp_path):
    answer = cli("predict", run, data.images / "gold_1.tif", "--out", tmp_path / "out", "--json")
    document = answer.json
    assert list(document) == ["masks", "left_out"]
    assert document["left_out"] == []
    (entry,) = document["masks"]
    assert entry["image"] == str(data.images / "gold_1.tif")
    assert entry["mask"] == str(tmp_path / "out" / "gold_1.tif")
    assert entry["shape"] == list(SHAPE)
    assert entry["pixel_size_nm"] == pytest.approx([PIXEL_SIZE_NM] * 2)
    foreground = (read_labels(tmp_path / "out" / "gold_1.tif") > 0).mean()
    assert entry["foreground"] == pytest.approx(foreground)
    expected = entry["expected_dice"]
    assert expected["low"] <= expected["dice"] <= expected["high"]
    assert expected["trust"] == "good"
    made = json.loads((tmp_path / "out" / "gold_1.tif.json").read_text())
    assert made["expected_dice"] == expected


def test_the_image_that_is_expected_to_be_worst_is_named(cli, run, data, masks, tmp_path):
    """Of the four images of the data and one of noise, that one; what is kept is known too."""
    images = tmp_path / "images"
    shutil.copytree(data.images, images)
    noise = np.random.default_rng(5).normal(400, 80, SHAPE).astype(np.float32)
    per_nm = 1 / PIXEL_SIZE_NM
    tifffile.imwrite(
        images / "dim.tif", noise, imagej=True, resolution=(per_nm, per_nm), metadata={"unit": "nm"}
    )
    answer = cli("predict", run, images, "--out", tmp_path / "out")
    lines = answer.out.splitlines()
    assert sum("expected Dice" in line for line in lines) == 5
    (dim,) = [line for line in lines if "dim.tif" in line and "foreground" in line]
    assert "not known" in dim or "annotate it next" in lines[-1]
    again = cli("predict", run, images, "--out", tmp_path / "out", "--json").json["masks"]
    by_image = {Path(each["image"]).stem: each["expected_dice"] for each in again}
    assert by_image["dim"]["warns"]
    assert not any(by_image[f"gold_{number}"]["warns"] for number in range(4))


def test_a_series_is_as_good_as_its_worst_frame(cli, run, data, tmp_path):
    frames = [read_micrographs(data.images / f"gold_{number}.tif")[0].frame() for number in (0, 1)]
    frames.insert(1, np.random.default_rng(5).normal(400, 80, SHAPE).astype(np.uint16))
    np.save(tmp_path / "series.npy", np.stack(frames))
    one = ("predict", run, tmp_path / "series.npy", "--pixel-size", PIXEL_SIZE_NM)
    (entry,) = cli(*one, "--out", tmp_path / "out", "--json").json["masks"]
    expected = entry["expected_dice"]
    assert expected["frame"] == 1
    assert expected["warns"]
    assert len(expected["frames"]) == 3
    assert expected["frames"][0] > 0.8
    assert "worst in frame 2" in cli(*one, "--out", tmp_path / "out").out


def test_a_run_of_an_earlier_version_leaves_nothing_to_judge_by(cli, run, data, tmp_path):
    older = Path(shutil.copytree(run, tmp_path / "older"))
    values = json.loads((older / "run.json").read_text())
    del values["trained_on"]
    (older / "run.json").write_text(json.dumps(values))
    answer = cli("predict", older, data.images / "gold_1.tif", "--out", tmp_path / "out")
    assert answer.code == 0
    assert "expected Dice not known: the run does not say what it was trained on" in answer.out


@pytest.mark.parametrize("tile", [20, 4096])
def test_tiles_make_no_difference(cli, run, data, masks, tmp_path, tile):
    cli("predict", run, data.images / "gold_3.tif", "--out", tmp_path, "--tile", tile)
    found, expected = (read_labels(folder / "gold_3.tif") for folder in (tmp_path, masks))
    assert np.mean(found != expected) < 1e-3


def test_the_smallest_tiles_make_no_difference(cli, run, data, tmp_path):
    """Of as many pixels as there are in a period: in one orientation, for they are many."""
    for tile in (1, 4096):
        more = ("--tile", tile, "--orientations", "one", "--out", tmp_path / str(tile))
        assert cli("predict", run, data.images / "gold_3.tif", *more).code == 0
    found, expected = (read_labels(tmp_path / tile / "gold_3.tif") for tile in ("1", "4096"))
    assert np.mean(found != expected) < 1e-3


def test_a_repeat_goes_on_and_keeps_what_is_there(cli, run, data, masks, tmp_path, monkeypatch):
    out = tmp_path / "out"
    shutil.copytree(masks, out)
    (out / "gold_2.tif").unlink()
    before = files_of(out)
    predicted = []
    predict = jobs.predict_with_run
    monkeypatch.setattr(
        jobs,
        "predict_with_run",
        lambda *arguments, **options: predicted.append(1) or predict(*arguments, **options),
    )
    answer = cli("predict", run, data.images, "--out", out, "--json")
    assert answer.code == 0
    assert len(answer.json["masks"]) == 4
    assert len(predicted) == 1
    assert answer.err.count("is there from this run and is kept") == 3
    after = files_of(out)
    assert {name: after[name] for name in before if name != "gold_2.tif.json"} == {
        name: content for name, content in before.items() if name != "gold_2.tif.json"
    }
    np.testing.assert_array_equal(
        read_labels(out / "gold_2.tif"), read_labels(masks / "gold_2.tif")
    )


def test_probabilities_come_beside_masks_now_or_later(cli, run, data, masks, tmp_path):
    """Later, the mask stays even if it was corrected by hand; only what is missing is written."""
    out = tmp_path / "out"
    shutil.copytree(masks, out)
    corrected = read_labels(out / "gold_1.tif")
    corrected[:5, :5] = 1
    tifffile.imwrite(out / "gold_1.tif", corrected)
    answer = cli("predict", run, data.images / "gold_1.tif", "--out", out, "--probabilities")
    assert answer.code == 0
    np.testing.assert_array_equal(read_labels(out / "gold_1.tif"), corrected)
    probabilities = tifffile.imread(out / "gold_1_probabilities.tif")
    assert (probabilities.shape, probabilities.dtype) == ((2, *SHAPE), np.float32)
    np.testing.assert_allclose(probabilities.sum(0), 1, atol=1e-5)
    plain = tmp_path / "plain"
    averaged = ("--orientations", "eight", "--smooth", 0, "--particle-from", 0.5)
    nothing = ("--smallest-particle", 0, "--largest-hole", 0, "--least-certainty", 0.5)
    cli("predict", run, data.images / "gold_1.tif", "--out", plain, *averaged, *nothing)
    clear = abs(probabilities[0] - 0.5) > 0.01
    assert clear.mean() > 0.8
    decided = probabilities.argmax(0)[clear]
    np.testing.assert_array_equal(decided, read_labels(plain / "gold_1.tif")[clear])
    again = cli("predict", run, data.images / "gold_1.tif", "--out", out, "--probabilities")
    assert "is there from this run and is kept" in again.err
    scores = cli("evaluate", out, "--labels", data.masks, "--json").json
    assert [each["name"] for each in scores["images"]] == [f"gold_{n}" for n in range(4)]


def test_a_kill_between_two_files_is_gone_on_from(cli, run, data, tmp_path, monkeypatch):
    """Probabilities are there and the mask is not: as after a kill, or a disk that was full."""
    one = ("predict", run, data.images / "gold_0.tif", "--out", tmp_path, "--probabilities")

    def full(*arguments, **settings):
        raise OSError(28, "No space left on device", "gold_0.tif")

    with monkeypatch.context() as patched:
        patched.setattr(mask_files, "write_labels", full)
        assert "No space left on device" in cli(*one).error
    assert not (tmp_path / "gold_0.tif").exists()
    assert (tmp_path / "gold_0_probabilities.tif").exists()
    assert cli(*one).code == 0
    assert (tmp_path / "gold_0.tif").exists()


@pytest.mark.parametrize("foreign", ["no provenance", "other weights", "other image"])
def test_masks_of_others_are_never_overwritten(cli, run, data, masks, tmp_path, foreign):
    out = tmp_path / "out"
    shutil.copytree(masks, out)
    path = out / "gold_1.tif.json"
    made = json.loads(path.read_text())
    if foreign == "no provenance":
        path.unlink()
    else:
        made[{"other weights": "weights_sha256", "other image": "source_sha256"}[foreign]] = "0"
        path.write_text(json.dumps(made))
    before = files_of(out)
    error = cli("predict", run, data.images / "gold_1.tif", "--out", out).error
    assert "exists and is not from this run and image: name another --out folder" in error
    assert files_of(out) == before


def test_one_bad_file_leaves_the_others_predicted(cli, run, data, tmp_path):
    images = tmp_path / "images"
    shutil.copytree(data.images, images)
    whole = (images / "gold_1.tif").read_bytes()
    (images / "gold_1.tif").write_bytes(whole[: len(whole) // 2])
    answer = cli("predict", run, images, "--out", tmp_path / "out", "--json")
    assert "1 of 4 images could not be predicted, the first:" in answer.error
    assert [Path(entry["mask"]).stem for entry in answer.json["masks"]] == [
        "gold_0",
        "gold_2",
        "gold_3",
    ]
    (left_out,) = answer.json["left_out"]
    assert left_out["file"] == str(images / "gold_1.tif")
    assert '"gold_1.tif"' in left_out["error"]


def test_frames_of_a_series_come_as_one_stack(cli, run, tmp_path):
    frames, truth = zip(*(discs(seed) for seed in (7, 8, 9)), strict=True)
    np.save(tmp_path / "series.npy", np.array(frames))
    (tmp_path / "truth").mkdir()
    np.save(tmp_path / "truth" / "series.npy", np.array(truth))
    out = tmp_path / "out"
    answer = cli("predict", run, tmp_path / "series.npy", "--out", out, "--json", "--probabilities")
    assert answer.json["masks"][0]["shape"] == [3, *SHAPE]
    assert read_labels(out / "series.tif").shape == (3, *SHAPE)
    assert tifffile.imread(out / "series_0002_probabilities.tif").shape == (2, *SHAPE)
    scores = cli("evaluate", out / "series.tif", "--labels", tmp_path / "truth", "--json").json
    assert scores["dice"] > 0.9


@pytest.mark.parametrize("shape", [(1, 1), (3, 200), (2, 2)])
def test_images_smaller_than_field_and_period(cli, run, tmp_path, shape):
    pixels = np.random.default_rng(0).integers(0, 99, shape).astype(np.uint16)
    tifffile.imwrite(tmp_path / "small.tif", pixels)
    answer = cli("predict", run, tmp_path / "small.tif", "--out", tmp_path / "out", "--json")
    assert answer.code == 0
    assert answer.json["masks"][0]["shape"] == list(shape)
    assert answer.json["masks"][0]["pixel_size_nm"] is None


def test_a_constant_image_and_nan_are_said_or_done(cli, run, tmp_path):
    np.save(tmp_path / "flat.npy", np.full(SHAPE, 3.0))
    np.save(tmp_path / "hole.npy", np.where(discs(0)[1], np.nan, discs(0)[0]))
    np.save(tmp_path / "nothing.npy", np.full(SHAPE, np.nan))
    out = tmp_path / "out"
    answer = cli("predict", run, tmp_path / "flat.npy", "--out", out)
    assert answer.code == 0
    assert "flat: the image is constant: its prediction means nothing" in answer.err
    answer = cli("predict", run, tmp_path / "hole.npy", "--out", out)
    assert answer.code == 0
    assert "px are NaN or infinite and were taken as the median" in answer.err
    error = cli("predict", run, tmp_path / "nothing.npy", "--out", out).error
    assert "it holds only NaN or infinity" in error


def test_an_image_that_cannot_be_predicted_is_named(cli, run, data, tmp_path):
    for name in ("a", "b"):
        np.save(tmp_path / f"{name}.npy", np.full(SHAPE, np.nan, np.float32))
    says = "cannot be predicted: no pixel of the image is finite: it holds only NaN or infinity"
    assert cli("predict", run, tmp_path / "b.npy", "--out", tmp_path / "o").error == f'"b" {says}'
    answer = cli(
        "predict", run, tmp_path / "a.npy", tmp_path / "b.npy", data.images, "--out", tmp_path / "o"
    )
    assert answer.error == f'2 of 6 images could not be predicted, the first: "a" {says}'
    assert f'left out: "b" {says}' in answer.err
    assert len(list((tmp_path / "o").glob("*.tif"))) == 4


def test_a_file_where_the_folder_of_masks_should_be(cli, run, data, tmp_path):
    (tmp_path / "file").write_text("mine")
    error = cli("predict", run, data.images, "--out", tmp_path / "file").error
    assert error == f'"{tmp_path / "file"}" is a file: name a folder for the masks with --out'
    assert (tmp_path / "file").read_text() == "mine"


def test_cleaning_is_repeated_at_prediction(cli, data, tmp_path):
    """Spikes of 20 times the signal change nothing, and labels come in the bins' blocks."""
    run = tmp_path / "run"
    cli(
        *("train", data.images, "--labels", data.masks, "--run", run, "--epochs", 3, *QUICK),
        *("--spikes", "robust", "--binning", 2, "--flatten", 1),
    )
    assert read_run(run).record.cleaning == Cleaning("robust", None, 1, 2)
    image = tifffile.imread(data.images / "gold_3.tif")
    smooth = clean(image, Cleaning("robust"))
    spiked = smooth.copy()
    spiked[9::17, 4::19] = 8000
    for name, pixels in (("smooth", smooth), ("spiked", spiked)):
        np.save(tmp_path / f"{name}.npy", pixels)
    files = (tmp_path / "smooth.npy", tmp_path / "spiked.npy")
    cli("predict", run, *files, "--out", tmp_path / "masks", "--no-finish")
    mask = tifffile.imread(tmp_path / "masks" / "smooth.tif")
    assert mask.any()
    differ = np.count_nonzero(mask != tifffile.imread(tmp_path / "masks" / "spiked.tif"))
    assert differ < 0.01 * mask.size
    assert mask.shape == SHAPE
    np.testing.assert_array_equal(mask[:66:2, :82:2], mask[1:66:2, 1:82:2])
    made = json.loads((tmp_path / "masks" / "smooth.tif.json").read_text())
    assert made["cleaning"] == {
        "spikes": "robust",
        "spike_threshold": None,
        "flatten": 1,
        "binning": 2,
    }


def test_another_pixel_size_is_said(cli, run, data, tmp_path):
    one = ("predict", run, data.images / "gold_0.tif", "--out")
    answer = cli(*one, tmp_path / "a", "--pixel-size", 0.1)
    assert answer.code == 0
    assert "its pixels are 2.00 times as large as those trained on" in answer.err
    (micrograph,) = read_micrographs(tmp_path / "a" / "gold_0.tif")
    assert micrograph.pixel_size_nm == pytest.approx((0.1, 0.1))
    assert "times as large" not in cli(*one, tmp_path / "b").err


def test_an_image_of_another_pixel_size_is_resampled(cli, run, data, tmp_path):
    """The image at half its pixel size: the mask lies on its own pixels."""
    (own,) = read_micrographs(data.images / "gold_3.tif")
    truth = data.truth("gold_3") > 0

    def dice(found, true):
        return 2 * np.count_nonzero(found & true) / (found.sum() + true.sum())

    finer = own.frame().repeat(2, 0).repeat(2, 1)
    np.save(tmp_path / "finer.npy", finer)
    one = ("predict", run, tmp_path / "finer.npy", "--pixel-size", PIXEL_SIZE_NM / 2, "--out")
    answer = cli(*one, tmp_path / "out", "--resample", "--probabilities")
    assert answer.code == 0
    assert "its pixels are 0.50 times as large as those trained on" in answer.err
    assert "the mask has the image's own pixels" in answer.err
    mask = read_labels(tmp_path / "out" / "finer.tif") > 0
    assert mask.shape == finer.shape
    # two pixels of the finer image are one of the network's: nearly the same mask, on more pixels
    assert cli("predict", run, data.images / "gold_3.tif", "--out", tmp_path / "own").code == 0
    plain = read_labels(tmp_path / "own" / "gold_3.tif") > 0
    assert dice(mask, plain.repeat(2, 0).repeat(2, 1)) > 0.97
    assert dice(mask, truth.repeat(2, 0).repeat(2, 1)) > 0.9
    probable = tifffile.imread(tmp_path / "out" / "finer_probabilities.tif")
    assert probable.shape == (2, *finer.shape)
    made = json.loads((tmp_path / "out" / "finer.tif.json").read_text())
    assert made["resampling"]["from_nm"] == pytest.approx([PIXEL_SIZE_NM / 2] * 2)
    assert made["resampling"]["to_nm"] == pytest.approx([PIXEL_SIZE_NM] * 2)
    assert made["pixel_size_nm"] == pytest.approx([PIXEL_SIZE_NM / 2] * 2)
    # resampled where nothing is said; what was made so is not what is made without
    assert "is kept" in cli(*one, tmp_path / "out", "--probabilities").err
    error = cli(*one, tmp_path / "out", "--no-resample").error
    assert "was predicted with another resampling: predict it in the same way" in error
    np.testing.assert_array_equal(read_labels(tmp_path / "out" / "finer.tif") > 0, mask)


def test_pixels_too_large_to_resample_from_are_refused(cli, run, data, tmp_path):
    one = ("predict", run, data.images / "gold_0.tif", "--out", tmp_path / "a")
    error = cli(*one, "--pixel-size", 10 * PIXEL_SIZE_NM, "--resample").error
    assert "more than 8 times as large hold nothing to resample from" in error


@pytest.fixture
def broken(run, tmp_path):
    """Return a copy of the run, to be broken."""
    return Path(shutil.copytree(run, tmp_path / "broken"))


def test_runs_that_cannot_be_used_are_said(cli, broken, data, tmp_path):
    one = (data.images / "gold_0.tif", "--out", tmp_path / "out")
    weights = broken / "weights.safetensors"
    whole = weights.read_bytes()
    for content in (b"", whole[:100], whole[:-9], b"\x80\x04pickle"):
        weights.write_bytes(content)
        error = cli("predict", broken, *one).error
        assert 'weights.safetensors" is not a weights file' in error
        assert "restore it from a copy or train again" in error
    weights.unlink()
    assert "has no weights.safetensors" in cli("predict", broken, *one).error
    values = json.loads((broken / "run.json").read_text())
    (broken / "run.json").write_text(json.dumps({**values, "format": 2}))
    assert "update napari-tem-rf" in cli("predict", broken, *one).error
    (broken / "run.json").write_text("{")
    assert "cannot be read" in cli("predict", broken, *one).error
    assert "is not a run" in cli("predict", tmp_path, *one).error
    assert not (tmp_path / "out").exists()


def test_weights_of_another_network_are_said(cli, broken, data, tmp_path):
    values = json.loads((broken / "run.json").read_text())
    values["spec"]["filters"] = 6
    (broken / "run.json").write_text(json.dumps(values))
    error = cli("predict", broken, data.images / "gold_0.tif", "--out", tmp_path / "out").error
    assert "do not fit" in error
    assert "Missing key" not in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["predict"], "RUN"),
        (["predict", "run"], "IMAGES"),
        (["predict", "run", "a.tif"], "--out"),
        (["predict", "run", "a.tif", "--out", "o", "--tile", "0"], "--tile"),
        (["predict", "run", "a.tif", "--out", "o", "--device", "tpu"], "auto, cpu, cuda, mps"),
        (["predict", "run", "a.tif", "--out", "o", "--pixel-size", "0"], "above 0"),
        (["evaluate", "a.tif"], "--labels"),
        (["evaluate", "a.tif", "--labels", "b.tif", "--unlabelled", "x"], "ignore or background"),
        (["effective-field", "run", "a.tif"], "--at"),
        (["effective-field", "run", "a.tif", "--at", "3"], "give ROW,COLUMN"),
        (["effective-field", "run", "a.tif", "--at", "3,x"], "whole numbers"),
    ],
)
def test_wrong_use_leaves_with_2(cli, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*arguments)
    assert answer.code == 2
    assert says.lower() in answer.err.lower()
    assert answer.out == ""
    assert not list(tmp_path.iterdir())


def save(folder, **arrays):
    folder.mkdir(exist_ok=True)
    for name, values in arrays.items():
        np.save(folder / f"{name}.npy", np.asarray(values, np.uint8))
    return folder


def test_scores_by_hand(cli, tmp_path):
    """Image a: 2 of 3 and 4 px agree. b: nothing there, nothing found. Dice with smooth 1."""
    found = save(tmp_path / "found", a=[[1, 1, 1, 0, 0, 0, 0]], b=[[0, 0]], more=[[1]])
    true = save(tmp_path / "true", a=[[0, 1, 1, 1, 1, 0, 0]], b=[[0, 0]], lonely=[[1]])
    answer = cli("evaluate", found, "--labels", true, "--json")
    scores = answer.json
    assert list(scores)[:5] == ["dice", "iou", "precision", "recall", "object_f1"]
    a, b = scores["images"]
    assert a["name"], b["name"] == ("a", "b")
    assert a["dice"] == pytest.approx((2 * 2 + 1) / (3 + 4 + 1))
    assert (a["iou"], a["precision"], a["recall"]) == pytest.approx((2 / 5, 2 / 3, 2 / 4))
    assert (b["dice"], b["iou"]) == (1, 1)
    assert scores["dice"] == pytest.approx((5 / 8 + 1) / 2)
    assert "1 masks without labels are left out: more" in answer.err
    assert "1 labels without a mask are left out: lonely" in answer.err
    text = cli("evaluate", found, "--labels", true)
    lines = [line.split() for line in text.out.splitlines()]
    assert ["mean", *(f"{scores[name]:.4f}" for name in list(scores)[:5])] in lines
    # image a: one particle is found, with an IoU of 2 / 5, and too small: it cut the border
    assert lines[-2] == ["all", "0.5000", "0.5000", "0.5000", "0.5000", "0.5000", "+0.0", "-13.4"]
    assert scores["count_error_percent"] == 0
    # images of one row: whatever they hold is cut
    assert scores["ap_50_inner"] is None
    assert lines[-1][:4] == ["none", "at", "the", "border"]


def test_strokes_and_values_do_not_matter_to_scores(cli, tmp_path):
    """Labels 1 and 2 with 0 not annotated, prediction 0 and 2; and a mask of 0 and 255."""
    found = save(tmp_path / "found", a=[[2, 2, 0, 0, 2]])
    strokes = save(tmp_path / "strokes", a=[[2, 1, 1, 0, 0]])
    scores = cli("evaluate", found, "--labels", strokes, "--unlabelled", "ignore", "--json").json
    assert scores["dice"] == pytest.approx((2 * 1 + 1) / (2 + 1 + 1))
    mask = save(tmp_path / "mask", a=[[255, 255, 0, 0, 255]])
    assert cli("evaluate", found, "--labels", mask, "--json").json["dice"] == 1


def test_several_labels_after_predictions(cli, tmp_path):
    found = save(tmp_path / "found", a=[[1, 0]], b=[[0, 1]])
    paths = [found / "a.npy", found / "b.npy"]
    for arguments in (
        ["--json", *paths, "--labels", *paths],
        ["--json", paths[0], "--labels", *paths],
        ["--labels", paths[0], "--labels", paths[1], *paths, "--json"],
    ):
        answer = cli("evaluate", *arguments)
        assert answer.code == 0, answer.err
        assert answer.json["dice"] == 1


@pytest.mark.parametrize(
    ("found", "true", "says"),
    [
        ({"a": [[1, 0]]}, {"a": [[1], [0]]}, "score masks of the same images"),
        ({"a": [[1, 0]]}, {"b": [[1, 0]]}, "no mask has the name of labels: masks are a"),
    ],
)
def test_what_cannot_be_scored_is_said(cli, tmp_path, found, true, says):
    folders = save(tmp_path / "found", **found), save(tmp_path / "true", **true)
    assert says in cli("evaluate", folders[0], "--labels", folders[1], "--json").error


def test_labels_of_float_type_cannot_be_scored(cli, tmp_path):
    found = save(tmp_path / "found", a=[[1, 0]])
    (tmp_path / "true").mkdir()
    np.save(tmp_path / "true" / "a.npy", np.array([[0.3, 0.7]]))
    error = cli("evaluate", found, "--labels", tmp_path / "true").error
    assert "labels are whole numbers" in error


def test_effective_field(cli, run, data, tmp_path):
    one = ("effective-field", run, data.images / "gold_0.tif", "--at", "30,40")
    document = cli(*one, "--out", tmp_path / "field.tif", "--json").json
    assert set(document) >= {"total", "w50_px", "w95_px", "w50_nm", "w95_nm"}
    assert document["at"] == [30, 40]
    # pools 2: no exact width is larger than 19 px
    assert 1 <= document["w50_px"] <= document["w95_px"] <= 19
    assert document["w50_nm"] == pytest.approx(document["w50_px"] * PIXEL_SIZE_NM)
    heat = tifffile.imread(tmp_path / "field.tif").squeeze()
    assert list(heat.shape) == document["shape"]
    assert heat.sum() == pytest.approx(document["total"], rel=1e-3)
    text = cli(*one)
    assert text.out.splitlines()[0].startswith("50 % of the influence lies within ")
    assert cli(*one, "--out", tmp_path / "field.png").code == 0
    before = (tmp_path / "field.png").read_bytes()
    assert "exists" in cli(*one, "--out", tmp_path / "field.png").error
    assert (tmp_path / "field.png").read_bytes() == before
    assert "written to .tif or .png" in cli(*one, "--out", tmp_path / "field.jpg").error


@pytest.mark.parametrize("at", ["67,0", "0,83", "-1,5"])
def test_a_pixel_outside_of_the_image_is_said(cli, run, data, at):
    error = cli("effective-field", run, data.images / "gold_0.tif", f"--at={at}").error
    assert 'is outside "gold_0", which is 67 x 83 px: give a row and column inside' in error


def test_masks_are_finished_as_the_run_suggests_or_the_options_say(cli, run, data, tmp_path):
    record = read_run(run).record
    assert record.finishing.changes_something
    image = data.images / "gold_0.tif"
    answer = cli("predict", run, image, "--out", tmp_path / "own")
    assert f"finishing: {record.finishing.sentence}" in answer.err
    nm = record.finishing.smallest_px * PIXEL_SIZE_NM
    assert f"smallest particle {nm:.3g} nm" in answer.err
    made = json.loads((tmp_path / "own" / "gold_0.tif.json").read_text())
    # how many orientations time allowed is part of how it was made
    assert made["finishing"] == record.finishing.to_dict() | {"orientations": "eight"}
    once = cli("predict", run, image, "--out", tmp_path / "once", "--orientations", "one")
    assert "averaged over" in answer.err
    assert "averaged over" not in once.err
    made = json.loads((tmp_path / "once" / "gold_0.tif.json").read_text())
    assert "orientations" not in made["finishing"]
    off = cli("predict", run, image, "--out", tmp_path / "off", "--no-finish")
    assert "the mask stays as the network decided it" in off.err
    assert json.loads((tmp_path / "off" / "gold_0.tif.json").read_text())["finishing"] is None
    cli("predict", run, image, "--out", tmp_path / "none", "--smallest-particle", 80)
    assert read_labels(tmp_path / "own" / "gold_0.tif").any()
    assert not read_labels(tmp_path / "none" / "gold_0.tif").any()
    refused = cli("predict", run, image, "--out", tmp_path / "off")
    assert "is not from this run" in refused.error


def test_a_series_is_made_steady_where_asked_for(cli, run, data, tmp_path):
    """Frames of one specimen that stands still, each with noise of its own."""
    pixels, _ = discs(0)
    rng = np.random.default_rng(3)
    frames = np.stack([pixels + rng.normal(0, 60, SHAPE) for _ in range(4)]).astype(np.float32)
    np.save(tmp_path / "film.npy", frames)
    found = {}
    for steady in ((), ("--steady", 2)):
        out = tmp_path / f"steady{len(steady)}"
        answer = cli(
            *("predict", run, tmp_path / "film.npy", "--pixel-size", PIXEL_SIZE_NM),
            *("--out", out, "--no-finish", *steady),
        )
        assert answer.code == 0
        assert ("averaged over the 2 frames before and after each" in answer.err) == bool(steady)
        found[len(steady)] = read_labels(out / "film.tif")
    # the four frames are of one specimen: what differs between them is noise
    flicker = {key: np.mean(masks.std(axis=0) > 0) for key, masks in found.items()}
    assert flicker[2] < 0.6 * flicker[0]
    made = json.loads((tmp_path / "steady2" / "film.tif.json").read_text())
    assert made["steady"]["frames"] == 2
    np.testing.assert_allclose(made["drift"]["offsets_px"], 0, atol=0.3)
    same = ("predict", run, tmp_path / "film.npy", "--pixel-size", PIXEL_SIZE_NM, "--no-finish")
    assert "ask for the same (--steady)" in cli(*same, "--out", tmp_path / "steady2").error
