"""What a run is shared as says the same as the run: numbers, labels, sizes, and a card in words."""

import hashlib
import importlib.util
import json
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from napari_tem_rf import jobs
from napari_tem_rf.learning.network import network_of, random_network
from napari_tem_rf.learning.plain_network import PlainNetwork
from napari_tem_rf.learning.tiles import cut_tiles
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.cleaning import Cleaning, standardise
from napari_tem_rf.networks.catalog import catalog
from napari_tem_rf.networks.receptive_field import receptive_field
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import NoteReport, TrainingPlan
from napari_tem_rf.run_record import Adoption, DataEntry
from napari_tem_rf.runs import RunRecord, create_run
from napari_tem_rf.sharing import model_card

SMALL = NetworkSpec((2, 4), (1, 2, 1), filters=3)


def drawn(number: int, most_halo: int, most_parameters: int, seed: int) -> list[NetworkSpec]:
    """Return networks of the catalog, drawn at random among those of bounded cost."""
    specs = [
        spec
        for spec in catalog().specs
        if receptive_field(spec).halo <= most_halo and spec.parameters <= most_parameters
    ]
    draw = np.random.default_rng(seed)
    return [specs[i] for i in draw.choice(len(specs), number, replace=False)]


def run_of(folder: Path, spec: NetworkSpec, **changes) -> Path:
    """Make a run of a network whose norms have seen something, though nothing was trained."""
    network = random_network(spec, 752)
    torch.manual_seed(2245)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight, 1, 0.2)
            nn.init.normal_(module.bias, 0, 0.2)
            module.running_mean.normal_(0, 0.2)
            module.running_var.uniform_(0.5, 2)
    names = ("background", "gold", "carbon film", "void")
    record = RunRecord(
        name="gold on carbon",
        spec=spec,
        plan=TrainingPlan(),
        classes=Classes(tuple(range(1, spec.classes + 1)), names[: spec.classes]),
        unlabelled="ignore",
        cleaning=Cleaning(),
        pixel_size_nm=(0.03, 0.031),
        data=(),
        state="finished",
        created="2026-01-02T03:04:05+00:00",
    )
    run = create_run(folder, replace(record, **changes), {})
    run.write_weights({name: value.numpy() for name, value in network.state_dict().items()})
    return folder


def share(run: Path, shared_as: str, out: Path, **changes) -> list[str]:
    notes = []
    request = jobs.ShareRequest(run=run, shared_as=shared_as, out=out, **changes)
    jobs.share_run(request, report=notes.append, stopped=lambda: False)
    return [each.sentence for each in notes if isinstance(each, NoteReport)]


def predicted(run: Path, image: np.ndarray, **options):
    return jobs.predict_with_run(
        run, image, report=lambda report: None, stopped=lambda: False, **options
    )


def image_of(shape=(83, 101)) -> np.ndarray:
    return np.random.default_rng(956).normal(300, 20, shape).astype(np.float32)


# ONNX


@pytest.fixture
def onnx_session():
    """Return a function that opens an ONNX file with onnxruntime."""
    pytest.importorskip("onnx")
    runtime = pytest.importorskip("onnxruntime")

    def opened(content: Path | bytes):
        model = content if isinstance(content, bytes) else content.read_bytes()
        return runtime.InferenceSession(model, providers=["CPUExecutionProvider"])

    return opened


def by_tiles(session, pixels: np.ndarray) -> np.ndarray:
    """Return labels tile by tile, knowing of the network no more than the metadata say."""
    told = session.get_modelmeta().custom_metadata_map
    period, halo = int(told["period"]), int(told["halo"])
    labels = np.empty(pixels.shape, np.uint8)
    for tile in cut_tiles(pixels.shape, max(period, 32), period, halo):
        (part,) = session.run(["labels"], {"image": pixels[tile.read][None, None]})
        labels[tile.write] = part[0][tile.keep]
    return labels


@pytest.mark.parametrize("number", range(3))
def test_onnx_says_what_the_run_says(onnx_session, tmp_path, number):
    spec = drawn(3, 64, 60_000, seed=752)[number]
    spec = spec.with_classes(2 + number)
    run = run_of(tmp_path / "run", spec)
    share(run, "onnx", tmp_path / "network.onnx")
    session = onnx_session(tmp_path / "network.onnx")
    # sides that are no multiples of the period, and one below it
    for shape in ((83, 101), (5, 37)):
        image = image_of(shape)
        ours = predicted(run, image, probabilities=True)
        pixels = standardise(image)
        likely, labels = session.run(["probabilities", "labels"], {"image": pixels[None, None]})
        np.testing.assert_allclose(likely[0], ours.probabilities, atol=1e-4)
        assert_same_labels(labels[0], ours)
        assert labels.dtype == np.uint8
        assert set(np.unique(labels)) <= {0, 2, 3, 4}
        assert np.array_equal(by_tiles(session, pixels), labels[0])


def assert_same_labels(labels: np.ndarray, ours) -> None:
    """Assert that labels are equal but where two classes are as likely to the last digits."""
    best = np.sort(ours.probabilities, axis=0)
    told_apart = best[-1] - best[-2] > 1e-4
    assert told_apart.mean() > 0.99
    assert np.array_equal(labels[told_apart], ours.labels[told_apart])


def test_onnx_of_numbered_particles(onnx_session, tmp_path):
    """Where a border is learned it is part of the particles in labels, and comes out besides."""
    run = run_of(
        tmp_path / "run", SMALL.with_classes(3), border_px=2.0, labels_are="particles",
        classes=Classes((0, 1), ("background", "particle")), unlabelled="background",
    )  # fmt: skip
    share(run, "onnx", tmp_path / "network.onnx")
    image = image_of()
    ours = predicted(run, image, probabilities=True)
    session = onnx_session(tmp_path / "network.onnx")
    likely, labels, border = session.run(None, {"image": standardise(image)[None, None]})
    np.testing.assert_allclose(likely[0], ours.probabilities, atol=1e-4)
    assert_same_labels(labels[0], ours)
    assert border.shape == (1, 1, *image.shape)
    assert (border[0, 0] <= likely[0, 1] + 1e-6).all()


def test_onnx_tells_what_its_user_must_know(onnx_session, tmp_path):
    run = run_of(tmp_path / "run", SMALL, cleaning=Cleaning("robust", binning=2))
    share(run, "onnx", tmp_path / "network.onnx")
    session = onnx_session(tmp_path / "network.onnx")
    told = session.get_modelmeta().custom_metadata_map
    assert (told["halo"], told["period"]) == (str(receptive_field(SMALL).halo), "8")
    assert json.loads(told["pixel_size_nm"]) == [0.06, 0.062]
    assert json.loads(told["classes"]) == {"background": 0, "gold": 2}
    assert "before it is cut into tiles" in told["normalisation"]
    assert "binned 2 x 2" in told["cleaning"]
    assert "10.1017/S1431927622012466" in told["citation"]
    import onnx

    model = onnx.load(tmp_path / "network.onnx")
    assert [each.version for each in model.opset_import if not each.domain] == [18]
    assert model.ir_version == 8


# the plain network


@pytest.mark.parametrize(
    "spec", [SMALL, NetworkSpec((), (3,), filters=5), NetworkSpec((3,), filters=4, classes=4)]
)
def test_the_plain_network_gives_the_same_numbers(spec, tmp_path):
    network = random_network(spec, 752).eval()
    plain = PlainNetwork(
        list(spec.pools), list(spec.dilations), list(spec.widths), classes=spec.classes
    ).eval()
    plain.load_state_dict(network.state_dict())
    image = torch.from_numpy(standardise(image_of()))[None, None]
    with torch.inference_mode():
        assert torch.equal(plain(image), network(image).softmax(1))


# the model of the zoo


@pytest.fixture(scope="module")
def model(tmp_path_factory) -> Path:
    """Folder of a model, unpacked; beside it the run."""
    pytest.importorskip("onnx")
    pytest.importorskip("yaml")
    folder = tmp_path_factory.mktemp("model")
    run = run_of(folder / "run", SMALL.with_classes(3))
    notes = share(run, "bioimage.io", folder / "model.zip", authors=("Ada Example",))
    assert notes == [
        "the model is shared under CC-BY-4.0: another licence is named in its rdf.yaml, or on the "
        "command line with --licence"
    ]
    with zipfile.ZipFile(folder / "model.zip") as archive:
        archive.extractall(folder / "model")
    return folder / "model"


@pytest.fixture
def described(model) -> dict:
    import yaml

    return yaml.safe_load((model / "rdf.yaml").read_text())


def test_the_model_says_sizes_halo_and_pixel_size(described):
    field = receptive_field(SMALL)
    (image,), (likely,) = described["inputs"], described["outputs"]
    rows, columns = image["axes"][2:]
    assert rows["size"]["step"] == columns["size"]["step"] == field.period
    # what is left without the halo is at least a period
    assert rows["size"]["min"] - 2 * field.halo >= field.period
    assert rows["size"]["min"] % field.period == 0
    scales = [each["scale"] for each in (rows, columns)]
    assert scales == pytest.approx([0.03, 0.031], rel=1e-7)
    # how the zoo's tools compute the size of an output: never a pixel short
    assert all(int(n * scale / scale) == n for n in range(1, 20_000) for scale in scales)
    assert rows["unit"] == "nanometer"
    assert [each["halo"] for each in likely["axes"][2:]] == [field.halo] * 2
    assert likely["axes"][1]["channel_names"] == ["background", "gold", "carbon film"]
    assert [step["id"] for step in image["preprocessing"]] == [
        "ensure_dtype",
        "zero_mean_unit_variance",
    ]
    assert image["preprocessing"][1]["kwargs"]["axes"] == ["channel", "y", "x"]


def test_the_model_names_who_made_it_and_whom_to_cite(described, model):
    assert described["format_version"].startswith("0.5.")
    assert described["authors"] == [{"name": "Ada Example"}]
    assert described["license"] == "CC-BY-4.0"
    assert described["cite"][0]["doi"] == "10.1017/S1431927622012466"
    assert "Sytwu" in described["cite"][0]["text"]
    assert "## Validation" in (model / described["documentation"]).read_text()
    assert (model / described["covers"][0]).read_bytes().startswith(b"\x89PNG")


def test_every_file_of_the_model_has_its_hash(described, model):
    named = []

    def collect(value):
        if isinstance(value, dict):
            if "sha256" in value:
                named.append((value["source"], value["sha256"]))
            for each in value.values():
                collect(each)
        elif isinstance(value, list):
            for each in value:
                collect(each)

    collect(described)
    assert {name for name, _ in named} == {
        "weights.pt", "weights.onnx", "architecture.py", "test_input.npy", "test_output.npy",
        "sample_input.tif", "sample_output.tif",
    }  # fmt: skip
    for name, digest in named:
        assert hashlib.sha256((model / name).read_bytes()).hexdigest() == digest


def test_the_architecture_stands_alone_and_gives_the_test_output(described, model, monkeypatch):
    told = described["weights"]["pytorch_state_dict"]["architecture"]
    source = (model / told["source"]).read_text()
    imported = {line.split()[1].partition(".")[0] for line in source.splitlines()
                if line.startswith(("import ", "from "))}  # fmt: skip
    assert imported == {"torch"}
    for name in [name for name in sys.modules if name.startswith("napari_tem_rf")]:
        monkeypatch.setitem(sys.modules, name, None)
    spec = importlib.util.spec_from_file_location("architecture", model / told["source"])
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    network = getattr(module, told["callable"])(**told["kwargs"]).eval()
    network.load_state_dict(torch.load(model / "weights.pt", weights_only=True))
    image, expected = (np.load(model / f"test_{each}.npy") for each in ("input", "output"))
    standardised = (image - image.mean()) / (image.std() + 1e-6)
    with torch.inference_mode():
        got = network(torch.from_numpy(standardised)).numpy()
    np.testing.assert_allclose(got, expected, atol=1e-4)
    assert image.shape[2] == expected.shape[2] == 256


def test_onnx_of_the_model_gives_the_test_output(onnx_session, model):
    session = onnx_session(model / "weights.onnx")
    assert [each.name for each in session.get_outputs()] == ["probabilities"]
    image, expected = (np.load(model / f"test_{each}.npy") for each in ("input", "output"))
    standardised = (image - image.mean()) / (image.std() + 1e-6)
    (got,) = session.run(None, {"image": standardised})
    np.testing.assert_allclose(got, expected, atol=1e-4)


def test_adopted_weights_get_no_licence_that_nobody_gave(tmp_path):
    pytest.importorskip("onnx")
    yaml = pytest.importorskip("yaml")
    adopted = Adoption(file="/home/ada/weights.pt", sha256="ab" * 32, source="doi 10.1000/xyz1")
    run = run_of(tmp_path / "run", SMALL, adopted=adopted)
    notes = share(run, "bioimage.io", tmp_path / "model.zip")
    assert any("no licence is named" in note for note in notes)
    with zipfile.ZipFile(tmp_path / "model.zip") as archive:
        described = yaml.safe_load(archive.read("rdf.yaml"))
        assert b"/home/ada" not in archive.read("README.md")
    assert "license" not in described
    assert described["cite"][1] == {"text": "doi 10.1000/xyz1", "doi": "10.1000/xyz1"}
    notes = share(run, "bioimage.io", tmp_path / "mit.zip", licence="MIT")
    assert not any("licence" in note for note in notes)


def test_what_is_missing_is_named(tmp_path, monkeypatch):
    from napari_tem_rf.jobs import sharing

    run = run_of(tmp_path / "run", SMALL)
    monkeypatch.setattr(sharing, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"onnx is not installed, .*napari-tem-rf\[share\]"):
        share(run, "onnx", tmp_path / "network.onnx")
    share(run, "run", tmp_path / "run.zip")  # needs nothing more


# the card


def test_the_card_says_what_the_record_says():
    record = RunRecord(
        name="gold",
        spec=SMALL,
        plan=TrainingPlan(seed=2245),
        classes=Classes((1, 2), ("background", "gold*")),
        unlabelled="ignore",
        cleaning=Cleaning("paper", flatten=2),
        pixel_size_nm=(0.02, 0.02),
        data=tuple(
            DataEntry(
                name=f"gold_{number}", group="g", shape=(31, 37), pixels_sha256="a",
                labels_sha256="b", annotation="a.tif", source=f"/secret/gold_{number}.dm3",
            )
            for number in range(3)
        ),
        split={"kind": "groups", "sentence": "2 images are held out", "scored": "images"},
        scores={
            "dice": 0.85,
            "images": [{"name": "gold_0", "dice": 0.8}, {"name": "gold_1", "dice": 0.9}],
        },
        epochs=7, steps=210, seconds=61.4, state="finished",
    )  # fmt: skip
    card = model_card(record, b"weights")
    field = receptive_field(SMALL)
    for words in (
        f"receptive field {field.nominal} px = {field.nominal * 0.02:.3g} nm",
        f"exactly {field.smallest} to {field.largest} px",
        f"halo {field.halo} px",
        f"{SMALL.parameters:,} trainable parameters",
        "3 annotated images: gold\\_0 (31 x 37 px)",
        "spikes above median + 1500 replaced, illumination flattened with order 2",
        "Dice 0.850 on held-out images. 2 images are held out.",
        "from 0.800 to 0.900, with a standard deviation of 0.071",
        "| gold\\_1 | 0.900 |",
        "7 epochs, 210 steps, 61 s, seed 2245",
        "gold\\* 2",
        hashlib.sha256(b"weights").hexdigest(),
        "10.1017/S1431927622012466",
    ):
        assert words in card, words
    assert "/secret" not in card
    strokes = replace(record, split={**record.split, "scored": "strokes"})
    assert "nothing of the outlines" in model_card(strokes)
    nothing = model_card(replace(record, scores={}, split={}))
    assert "It has no score: nothing was held out." in nothing
    assert "Dice 0" not in nothing


def test_weights_of_the_run_are_those_that_are_shared(tmp_path, model):
    run = model.with_name("run")
    from napari_tem_rf.runs import read_run

    ours = read_run(run).read_weights()
    theirs = torch.load(model / "weights.pt", weights_only=True)
    network_of(read_run(run).record.network, {k: v.numpy() for k, v in theirs.items()})
    assert all(
        np.array_equal(ours[name].squeeze(), theirs[name].numpy().squeeze()) for name in ours
    )
