"""The first strokes are answered before PyTorch is loaded."""

import subprocess
import sys
from functools import cache

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from napari_tem_rf import jobs
from napari_tem_rf.engine import Engine, connection
from napari_tem_rf.engine.forkserver import STAGES, _next_stage
from napari_tem_rf.engine.places import EARLY, WorkerSlots, kinds_of, place
from napari_tem_rf.jobs import live
from napari_tem_rf.learning.fast import compiled
from napari_tem_rf.learning.forest import Forest
from napari_tem_rf.learning.live import live_features
from napari_tem_rf.measuring.scores import dice
from napari_tem_rf.micrographs.cleaning import Cleaning

SHAPE = (131, 167)

SCRIPT = """
import sys
from napari_tem_rf.learning import ready
ready.load("early")
from tests.test_early import answer, disc, request
found = answer(request(early=True))
assert found[60, 80] == 1 and found[5, 5] == 0
print("torch" in sys.modules)
"""


def disc() -> np.ndarray:
    rows, columns = np.ogrid[: SHAPE[0], : SHAPE[1]]
    return (rows - 60) ** 2 + (columns - 80) ** 2 < 30**2


def request(early: bool) -> jobs.LiveRequest:
    """A stroke across a disc, one beside it, and the whole image to predict."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[58:63, 60:100] = 2
    labels[10:15, 20:120] = 1
    rows, columns = np.nonzero(labels)
    painted = (rows.astype(np.int32), columns.astype(np.int32))
    classes = (labels[rows, columns] - 1).astype(np.uint8)
    window = (slice(0, SHAPE[0]), slice(0, SHAPE[1]))
    return jobs.LiveRequest(
        (jobs.LiveStrokes("discs", *painted, classes),), "discs", window, early=early
    )


def answer(asked: jobs.LiveRequest) -> np.ndarray:
    noise = np.random.default_rng(5).normal(size=SHAPE)
    deaf = {"report": lambda _: None, "stopped": lambda: False}
    jobs.keep_live_image("discs", (noise - 2 * disc()).astype(np.float32), Cleaning(), **deaf)
    while (found := jobs.predict_live(asked, **deaf)).left:
        pass
    assert found.classes is not None
    return found.classes


def test_the_early_answer_is_the_forests_and_the_later_one_its_own() -> None:
    live._features.clear()
    early = answer(request(early=True))
    assert dice(early == 1, disc()) > 0.85  # noise of half the contrast
    later = answer(request(early=False))
    assert not np.array_equal(early, later)
    np.testing.assert_array_equal(answer(request(early=True)), early)
    np.testing.assert_array_equal(answer(request(early=False)), later)


def test_a_tile_of_the_early_answer_is_that_of_the_whole_image(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(live, "TILE_PX", 64)
    live._features.clear()
    answer(request(early=True))
    whole = live_features(live._level("discs", 1), ())
    tile = live._features.get(("discs", 1, 64, 64, "early"))
    assert tile is not None
    np.testing.assert_allclose(tile, whole[64:128, 64:128], atol=2e-3)  # halves of precision
    live._features.clear()


def test_the_early_answer_needs_no_pytorch() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=False, timeout=100
    )
    assert (done.stdout.strip(), done.returncode) == ("False", 0), done.stderr


def test_no_answer_waits_until_the_kernels_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Trying them takes a minute; scikit-learn, whose forest it is then, takes no trial."""
    monkeypatch.setattr(compiled, "_worked_before", lambda: False)
    monkeypatch.setattr(compiled, "_find", cache(lambda: pytest.fail("they are tried")))
    assert not compiled.forest_kernels(waits=False)
    rng = np.random.default_rng(3)
    features = rng.normal(size=(97, 5)).astype(np.float32)
    known = (features[:, 2] > 0).astype(np.intp)
    grown = Forest.grow(features, known, 7, seed=11, waits=False)
    theirs = RandomForestClassifier(7, min_samples_leaf=3, random_state=11).fit(features, known)
    np.testing.assert_allclose(
        grown.probabilities(features, waits=False), theirs.predict_proba(features)
    )


def test_kernels_that_were_tried_are_taken_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_worked_before", lambda: True)
    monkeypatch.setattr(compiled, "_find", cache(lambda: pytest.fail("they are tried")))
    assert compiled.forest_kernels(waits=False)


def test_what_the_early_worker_needs_is_loaded_first_where_there_is_one() -> None:
    everything = [role for role, _ in STAGES]
    loaded: set[str] = set()
    order = []
    while stage := _next_stage(loaded, {EARLY}):
        order.append(stage)
        loaded.add(stage)
    assert order == everything == ["scheduler", EARLY, "quick", "training"]
    assert _next_stage({"scheduler"}, {"quick", "training-0"}) == "quick"
    assert _next_stage({"scheduler", "quick", "training"}, set()) == ""
    assert _next_stage({"scheduler", "quick"}, {EARLY}) == EARLY


def test_light_jobs_go_to_the_early_worker_while_the_quick_one_has_work() -> None:
    early, quick = (WorkerSlots(name, name, kinds_of(name, False)) for name in (EARLY, "quick"))
    assert place([quick, early], "quick", 0.0) is quick
    quick.jobs["quick"] = object()  # type: ignore[assignment]
    assert place([quick, early], "light", 0.0) is early
    assert place([quick, early], "quick", 0.0) is None
    assert place([quick], "light", 0.0) is quick
    assert kinds_of("training-0", shared=True) == ("training", "quick", "light")


def has_torch(*, report: object, stopped: object) -> bool:
    return "torch" in sys.modules


@pytest.mark.timeout(120)
@pytest.mark.skipif(sys.platform != "linux", reason="workers are copies on Linux only")
def test_the_early_worker_is_up_before_pytorch_and_goes_when_the_others_are(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # a process of its own, that has yet to load
    monkeypatch.setenv("TORCH_TEST_WORD", "early")
    monkeypatch.setattr(connection, "EARLY_STAYS_SECONDS", 0.0)
    engine = Engine()
    engine.early = True
    with engine:
        assert not engine.submit(has_torch, kind="light").result(60)
        assert engine.submit(has_torch, kind="quick").result(60)
        engine.submit(has_torch).result(60)  # the training worker is up too
        while len(engine._connection.workers) > 2 or engine.state != "ready":
            engine.submit(has_torch, kind="quick").result(60)
        names = sorted(worker.name for worker in engine._connection.workers.values())
        assert names == ["quick", "training-0"]
        assert engine.submit(has_torch, kind="light").result(60)
