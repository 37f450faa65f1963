"""``share`` and ``adopt``: a run for a colleague, and somebody's weights as a run."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import tifffile
from safetensors.numpy import load_file

from napari_tem_rf import run_archive
from napari_tem_rf.runs import read_run


@pytest.fixture
def fresh_home(tmp_path, monkeypatch):
    monkeypatch.setenv(run_archive.CACHE_VARIABLE, str(tmp_path / "home" / "cache"))
    run_archive._unpacked.cache_clear()


@pytest.fixture
def shared(cli, run, tmp_path) -> Path:
    answer = cli("share", run, "--as", "run", "--out", tmp_path / "gold.zip", "--json")
    assert answer.json["as"] == "run"
    assert answer.json["bytes"] == (tmp_path / "gold.zip").stat().st_size
    return tmp_path / "gold.zip"


@pytest.mark.usefixtures("fresh_home", "few_steps")
def test_a_zip_stands_for_the_folder_in_every_command(cli, run, shared, data, tmp_path):
    image = data.images / "gold_3.tif"
    for which, out in ((run, "here"), (shared, "there")):
        assert cli("predict", which, image, "--out", tmp_path / out).code == 0
    here, there = (tifffile.imread(tmp_path / out / "gold_3.tif") for out in ("here", "there"))
    assert here.any()
    assert np.array_equal(here, there)
    fields = [
        cli("effective-field", which, image, "--at", "30,40", "--json").json
        for which in (run, shared)
    ]
    assert fields[0] == fields[1]
    answer = cli(
        *("train", image, "--labels", data.masks, "--run", tmp_path / "again", "--epochs", 1),
        *("--start", shared, "--freeze", "encoder", "--pools", "2", "--filters", "4"),
        *("--device", "cpu", "--unlabelled", "background", "--validation", "0"),
    )
    assert answer.code == 0
    before, after = read_run(run).read_weights(), read_run(tmp_path / "again").read_weights()
    name = "encoder.0.conv1.weight"
    assert np.array_equal(before[name], after[name])
    assert not np.array_equal(before["head.weight"], after["head.weight"])


@pytest.mark.usefixtures("fresh_home")
def test_a_zip_that_was_tampered_with_is_one_sentence(cli, shared, data, tmp_path):
    with zipfile.ZipFile(shared, "a") as archive:
        archive.writestr("../evil.py", "print('evil')")
    image = data.images / "gold_3.tif"
    for command in (
        ("predict", shared, image, "--out", tmp_path / "out"),
        ("effective-field", shared, image, "--at", "30,40"),
        ("share", shared, "--as", "run", "--out", tmp_path / "again.zip"),
    ):
        assert "would be written outside of the run's folder" in cli(*command).error
    # nothing is resumed into a zip, and nothing overwritten
    assert cli("train", "--resume", "--run", shared).code == 1
    assert not list(tmp_path.rglob("evil.py"))


def test_wrong_use(cli, run, shared, tmp_path):
    assert cli("share", run, "--as", "exe", "--out", tmp_path / "out").code == 2
    assert cli("share", run, "--out", tmp_path / "out").code == 2
    assert "exists: give another name" in cli("share", run, "--as", "run", "--out", shared).error
    assert "is not a run" in cli("share", tmp_path, "--as", "run", "--out", tmp_path / "x").error


def test_images_go_along_when_they_are_asked_for(cli, run, tmp_path):
    answer = cli("share", run, "--as", "run", "--out", tmp_path / "all.zip", "--with-images")
    assert answer.code == 0
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        names = archive.namelist()
    assert [f"images/gold_{number}.tif" in names for number in range(4)] == [True] * 3 + [False]
    assert len([name for name in names if name.startswith("annotation")]) == 3


def test_weights_are_adopted_once_all_is_told(cli, run, data, tmp_path):
    weights, out = run / "weights.safetensors", tmp_path / "adopted"
    answer = cli("adopt", weights, "--out", out)
    assert answer.error.endswith("answer the questions above by options")
    assert [line[:7] for line in answer.err.splitlines()[:3]] == ["Of what", "At what", "How wer"]
    told = ("--pools", 2, "--pixel-size", 0.05, "--normalisation", "standardised", "--json")
    answer = cli("adopt", weights, "--out", out, *told, "--classes", "background,gold")
    assert answer.json["pools"] == [2]
    assert answer.json["scores"] == {}
    assert answer.json["adopted"]["file"] == str(weights)
    ours, theirs = load_file(weights), read_run(out).read_weights()
    assert all(np.array_equal(ours[n], v) for n, v in theirs.items() if "tracked" not in n)
    image = data.images / "gold_3.tif"
    cli("predict", run, image, "--no-finish", "--out", tmp_path / "here")
    cli("predict", out, image, "--out", tmp_path / "there")
    masks = [tifffile.imread(tmp_path / place / "gold_3.tif") for place in ("here", "there")]
    assert np.array_equal(*masks)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--pixel-size", "large"), ("--pixel-size", "0"), ("--normalisation", "usual"),
        ("--normalisation", "0.5,0"), ("--pools", "two"),
    ],
)  # fmt: skip
def test_options_that_say_nothing(cli, run, tmp_path, option, value):
    answer = cli("adopt", run / "weights.safetensors", "--out", tmp_path / "out", option, value)
    assert answer.code == 2
    assert not (tmp_path / "out").exists()
