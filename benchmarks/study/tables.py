"""What was found, as tables: one row an image and piece, one a piece, one a point of a curve."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from study.pieces import Piece
from study.working import FIRST_STEPS

FEWEST_TRUTH = 0.001
"""Images of which a smaller part is particles are scored in no mean: Dice jumps from 0 to 1."""
KEYS = ["set", "method", "split", "seed", "strokes", "start", "scale"]
SCORES = ["dice", "object_f1", "panoptic_quality", "count_error_percent", "diameter_bias_percent"]
PER_IMAGE = ["image", "group", "contrast", *SCORES]
MEGAPIXELS = (10, 20, 40, 80, 160, 320, 400)
"""What a training has seen where its curve is tabled; the whole curves stay with the pieces."""
PER_PIECE = [
    *("steps", "megapixels", "kept_step", "ended_by", "grey_levels", "nominal_px"),
    *("w50_px", "w95_px", "cpu_seconds", "note"),
]


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """All that was found.

    Attributes
    ----------
    images : DataFrame
        A row a piece and scored image.
    pieces : DataFrame
        A row a piece.
    curves : DataFrame
        A row a training and number of megapixels seen: held-out loss and Dice of the epoch that
        would be kept by then.
    published : DataFrame
        A row a published network, set, way (as it is, resampled) and image.
    fields : DataFrame
        A row a published network.
    finished : DataFrame
        A row a piece and scored image, of the mask as the program finishes it.
    """

    images: pd.DataFrame
    pieces: pd.DataFrame
    curves: pd.DataFrame
    published: pd.DataFrame
    fields: pd.DataFrame
    finished: pd.DataFrame


NAMES = ("images", "pieces", "curves", "published", "fields", "finished")


def gather(out: Path) -> Found:
    """Read the files of the pieces that are done."""
    images, pieces, curves = [], [], []
    for path in sorted((out / "pieces").glob("*.json")):
        row = json.loads(path.read_text())
        about = {key: row[key] for key in KEYS}
        pieces.append({**about, **{name: row.get(name) for name in PER_PIECE}})
        curves += [{**about, **point} for point in _points(row)]
        images += _per_image(row)
    finished = []
    for path in sorted((out / "finished").glob("*.json")):
        finished += _per_image(json.loads(path.read_text()))
    published, fields = [], []
    for path in sorted((out / "published_scores").glob("*.json")):
        row = json.loads(path.read_text())
        about = {name: row[name] for name in ("network", "set", "pixel_nm")}
        for way in ("as_is", "resampled"):
            for image in row[way]:
                published.append(
                    {
                        **about,
                        "way": way,
                        "image": image["name"],
                        "group": image["group"],
                        **{n: image[n] for n in ("dice", "dice_the_other_way", "object_f1")},
                    }
                )
    for path in sorted((out / "published_fields").glob("*.json")):
        fields.append(json.loads(path.read_text()))
    return Found(
        pd.DataFrame(images, columns=[*KEYS, *PER_IMAGE]),
        pd.DataFrame(pieces, columns=[*KEYS, *PER_PIECE]),
        pd.DataFrame(curves),
        pd.DataFrame(published),
        pd.DataFrame(fields),
        pd.DataFrame(finished, columns=[*KEYS, *PER_IMAGE]),
    )


def _per_image(row: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a piece's images, but those that are scored in no mean."""
    about = {key: row[key] for key in KEYS}
    return [
        {**about, "image": image["name"], **{name: image[name] for name in PER_IMAGE[1:]}}
        for image in row["images"]
        if "dice" in image and image["truth"] >= FEWEST_TRUTH
    ]


def _points(row: dict[str, Any]) -> list[dict[str, float]]:
    """Return what would be kept by some numbers of megapixels, up to the end of the training."""
    curve = [point for point in row.get("curve", ()) if point[2] is not None]
    if not curve:
        return []
    per_step = row["megapixels"] / row["steps"]
    points = []
    for megapixels in MEGAPIXELS:
        seen = [point for point in curve if point[0] * per_step <= megapixels]
        if seen:
            # what is kept comes from after the first steps
            late = [point for point in seen if point[0] > FIRST_STEPS]
            best = min(late or seen[-1:], key=lambda point: point[2])
            points.append(
                {
                    "megapixels": megapixels,
                    "held_out_loss": best[2],
                    "held_out_dice": best[3],
                    "is_over": float(seen[-1][0] >= row["steps"]),
                }
            )
    return points


def write_tables(found: Found, folder: Path) -> None:
    """Write the tables as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in NAMES:
        table: pd.DataFrame = getattr(found, name)
        table.to_csv(folder / f"{name}.csv", index=False, float_format="%.5g")


def read_tables(folder: Path) -> Found:
    """Read what `write_tables` wrote."""
    read = []
    for name in NAMES:
        try:
            read.append(pd.read_csv(folder / f"{name}.csv"))
        except (FileNotFoundError, pd.errors.EmptyDataError):
            read.append(pd.DataFrame())
    return Found(*read)


IDENTITY = {
    "images": KEYS,
    "pieces": KEYS,
    "curves": KEYS,
    "published": ["network", "set"],
    "fields": ["network"],
    "finished": KEYS,
}
"""What tells the pieces of each table apart."""


def merged(old: Found, new: Found) -> Found:
    """Return old results with new ones; of a piece that both have, the new ones."""
    parts = []
    for name in NAMES:
        before, now = getattr(old, name), getattr(new, name)
        if before.empty or now.empty:
            parts.append(now if before.empty else before)
            continue
        keys = IDENTITY[name]
        again = pd.MultiIndex.from_frame(before[keys]).isin(pd.MultiIndex.from_frame(now[keys]))
        parts.append(pd.concat([before[~again], now], ignore_index=True))
    return Found(*parts)


def done_in(found: Found) -> frozenset[str]:
    """Return the names of the pieces that tables hold."""
    return _names(found.pieces)


def finished_in(found: Found) -> frozenset[str]:
    """Return the names of the pieces of which tables hold the finished masks."""
    return _names(found.finished)


def _names(table: pd.DataFrame) -> frozenset[str]:
    if table.empty:
        return frozenset()
    return frozenset(
        Piece(
            str(row.set), str(row.method), int(row.split), int(row.seed), int(row.strokes),
            str(row.start), float(row.scale),
        ).name
        for row in table[KEYS].drop_duplicates().itertuples()
    )  # fmt: skip
