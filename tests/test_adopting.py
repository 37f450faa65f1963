"""Weights of the same family that other programs wrote become runs that predict as they did there.

The other program is written out here: another order of layers, other names, its own forward.
"""

import json
import pickle
import random
import struct
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from safetensors.numpy import load_file, save_file
from torch import nn

from napari_tem_rf import jobs, workflow
from napari_tem_rf.jobs.training import train_run
from napari_tem_rf.learning.network import network_of, random_network
from napari_tem_rf.learning.tensor_files import TensorFileError, read_tensors
from napari_tem_rf.micrographs.cleaning import standardise
from napari_tem_rf.networks.recognition import UnknownNetworkError, recognise
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport
from napari_tem_rf.provenance import provenance_of
from napari_tem_rf.runs import RunError, file_hash, read_run, run_folder

PUBLISHED = Path(__file__).resolve().parents[2] / "shared" / "data" / "published-networks"
IMAGE = np.random.default_rng(752).normal(300, 20, (48, 64)).astype(np.float32)


class Residual(nn.Module):
    """Of another program: norms after both convs, the convs without biases where told."""

    def __init__(self, ins: int, outs: int, biases: bool, epsilon: float) -> None:
        super().__init__()
        self.skip = nn.Conv2d(ins, outs, 1)
        self.body = nn.Sequential(
            nn.Conv2d(ins, outs, 3, padding=1, bias=biases),
            nn.BatchNorm2d(outs, eps=epsilon),
            nn.ReLU(),
            nn.Conv2d(outs, outs, 3, padding=1, bias=biases),
            nn.BatchNorm2d(outs, eps=epsilon),
        )

    def forward(self, x):
        return torch.relu(self.body(x) + self.skip(x))


class OtherUNet(nn.Module):
    """Of another program: the last layer first, then the way up, then the way down."""

    def __init__(
        self, widths, pools, outputs, *, biases=True, skip_first=True, epsilon=1e-5
    ) -> None:
        super().__init__()
        torch.manual_seed(752)
        self.pools, self.skip_first = pools, skip_first
        sizes = (1, *widths)
        levels = len(pools)
        self.final = nn.Conv2d(widths[0], outputs, 1)
        self.up = nn.ModuleList(
            Residual(widths[i] + widths[i + 1], widths[i], biases, epsilon)
            for i in reversed(range(levels))
        )
        self.bridge = Residual(sizes[levels], widths[levels], biases, epsilon)
        self.down = nn.ModuleList(
            Residual(sizes[i], widths[i], biases, epsilon) for i in range(levels)
        )
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                nn.init.normal_(module.weight, 1, 0.3)
                nn.init.normal_(module.bias, 0, 0.3)
                module.running_mean.normal_(0, 0.3)
                module.running_var.uniform_(0.01, 2)
        self.eval()

    def forward(self, x):
        skips = []
        for block, pool in zip(self.down, self.pools, strict=True):
            skips.append(block(x))
            x = torch.max_pool2d(skips[-1], pool)
        x = self.bridge(x)
        for block, pool in zip(self.up, reversed(self.pools), strict=True):
            x = x.repeat_interleave(pool, 2).repeat_interleave(pool, 3)
            skip = skips.pop()
            x = block(torch.cat([skip, x] if self.skip_first else [x, skip], 1))
        return self.final(x)


def other(outputs=2, **changes) -> OtherUNet:
    return OtherUNet((3, 6, 12), (2, 4), outputs, **changes)


def request_of(file: Path, folder: Path, **changes) -> jobs.AdoptRequest:
    told = {"pools": (2, 4), "pixel_size_nm": (0.02, 0.02), "sees": (0.0, 1.0), **changes}
    return jobs.AdoptRequest(file=file, run=folder, **told)


def adopt(file: Path, folder: Path, **changes):
    notes = []
    record = jobs.adopt_weights(
        request_of(file, folder, **changes), report=notes.append, stopped=lambda: False
    )
    return record, [each.sentence for each in notes if isinstance(each, NoteReport)]


def logits_of(run: Path, pixels: np.ndarray) -> np.ndarray:
    opened = read_run(run)
    network = network_of(opened.record.network, opened.read_weights()).eval()
    with torch.inference_mode():
        return network(torch.from_numpy(pixels)[None, None])[0].numpy()


def logits_there(network: nn.Module, pixels: np.ndarray) -> np.ndarray:
    with torch.inference_mode():
        return network(torch.from_numpy(pixels)[None, None])[0].numpy()


@pytest.fixture
def saved(tmp_path):
    """Return a function that saves a network's state as another program would."""

    def save(network: nn.Module, name: str = "weights.pt", change=lambda state: state) -> Path:
        path = tmp_path / name
        torch.save(change(network.state_dict()), path)
        return path

    return save


VARIANTS = {
    "plain": ({}, {}),
    "without biases": ({"biases": False}, {}),
    "from below first": ({"skip_first": False}, {"skip_first": False}),
    "another epsilon": ({"epsilon": 1e-2}, {"norm_epsilon": 1e-2}),
    "three classes": ({"outputs": 3}, {}),
}


@pytest.mark.parametrize("variant", VARIANTS)
def test_it_decides_as_it_did_there(saved, tmp_path, variant):
    made, told = VARIANTS[variant]
    network = other(**made)
    adopt(saved(network), tmp_path / "run", **told)
    pixels = standardise(IMAGE)
    np.testing.assert_allclose(
        logits_of(tmp_path / "run", pixels), logits_there(network, pixels), rtol=1e-4, atol=1e-4
    )


def test_a_sigmoid_becomes_two_classes(saved, tmp_path):
    network = other(outputs=1)
    record, notes = adopt(saved(network), tmp_path / "run")
    assert record.network.classes == 2
    assert "1 output" in notes[0]
    pixels = standardise(IMAGE)
    ours = torch.from_numpy(logits_of(tmp_path / "run", pixels)).softmax(0)[1]
    there = torch.from_numpy(logits_there(network, pixels)).sigmoid()[0]
    np.testing.assert_allclose(ours, there, atol=1e-5)


def test_what_it_was_shown_is_made_up_for(saved, tmp_path):
    """Grey values from 0 to 1, say: inside, away from the border, the numbers are the same."""
    network = other()
    adopt(saved(network), tmp_path / "run", sees=(0.45, 0.12))
    pixels = standardise(IMAGE)
    ours = logits_of(tmp_path / "run", pixels)
    there = logits_there(network, 0.45 + 0.12 * pixels)
    # a border of zeros was darker there than the mean that surrounds an image here
    assert not np.allclose(ours, there, atol=1e-3)
    network.pools = (2,)  # one level of the same network reaches less far, and shows the inside
    one_level = nn.Sequential(network.down[0], network.final)
    with torch.inference_mode():
        expected = one_level(torch.from_numpy(0.45 + 0.12 * pixels)[None, None])[0].numpy()
        opened = read_run(tmp_path / "run")
        mine = network_of(opened.record.network, opened.read_weights()).eval()
        first = nn.Sequential(mine.encoder[0], mine.head)
        got = first(torch.from_numpy(pixels)[None, None])[0].numpy()
    np.testing.assert_allclose(got[:, 2:-2, 2:-2], expected[:, 2:-2, 2:-2], rtol=1e-3, atol=1e-4)


def test_the_background_may_be_another_output(saved, tmp_path):
    network = other(outputs=3)
    record, _ = adopt(
        saved(network), tmp_path / "run", class_names=("gold", "background", "carbon")
    )
    assert record.classes.names == ("background", "gold", "carbon")
    pixels = standardise(IMAGE)
    ours, there = logits_of(tmp_path / "run", pixels), logits_there(network, pixels)
    np.testing.assert_allclose(ours, there[[1, 0, 2]], rtol=1e-4, atol=1e-4)


def test_dilations_are_told(tmp_path, saved):
    record, _ = adopt(saved(other()), tmp_path / "run", dilations=(1, 2, 3))
    assert record.network == NetworkSpec((2, 4), (1, 2, 3), filters=3)


# names and orders


TWO_LEVELS = NetworkSpec((2, 2), filters=3)


def arrays_of(spec: NetworkSpec = TWO_LEVELS) -> dict[str, np.ndarray]:
    network = random_network(spec, 752)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)
            module.running_mean.normal_()
    return {name: value.numpy() for name, value in network.state_dict().items()}


def numbered(arrays):
    return {f"t{place}": value for place, value in enumerate(arrays.values())}


def in_order_of_names(arrays):
    return dict(sorted(arrays.items()))


RENAMINGS = {
    "ours": lambda arrays: arrays,
    "ours, sorted": in_order_of_names,
    "behind a wrapper": lambda arrays: {f"module.net.{k}": v for k, v in arrays.items()},
    "numbers": numbered,
    "numbers, sorted before": lambda arrays: numbered(in_order_of_names(arrays)),
    "one word": lambda arrays: {
        k.replace(".", "_").replace("norm", "bn"): v for k, v in arrays.items()
    },
    "Keras words": lambda arrays: {
        k.replace("running_mean", "moving_mean").replace("running_var", "moving_variance"): v
        for k, v in arrays.items()
    },
    "without counters": lambda arrays: {k: v for k, v in arrays.items() if "num_batches" not in k},
}


@pytest.mark.parametrize("renaming", RENAMINGS)
@pytest.mark.parametrize(
    "spec",
    [
        NetworkSpec((2, 2), filters=3),
        NetworkSpec((), filters=5, classes=4),
        NetworkSpec((2, 3, 2), filters=1, growth=1.5),
        NetworkSpec((8,), filters=7, growth=1.75, classes=3),
    ],
)
def test_names_do_not_matter(spec, renaming):
    arrays = arrays_of(spec)
    found = recognise(RENAMINGS[renaming](arrays))
    assert found.widths == spec.widths
    assert (found.channels, found.outputs) == (1, spec.classes)
    again = NetworkSpec(spec.pools, filters=found.widths[0], growth=found.growth)
    assert again.widths == spec.widths
    for name, value in found.weights.items():
        assert np.array_equal(value, arrays[name]), name


def test_levels_that_do_not_grow_are_told_apart_by_their_names():
    spec = NetworkSpec((2, 2), filters=4, growth=1.0)
    arrays = arrays_of(spec)
    found = recognise(in_order_of_names(arrays))
    assert all(np.array_equal(value, arrays[name]) for name, value in found.weights.items())


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="published networks are not here")
@pytest.mark.parametrize("how", ["as their authors wrote them", "numbers", "sorted"])
def test_ten_published_networks(tmp_path, how):
    """The names and the order of layers of ScottLabUCB/HRTEM-Generalization."""
    described = json.loads((PUBLISHED / "networks.json").read_text())
    assert len(described) == 10
    for entry in described:
        ours = load_file(PUBLISHED / entry["file"])
        path = tmp_path / f"{entry['file']}.{how[:4].strip()}"
        if how == "sorted":
            save_file(as_authors(ours), path)
        else:
            state = as_authors(ours)
            if how == "numbers":
                state = numbered(state)
            # the authors' files are called .h5 and are torch's
            torch.save(OrderedDict((k, torch.tensor(v)) for k, v in state.items()), path)
        record, _ = adopt(path, tmp_path / path.stem / how, pools=tuple(entry["spec"]["pools"]))
        assert record.network == NetworkSpec(tuple(entry["spec"]["pools"]), filters=4)
        assert record.network.parameters == entry["parameters"]
        found = read_run(tmp_path / path.stem / how).read_weights()
        for name, value in found.items():
            assert name.endswith("num_batches_tracked") or np.array_equal(value, ours[name]), name


def as_authors(ours):
    blocks = [(f"downs.{i}", f"encoder.{i}") for i in range(4)]
    blocks += [(f"ups.{i}", f"decoder.{i}") for i in range(4)]
    blocks += [("bottleneck", "bottleneck")]
    parts = {
        "conv1": "conv1", "conv2": "conv2", "bn1": "norm1", "bn2": "norm2", "conv_add": "shortcut",
    }  # fmt: skip
    ends = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    state = {}
    for theirs, mine in blocks:
        for their_part, part in parts.items():
            for end in ends:
                if (name := f"{mine}.{part}.{end}") in ours:
                    state[f"{theirs}.{their_part}.{end}"] = ours[name]
    for end in ("weight", "bias"):
        state[f"final_conv.{end}"] = ours[f"head.{end}"]
    assert len(state) == len(ours)
    return state


def test_a_file_of_keras(tmp_path):
    """Kernels are (row, column, in, out), norms add 0.001, layers count through."""
    network = other(epsilon=1e-3)
    path = tmp_path / "model.h5"
    counts = {"conv2d": 0, "batch_normalization": 0}
    blocks = [*network.down, network.bridge, *network.up]
    with h5py.File(path, "w") as file:

        def keep(kind, values):
            number = counts[kind]
            counts[kind] += 1
            layer = f"{kind}_{number}" if number else kind
            for name, value in values.items():
                file[f"model_weights/{layer}/{layer}/{name}:0"] = value.detach().numpy()

        def conv(layer):
            keep("conv2d", {"kernel": layer.weight.permute(2, 3, 1, 0), "bias": layer.bias})

        def norm(layer):
            keep(
                "batch_normalization",
                {
                    "gamma": layer.weight, "beta": layer.bias,
                    "moving_mean": layer.running_mean, "moving_variance": layer.running_var,
                },
            )  # fmt: skip

        for block in blocks:
            for layer in (block.body[0], block.body[3], block.skip):
                conv(layer)
            for layer in (block.body[1], block.body[4]):
                norm(layer)
        conv(network.final)
    _, notes = adopt(path, tmp_path / "run")
    assert any("add 0.001 to the variance" in note for note in notes)
    pixels = standardise(IMAGE)
    np.testing.assert_allclose(
        logits_of(tmp_path / "run", pixels), logits_there(network, pixels), rtol=1e-4, atol=1e-4
    )


def test_a_checkpoint_holds_several(saved, tmp_path):
    network = other()
    both = lambda state: {"epoch": 3, "model": state, "ema": state}  # noqa: E731
    path = saved(network, change=both)
    with pytest.raises(ValueError, match="holds 2 sets of weights, ema, model: name one with"):
        adopt(path, tmp_path / "run")
    record, _ = adopt(path, tmp_path / "run", part="ema")
    assert record.adopted.part == "ema"
    one = saved(network, "one.pt", lambda state: {"epoch": 3, "state_dict": state})
    assert adopt(one, tmp_path / "other")[0].adopted.part == "state_dict"
    with pytest.raises(ValueError, match='has no part "best": it holds ema, model'):
        adopt(path, tmp_path / "third", part="best")


def test_half_precision(saved, tmp_path):
    half = lambda state: {k: v.half() if v.is_floating_point() else v for k, v in state.items()}  # noqa: E731
    adopt(saved(other(), change=half), tmp_path / "run")
    weights = read_run(tmp_path / "run").read_weights()
    assert weights["head.weight"].dtype == np.float32


# refusals


class Evil:
    def __reduce__(self):
        return Path.touch, (Path("touched"),)


def test_a_pickled_module_is_refused_with_the_way_to_its_tensors(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    torch.save(nn.Sequential(nn.Conv2d(1, 2, 3)), "module.pt")
    Path("evil.pt").write_bytes(pickle.dumps(Evil()))
    for name in ("module.pt", "evil.pt"):
        with pytest.raises(TensorFileError) as refusal:
            read_tensors(Path(name))
        sentence = str(refusal.value)
        assert "it is not opened" in sentence
        assert 'torch.save(model.state_dict(), "weights.pt")' in sentence
    assert not Path("touched").exists()


@pytest.mark.filterwarnings("ignore:.*torch.jit.*:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit.*:FutureWarning")
def test_a_program_is_refused(tmp_path):
    torch.jit.save(torch.jit.script(nn.Conv2d(1, 2, 3)), tmp_path / "script.pt")
    with pytest.raises(TensorFileError, match=r"whole program .*torch.save"):
        read_tensors(tmp_path / "script.pt")


def test_a_view_of_one_number_fills_no_memory(tmp_path):
    states = {f"{n}.weight": torch.zeros(1, 1, 1, 1).expand(10**9, 9, 9, 9) for n in range(4)}
    torch.save(states, tmp_path / "views.pt")
    assert (tmp_path / "views.pt").stat().st_size < 10_000
    with pytest.raises(TensorFileError, match="729,000,000,000 numbers"):
        read_tensors(tmp_path / "views.pt")


@pytest.mark.parametrize(
    "content",
    [b"", b"PK\x03\x04 and no more", b"\x80\x02 and no more", b"\x89HDF\r\n\x1a\n???", b"text"],
)
def test_what_is_no_file_of_tensors(tmp_path, content):
    path = tmp_path / "weights"
    path.write_bytes(content)
    with pytest.raises(TensorFileError, match=r'"/.*weights"'):
        read_tensors(path)


def of_several_disks(held):
    """A zip's end of 64 bits that says so: to ask whether it is a zip raises then."""
    end = held.rindex(b"PK\x05\x06")
    return held[:end] + b"PK\x06\x07" + struct.pack("<LQL", 0, 0, 5) + held[end:]


def name_that_is_no_text(held):
    listed = held.index(b"PK\x01\x02")
    flags = listed + 8
    return (
        held[:flags] + b"\x00\x08" + held[flags + 2 : listed + 46] + b"\x8a" + held[listed + 47 :]
    )


@pytest.mark.parametrize("damage", [of_several_disks, name_that_is_no_text])
def test_a_zip_that_python_does_not_read(saved, tmp_path, damage):
    path = saved(random_network(NetworkSpec((2,), filters=1), 752))
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(TensorFileError, match="is damaged"):
        read_tensors(path)
    if damage is of_several_disks:
        with pytest.raises(RunError, match=r"is called a zip, but is none or not a whole one"):
            run_folder(path.rename(tmp_path / "run.zip"))


def without(part):
    return lambda arrays: {k: v for k, v in arrays.items() if part not in k}


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (without("shortcut"), "0 of 1 x 1 px|1 of 1 x 1 px"),
        (without("running"), "without running means"),
        (without("encoder.1"), "8 convolutions of 3 x 3 px"),
        (lambda a: {**a, "up.weight": np.zeros((3, 6, 2, 2), np.float32)}, "kernel of 2 x 2 px"),
        (lambda a: {**a, "out.weight": np.zeros((3, 6), np.float32)}, "has the shape 3 x 6"),
        (lambda a: {k: v[:-1] if k == "decoder.1.norm1.weight" else v for k, v in a.items()},
         "other lengths"),
        (lambda a: {k: -1 - v if k == "decoder.1.norm1.running_var" else v for k, v in a.items()},
         "some are below 0"),
    ],
)  # fmt: skip
def test_another_network_is_refused_by_what_it_is(change, sentence):
    with pytest.raises(UnknownNetworkError, match=sentence):
        recognise(change(arrays_of()))


def test_what_the_file_does_not_say_is_asked_for(saved, tmp_path):
    path = saved(other())
    with pytest.raises(jobs.UntoldError) as asked:
        adopt(path, tmp_path / "run", pools=None, pixel_size_nm=None, sees=None)
    pools, size, normalisation = asked.value.questions
    assert "2 pools" in pools
    assert "--pools" in pools
    assert "--pixel-size" in size
    assert "--normalisation" in normalisation
    assert not (tmp_path / "run").exists()
    with pytest.raises(ValueError, match="3 pools are given, but the network has 2 levels"):
        adopt(path, tmp_path / "run", pools=(2, 2, 2))
    with pytest.raises(ValueError, match="3 classes are named, but the network has 2"):
        adopt(path, tmp_path / "run", class_names=("a", "b", "c"))


def test_weights_that_are_no_numbers_are_refused(saved, tmp_path):
    network = other()
    with torch.no_grad():
        next(each for each in network.parameters() if each.ndim == 4)[0, 0] = float("nan")
    with pytest.raises(ValueError, match="NaN or infinite, in 1 of its"):
        adopt(saved(network), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_network_of_colours_is_refused(saved, tmp_path):
    def colours(state):
        return {
            name: value.repeat(1, 3, 1, 1) if name in FIRST else value
            for name, value in state.items()
        }

    FIRST = ("down.0.skip.weight", "down.0.body.0.weight")  # noqa: N806
    with pytest.raises(ValueError, match="takes 3 channels"):
        adopt(saved(other(), change=colours), tmp_path / "run")


# a run like any other


@pytest.fixture(scope="module")
def adopted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("adopted")
    torch.save(other().state_dict(), folder / "weights.pt")
    adopt(folder / "weights.pt", folder / "run")
    return folder / "run"


def test_the_record_says_where_it_comes_from_and_claims_no_score(adopted):
    record = read_run(adopted).record
    assert record.adopted.file == str(adopted.with_name("weights.pt"))
    assert record.adopted.sha256 == file_hash(adopted.with_name("weights.pt"))
    assert record.scores == {}
    assert record.validation_dice is None
    assert (record.epochs, record.steps, record.seconds, record.best_epoch) == (0, 0, 0, None)
    summary = record.summary()
    assert summary["seed"] is None
    assert "not scored" in summary["split"]
    assert summary["adopted"]["sha256"] == record.adopted.sha256
    beside_a_mask = provenance_of(read_run(adopted), "gold", None, None)
    assert beside_a_mask["adopted_from"]["sha256"] == record.adopted.sha256
    assert beside_a_mask["seed"] is None


def test_it_predicts_and_shows_its_field(adopted):
    result = workflow.predict(adopted, IMAGE)
    logits = logits_there(other(), standardise(IMAGE))
    assert np.array_equal(result.labels, logits.argmax(0))
    field = workflow.effective_field(adopted, IMAGE, (24, 32))
    assert 0 < field.w50_px <= field.w95_px


def test_a_training_starts_from_it(adopted, tmp_path):
    from .test_jobs import PLAN, image_of

    rows = np.s_[:48, :64]
    image = image_of((0, 1))
    image = replace(image, pixels=image.pixels[rows], labels=image.labels[rows])
    plan = replace(PLAN, epochs=None, steps=2, frozen="encoder")
    request = jobs.TrainRequest(
        tmp_path / "run", (image,), NetworkSpec((2, 4), filters=3), plan, "background",
        start=adopted,
    )  # fmt: skip
    train_run(request, report=lambda report: None, stopped=lambda: False)
    after, before = read_run(tmp_path / "run").read_weights(), read_run(adopted).read_weights()
    assert np.array_equal(after["encoder.1.conv2.weight"], before["encoder.1.conv2.weight"])
    assert not np.array_equal(after["head.weight"], before["head.weight"])


def test_it_is_neither_repeated_nor_resumed(adopted, tmp_path):
    with pytest.raises(RunError, match=r"was adopted from .* no training to repeat"):
        workflow.repeat(adopted, tmp_path / "again")
    with pytest.raises(RunError, match="exists and is not empty"):
        adopt(adopted.with_name("weights.pt"), adopted)


def test_random_networks_of_the_family_are_found():
    draw = random.Random(752)
    for _ in range(12):
        levels = draw.randint(0, 5)
        spec = NetworkSpec(
            tuple(draw.choice((2, 3, 4)) for _ in range(levels)),
            filters=draw.randint(1, 6),
            growth=draw.choice((1.5, 1.75, 2.0)),
            classes=draw.randint(2, 5),
        )
        arrays = arrays_of(spec)
        found = recognise(numbered(arrays))
        assert found.widths == spec.widths
        assert all(np.array_equal(v, arrays[n]) for n, v in found.weights.items()), spec
