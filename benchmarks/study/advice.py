"""The table that the program's advice is read from."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from napari_tem_rf.measuring.contrast import STRONG_SIGMA, WEAK_SIGMA
from napari_tem_rf.measuring.study_findings import Level, Study, StudyFinding, Taught, What
from study.answers import LARGE, SMALL, effect_of, field_name, paired, to_pool, verdict
from study.effects import FEWEST_GROUPS, Effect
from study.networks import KEY, name_of
from study.tables import Found

LEVELS: dict[Level, tuple[float, float]] = {
    "phase": (0.0, WEAK_SIGMA),
    "between": (WEAK_SIGMA, STRONG_SIGMA),
    "amplitude": (STRONG_SIGMA, float("inf")),
}
FEW_STROKES = (8, 32)
"""What a person paints before the first training."""

Asked = tuple[dict[str, Any], dict[str, Any], str, str]
"""The one, the other, and how both are called."""


def _network(method: str, **how: Any) -> tuple[dict[str, Any], str]:
    kind = "a pre-trained network" if how else "a network"
    return {"method": method, **how}, f"{kind} of {field_name(method)}"


def _field(large: str, small: str) -> Asked:
    return (
        {"method": large},
        {"method": small},
        f"a field of {field_name(large)}",
        field_name(small),
    )


def _against(baseline: str, words: str, *networks: tuple[dict[str, Any], str]) -> list[Asked]:
    return [({"method": baseline}, what, words, name) for what, name in networks]


KEYS = [name_of(spec) for spec in KEY]
ASKED: dict[Taught, dict[What, list[Asked]]] = {
    "masks": {
        "field": [_field(LARGE, KEYS[0]), _field(SMALL, KEYS[0])],
        "forest": _against("forest", "a random forest", _network(LARGE), _network(SMALL)),
        "fourier": _against("fourier", "a Fourier filter", _network(LARGE), _network(SMALL)),
    },
    "strokes": {
        "field": [_field(LARGE, SMALL)],
        "forest": _against(
            "forest", "a random forest", _network(LARGE, start="simulated"), _network(LARGE)
        ),
    },
}
"""What is compared at each level: the first of which that level has anything."""

_WORDS = {"gains": "better", "loses": "worse", "as good": "as good", "not told": "not told"}


def study_table(found: Found) -> Study:
    """Return what the results say of each level of contrast."""
    rows, images = [], to_pool(found.images)
    for taught, asked in ASKED.items():
        amounts = (0,) if taught == "masks" else FEW_STROKES
        for level, (low, high) in LEVELS.items():
            inside = images[(images["contrast"] >= low) & (images["contrast"] < high)]
            for what, ways in asked.items():
                found_ways = ((way, _pairs(inside, way, amounts)) for way in ways)
                way, pairs = next(
                    (each for each in found_ways if len(each[1])), (ways[0], pd.DataFrame())
                )
                total = effect_of(pairs)
                if total.groups < 2:
                    continue
                rows.append(
                    StudyFinding(
                        level=level,
                        taught=taught,
                        what=what,
                        one=way[2],
                        other=way[3],
                        mean=round(total.mean, 4),
                        low=round(total.low, 4),
                        high=round(total.high, 4),
                        verdict=_verdict(total, pairs),  # type: ignore[arg-type]
                        exposures=total.groups,
                        trainings=total.trainings,
                        sets=tuple(sorted(set(pairs["set"]))),
                    )
                )
    trained = int(found.pieces["steps"].notna().sum())
    fitted = len(found.pieces) - trained
    source = (
        f"benchmarks/receptive_field_study.py, docs/receptive_field_study.md: {trained} trainings "
        f"and {fitted} fits"
    )
    return Study(source, tuple(rows))


def _pairs(images: pd.DataFrame, way: Asked, amounts: tuple[int, ...]) -> pd.DataFrame:
    return pd.concat(
        [paired(images, {**way[0], "strokes": n}, {**way[1], "strokes": n}) for n in amounts]
    )


def _verdict(total: Effect, pairs: pd.DataFrame) -> str:
    """Return what all sets together say, as long as none of them says the contrary."""
    if not total.is_sound:
        return "not told"
    told = verdict(total)
    contrary = {"gains": "loses", "loses": "gains"}.get(told)
    for _, own in pairs.groupby("set"):
        alone = effect_of(own)
        if alone.groups >= FEWEST_GROUPS and verdict(alone) == contrary:
            return "not told"
        if told == "as good" and alone.is_told and verdict(alone) != "as good":
            return "not told"
    return _WORDS[told]


def as_json(study: Study) -> str:
    """Return the table as the package has it."""
    return json.dumps(asdict(study), indent=1) + "\n"
