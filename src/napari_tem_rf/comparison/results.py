"""What a comparison found of one contestant: scores an image, and costs; kept as JSON."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_tem_rf.comparison.plan import Contestant
from napari_tem_rf.figures.quantities import COSTS, QUANTITIES, SCORES
from napari_tem_rf.measuring.scores import Scores
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.records import check_fraction, check_words, read_json, record_of
from napari_tem_rf.runs import RunError
from napari_tem_rf.storage import write_text

if TYPE_CHECKING:
    import pandas as pd

__all__ = [
    "SCORES",
    "Costs",
    "ImageScores",
    "Result",
    "image_table",
    "network_table",
    "result_table",
]

RESULT = "result.json"


@dataclass(frozen=True, slots=True)
class ImageScores:
    """The scores of one held-out image."""

    image: str
    scores: Scores


@dataclass(frozen=True, slots=True)
class Costs:
    """What a contestant costs on the machine that measured it.

    Attributes
    ----------
    train_seconds : float
        Time of the training, or of fitting a baseline.
    predict_seconds_per_megapixel : float
        On the held-out images.
    predict_memory_mib : float
        Memory in MiB that a prediction takes beside the image: of a network one tile's feature
        maps, of a baseline all arrays for the first held-out image.
    device : str
        "cpu", "cuda" or "mps".
    """

    train_seconds: float
    predict_seconds_per_megapixel: float
    predict_memory_mib: float
    device: str = "cpu"


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant's scores on the held-out images, and its costs.

    A baseline that cannot be applied to the images is left out: it has no scores, and its ``note``
    says why.
    """

    contestant: Contestant
    images: tuple[ImageScores, ...]
    costs: Costs
    epochs: int | None = None
    best_epoch: int | None = None
    note: str = ""

    @property
    def left_out(self) -> bool:
        """Whether the baseline could not be applied."""
        return not self.images

    @property
    def is_baseline(self) -> bool:
        """Whether the contestant is a baseline and not a network."""
        return self.contestant.spec is None

    def mean(self, score: str = "dice") -> float:
        """Return the mean of a score over the images that have it; NaN where none has."""
        values = self.values(score)
        known = values[~np.isnan(values)]
        return float(known.mean()) if len(known) else float("nan")

    def values(self, score: str = "dice") -> Any:
        """Return a score of each image, shape (image,); NaN where an image has none."""
        found = [getattr(each.scores, score) for each in self.images]
        return np.array([np.nan if value is None else value for value in found], float)

    def write(self, folder: Path) -> None:
        """Write the result into the contestant's place in a comparison's folder."""
        text = json.dumps(asdict(self), indent=2, allow_nan=False)
        write_text(folder / self.contestant.folder / RESULT, text + "\n")


def read_result(folder: Path, contestant: Contestant, scored: Sequence[str]) -> Result | None:
    """Return what is known of a contestant; None where it is not done.

    Parameters
    ----------
    folder : Path
        The comparison's folder.
    contestant : Contestant
    scored : sequence of str
        Names of the images that it must have been scored on.

    Raises
    ------
    RunError
        When its file is damaged, or of another contestant.
    """
    path = folder / contestant.folder / RESULT
    if not path.is_file():
        return None
    try:
        result = record_of(Result, read_json(path))
        _check_result(result, contestant, scored)
    except ValueError as error:
        raise RunError(
            f'"{path}" is damaged ({error}): delete it to have {contestant.name} scored again'
        ) from error
    # networks that came later may have made the name longer
    return replace(result, contestant=contestant)


def _check_result(result: Result, contestant: Contestant, scored: Sequence[str]) -> None:
    for what in ("folder", "spec", "seed"):
        if getattr(result.contestant, what) != getattr(contestant, what):
            raise ValueError(f"contestant.{what} is not that of {contestant.folder}")
    if result.images and [each.image for each in result.images] != list(scored):
        raise ValueError("images: they are not those that the comparison scores")
    for each in result.images:
        for score, value in each.scores.to_dict().items():
            _check_score(score, value)
    for cost in COSTS:
        if not getattr(result.costs, cost) >= 0:
            raise ValueError(f"{cost} is {getattr(result.costs, cost)}: it must be 0 or more")
    check_words({"note": result.note}, "result", ("note",))


def _check_score(score: str, value: float | None) -> None:
    best = QUANTITIES[score].best
    if best == "high":
        check_fraction(value, score)
    elif value is not None and (value < 0 if best == "low" else value < -100):
        least = 0 if best == "low" else -100
        raise ValueError(f"{score} is {value}: it must be {least} or more")


def result_table(results: Sequence[Result]) -> "pd.DataFrame":
    """Return one row a network and seed, or a baseline.

    Scores are means over the held-out images, and ``<score>_sd_images`` their standard deviation
    (n - 1) over the images; baselines have no ``receptive_field`` and ``parameters`` (NaN).
    """
    import pandas as pd

    return pd.DataFrame([_row(result) for result in results])


def image_table(results: Sequence[Result]) -> "pd.DataFrame":
    """Return one row a network, seed and held-out image."""
    import pandas as pd

    return pd.DataFrame(
        [
            {**_identity(result), "image": each.image, **_plain(each.scores)}
            for result in results
            for each in result.images
        ]
    )


def network_table(results: Sequence[Result]) -> "pd.DataFrame":
    """Return one row a network or baseline: means over the seeds, and the spread.

    ``<score>_sd_seeds`` is the standard deviation (n - 1) of the seeds' means, and
    ``<score>_sd_images`` that of the images' means over the seeds; NaN where there is one only.
    """
    import pandas as pd

    rows = []
    for name in dict.fromkeys(result.contestant.name for result in results):
        same = [result for result in results if result.contestant.name == name]
        row: dict[str, Any] = {**_identity(same[0]), "seeds": len(same)}
        del row["seed"]
        for score in SCORES:
            values = np.stack([result.values(score) for result in same])  # (seed, image)
            row[score] = _mean([result.mean(score) for result in same])
            row[f"{score}_sd_seeds"] = _sd([result.mean(score) for result in same])
            row[f"{score}_sd_images"] = _sd([_mean(column) for column in values.T])
        spec = same[0].contestant.spec
        row["macs_per_pixel"] = np.nan if spec is None else spec.macs_per_pixel
        for cost in COSTS:
            row[cost] = _mean([getattr(result.costs, cost) for result in same])
        rows.append(row)
    return pd.DataFrame(rows)


def _identity(result: Result) -> dict[str, Any]:
    spec = result.contestant.spec
    return {
        "name": result.contestant.name,
        "receptive_field": np.nan if spec is None else float(nominal_receptive_field(spec)),
        "parameters": np.nan if spec is None else float(spec.parameters),
        "seed": result.contestant.seed,
    }


def _row(result: Result) -> dict[str, Any]:
    spec = result.contestant.spec
    row = _identity(result)
    row.update({score: result.mean(score) for score in SCORES})
    row.update({f"{score}_sd_images": _sd(result.values(score)) for score in SCORES})
    row["macs_per_pixel"] = np.nan if spec is None else spec.macs_per_pixel
    row.update({cost: getattr(result.costs, cost) for cost in COSTS})
    row["epochs"] = np.nan if result.epochs is None else float(result.epochs)
    row["best_epoch"] = np.nan if result.best_epoch is None else float(result.best_epoch)
    row["device"] = result.costs.device
    row["network"] = "" if spec is None else str(spec)
    row["folder"] = result.contestant.folder
    return row


def _plain(scores: Scores) -> dict[str, float]:
    values = {score: getattr(scores, score) for score in SCORES}
    return {score: np.nan if value is None else value for score, value in values.items()}


def _known(values: Any) -> Any:
    array = np.asarray(values, float)
    return array[~np.isnan(array)]


def _mean(values: Any) -> float:
    known = _known(values)
    return float(known.mean()) if len(known) else float("nan")


def _sd(values: Any) -> float:
    known = _known(values)
    return float(known.std(ddof=1)) if len(known) > 1 else float("nan")
