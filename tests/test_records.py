"""Records of anybody: whatever is in them, reading gives a value or one sentence, in bounds."""

import copy
import json
import os
import tracemalloc
from dataclasses import asdict, replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from napari_tem_rf.comparison.plan import ComparisonPlan
from napari_tem_rf.comparison.record import ComparisonRecord, read_comparison
from napari_tem_rf.comparison.results import Costs, ImageScores, Result, network_table
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.micrographs.annotation import Classes
from napari_tem_rf.micrographs.label_series import LabelSeries
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.provenance import read_provenance
from napari_tem_rf.records import RecordError, read_json
from napari_tem_rf.run_record import ImageEntry
from napari_tem_rf.runs import RunError, read_run

from .test_runs import record_of

MOST_BYTES = 64 * 2**20

SPEC = NetworkSpec((2,), filters=2)
PLAN = ComparisonPlan((SPEC,), seeds=(752,), unlabelled="background", baselines=())
COMPARISON = ComparisonRecord(
    PLAN,
    Classes((0, 1), ("background", "gold")),
    (
        ImageEntry(
            name="a",
            group="a",
            shape=(31, 37),
            pixels_sha256="ab",
            labels_sha256="cd",
            pixel_size_nm=(0.5, 0.5),
        ),
        ImageEntry(name="b", group="b", shape=(31, 37), pixels_sha256="ab", labels_sha256="cd"),
    ),
    ("b",),
    {"kind": "groups", "sentence": "b is held out", "sha256": "ef", "gap_px": 0, "note": ""},
)
(CONTESTANT,) = COMPARISON.contestants
RESULT = Result(
    CONTESTANT,
    (ImageScores("b", Scores(0.9, 0.8, 0.9, 0.9, 0.7, 1.5)),),
    Costs(12.0, 0.5, 20.0),
    3,
    2,
)
WEIGHTS = {"head.bias": np.zeros(3, np.float32)}


@pytest.fixture
def run(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "run.json").write_text(json.dumps(asdict(record_of())))
    return folder


def write_comparison(folder, record, result):
    (folder / CONTESTANT.folder).mkdir(parents=True, exist_ok=True)
    (folder / "comparison.json").write_text(json.dumps(record))
    (folder / CONTESTANT.folder / "result.json").write_text(json.dumps(result))


nasty = st.sampled_from(
    [
        *(
            None,
            True,
            -1,
            0,
            10**9,
            10**30,
            -(10**400),
            1e308,
            0.5,
            "",
            "x",
            "../../etc",
            "/etc/passwd",
        ),
        *(
            "C:\\x",
            "a\0b",
            "\x1b[2J",
            "x" * 20_000,
            "1e22",
            [],
            {},
            [[]],
            {"a": {"b": []}},
            [1] * 500,
        ),
    ]
)


def leaves(values, path=()):
    """Yield the way to each value in a JSON value."""
    yield path
    if isinstance(values, dict):
        for key, value in values.items():
            yield from leaves(value, (*path, key))
    elif isinstance(values, list):
        for index, value in enumerate(values):
            yield from leaves(value, (*path, index))


@st.composite
def mutated(draw, whole):
    """Draw a record of which one to three values are others, missing, or there twice."""
    values = copy.deepcopy(json.loads(json.dumps(whole)))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from([p for p in leaves(values) if p]))
        *way, last = path
        place = values
        for step in way:
            place = place[step]
        match draw(st.sampled_from(["other", "missing", "twice"])):
            case "other":
                place[last] = copy.deepcopy(draw(nasty))  # "twice" must not change what is drawn
            case "missing":
                del place[last]
            case "twice" if isinstance(place, list):
                place.append(copy.deepcopy(place[last]))
    return values


def bounded(read):
    """Call; a sentence may come of it, no other exception and no memory beyond the bound."""
    tracemalloc.start()
    try:
        return read()
    except (RunError, RecordError) as error:
        sentence = str(error)
    finally:
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert most < MOST_BYTES
    assert "\n" not in sentence
    assert len(sentence) < 2000
    return None


many = settings(
    max_examples=150,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@many
@given(values=mutated(asdict(record_of())))
def test_any_run_is_read_or_refused(run, values):
    (run / "run.json").write_text(json.dumps(values))

    def read():
        record = read_run(run).record
        json.dumps(record.summary(), allow_nan=False)
        assert record.validation_dice is None or f"{record.validation_dice:.2f}"
        assert len(record.split.get("sentence") or "") <= 10_000
        return record

    bounded(read)


@many
@given(record=mutated(asdict(COMPARISON)), result=mutated(asdict(RESULT)), which=st.integers(0, 2))
def test_any_comparison_is_read_or_refused(tmp_path, record, result, which):
    whole = asdict(COMPARISON), asdict(RESULT)
    write_comparison(
        tmp_path, whole[0] if which == 1 else record, whole[1] if which == 2 else result
    )

    def read():
        found = read_comparison(tmp_path)
        for each in (*found.runs(CONTESTANT.name), *(tmp_path / c.folder for c in found.missing)):
            assert each.resolve().is_relative_to(tmp_path.resolve())
        if found.results:
            network_table(found.results)
            assert found.findings.sentences
        return found

    bounded(read)


@many
@given(text=st.one_of(st.binary(max_size=200), st.text(max_size=200).map(str.encode)))
def test_any_bytes_are_read_or_refused(run, text):
    (run / "run.json").write_bytes(text)
    (run / "mask.tif.json").write_bytes(text)
    assert bounded(lambda: read_run(run)) is None
    found = read_provenance(run / "mask.tif")
    assert found is None or isinstance(found, dict)


def test_whole_records_are_read(run, tmp_path):
    assert read_run(run).record == record_of()
    write_comparison(tmp_path, asdict(COMPARISON), asdict(RESULT))
    assert read_comparison(tmp_path).results == (RESULT,)


def damaged(change):
    values = json.loads(json.dumps(asdict(record_of())))
    change(values)
    return values


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda v: v["scores"].update(dice="x"), "scores.dice is 'x'"),
        (lambda v: v["scores"].update(dice=1.5), "scores.dice is 1.5"),
        (lambda v: v["split"].update(sentence=5), "split.sentence is 5"),
        (lambda v: v["spec"].update(classes=10**9), "make more than 100,000,000 parameters"),
        (lambda v: v["spec"].update(classes=4), "spec.classes is 4, but 3 classes are named"),
        (lambda v: v["classes"].update(values=[1] * 3), "their values must rise"),
        (lambda v: v["data"][0].update(annotation="../x.tif"), "the name of a file in the folder"),
        (lambda v: v.update(format="1"), 'it has no "format"'),
        (lambda v: v.update(pixel_size_nm=[0, 1]), "pixel_size_nm"),
    ],
)
def test_records_are_checked_across_their_fields(run, change, said):
    (run / "run.json").write_text(json.dumps(damaged(change)))
    with pytest.raises(RunError) as caught:
        read_run(run)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[" * 100_000, "nested deeper"),
        ("[" * 40 + "]" * 40, "nested deeper"),
        ("[" + "1," * 1_100_000 + "1]", "more than 1,000,000 values"),
        ('{"a": NaN}', "NaN is not a number"),
        ('{"a": 1e999}', "too large a number"),
        ("9" * 5000, "not JSON"),
    ],
)
def test_json_is_bounded(tmp_path, text, said):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(RecordError, match=said):
        read_json(tmp_path / "a.json")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes with a name")
@pytest.mark.timeout(20)
def test_pipes_and_devices_are_no_files(run):
    for name in ("run.json", "weights.safetensors"):
        os.replace(run / "run.json", run / "kept")
        os.mkfifo(run / name)
        if name == "run.json":
            with pytest.raises(RunError, match=r"it has no run\.json"):
                read_run(run)
            (run / name).unlink()
        os.replace(run / "kept", run / "run.json")
    with pytest.raises(RunError, match=r"has no weights\.safetensors"):
        read_run(run).read_weights()
    os.mkfifo(run / "mask.tif.json")
    assert read_provenance(run / "mask.tif") is None
    (run / "mask.tif.parts").mkdir()
    os.mkfifo(run / "mask.tif.parts" / "series.json")
    assert LabelSeries.made_by(run / "mask.tif") == {}


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers_are_refused(run, value):
    opened = read_run(run)
    opened.write_weights({"head.bias": np.array([0, value, 0], np.float32)})
    with pytest.raises(RunError, match=r"holds values that are not numbers .* in head\.bias"):
        opened.read_weights()
    opened.write_weights(WEIGHTS)
    assert opened.read_weights().keys() == WEIGHTS.keys()


def test_weights_far_beyond_the_network_are_not_read(run):
    opened = read_run(run)
    opened.write_weights({"head.bias": np.zeros(10**6, np.float32)})
    with pytest.raises(RunError, match=r"it holds 4,000,\d+ bytes, at most"):
        opened.read_weights()


def test_a_result_of_another_contestant_is_refused(tmp_path):
    other = replace(RESULT, contestant=replace(CONTESTANT, folder="../../elsewhere"))
    write_comparison(tmp_path, asdict(COMPARISON), asdict(other))
    with pytest.raises(RunError, match=r"contestant\.folder is not that of"):
        read_comparison(tmp_path)
