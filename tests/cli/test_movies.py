"""`drift` and `track` from outside."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage

from napari_tem_rf.cli import main
from napari_tem_rf.cli.movies import missing_numbers


def moving(frames: int = 6, side: int = 96) -> Any:
    rng = np.random.default_rng(4)
    film = rng.normal(0, 0.2, (side, side + 2 * frames))
    rows, columns = np.indices(film.shape)
    masks = np.zeros((frames, side, side), np.uint8)
    images = np.zeros((frames, side, side), np.float32)
    for frame in range(frames):
        whole = np.zeros(film.shape, bool)
        for place in range(12, side - 8, 22):
            whole |= (rows - place) ** 2 + (columns - place - 2 * frames) ** 2 < 36
        cut = slice(2 * frame, 2 * frame + side)
        masks[frame] = whole[:, cut]
        images[frame] = film[:, cut] - whole[:, cut]
    return images, masks


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    images, masks = moving()
    size = {"imagej": True, "resolution": (2.0, 2.0), "metadata": {"unit": "nm", "axes": "TYX"}}
    tifffile.imwrite(tmp_path / "images.tif", images, **size)
    tifffile.imwrite(tmp_path / "masks.tif", masks, **size)
    (tmp_path / "frames").mkdir()
    for index, mask in enumerate(masks):
        tifffile.imwrite(tmp_path / "frames" / f"frame_{index + 7}.tif", mask)
    return tmp_path


def run(*arguments: Any) -> int:
    try:
        main([str(argument) for argument in arguments])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def test_few_numbered_particles_are_no_classes(folder: Path, capsys: Any) -> None:
    masks = tifffile.imread(folder / "masks.tif")
    for index, mask in enumerate(masks):
        numbers, count = ndimage.label(mask)
        assert count == 4
        numbers[numbers == 2] = 1  # two that touch no more belong together all the same
        tifffile.imwrite(folder / "frames" / f"frame_{index + 7}.tif", numbers.astype(np.uint16))
        record = folder / "frames" / f"frame_{index + 7}.tif.json"
        record.write_text(json.dumps({"instances": "border"}))
    out = folder / "t.csv"
    assert run("track", folder / "frames", "--out", out) == 0
    assert "numbered particles, as the record beside them says" in capsys.readouterr().err
    table = pd.read_csv(out)
    assert table["track"].nunique() == 3
    assert "class" not in table
    other = folder / "c.csv"
    assert run("track", folder / "frames", "--out", other, "--labels-are", "classes") == 0
    assert pd.read_csv(other)["track"].nunique() == 4


def test_a_figure_of_another_kind_is_refused_before_the_work(folder: Path, capsys: Any) -> None:
    out = folder / "t.csv"
    assert run("track", folder / "masks.tif", "--out", out, "--figure", folder / "t.jpg") == 1
    assert "t.jpg" in capsys.readouterr().err
    assert not out.exists()


def test_a_series_is_followed(folder: Path, capsys: Any) -> None:
    out = folder / "t.csv"
    assert run("track", folder / "masks.tif", "--out", out, "--time-step", 0.5, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["number"], said["frames"], said["mergers"]) == (4, 6, 0)
    table = pd.read_csv(out)
    assert {"track", "frame", "label", "row_px", "column_px", "area_nm2"} <= set(table)
    assert table.groupby("track")["frame"].apply(list).tolist() == [list(range(6))] * 4
    tracks = pd.read_csv(folder / "t_tracks.csv")
    assert tracks["first_frame"].tolist() == [0] * 4
    assert tracks["last_frame"].tolist() == [5] * 4
    assert tracks["parents"].isna().all()
    # they stand still on a stage that drifts by 2 px a frame
    assert tracks["displacement_nm"].max() < 0.2
    frames = pd.read_csv(folder / "t_frames.csv")
    assert frames["drift_column_nm"].to_numpy() == pytest.approx(-np.arange(6), abs=0.1)
    record = json.loads((folder / "t.csv.json").read_text())
    assert record["time_step_s"] == 0.5
    assert record["masks"][0]["sha256"]


def test_frames_in_files_come_in_the_order_of_their_numbers(folder: Path) -> None:
    out = folder / "t.csv"
    assert run("track", folder / "frames", "--out", out, "--figure", folder / "t.png") == 0
    table = pd.read_csv(out)
    # frame_7 ... frame_12: by letters frame_10 would come first
    first = table[table["track"] == 1]
    assert np.diff(first["column_px"]) == pytest.approx([-2.0] * 5)
    assert (folder / "t.png").stat().st_size > 10_000


def test_the_drift_and_a_series_that_stands_still(folder: Path, capsys: Any) -> None:
    out, still = folder / "path.csv", folder / "still.tif"
    assert run("drift", folder / "images.tif", "--out", out, "--aligned", still) == 0
    assert "6 frames drift by up to 5 nm" in capsys.readouterr().out
    path = pd.read_csv(out)
    assert path["column_px"].to_numpy() == pytest.approx(-2.0 * np.arange(6), abs=0.15)
    assert path["column_nm"].to_numpy() == pytest.approx(-1.0 * np.arange(6), abs=0.1)
    stack = tifffile.imread(still)
    assert stack.shape == (6, 96, 86)
    # the frames of the middle, moved back, are each other's twins
    assert np.corrcoef(stack[0].ravel(), stack[5].ravel())[0, 1] > 0.95
    assert run("track", folder / "masks.tif", "--drift", out, "--out", folder / "u.csv") == 0


def refused(capsys: Any, *arguments: Any) -> str:
    assert run(*arguments) == 1
    return " ".join(str(capsys.readouterr().err).split())


def test_what_cannot_be_followed_is_said(folder: Path, capsys: Any) -> None:
    out = folder / "t.csv"
    one = folder / "frames" / "frame_7.tif"
    assert "needs a series" in refused(capsys, "drift", one, "--out", folder / "d.csv")
    assert run("track", one, "--out", out) == 0  # one frame: each particle is its own track
    assert "exists" in refused(capsys, "track", folder / "masks.tif", "--out", out)
    assert "tables are written as .csv" in refused(
        capsys, "track", folder / "masks.tif", "--out", folder / "t.xlsx"
    )
    (folder / "short.csv").write_text("row_px,column_px\n0,0\n1,1\n")
    said = refused(
        capsys,
        "track",
        folder / "masks.tif",
        "--drift",
        folder / "short.csv",
        "--out",
        folder / "v.csv",
    )
    assert "path of 2 frames and the masks have 6" in said
    (folder / "other.csv").write_text("a,b\n1,2\n")
    assert "not a path of the stage" in refused(
        capsys,
        "track",
        folder / "masks.tif",
        "--drift",
        folder / "other.csv",
        "--out",
        folder / "v.csv",
    )


def test_a_frame_of_another_size_is_left_out(folder: Path, capsys: Any) -> None:
    tifffile.imwrite(folder / "frames" / "frame_9.tif", np.ones((50, 60), np.uint8))
    out = folder / "t.csv"
    assert run("track", folder / "frames", "--out", out) == 0
    assert "it is 50 x 60 px and the others are 96 x 96" in capsys.readouterr().out
    assert sorted(set(pd.read_csv(out)["frame"])) == [0, 1, 3, 4, 5]


@pytest.mark.parametrize(
    ("numbers", "missing"),
    [
        ((1, 2, 3, 5, 8, 9), [4, 6, 7]),
        ((10, 20, 30, 50), [40]),
        ((7, 8, 9), []),
        ((3, 900, 5000), []),  # no count of frames
    ],
)
def test_numbers_that_names_leave_out(numbers: tuple[int, ...], missing: list[int]) -> None:
    assert missing_numbers([f"run2_{number:04}.tif" for number in numbers]) == missing
    assert not missing_numbers(["a.tif", "b.tif", "c_12.tif"])


def test_a_file_that_is_missing_is_said(folder: Path, capsys: Any) -> None:
    (folder / "frames" / "frame_9.tif").unlink()
    assert run("track", folder / "frames", "--out", folder / "out.csv") == 0
    assert "the numbers of the files leave out 9: frames are counted as" in capsys.readouterr().err
