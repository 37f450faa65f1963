"""A checkpoint holds all of a training's state, and nothing that could run."""

import io
import json
import pickle
import zlib
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch

from napari_tem_rf import storage
from napari_tem_rf.learning import beginning
from napari_tem_rf.learning.beginning import SettledRows, with_settled
from napari_tem_rf.learning.checkpoint import read_checkpoint, write_checkpoint
from napari_tem_rf.learning.learner import TrainingState
from napari_tem_rf.learning.network import Network
from napari_tem_rf.learning.training import train
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import EpochReport, TrainingPlan


def state_of(seed=752):
    torch.manual_seed(seed)
    network = Network(NetworkSpec(pools=(2,), filters=2))
    optimizer = torch.optim.Adam(network.parameters(), lr=3e-3)
    network(torch.randn(2, 1, 8, 6)).sum().backward()
    optimizer.step()
    weights = {name: value.clone() for name, value in network.state_dict().items()}
    return TrainingState(
        weights=weights,
        average={name: value + 1 for name, value in weights.items()},
        best={name: value + 2 for name, value in weights.items()},
        optimizer=optimizer.state_dict(),
        sampler=np.random.default_rng(seed).bit_generator.state,
        history=(
            EpochReport(1, 25, 1.5, 3.25, 0.7, 0.6, 0.81, 1, 0.81),
            EpochReport(2, 50, 3.0, 1.75, 0.5, None, None, 1, None),
        ),
        steps=50,
        seconds=3.0,
        batch=4,
    )


def test_round_trip(tmp_path):
    state, path = state_of(), tmp_path / "checkpoint.pt"
    write_checkpoint(path, state)
    back = read_checkpoint(path)
    for name in ("weights", "average", "best"):
        before, after = getattr(state, name), getattr(back, name)
        assert before.keys() == after.keys()
        assert all(torch.equal(before[each], after[each]) for each in before)
        assert all(before[each].dtype == after[each].dtype for each in before)
    assert back.history == state.history
    assert (back.steps, back.seconds, back.batch) == (50, 3.0, 4)
    assert back.sampler == state.sampler
    network = Network(NetworkSpec(pools=(2,), filters=2))
    optimizer = torch.optim.Adam(network.parameters(), lr=1.0)
    optimizer.load_state_dict(back.optimizer)
    assert optimizer.param_groups[0]["lr"] == 3e-3
    assert back.optimizer["state"].keys() == state.optimizer["state"].keys()
    for number, moments in state.optimizer["state"].items():
        for name, value in moments.items():
            assert torch.equal(back.optimizer["state"][number][name], value)


def test_random_numbers_go_on(tmp_path):
    rng = np.random.default_rng(752)
    rng.standard_normal(17)
    state = replace(state_of(), sampler=rng.bit_generator.state)
    write_checkpoint(tmp_path / "checkpoint.pt", state)
    expected = rng.integers(0, 1 << 60, 100)
    other = np.random.default_rng(0)
    other.bit_generator.state = read_checkpoint(tmp_path / "checkpoint.pt").sampler
    np.testing.assert_array_equal(other.integers(0, 1 << 60, 100), expected)


def test_a_missing_file_is_said(tmp_path):
    with pytest.raises(ValueError, match=r"checkpoint.pt. is missing.*start a new run"):
        read_checkpoint(tmp_path / "checkpoint.pt")


@pytest.mark.parametrize("length", [0, 1, 100, 0.5, -1])
def test_truncated_files_are_said(tmp_path, length):
    path = tmp_path / "checkpoint.pt"
    write_checkpoint(path, state_of())
    content = path.read_bytes()
    keep = int(length * len(content)) if isinstance(length, float) else length
    path.write_bytes(content[:keep])
    with pytest.raises(
        ValueError, match=r"is damaged or no checkpoint .* new run from the weights"
    ):
        read_checkpoint(path)


@pytest.mark.parametrize("content", [b"not a checkpoint", b"PK\x03\x04" + bytes(64)])
def test_foreign_files_are_said(tmp_path, content):
    path = tmp_path / "checkpoint.pt"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        read_checkpoint(path)


@pytest.mark.parametrize("tensors", [{}, {"weights": {}}, [1, 2]])
def test_other_tensors_are_said(tmp_path, tensors):
    path = tmp_path / "checkpoint.pt"
    torch.save(tensors, path)
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        read_checkpoint(path)


class Bomb:
    """What a pickle that is loaded carelessly would do."""

    gone_off = False

    def __reduce__(self):
        return (setattr, (Bomb, "gone_off", True))


@pytest.mark.parametrize(
    "how", [torch.save, lambda bomb, path: path.write_bytes(pickle.dumps(bomb))]
)
def test_nothing_is_ever_unpickled(tmp_path, how):
    path = tmp_path / "checkpoint.pt"
    how({"weights": Bomb()}, path)
    with pytest.raises(ValueError, match="is damaged or no checkpoint"):
        read_checkpoint(path)
    assert not Bomb.gone_off


def test_a_failure_while_writing_leaves_the_last_good_state(tmp_path, monkeypatch):
    path = tmp_path / "checkpoint.pt"
    first = state_of()
    write_checkpoint(path, first)

    class Full(io.FileIO):
        def write(self, data):
            super().write(data[: len(data) // 2])
            raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", lambda aside, mode: Full(aside, mode))
        with pytest.raises(storage.StorageError, match=r"No space left.*make room"):
            write_checkpoint(path, state_of(2245))
    assert [each.name for each in tmp_path.iterdir()] == ["checkpoint.pt"]
    assert torch.equal(read_checkpoint(path).weights["head.weight"], first.weights["head.weight"])


def test_the_history_keeps_every_number(tmp_path):
    report = EpochReport(1, 7, 0.1 + 0.2, 1e-300, 1 / 3, 2 / 3, 1e16 + 2, 1, 0.9999999)
    state = replace(state_of(), history=(report,))
    write_checkpoint(tmp_path / "checkpoint.pt", state)
    (back,) = read_checkpoint(tmp_path / "checkpoint.pt").history
    assert asdict(back) == asdict(state.history[0])


# checkpoints of version 0.1.0


def write_as_0_1_0_did(path, state, settled):
    """Write a state as `TrainingState.tensors` of version 0.1.0 laid it out."""
    words = {
        "sampler": state.sampler,
        "history": [asdict(report) for report in state.history],
        "steps": state.steps,
        "seconds": state.seconds,
        "batch": state.batch,
        "drawn": state.drawn,
        "losses": list(state.losses),
    }
    tensors = {
        "weights": state.weights,
        "average": state.average,
        "best": state.best,
        "optimizer": state.optimizer,
        "settled": settled,
        "words": torch.tensor(list(json.dumps(words).encode()), dtype=torch.uint8),
    }
    torch.save(tensors, path)


def packed_as_0_1_0_did(labels):
    """Pack the labels of all images as `borders._packed` of version 0.1.0 did."""
    flat = np.concatenate([each.ravel() for each in labels]).astype("<i2")
    packed = np.frombuffer(zlib.compress(flat.tobytes(), 1), np.uint8)
    return torch.from_numpy(packed.copy())


@pytest.mark.parametrize("settles", [False, True], ids=["strokes", "settled borders"])
def test_a_training_of_version_0_1_0_is_resumed_as_if_unbroken(
    tmp_path, disc_set, monkeypatch, settles
):
    spec, path = NetworkSpec(pools=(2,), filters=3), tmp_path / "checkpoint.pt"
    plan = TrainingPlan(epochs=None, steps=9, batch=2, crop_px=32, device="cpu", validation=0)
    data = disc_set(images=2, shape=(67, 61), strokes=True)
    start, rows = None, ()
    if settles:
        weights = {name: w.numpy() for name, w in Network(spec).state_dict().items()}
        start = {name: value for name, value in weights.items() if not name.startswith("head.")}
        block = torch.arange(12 * 20).reshape(12, 20) % 2
        rows = (SettledRows(torch.arange(12) * 61 + 67 * 61 + 30, block.to(torch.int16)),)
    monkeypatch.setattr(beginning, "settle_borders", lambda network, data, seed: rows)

    def run(**options):
        states = []
        steps = train(
            data, replace(data, images=()), spec, plan, gentle=True, save=states.append, **options
        )
        while True:
            try:
                next(steps)
            except StopIteration as end:
                return end.value, states

    unbroken, _ = run(start=start)
    asked = []
    _, states = run(start=start, stopped=lambda: asked.append(1) or len(asked) > 4)
    whole = [image.labels for image in with_settled(data, rows).images]
    settled = packed_as_0_1_0_did(whole) if settles else torch.empty(0, dtype=torch.uint8)
    write_as_0_1_0_did(path, states[-1], settled)

    resumed, later = run(state=read_checkpoint(path))
    assert (states[-1].steps, later[-1].steps) == (4, 9)
    expected = unbroken.network.state_dict()
    for name, value in resumed.network.state_dict().items():
        assert torch.equal(value, expected[name]), name
    # what it writes from then on is read again, the settled labels too
    write_checkpoint(path, later[-1])
    again = with_settled(data, read_checkpoint(path).settled)
    for image, labels in zip(again.images, whole, strict=True):
        np.testing.assert_array_equal(image.labels, labels)


def test_a_checkpoint_holds_plain_values(tmp_path):
    path = tmp_path / "checkpoint.pt"
    state = state_of()
    write_checkpoint(path, replace(state, settled=(SettledRows(*torch.zeros(2, 1, 1)),)))
    plain = torch.load(path, weights_only=True)

    def kinds(value):
        if isinstance(value, dict):
            return {kind for each in value.values() for kind in kinds(each)}
        if isinstance(value, list | tuple):
            return {kind for each in value for kind in kinds(each)}
        return {value.dtype if isinstance(value, torch.Tensor) else type(value)}

    assert kinds(plain) == {
        torch.float32, torch.int64, int, float, str, bool, type(None),
    }  # fmt: skip
    assert plain["history"][0]["validation_dice"] == 0.81
    assert plain["sampler"] == state.sampler
