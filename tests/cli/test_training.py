"""``train``: images and labels in, a run out, or one sentence that says why not."""

import json
import signal

import numpy as np
import pytest
import tifffile

from napari_tem_rf.cli import training
from napari_tem_rf.cli.app import spread_labels
from napari_tem_rf.micrographs import frames
from napari_tem_rf.protocol import EpochReport
from napari_tem_rf.runs import read_run

from .conftest import PIXEL_SIZE_NM, QUICK, SHAPE, discs

pytestmark = pytest.mark.usefixtures("few_steps")


def weights_of(folder):
    return {name: value.tobytes() for name, value in read_run(folder).read_weights().items()}


def test_json_is_the_runs_summary(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--epochs", 1, "--seed", 9213, "--validation", 0.25, "--json", *QUICK),
    )
    assert answer.code == 0
    summary = answer.json
    assert list(summary) == [
        "run",
        "name",
        "state",
        "method",
        "pools",
        "dilations",
        "filters",
        "growth",
        "parameters",
        "receptive_field",
        "classes",
        "pixel_size_nm",
        "labels_are",
        "border_px",
        "images",
        "split",
        "epochs",
        "steps",
        "seconds",
        "best_epoch",
        "seed",
        "preset",
        "device",
        "scores",
        "finishing",
    ]
    assert summary["run"] == str(tmp_path / "run")
    assert (summary["state"], summary["epochs"], summary["seed"]) == ("finished", 1, 9213)
    assert (summary["pools"], summary["filters"]) == ([2], 4)
    assert summary["parameters"] == 1826  # of the paper, for one level and 4 filters
    assert summary["classes"] == {"background": 0, "particle": 1}
    assert summary["pixel_size_nm"] == pytest.approx([PIXEL_SIZE_NM] * 2)
    assert (summary["images"], summary["device"]) == (4, "cpu")
    assert summary["split"].startswith("1 of 4 groups held out: gold_")
    assert 0 <= summary["scores"]["dice"] <= 1
    assert "epoch 1, Dice" in answer.err
    record = read_run(tmp_path / "run").record
    assert record.plan.epochs == 1
    assert record.data[0].source == str(data.images / "gold_0.tif")
    assert record.data[0].labels_source == str(data.masks / "gold_0.tif")


def test_text_is_one_line(run, cli):
    answer = cli("train", "--run", run, "--resume")
    assert answer.code == 0
    (line,) = answer.out.splitlines()
    assert "pools 2, 4 filters, 4 epochs" in line
    assert "validation Dice" in line
    assert "nothing was left to train after 4 epochs" in answer.err


def test_labels_are_matched_by_name_without_ending(cli, data, tmp_path):
    """Masks as PNG and NPY of the same names; the others of both sides are left out aloud."""
    from PIL import Image

    labels = tmp_path / "labels"
    labels.mkdir()
    Image.fromarray(data.truth("gold_1")).save(labels / "gold_1.png")
    np.save(labels / "gold_2.npy", data.truth("gold_2"))
    np.save(labels / "silver.npy", data.truth("gold_2"))
    answer = cli(
        *("train", data.images, "--labels", labels, "--run", tmp_path / "run"),
        *("--epochs", 1, "--validation", 0, *QUICK),
    )
    assert answer.code == 0
    names = [entry.name for entry in read_run(tmp_path / "run").record.data]
    assert names == ["gold_1", "gold_2"]
    assert "2 images without labels are left out: gold_0, gold_3" in answer.err
    assert "1 labels without an image are left out: silver" in answer.err


@pytest.mark.parametrize("order", ["after", "before", "equals", "flag first"])
def test_several_labels(cli, data, tmp_path, order):
    images = [data.images / f"gold_{number}.tif" for number in (0, 2)]
    masks = [data.masks / f"gold_{number}.tif" for number in (0, 2)]
    rest = ["--run", tmp_path / "run", "--epochs", 1, "--validation", 0, *QUICK]
    arguments = {
        "after": [*images, "--labels", *masks, *rest],
        "before": ["--labels", masks[0], "--labels", masks[1], *images, *rest],
        "equals": [f"--labels={masks[0]}", f"--labels={masks[1]}", *images, *rest],
        "flag first": ["--json", *images[:1], "--labels", *masks, *rest],
    }[order]
    answer = cli("train", *arguments)
    assert answer.code == 0, answer.err
    assert len(read_run(tmp_path / "run").record.data) == (1 if order == "flag first" else 2)


@pytest.mark.parametrize(
    ("given", "spread"),
    [
        ("train a b --labels c d --run r", "train a b --labels c --labels d --run r"),
        ("train a --labels c d", "train a --labels c --labels d"),
        ("train --labels c a b --run r", "train --labels c a b --run r"),
        ("train --run r a --labels c d", "train --run r a --labels c --labels d"),
        ("train --json a --labels c d", "train --json a --labels c --labels d"),
        ("evaluate --labels c a", "evaluate --labels c a"),
        ("evaluate a --labels c d --json", "evaluate a --labels c --labels d --json"),
        ("evaluate --json a --labels c d", "evaluate --json a --labels c --labels d"),
        ("train a --labels", "train a --labels"),
        ("train a --labels --run r", "train a --labels --run r"),
        ("train --seed=3 a --labels c d", "train --seed=3 a --labels c --labels d"),
        ("networks --limit 3", "networks --limit 3"),
    ],
)
def test_labels_spread(given, spread):
    assert spread_labels(given.split()) == spread.split()


def test_frames_of_a_series_train_together(cli, data, tmp_path):
    """Of three frames the second is not annotated: two images of one exposure."""
    pixels, masks = zip(*(discs(seed) for seed in range(3)), strict=True)
    labels = np.array(masks) + 1
    labels[1] = 0
    np.save(tmp_path / "series.npy", np.array(pixels))
    (tmp_path / "labels").mkdir()
    np.save(tmp_path / "labels" / "series.npy", labels)
    answer = cli(
        *("train", tmp_path / "series.npy", "--labels", tmp_path / "labels"),
        *("--run", tmp_path / "run", "--epochs", 1, "--pools", 2, "--filters", 3),
    )
    assert answer.code == 0
    data = read_run(tmp_path / "run").record.data
    assert [(entry.name, entry.group) for entry in data] == [
        ("series[0]", "series"),
        ("series[2]", "series"),
    ]


def test_a_wish_is_met_by_the_nearest_network(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--receptive-field-nm", 1.0, "--pixel-size", 0.05, "--parameters", 2000),
        *("--seconds", 0.3, "--unlabelled", "background", "--json"),
    )
    nearest = cli("networks", "--receptive-field", 20, "--parameters", 2000, "--json").json[0]
    assert answer.json["pools"] == nearest["pools"]
    assert answer.json["parameters"] == nearest["parameters"]
    assert answer.json["pixel_size_nm"] == [0.05, 0.05]
    assert answer.json["seconds"] < 60  # a step more than 0.3 s, on a machine however busy
    assert f"field {nearest['receptive_field']['nominal']} px" in answer.err


def test_the_papers_preset(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--preset", "sytwu2022", "--epochs", 1, "--json", *QUICK),
    )
    assert answer.json["preset"] == "sytwu2022"
    plan = read_run(tmp_path / "run").record.plan
    assert (plan.learning_rate, plan.batch, plan.keep) == (1e-4, 32, "last")
    assert plan.validation == 0.1


def test_same_seed_same_weights_and_resume_goes_on(cli, data, tmp_path):
    one = ("train", data.images / "gold_0.tif", "--labels", data.masks, *QUICK)
    cli(*one, "--run", tmp_path / "long", "--epochs", 2, "--validation", 0)
    cli(*one, "--run", tmp_path / "short", "--epochs", 1, "--validation", 0)
    assert weights_of(tmp_path / "short") != weights_of(tmp_path / "long")
    answer = cli("train", "--run", tmp_path / "short", "--resume", "--epochs", 2, "--json")
    assert answer.json["epochs"] == 2
    assert weights_of(tmp_path / "short") == weights_of(tmp_path / "long")
    for wrong in (["--seed", 5], ["--validation", 0.5]):
        assert (
            "resumed training keeps its"
            in cli("train", "--run", tmp_path / "short", "--resume", *wrong).error
        )


def test_resume_says_what_it_would_not_do(cli, data, tmp_path):
    """The same settings may stand there again, others would go unheard."""
    run = tmp_path / "run"
    begun = (
        *("train", data.images / "gold_0.tif", "--labels", data.masks, "--run", run, *QUICK),
        *("--binning", 2, "--spikes", "robust", "--validation", 0),
    )
    assert cli(*begun, "--epochs", 1).code == 0
    assert cli(*begun, "--epochs", 2, "--resume", "--json").json["epochs"] == 2
    for wrong, says in (
        (["--binning", 3], "was begun with --binning 2, not 3"),
        (["--spike-threshold", 9], "was begun without --spike-threshold, not 9.0"),
        (["--unlabelled", "ignore"], "was begun with --unlabelled background, not ignore"),
        (["--preset", "sytwu2022"], "was begun with --preset default, not sytwu2022"),
        (["--pools", "4,4"], "has the network pools 2, 4 filters, not pools 4,4, 4 filters"),
        (["--receptive-field", 120], "leave --receptive-field out or start a new run"),
    ):
        error = cli("train", "--run", run, "--resume", "--epochs", 3, *wrong).error
        assert says in error, error
        assert "a resumed training keeps it" in error
    assert read_run(run).record.epochs == 2


def test_an_image_that_cannot_be_cleaned_is_named(cli, data, tmp_path):
    error = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--binning", 70, *QUICK),
    ).error
    assert error == (
        '"gold_0" cannot be trained from: binning is 70 but the image is 67 x 83: a block must '
        "fit into it"
    )
    assert not (tmp_path / "run").exists()


def test_frames_of_a_long_series_of_labels(cli, tmp_path, monkeypatch):
    """Of 5 frames that are read one by one, the two with labels are trained on."""
    monkeypatch.setattr(frames, "IN_MEMORY_BYTES", 1000)
    found = [discs(seed) for seed in range(5)]
    masks = np.stack([mask if i in (1, 4) else 0 * mask for i, (_, mask) in enumerate(found)])
    for name, stack in (("image", np.stack([pixels for pixels, _ in found])), ("labels", masks)):
        (tmp_path / name).mkdir()
        np.save(tmp_path / name / "series.npy", stack)
    answer = cli(
        *("train", tmp_path / "image", "--labels", tmp_path / "labels"),
        *("--run", tmp_path / "run", "--epochs", 1, *QUICK),
    )
    assert answer.code == 0, answer
    names = [entry.name for entry in read_run(tmp_path / "run").record.data]
    assert names == ["series[1]", "series[4]"]


def test_interrupt_stops_the_training_and_keeps_it(cli, data, tmp_path, monkeypatch):
    """Ctrl-C in the second epoch: the run is there, says that it was stopped, and continues."""
    show = training.Progress.__call__

    def press(self, report):
        show(self, report)
        if isinstance(report, EpochReport) and report.epoch == 1:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(training.Progress, "__call__", press)
    before = signal.getsignal(signal.SIGINT)
    answer = cli(
        *("train", data.images / "gold_0.tif", "--labels", data.masks, "--run", tmp_path / "run"),
        *("--epochs", 50, "--validation", 0, "--json", *QUICK),
    )
    assert answer.code == 0
    assert (answer.json["state"], answer.json["epochs"]) == ("stopped", 1)
    assert "stopping: the best weights so far are kept" in answer.err
    assert signal.getsignal(signal.SIGINT) is before


def test_start_from_another_run(cli, data, run, tmp_path):
    answer = cli(
        *("train", data.images / "gold_3.tif", "--labels", data.masks, "--run", tmp_path / "run"),
        *("--start", run, "--epochs", 1, "--validation", 0, *QUICK),
    )
    assert answer.code == 0
    assert read_run(tmp_path / "run").record.start == str(run)


def test_group_by_keeps_exposures_together(cli, data, tmp_path):
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--group-by", r"gold_([01])?", "--epochs", 1, *QUICK),
    )
    assert 'finds nothing in "gold_2": every image needs a group' in answer.error
    answer = cli(
        *("train", data.images, "--labels", data.masks, "--run", tmp_path / "run"),
        *("--group-by", r"gold", "--epochs", 1, "--json", *QUICK),
    )
    assert answer.json["split"].startswith("a block of each image held out, 9 px away")


@pytest.fixture
def bad(tmp_path, data):
    """Return a function that trains on an image and labels written as given."""

    def arguments(pixels=None, labels=None, name="gold", unlabelled="ignore"):
        shown, truth = discs(0)
        folder = tmp_path / "bad"
        (folder / "labels").mkdir(parents=True)
        image = folder / f"{name}.tif"
        if isinstance(pixels, bytes):
            image.write_bytes(pixels)
        else:
            tifffile.imwrite(image, shown if pixels is None else pixels)
        np.save(folder / "labels" / f"{name}.npy", truth + 1 if labels is None else labels)
        return (
            *("train", image, "--labels", folder / "labels", "--run", tmp_path / "run"),
            *("--epochs", 1, "--pools", 2, "--filters", 3, "--unlabelled", unlabelled),
        )

    return arguments


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"labels": np.zeros((83, 67), np.uint8)}, "are 83 x 67 but image"),
        ({"labels": np.zeros((2, 67, 83), np.uint8)}, "are 2 x 67 x 83 but image"),
        ({"labels": np.full(SHAPE, 0.25)}, "labels are whole numbers, 0 and up; this looks like"),
        ({"labels": np.zeros(SHAPE, np.uint8)}, "nothing is annotated; paint background as 1"),
        ({"labels": np.ones(SHAPE, np.uint8)}, "needs two classes: paint particles as 2"),
        (
            {"labels": np.zeros(SHAPE, np.uint8), "unlabelled": "background"},
            "no particle, only zeros, but training needs two classes",
        ),
        ({"labels": discs(0)[1]}, "say that unlabelled pixels are background if this is a mask"),
        ({"labels": -discs(0)[1].astype(int)}, "labels go from 0 to 2147483647"),
        ({"pixels": np.full(SHAPE, np.nan, np.float32)}, "it holds only NaN or infinity"),
        ({"pixels": b""}, "is empty: copy it again from where it came from"),
        ({"pixels": b"II*\0 not a TIFF"}, "it is damaged or of another format"),
    ],
)
def test_bad_data_is_said_and_leaves_no_run(cli, bad, tmp_path, given, says):
    assert says in cli(*bad(**given)).error
    assert not (tmp_path / "run").exists()


def test_a_truncated_tiff_is_said(cli, bad, data, tmp_path):
    whole = (data.images / "gold_0.tif").read_bytes()
    assert '"gold.tif"' in cli(*bad(pixels=whole[: len(whole) // 2])).error
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    "pixels", [np.full(SHAPE, 7, np.uint16), np.where(discs(0)[1], np.nan, 1).astype(np.float32)]
)
def test_images_without_a_signal_still_give_a_run(cli, bad, tmp_path, pixels):
    assert cli(*bad(pixels=pixels)).code == 0
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_an_image_smaller_than_the_field_and_the_period_trains(cli, bad, tmp_path):
    labels = np.tile(np.array([1, 2], np.uint8), (5, 4))
    arguments = bad(
        pixels=np.random.default_rng(0).normal(size=(5, 8)).astype(np.float32), labels=labels
    )
    answer = cli(*arguments, "--pools", "4,4")
    assert answer.code == 0
    assert "nothing is held out: for a score, paint every class in three images" in answer.err
    assert read_run(tmp_path / "run").record.epochs == 1


def test_an_image_without_pixel_size_trains_in_px(cli, bad, tmp_path):
    summary = cli(*bad(), "--json").json
    assert summary["pixel_size_nm"] is None


def test_an_existing_run_is_kept(cli, data, run):
    before = {each.name: each.read_bytes() for each in run.iterdir()}
    error = cli(
        "train", data.images, "--labels", data.masks, "--run", run, "--epochs", 1, *QUICK
    ).error
    assert "exists and is not empty: resume it, or name another folder" in error
    assert {each.name: each.read_bytes() for each in run.iterdir()} == before


def test_names_that_match_nothing_are_said(cli, data, tmp_path):
    np.save(tmp_path / "silver.npy", np.zeros(SHAPE, np.uint8))
    error = cli(
        "train", data.images, "--labels", tmp_path / "silver.npy", "--run", tmp_path / "run"
    ).error
    assert (
        "no labels have the name of an image: images are gold_0, gold_1, gold_2 and 1 more" in error
    )
    assert "labels are silver; name each labels file like its image" in error


def test_two_files_of_one_name_are_said(cli, data, tmp_path):
    np.save(tmp_path / "gold_0.npy", np.zeros(SHAPE, np.uint8))
    error = cli(
        *("train", data.images / "gold_0.tif", tmp_path / "gold_0.npy"),
        *("--labels", data.masks, "--run", tmp_path / "run"),
    ).error
    assert 'have the same name "gold_0"' in error


def test_paths_that_are_not_there_are_said(cli, data, tmp_path):
    for images, labels in ((tmp_path / "no", data.masks), (data.images, tmp_path / "no")):
        error = cli("train", images, "--labels", labels, "--run", tmp_path / "run").error
        assert "is not there: check the path" in error
    assert "is not a run" in cli("train", "--run", tmp_path / "no", "--resume").error
    (tmp_path / "empty").mkdir()
    error = cli("train", tmp_path / "empty", "--labels", data.masks, "--run", tmp_path / "r").error
    assert "holds no file with one of the endings" in error


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["train"], "--run"),
        (["train", "--run", "r"], "give images, and their labels with --labels"),
        (["train", "a.tif", "--run", "r"], "give images, and their labels with --labels"),
        (["train", "a.tif", "--run", "r", "--labels"], "'--labels' requires an argument"),
        (["train", "a", "--labels", "b", "--run", "r", "--preset", "x"], "default or sytwu2022"),
        (["train", "a", "--labels", "b", "--run", "r", "--device", "x"], "auto, cpu, cuda, mps"),
        (
            ["train", "a", "--labels", "b", "--run", "r", "--unlabelled", "x"],
            "ignore or background",
        ),
        (["train", "a", "--labels", "b", "--run", "r", "--epochs", "0"], "--epochs"),
        (["train", "a", "--labels", "b", "--run", "r", "--seconds", "-1"], "--seconds"),
        (["train", "a", "--labels", "b", "--run", "r", "--validation", "1"], "--validation"),
        (["train", "a", "--labels", "b", "--run", "r", "--seed", "-1"], "--seed"),
        (["train", "a", "--labels", "b", "--run", "r", "--pixel-size", "0"], "--pixel-size"),
        (["train", "a", "--labels", "b", "--run", "r", "--pixel-size", "nan"], "--pixel-size"),
        (["train", "a", "--labels", "b", "--run", "r", "--spikes", "x"], "none, paper, robust"),
        (
            ["train", "a", "--labels", "b", "--run", "r", "--spike-threshold", "9"],
            "no spikes are removed without --spikes paper or robust",
        ),
        (
            ["train", "a", "--labels", "b", "--run", "r", "--receptive-field", "9", "--pools", "2"],
            "give a wish (--receptive-field, --parameters) or --pools, not both",
        ),
    ],
)
def test_wrong_use_leaves_with_2(cli, arguments, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    answer = cli(*arguments)
    assert answer.code == 2, answer
    assert says in answer.err
    assert answer.out == ""
    assert not list(tmp_path.iterdir())


def test_a_run_of_a_newer_version_is_not_resumed(cli, data, tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "run.json").write_text(json.dumps({"format": 99}))
    error = cli("train", "--run", tmp_path / "run", "--resume").error
    assert "has format 99 but this version reads up to 1: update napari-tem-rf" in error
