"""Small micrographs whose particles are known, a run on them, and the command line in process."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import tifffile
import torch

from napari_tem_rf.cli import main
from napari_tem_rf.learning import crops

SHAPE = (67, 83)
PIXEL_SIZE_NM = 0.05


@dataclass(frozen=True)
class Answer:
    """What a command left with and wrote."""

    code: int
    out: str
    err: str

    @property
    def json(self):
        """The one document on stdout; anything beside it is an error."""
        return json.loads(self.out)

    @property
    def error(self) -> str:
        """The last line on stderr, which says why it could not be done."""
        assert self.code == 1, (self.code, self.out, self.err)
        line = self.err.splitlines()[-1]
        assert line.startswith("error: ")
        assert "Traceback" not in self.err
        return line.removeprefix("error: ")


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def few_steps(monkeypatch) -> None:
    """Let epochs be of two steps, where nothing is to be learned in them."""
    monkeypatch.setattr(crops, "FEWEST_STEPS", 2)
    monkeypatch.setattr(crops, "MOST_STEPS", 2)


@pytest.fixture
def cli(capsys):
    """Return a function that runs a command in this process."""

    def run(*arguments) -> Answer:
        capsys.readouterr()
        with pytest.raises(SystemExit) as left:
            main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return Answer(left.value.code or 0, captured.out, captured.err)

    return run


def discs(seed):
    """Return (counts, mask) of dark discs, 7 standard deviations from their surroundings."""
    rng = np.random.default_rng(seed)
    rows, columns = np.indices(SHAPE)
    mask = np.zeros(SHAPE, np.uint8)
    for row, column in ((15, 20), (46, 30), (30, 65)):
        row, column = row + rng.integers(-4, 5), column + rng.integers(-4, 5)
        mask[(rows - row) ** 2 + (columns - column) ** 2 < rng.uniform(8, 12) ** 2] = 1
    return rng.poisson(400.0 - 150 * mask).astype(np.uint16), mask


@dataclass(frozen=True)
class DataSet:
    """Folders of images and of their masks, named alike."""

    images: Path
    masks: Path

    def truth(self, name):
        return tifffile.imread(self.masks / f"{name}.tif")


@pytest.fixture(scope="session")
def data(tmp_path_factory) -> DataSet:
    folder = tmp_path_factory.mktemp("data")
    found = DataSet(folder / "images", folder / "masks")
    for each in (found.images, found.masks):
        each.mkdir()
    per_nm = 1 / PIXEL_SIZE_NM
    for number in range(4):
        pixels, mask = discs(number)
        tifffile.imwrite(
            found.images / f"gold_{number}.tif",
            pixels,
            imagej=True,
            resolution=(per_nm, per_nm),
            metadata={"unit": "nm"},
        )
        tifffile.imwrite(found.masks / f"gold_{number}.tif", mask)
    return found


QUICK = ("--pools", "2", "--filters", "4", "--device", "cpu", "--unlabelled", "background")


@pytest.fixture(scope="session")
def run(data, tmp_path_factory) -> Path:
    """Folder of a run on three of the four images, by the command line."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    images = [data.images / f"gold_{number}.tif" for number in range(3)]
    with pytest.raises(SystemExit) as left:
        main(
            [
                *("train", *map(str, images), "--labels", str(data.masks), "--run", str(folder)),
                *("--epochs", "4", "--validation", "0.3", *QUICK),
            ]
        )
    assert not left.value.code
    return folder
