"""What others wrote, and what options ask for: names as text, numbers in bounds, one sentence."""

import os
import signal
import subprocess
import sys
from html.parser import HTMLParser
from io import StringIO

import numpy as np
import pandas as pd
import pytest
import tifffile

from napari_tem_rf.cli.output import plain, print_table, say
from napari_tem_rf.comparison import seeds
from napari_tem_rf.comparison.record import Comparison
from napari_tem_rf.comparison.report import _page
from napari_tem_rf.protocol import PAPER_SEEDS
from napari_tem_rf.spreadsheets import csv_of

from ..test_records import COMPARISON, RESULT
from .conftest import QUICK

NAMES = [
    "\x1b[2J\x1b]0;owned\x07",
    "gold\rerror: no",
    "two\nlines",
    "\x9b31m",
    "\u202egpj.exe",
    "\udcff",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    '"><b>',
    "=HYPERLINK(A1)",
    "+1+cmd|' /C calc'!A0",
    "-2+3",
    "@SUM(1)",
    "\t=1",
    "$\\frac$",
    "&amp;",
]


@pytest.mark.parametrize("name", NAMES)
def test_a_terminal_gets_no_escape_codes(name, capsys):
    say(f'"{name}" cannot be read')
    print_table(("image", "Dice"), [(name, 0.5)])
    out, err = capsys.readouterr()
    for text in (*out.split("\n"), *err.split("\n")):
        assert text.isprintable()
    assert (len(err.splitlines()), len(out.splitlines())) == (1, 2)


def test_ordinary_names_stay_as_they_are():
    for name in ("gold_03", "Probe 7 Å, 200 kV", "試料", "-5 °C"):
        assert plain(name) == name
    assert plain("a\x1b[2Jb") == "a\\x1b[2Jb"


@pytest.mark.parametrize("name", NAMES)
def test_a_spreadsheet_gets_no_formulas(name):
    table = pd.DataFrame({"image": [name, "gold"], "shift_nm": [-1.5, 2.0], "note": [None, name]})
    table = table.replace("\udcff", "?")  # no half of a character comes so far
    name = " ".join(name.replace("\udcff", "?").splitlines())
    text = csv_of(table)
    back = pd.read_csv(StringIO(text, newline=""), keep_default_na=False)
    for column in ("image", "note"):
        for cell in back[column]:
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r"))
    assert back["shift_nm"].tolist() == [-1.5, 2.0]
    assert back["image"][0].removeprefix("'") == name
    assert table["note"].isna().any()  # the table itself is as it was


class Tags(HTMLParser):
    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


@pytest.mark.parametrize("name", NAMES)
def test_a_report_takes_names_as_text(name, tmp_path):
    from dataclasses import replace

    def tags(name):
        contestant = replace(RESULT.contestant, name=name)
        images = tuple(replace(each, image=name) for each in RESULT.images)
        record = replace(COMPARISON, split={**COMPARISON.split, "sentence": name, "note": name})
        result = replace(RESULT, contestant=contestant, images=images)
        for file in ("table.csv", "images.csv"):
            (tmp_path / file).write_text("")
        page = _page(Comparison(tmp_path, record, (result,)), {}, {})
        parser = Tags()
        parser.feed(page)
        return parser.found

    assert tags(name) == tags("gold")


def test_measure_writes_names_that_are_no_formulas(tmp_path, cli):
    mask = np.zeros((31, 37), np.uint8)
    mask[5:15, 5:15] = 1
    tifffile.imwrite(tmp_path / "=1+1.tif", mask)
    assert cli("measure", tmp_path / "=1+1.tif", "--out", tmp_path / "out.csv").code == 0
    assert pd.read_csv(tmp_path / "out.csv")["image"].tolist() == ["'=1+1"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--pools", "1000000"), "every pool must be from 2 to 64"),
        (("--filters", "1000000"), "make more than 100,000,000 parameters"),
        (("--filters", "9" * 400), "make more than 100,000,000 parameters"),
        (("--seed", "1" + 22 * "0"), "less than or equal to 4294967295"),
        (("--seed", "1e22"), "a valid integer"),
    ],
)
def test_what_no_training_can_have_is_refused_and_leaves_no_folder(
    tmp_path, data, cli, options, said
):
    folder = tmp_path / "run"
    answer = cli(
        *("train", data.images / "gold_0.tif", "--labels", data.masks, "--run", folder),
        *("--epochs", 1, *options),
    )
    assert answer.code == 2
    assert said in " ".join(answer.err.split())
    assert "Traceback" not in answer.err
    assert not folder.exists()


def test_the_largest_seed_trains(tmp_path, data, cli, few_steps):
    answer = cli(
        *("train", data.images / "gold_0.tif", "--labels", data.masks, "--run", tmp_path / "run"),
        *("--epochs", 1, "--seed", 2**32 - 1, *QUICK),
    )
    assert answer.code == 0, answer.err


def test_a_training_that_is_refused_leaves_no_folder(tmp_path, data, cli, monkeypatch):
    from napari_tem_rf.learning import training

    def refuse(*_, **__):
        raise ValueError("there is nothing to train")
        yield

    monkeypatch.setattr(training, "train", refuse)
    answer = cli(
        *("train", data.images / "gold_0.tif", "--labels", data.masks, "--run", tmp_path / "run"),
        *("--epochs", 1, *QUICK),
    )
    assert answer.error == "there is nothing to train"
    assert not (tmp_path / "run").exists()


def test_networks_and_phases_are_bounded(cli):
    assert cli("networks", "--limit", 10**9).code == 2
    answer = cli("field", "--pools", "64,64")
    assert len(answer.out.splitlines()) < 1100
    assert answer.err == "3,072 more phases are left out: --json has all\n"


@pytest.mark.parametrize("number", [1, 5, 140, 145, 146, 800])
def test_every_seed_comes_once(number):
    found = seeds(number)
    assert len(set(found)) == len(found) == number
    assert found[:5] == PAPER_SEEDS[:number]


@pytest.mark.timeout(60)
def test_a_pattern_without_end_is_refused(tmp_path, cli, monkeypatch):
    from napari_tem_rf.micrographs import grouping

    monkeypatch.setattr(grouping, "LONGEST_SECONDS", 1.0)
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
        tifffile.imwrite(tmp_path / folder / f"{'a' * 40}!.tif", np.eye(31, dtype=np.uint8))
    answer = cli(
        *("train", tmp_path / "images", "--labels", tmp_path / "masks", "--run", tmp_path / "run"),
        *("--group-by", "(a+)+$"),
    )
    assert "takes more than 1 s for 1 names" in answer.error
    assert not (tmp_path / "run").exists()


PROGRAM = """
from napari_tem_rf.cli import main
from napari_tem_rf.learning import crops

crops.FEWEST_STEPS = crops.MOST_STEPS = 2
main()
"""


@pytest.mark.skipif(os.name != "posix", reason="shells close streams there")
@pytest.mark.parametrize("closed", ["2>&-", ">&-", "2>&- >&- <&-"])
def test_without_stderr_it_trains(tmp_path, data, closed):
    command = [
        *(sys.executable, "-c", PROGRAM, "train", str(data.images / "gold_0.tif"), "--labels"),
        *(str(data.masks), "--run", str(tmp_path / "run"), "--epochs", "1", *QUICK),
    ]
    done = subprocess.run(["sh", "-c", f'"$@" {closed}', "sh", *command], check=False)
    assert done.returncode == 0
    assert (tmp_path / "run" / "weights.safetensors").is_file()
    assert b"held out" not in (tmp_path / "run" / "run.json").read_bytes()[:20]


WRITTEN = """
import sys

class Writer:
    def find_spec(self, name, path=None, target=None):
        if name == "typer":
            sys.stdout.write("as NumPy's f2py takes them")
            sys.stderr.write("while it is imported")

sys.meta_path.insert(0, Writer())
from napari_tem_rf.cli import main
main(["info", sys.argv[1]])
"""


@pytest.mark.skipif(os.name != "posix", reason="shells close streams there")
def test_libraries_may_write_to_closed_streams_while_they_are_imported(data):
    command = [sys.executable, "-c", WRITTEN, str(data.images / "gold_0.tif")]
    done = subprocess.run(["sh", "-c", '"$@" 2>&- >&- <&-', "sh", *command], check=False)
    assert done.returncode == 0


INTERRUPTED = """
import os, signal, sys

class Interrupt:
    def find_spec(self, name, path=None, target=None):
        if name == sys.argv[1]:
            os.kill(os.getpid(), signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from napari_tem_rf.cli import main
main(["info", "x.tif"])
"""


@pytest.mark.skipif(os.name != "posix", reason="signals are sent so there")
@pytest.mark.parametrize("module", ["napari_tem_rf.cli.app", "typer", "numpy"])
def test_an_interrupt_while_it_is_loaded_is_one_line(module):
    before = signal.getsignal(signal.SIGINT)
    done = subprocess.run(
        [sys.executable, "-c", INTERRUPTED, module], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr == "error: interrupted: nothing was begun\n"
    assert signal.getsignal(signal.SIGINT) is before
