"""Somebody's weights are opened in the window, which asks what their file does not say."""

import zipfile
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from napari_tem_rf import jobs, run_archive
from napari_tem_rf.gui.segment.adopting import AdoptWidget, Answers, adopt_request
from napari_tem_rf.gui.segment.image import LoadWidget
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.gui.session.status import Status
from napari_tem_rf.learning.network import random_network
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.runs import read_run

SPEC = NetworkSpec((4, 2), filters=3)
FOUND = jobs.WeightsFound("", (3, 6, 12), 2, 1e-5)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """Weights as ``torch.save`` writes them."""
    path = tmp_path / "gold of Ada.pt"
    torch.save(random_network(SPEC, 752).state_dict(), path)
    return path


def said_in(session: Session) -> list[str]:
    words: list[str] = []
    session.part(Status).said.connect(lambda text, _tone: words.append(text))
    return words


def test_weights_become_the_run_that_predicts(
    viewer: Any, session: Session, worker: None, weights: Path, qtbot: Any
) -> None:
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    adopting, words = widget.adopting, said_in(session)
    widget.open_run(weights)
    qtbot.waitUntil(lambda: not adopting._asked.isHidden(), timeout=20_000)
    assert "2 pools, 3, 6, 12 channels, 2 outputs" in adopting.words.text()
    assert not adopting.adopt_button.isEnabled()
    assert "the sizes of its 2 pools" in adopting.reason.text()
    fields = adopting.form._fields
    qtbot.keyClicks(adopting.form.box("pools"), "4, 2")
    assert "how the images were normalised" in adopting.reason.text()
    fields["normalisation"].widget.value = "standardised"
    fields["pixel_size_nm"].widget.value = 0.02
    assert adopting.adopt_button.isEnabled()
    assert adopting.reason.text() == ""
    adopting.adopt_button.click()
    qtbot.waitUntil(lambda: session.run is not None, timeout=20_000)
    assert session.run is not None
    assert session.run.folder == session.runs_folder / "adopted" / "gold_of_Ada"
    record = read_run(session.run.folder).record
    assert record.network == SPEC
    assert record.pixel_size_nm == (0.02, 0.02)
    assert record.adopted is not None
    assert adopting.isHidden()
    assert words[-1].startswith("gold of Ada.pt is adopted")


def test_weights_are_dropped_on_the_dock_and_left_again(
    viewer: Any, session: Session, worker: None, weights: Path, qtbot: Any
) -> None:
    widget, load = ExportWidget(viewer), LoadWidget(viewer)
    qtbot.addWidget(widget)
    qtbot.addWidget(load)
    load.open_files([weights])
    qtbot.waitUntil(lambda: not widget.adopting._asked.isHidden(), timeout=20_000)
    widget.adopting.leave_button.click()
    assert widget.adopting.isHidden()
    assert session.run is None
    assert not (session.runs_folder / "adopted").exists()


@pytest.mark.parametrize(
    ("held", "told"),
    [
        (nn.Conv2d(1, 2, 3), "an object of torch.nn.modules.conv.Conv2d"),
        (nn.Sequential(nn.Conv2d(1, 2, 3), nn.Conv2d(2, 2, 3)).state_dict(), "no network"),
        (None, "is no file of tensors"),
    ],
    ids=["a pickled module", "another network", "a letter"],
)
def test_what_is_no_network_is_refused_with_a_sentence(
    viewer: Any, session: Session, worker: None, tmp_path: Path, qtbot: Any, held: Any, told: str
) -> None:
    path = tmp_path / "other.pt"
    if held is None:
        path.write_text("Dear Ada")
    else:
        torch.save(held, path)
    adopting = AdoptWidget(viewer)
    qtbot.addWidget(adopting)
    words = said_in(session)
    adopting.look_into(path)
    qtbot.waitUntil(lambda: "Looking" not in adopting.words.text(), timeout=20_000)
    assert adopting._asked.isHidden()
    assert "--" not in adopting.words.text()
    assert told in adopting.words.text()
    assert words[-1] == "other.pt is not adopted: 5 Result says why."


def test_a_shared_zip_is_opened_by_the_button_too(
    viewer: Any,
    session: Session,
    worker: None,
    weights: Path,
    tmp_path: Path,
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(run_archive.CACHE_VARIABLE, str(tmp_path / "cache"))
    run, shared = tmp_path / "run", tmp_path / "gold.zip"
    request = adopt_request(weights, run, FOUND, Answers("4,2", None, "standardised"))
    quiet = {"report": lambda _: None, "stopped": lambda: False}
    jobs.adopt_weights(request, **quiet)
    jobs.share_run(jobs.ShareRequest(run=run, shared_as="run", out=shared), **quiet)
    widget = ExportWidget(viewer)
    qtbot.addWidget(widget)
    widget.open_run(shared)
    qtbot.waitUntil(lambda: session.run is not None, timeout=20_000)
    assert session.run is not None
    assert session.run.spec == SPEC
    bad = tmp_path / "bad.zip"
    with zipfile.ZipFile(bad, "w") as archive:
        archive.writestr("../run.json", "{}")
    words = said_in(session)
    widget.open_run(bad)
    qtbot.waitUntil(lambda: any("is not opened" in each for each in words), timeout=20_000)


@pytest.mark.parametrize(
    ("answers", "told"),
    [
        (Answers("4"), "type the sizes of its 2 pools"),
        (Answers("4, two"), "type whole numbers"),
        (Answers("4, 1"), "each 2 or more"),
        (Answers("4, 2"), "choose how the images were normalised"),
        (Answers("4, 2", normalisation="standardised", dilations="1, 2"), "type 3 dilations"),
        (Answers("4, 2", normalisation="standardised", class_names="gold"), "1 classes are named"),
        (Answers("4, 2", normalisation="standardised", class_names="gold, gold"), "the same name"),
    ],
)
def test_an_answer_that_is_missing_is_named(tmp_path: Path, answers: Answers, told: str) -> None:
    with pytest.raises(ValueError, match=told):
        adopt_request(tmp_path / "a.pt", tmp_path / "run", FOUND, answers)


def test_answers_reach_the_request(tmp_path: Path) -> None:
    request = adopt_request(
        tmp_path / "a.pt",
        tmp_path / "run",
        FOUND,
        Answers(
            "4 2", 0.05, "other", 0.4, 0.1, "1,1,2", "particle, background", "below first", 1e-3,
            " MIT ", "Ada",
        ),
    )  # fmt: skip
    assert request.pools == (4, 2)
    assert request.dilations == (1, 1, 2)
    assert request.pixel_size_nm == (0.05, 0.05)
    assert request.sees == (0.4, 0.1)
    assert request.class_names == ("particle", "background")
    assert not request.skip_first
    assert (request.norm_epsilon, request.licence, request.source) == (1e-3, "MIT", "Ada")
    unknown = adopt_request(
        tmp_path / "a.pt", tmp_path, FOUND, Answers("4,2", normalisation="standardised")
    )
    assert unknown.pixel_size_nm == "unknown"
    assert unknown.sees == (0.0, 1.0)
