"""What a comparison tells of a network: each column's name, title, unit and explanation, once.

Axes, the report's tables and the window's all take their words from here.
"""

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "COSTS",
    "INNER_SCORES",
    "QUANTITIES",
    "SCORES",
    "Quantity",
    "margin",
    "merit",
    "words_for",
]


@dataclass(frozen=True, slots=True)
class Quantity:
    """A column of a comparison's tables.

    Attributes
    ----------
    name : str
        The column in the tables.
    title : str
        Its name in a sentence or on an axis.
    unit : str
        Empty for what has none.
    explanation : str
        A line on what it means.
    decimals : int
        How many are worth showing.
    best : {"high", "low", "zero"}
        Of a score: which values are good ones.
    """

    name: str
    title: str
    unit: str
    explanation: str
    decimals: int
    best: Literal["high", "low", "zero"] = "high"

    @property
    def is_signed(self) -> bool:
        """Whether values lie on both sides of the best, 0."""
        return self.best == "zero"

    @property
    def words(self) -> str:
        """Title and unit, for an axis or the head of a column."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


_OBJECT_F1 = Quantity("object_f1", "object F1", "", "Particles found, at an IoU of 0.5", 3)
_OF_PIXELS = (
    Quantity("dice", "Dice", "", "Twice the pixels in common over the pixels of both masks", 3),
    Quantity("iou", "IoU", "", "Intersection over union of the particles' pixels", 3),
    Quantity("precision", "precision", "", "Share of the found pixels that are particle", 3),
    Quantity("recall", "recall", "", "Share of the particle pixels that are found", 3),
    _OBJECT_F1,
    Quantity(
        "boundary_error_nm", "boundary error", "nm", "Mean distance of the contours", 3, "low"
    ),
    Quantity(
        "boundary_error_px", "boundary error", "px", "Mean distance of the contours", 2, "low"
    ),
)
_OF_PARTICLES = (
    Quantity("object_f1_75", "object F1 at 0.75", "", "Particles found, at an IoU of 0.75", 3),
    Quantity("ap_50", "AP at 0.5", "", "Matched over matched, missed and wrong, IoU 0.5", 3),
    Quantity("ap_75", "AP at 0.75", "", "Matched over matched, missed and wrong, IoU 0.75", 3),
    Quantity("panoptic_quality", "panoptic quality", "", "Object F1 times the mean IoU matched", 3),
    Quantity("count_error_percent", "count error", "%", "Above 0: too many particles", 1, "zero"),
    Quantity(
        "diameter_bias_percent", "diameter bias", "%", "Of the mean; above 0: too large", 1, "zero"
    ),
)
_INNER = tuple(
    replace(
        each,
        name=f"{each.name}_inner",
        title=f"{each.title}, inner",
        explanation=f"{each.explanation}; without particles at the border",
    )
    for each in (_OBJECT_F1, *_OF_PARTICLES)
)
_COSTS = (
    Quantity("train_seconds", "training time", "s", "Of one training, or of fitting", 1),
    Quantity("predict_seconds_per_megapixel", "prediction time", "s/Mpx", "For 1000 × 1000 px", 2),
    Quantity("predict_memory_mib", "memory", "MiB", "Of a tile's feature maps, or all arrays", 0),
)
_NETWORK = (
    Quantity("name", "network", "", "Its pools and first filters, or the baseline", 0),
    Quantity("receptive_field", "receptive field", "px", "The nominal one", 0),
    Quantity("field_nm", "receptive field", "nm", "The nominal one", 2),
    Quantity("parameters", "parameters", "", "Trainable parameters, the network's complexity", 0),
    Quantity("macs_per_pixel", "multiply-adds", "per px", "Of all convolutions", 0),
    Quantity("seeds", "seeds", "", "Trainings that are done", 0),
)

_SCORES = (*_OF_PIXELS, *_OF_PARTICLES, *_INNER)

QUANTITIES = {quantity.name: quantity for quantity in (*_NETWORK, *_SCORES, *_COSTS)}
"""All of them by column."""

SCORES = tuple(quantity.name for quantity in _SCORES)
"""How well a network does."""

INNER_SCORES = tuple(quantity.name for quantity in _INNER)
"""Those of them that leave out particles at the border."""

COSTS = tuple(quantity.name for quantity in _COSTS)
"""What it takes on the machine that measured it."""


def merit(score: str, values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return how good values of a score are: more is better, whichever way the score runs.

    Of a signed score it is the distance from 0 that counts, value by value.
    """
    best = QUANTITIES[score].best
    return values if best == "high" else -np.abs(values)


def margin(score: str, value: float) -> float:
    """Return the difference of a score from which it matters, near a value.

    A hundredth of what runs from 0 to 1, one percent of what is in percent, and of a length a
    twentieth.
    """
    quantity = QUANTITIES[score]
    if quantity.best == "low":
        return 0.05 * abs(value)
    return 1.0 if quantity.unit == "%" else 0.01


def words_for(column: str) -> str:
    """Return title and unit of a column; the column's own name where it is none of these."""
    quantity = QUANTITIES.get(column)
    return column.replace("_", " ") if quantity is None else quantity.words
