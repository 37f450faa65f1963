"""The ``compare`` command: folder, JSON and exit codes."""

import json

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch

from napari_tem_rf.cli import main


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def files(tmp_path):
    """Four images of discs and their masks, in two folders."""
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    for number in range(4):
        rng = np.random.default_rng(number)
        rows, columns = np.indices((43, 53))
        mask = ((rows - 20) ** 2 + (columns - 8 - 9 * number) ** 2 < 64).astype(np.uint8)
        pixels = (200 + 60 * mask + rng.normal(0, 10, mask.shape)).astype(np.uint16)
        tifffile.imwrite(tmp_path / "images" / f"disc_{number}.tif", pixels)
        tifffile.imwrite(tmp_path / "masks" / f"disc_{number}.tif", mask)
    return tmp_path


def compare(files, *more):
    arguments = ["compare", str(files / "images"), "--labels", str(files / "masks")]
    arguments += ["--receptive-fields", "5,18", "--parameters", "500", "--seeds", "1"]
    arguments += ["--epochs", "1", "--unlabelled", "background", "--device", "cpu"]
    arguments += ["--out", str(files / "out"), *more]
    try:
        main(arguments)
    except SystemExit as end:
        return end.code
    return 0


def test_compare_writes_table_report_figures_and_runs(files, capsys):
    assert compare(files, "--json", "--pixel-size", "0.5", "--validation", "0.3") == 0
    document = json.loads(capsys.readouterr().out)
    assert document["complete"] is True
    assert document["suggestion"] in {row["name"] for row in document["networks"]}
    assert document["left_out"].keys() == {"Fourier filter"}
    out = files / "out"
    table = pd.read_csv(out / "table.csv")
    assert table["name"].tolist()[0] == "random forest"
    assert table["seed"].tolist() == [752, 752, 752]
    assert table["receptive_field"].notna().sum() == 2
    np.testing.assert_allclose(table["dice"], [row["dice"] for row in document["table"]])
    assert all(len(row["images"]) == 1 for row in document["table"])
    assert (out / "report.html").stat().st_size > 50_000
    assert {path.suffix for path in out.glob("score_against_field.*")} == {".png", ".svg"}
    assert len(list((out / "runs").glob("*/weights.safetensors"))) == 2

    # the same again has nothing to do; one seed more trains that only
    before = {path: path.stat().st_mtime_ns for path in out.glob("runs/*/weights.safetensors")}
    again = compare(files, "--pixel-size", "0.5", "--validation", "0.3", "--seeds", "2")
    assert again == 0
    said = capsys.readouterr()
    assert "Suggestion: " in said.out
    assert "4 of 6" not in said.err.split("held out")[0]
    assert all(path.stat().st_mtime_ns == written for path, written in before.items())
    assert len(list((out / "runs").glob("*/weights.safetensors"))) == 4


@pytest.mark.parametrize(
    ("more", "code", "words"),
    [
        (("--receptive-fields", "5,x"), 2, "list of numbers"),
        (("--unlabelled", "maybe"), 2, "ignore or background"),
        (("--group-by", "nothing"), 1, "finds nothing"),
        (("--receptive-fields", "0"), 1, "positive number"),
        (("--workers", "100000"), 1, "--workers is 100000: give this machine at most"),
    ],
)
def test_compare_says_what_is_wrong(files, capsys, more, code, words):
    assert compare(files, *more) == code
    # messages of wrong use are set in a box: undo its line breaks
    said = " ".join(capsys.readouterr().err.replace("│", " ").split())
    assert words in said
    assert not (files / "out").exists()


def test_compare_refuses_a_folder_that_is_something_else(files, capsys):
    (files / "out").mkdir()
    (files / "out" / "mine.txt").write_text("mine")
    assert compare(files) == 1
    assert "is not a comparison" in capsys.readouterr().err
    assert [path.name for path in (files / "out").iterdir()] == ["mine.txt"]
