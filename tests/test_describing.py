"""What a plan can be told: the same in the window's form, on the command line and in the guide."""

import importlib.util
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import typer

from napari_tem_rf.cli.app import app
from napari_tem_rf.cli.options import NOT_SAID, Given, told_by_options
from napari_tem_rf.cli.training import plan_of
from napari_tem_rf.comparison import ComparisonPlan, ComparisonSettings, asked_settings
from napari_tem_rf.describing import Setting, settings_of, told
from napari_tem_rf.jobs import TrainRequest
from napari_tem_rf.measuring.series import Finding
from napari_tem_rf.micrographs.cleaning import Cleaning
from napari_tem_rf.networks.catalog import FIRST_NETWORK
from napari_tem_rf.networks.spec import NetworkSpec
from napari_tem_rf.protocol import PRESETS, TrainingPlan, default_plan, sytwu2022
from napari_tem_rf.starting import DEFAULT, SIMULATED, named_start
from napari_tem_rf.workflow import train

DOCS = Path(__file__).parents[1] / "docs"
COMMANDS = {
    "training": "train",
    "cleaning": "train",
    "finishing": "predict",
    "particles": "measure",
    "population": "measure",
    "comparison": "compare",
}


@pytest.fixture(scope="module")
def tables() -> ModuleType:
    spec = importlib.util.spec_from_file_location("tables", DOCS / "tables.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def options(command: str) -> dict[str, Any]:
    """Return the options of a command by their names on the command line."""
    group: Any = typer.main.get_group(app)
    return {
        "/".join((*each.opts, *each.secondary_opts)): each
        for each in group.commands[command].params
    }


@pytest.mark.parametrize("path", sorted(DOCS.glob("*.md")), ids=lambda path: path.name)
def test_the_tables_of_the_documents_are_those_of_the_descriptions(
    tables: ModuleType, path: Path
) -> None:
    text = path.read_text(encoding="utf-8")
    assert tables.with_tables(text) == text


@pytest.mark.parametrize("name", COMMANDS)
def test_command_and_table_name_the_same(tables: ModuleType, name: str) -> None:
    of_command = options(COMMANDS[name])
    pages = [path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")]
    (page,) = (page for page in pages if f"<!-- table: {name} -->" in page)
    block = page.split(f"<!-- table: {name} -->")[1].split("<!-- end of table -->")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in block.strip().splitlines()[2:]
    ]
    settings = settings_of(tables.PLANS[name])
    assert [row[0] for row in rows] == [setting.title for setting in settings]
    for row, setting in zip(rows, settings, strict=True):
        option = of_command[setting.flag]
        assert row[1] == ", ".join(f"`{flag}`" for flag in setting.flag.split("/"))
        assert option.help.startswith(setting.help)
        assert row[4] == setting.help
        if setting.kind in ("int", "float"):
            # a range is the option's own in newer versions of typer, its type's in older ones
            bounds = getattr(option, "type", option)
            assert (bounds.min, bounds.max) == (setting.least, setting.most)
        said = setting.typed(setting.default) or setting.none
        assert option.show_default == (said or False)
        assert row[3] == setting.shown(setting.default)
        assert option.default is None  # what is not said is the plan's own default


def ends(setting: Setting) -> list[Any]:
    """Return the ends of what may be given."""
    numbers = [each for each in (setting.least, setting.most) if each is not None]
    if setting.kind == "int":
        return [int(each) for each in numbers]
    return [*numbers, *(setting.choices or ())]


@pytest.mark.parametrize("plan", [default_plan(), Cleaning(), Finding()])
def test_what_is_offered_is_accepted(plan: Any) -> None:
    """The description's bounds lie within the plan's own rules."""
    for setting in settings_of(plan):
        for value in ends(setting):
            assert getattr(replace(plan, **{setting.name: value}), setting.name) == value


def test_the_recipes_are_those_that_there_are() -> None:
    (preset,) = (each for each in settings_of(TrainingPlan) if each.name == "preset")
    assert preset.choices is not None
    assert preset.choices.keys() == PRESETS.keys()


def test_a_value_out_of_its_range_is_said() -> None:
    with pytest.raises(ValueError, match="smallest_px is 0: it must be at least 1"):
        Finding(smallest_px=0)
    setting = Setting("way", "", choices={"a": "A", "b": "B"}, name="way")
    with pytest.raises(ValueError, match='way is "c": it must be one of a, b'):
        setting.check("c")
    with pytest.raises(ValueError, match="side is 9: it must be from 1 to 7"):
        Setting("side", "", least=1, most=7, kind="int", name="side").check(9)


@dataclass(frozen=True, slots=True)
class Smoothing:
    """A plan that nothing else knows."""

    largest_hole_px: int = told(0, "largest hole", "Holes are filled", unit="px", least=0)
    smooth: bool = told(False, "smooth", "Round the borders")
    way: str = told("none", "way", "How", choices={"none": "not", "some": "a little"})


def test_a_field_becomes_an_option_by_itself() -> None:
    """One more field of a plan needs no other change."""
    seen: list[Given] = []
    other = typer.Typer()

    @other.command()
    @told_by_options(smoothing=settings_of(Smoothing))
    def smooth(name: str, smoothing: Given = NOT_SAID, tail: int = 3) -> None:
        seen.append({"name": name, "tail": tail, **smoothing})

    other(["gold", "--largest-hole-px", "7", "--smooth", "--tail", "4"], standalone_mode=False)
    other(["gold"], standalone_mode=False)
    assert seen == [
        {"name": "gold", "tail": 4, "largest_hole_px": 7, "smooth": True},
        {"name": "gold", "tail": 3},
    ]
    with pytest.raises(typer.BadParameter, match="give none or some"):
        other(["gold", "--way", "x"], standalone_mode=False)


def test_a_training_lasts_as_long_everywhere() -> None:
    """20 s for a training, 60 s for each of a comparison: what the window shows first."""
    assert (default_plan().seconds, default_plan().epochs) == (20, None)
    assert plan_of({}) == default_plan() == TrainRequest(Path("run"), (), FIRST_NETWORK).plan
    assert (default_plan(epochs=3).seconds, default_plan(epochs=3).epochs) == (None, 3)
    assert (plan_of({"seconds": 5}).seconds, plan_of({"seconds": 5}).epochs) == (5, None)
    both = plan_of({"seconds": 5, "epochs": 2})
    assert (both.seconds, both.epochs) == (5, 2)
    paper = plan_of({"preset": "sytwu2022"})
    assert (paper.seconds, paper.epochs) == (None, 100)
    assert (sytwu2022(seconds=9).seconds, sytwu2022(seconds=9).epochs) == (9, None)

    spec = (NetworkSpec((2,)),)
    assert asked_settings() == ComparisonSettings()
    by_hand, asked = ComparisonPlan(spec), asked_settings().plan(spec, default_plan())
    assert by_hand == asked
    assert (asked.training.seconds, asked.training.epochs) == (60, None)
    assert asked_settings("sytwu2022").epochs == 100
    assert asked_settings("sytwu2022", seconds=30.0).epochs is None


def test_a_training_starts_from_the_same_everywhere(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert named_start(DEFAULT, FIRST_NETWORK) == SIMULATED
    assert named_start(DEFAULT, NetworkSpec((2,), filters=3)) is None
    assert named_start(DEFAULT, FIRST_NETWORK, "sytwu2022") is None
    assert named_start("nothing", FIRST_NETWORK) is None
    assert named_start("simulated", FIRST_NETWORK, "sytwu2022") == SIMULATED
    assert named_start("there", FIRST_NETWORK) == Path("there").resolve()

    asked: list[TrainRequest] = []
    monkeypatch.setattr("napari_tem_rf.jobs.train_run", lambda request, **_: asked.append(request))
    monkeypatch.setattr("napari_tem_rf.workflow.read_run", lambda run: run)
    train([np.zeros((7, 9))], [np.zeros((7, 9), int)], tmp_path / "run")
    (request,) = asked
    assert request.spec == FIRST_NETWORK
    assert request.plan == default_plan()
    assert request.start == SIMULATED
