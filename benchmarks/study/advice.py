"""The table that the program's advice is read from."""

import json
from dataclasses import asdict
from typing import Any

import pandas as pd

from napari_tem_rf.measuring.contrast import STRONG_SIGMA, WEAK_SIGMA
from napari_tem_rf.measuring.study_findings import Level, Study, StudyFinding, Taught
from study.answers import LARGE, SMALL, effect_of, field_name, paired, verdict
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

SMALLEST = name_of(KEY[0])
ASKED: dict[Taught, dict[str, tuple[dict[str, Any], dict[str, Any], str, str]]] = {
    "masks": {
        "field": (
            {"method": LARGE},
            {"method": SMALLEST},
            f"a field of {field_name(LARGE)}",
            field_name(SMALLEST),
        ),
        "forest": ({"method": "forest"}, {"method": LARGE}, "a random forest", "a network"),
        "fourier": ({"method": "fourier"}, {"method": LARGE}, "a Fourier filter", "a network"),
    },
    "strokes": {
        "field": (
            {"method": LARGE},
            {"method": SMALL},
            f"a field of {field_name(LARGE)}",
            field_name(SMALL),
        ),
        "forest": (
            {"method": "forest"},
            {"method": LARGE, "start": "simulated"},
            "a random forest",
            "a pre-trained network",
        ),
    },
}
"""What is compared, and how it is called: a larger field, and what learns in one go."""

_WORDS = {"gains": "better", "loses": "worse", "as good": "as good", "not told": "not told"}


def study_table(found: Found) -> Study:
    """Return what the results say of each level of contrast."""
    rows = []
    for taught, asked in ASKED.items():
        amounts = (0,) if taught == "masks" else FEW_STROKES
        for level, (low, high) in LEVELS.items():
            contrast = found.images["contrast"]
            inside = found.images[(contrast >= low) & (contrast < high)]
            for what, (one, other, name, other_name) in asked.items():
                pairs = pd.concat(
                    [
                        paired(inside, {**one, "strokes": n}, {**other, "strokes": n})
                        for n in amounts
                    ]
                )
                total = effect_of(pairs)
                if total.groups < 2:
                    continue
                rows.append(
                    StudyFinding(
                        level=level,
                        taught=taught,
                        what=what,  # type: ignore[arg-type]
                        one=name,
                        other=other_name,
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


def _verdict(total: Effect, pairs: pd.DataFrame) -> str:
    """Return what all sets together say, as long as none of them says the contrary."""
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
