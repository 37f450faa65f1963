"""Before a training the command line says what the study measured on images like these."""

import numpy as np
import pytest

from napari_tem_rf.cli.advising import advice_on
from napari_tem_rf.cli.inputs import LabelledFiles, meaning_in
from napari_tem_rf.measuring import contrast
from napari_tem_rf.measuring.study_findings import Study, StudyFinding
from napari_tem_rf.micrographs.annotation import LabelledImage

SHAPE = (101, 83)
FOREST = StudyFinding(
    level="amplitude", taught="masks", what="forest", one="a random forest", other="a network",
    mean=0.0, low=-0.01, high=0.01, verdict="as good", exposures=16, trainings=2,
    sets=("nanoparticles-bf",),
)  # fmt: skip


@pytest.fixture
def study(monkeypatch):
    """A study that saw a forest do as well as networks where grey level shows the particles."""
    monkeypatch.setattr(contrast, "read_study", lambda: Study("a test", (FOREST,)))


def files_with(labels: np.ndarray) -> LabelledFiles:
    pixels = np.random.default_rng(7).normal(size=SHAPE) + 3 * (labels > 0)
    return LabelledFiles((LabelledImage("gold", pixels, labels),), {}, {}, ())


def squares(first: int, second: int) -> np.ndarray:
    labels = np.zeros(SHAPE, np.uint8)
    labels[10:30, 10:30], labels[50:80, 40:70] = first, second
    return labels


def test_a_baseline_that_did_as_well_is_named_with_its_option(study):
    files = files_with(squares(1, 1))
    sentence, how = advice_on(files, meaning_in(files, "background", "auto"))
    assert sentence.startswith("Particles differ from background by 3.0 sigma")
    assert "A random forest did as well as networks" in sentence
    assert how == "to fit it instead of a network: --method forest"


def test_numbers_of_particles_are_one_class(study):
    numbered, mask = files_with(squares(7, 12)), files_with(squares(1, 1))
    told = [
        list(advice_on(files, meaning_in(files, "background", what)))
        for files, what in ((numbered, "particles"), (mask, "classes"))
    ]
    assert told[0] == told[1]


def test_nothing_is_said_of_one_class(study):
    files = files_with(squares(1, 1))
    blank = LabelledFiles(
        (LabelledImage("gold", files.images[0].pixels, np.zeros(SHAPE, np.uint8)),), {}, {}, ()
    )
    assert list(advice_on(blank, meaning_in(files, "background", "classes"))) == []
