"""The trying of mutants: verdicts hold until code changes, and are what the tests say."""

import importlib.util
import json
import sys
import time
from pathlib import Path

import pytest
from scipy.stats import binomtest

SCRIPT = Path(__file__).resolve().parents[1] / "benchmarks" / "mutants.py"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="mutmut is not for Windows")

# as mutmut writes it: the function that is meant is chosen by the environment
CODE = """
import os

def half(number):
    mutant = os.environ.get("MUTANT_UNDER_TEST", "")
    if mutant == "little.x_half__mutmut_1":
        return number * 2
    if mutant == "little.x_half__mutmut_2":
        return number // 2
    if mutant == "little.x_half__mutmut_3":
        while True:
            pass
    return number / 2
"""
TESTS = """
from little import half

def test_of_6():
    assert half(6) == 3
"""
BELOW = "src/napari_tem_rf/measuring/little.py.meta"


@pytest.fixture
def mutants(monkeypatch, tmp_path):
    spec = importlib.util.spec_from_file_location("mutants", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "mutants", module)  # dataclasses look their module up
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "PLACE", tmp_path)
    return module


@pytest.fixture
def part(mutants):
    """A part whose mutants were made, and of which none was tried."""
    part = mutants.Part("measuring")
    (part.mutants / BELOW).parent.mkdir(parents=True)
    (part.mutants / "src" / "little.py").write_text(CODE)
    (part.mutants / "tests").mkdir()
    (part.mutants / "tests" / "test_little.py").write_text(TESTS)
    write_meta(part, {"x_half": "abc", "x_other": "def"})
    stats = {
        "duration_by_test": {"tests/test_little.py::test_of_6": 0.001},
        "tests_by_mangled_function_name": {"little.x_half": ["tests/test_little.py::test_of_6"]},
    }
    (part.mutants / "mutmut-stats.json").write_text(json.dumps(stats))
    return part


NAMES = [*(f"little.x_half__mutmut_{number}" for number in (1, 2, 3)), "little.x_other__mutmut_1"]


def write_meta(part, hashes):
    """Write what mutmut does when it makes mutants: it knows no verdict."""
    meta = {"exit_code_by_key": dict.fromkeys(NAMES), "hash_by_function_name": hashes}
    (part.mutants / BELOW).write_text(json.dumps(meta))


def test_verdicts_are_those_of_the_tests(mutants, part, monkeypatch):
    monkeypatch.setattr(mutants, "SECONDS_BESIDE", 1.0)
    assert part.verdicts() == dict.fromkeys(NAMES)
    part.try_until(time.monotonic() + 60, 2, part.to_try(NAMES))
    said = {name: mutants.kind(code) for name, code in part.verdicts().items()}
    assert said == dict(zip(NAMES, ("killed", "survived", "no end", "no test"), strict=True))


def test_verdicts_stay_until_the_code_of_their_function_changes(mutants, part):
    lines = [
        {"mutant": NAMES[0], "function": "abc", "code": 0},
        {"mutant": NAMES[1], "function": "abc", "code": 1},
        {"mutant": NAMES[3], "function": "def", "code": 1},
        # tried again: the later one counts
        {"mutant": NAMES[0], "function": "abc", "code": 1},
        {"mutant": "little.x_gone__mutmut_1", "function": "abc", "code": 1},
    ]
    written = "".join("\n" + json.dumps(line) for line in lines)
    # stopped while it was written
    (part.place / "verdicts.jsonl").write_text(f'{written}\n{{"mutant": "lit')
    all_tried = {NAMES[0]: 1, NAMES[1]: 1, NAMES[2]: None, NAMES[3]: 1}
    assert part.verdicts() == all_tried
    # mutmut forgets them when tests, or the way they are chosen, change
    write_meta(part, {"x_half": "abc", "x_other": "def"})
    assert part.verdicts() == all_tried
    write_meta(part, {"x_half": "new", "x_other": "def"})
    assert part.verdicts() == {**dict.fromkeys(NAMES), NAMES[3]: 1}


def test_survivors_are_tried_again_and_no_others(mutants, part, monkeypatch):
    codes = zip(NAMES, (1, 0, -24, 33), strict=True)
    (part.place / "verdicts.jsonl").write_text(
        "".join(
            "\n"
            + json.dumps(
                {"mutant": name, "function": "def" if "other" in name else "abc", "code": c}
            )
            for name, c in codes
        )
    )
    tried = []
    monkeypatch.setattr(
        mutants.Part, "try_until", lambda self, end, children, asked: tried.extend(asked)
    )
    end = time.monotonic() + 60
    mutants.attempt(part, 99, 752, end, 1, again=False)
    assert tried == []
    mutants.attempt(part, 99, 752, end, 1, again=True)
    assert sorted(mutant.name for mutant in tried) == [NAMES[1], NAMES[3]]


def test_a_larger_sample_holds_the_smaller_one_and_other_code_leaves_it(mutants, part):
    first = part.drawn(2, 7)
    assert part.drawn(3, 7)[:2] == first
    before = part.drawn(99, 7)
    assert sorted(before) == NAMES
    meta = json.loads((part.mutants / BELOW).read_text())
    meta["exit_code_by_key"] |= {f"little.x_new__mutmut_{number}": None for number in range(9)}
    (part.mutants / BELOW).write_text(json.dumps(meta))
    assert [name for name in part.drawn(99, 7) if name in NAMES] == before
    assert part.drawn(99, 8) != part.drawn(99, 7)


def test_the_tests_of_the_own_module_come_first_then_the_short_ones(mutants):
    seconds = {
        "tests/test_long.py::test_a": 5.0,
        "tests/test_short.py::test_c": 0.1,
        "tests/test_short.py::test_b": 0.2,
        "tests/test_series.py::test_d": 9.0,
    }
    found = mutants.in_order("program.measuring.series.x_f__mutmut_1", sorted(seconds), seconds)
    assert [test[-1] for test in found] == ["d", "c", "b", "a"]


@pytest.mark.parametrize(("killed", "tried"), [(77, 107), (150, 150), (0, 9)])
def test_the_interval_is_wilsons(mutants, killed, tried):
    low, share, high = mutants.interval(killed, tried)
    expected = binomtest(killed, tried).proportion_ci(method="wilson")
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-4)
    assert share == killed / tried
