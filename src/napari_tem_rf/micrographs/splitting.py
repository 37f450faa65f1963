"""Training and validation set without leakage: by groups, or by blocks inside the images."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_tem_rf.micrographs.annotation import NOT_ANNOTATED, TrainingSet


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Training and validation set, and how they were made.

    Attributes
    ----------
    training, validation : TrainingSet
        They share no group; inside one image they share no pixel within the gap.
    kind : {"groups", "blocks", "none"}
        What was held out.
    held_out : tuple of str
        Names of the groups, or of the blocks, that are held out.
    sentence : str
        The split in words.
    """

    training: TrainingSet
    validation: TrainingSet
    kind: str
    held_out: tuple[str, ...]
    sentence: str


JUDGING_BLOCK_PX = 48
"""Side of the blocks by which strokes are held out while they are still being painted."""


def in_judging_block(rows: NDArray[np.integer], columns: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Return whether pixels lie in the quarter of an image that judges and does not teach.

    The blocks depend on nothing but their place, so that strokes that are added later leave earlier
    ones on their side.
    """
    across, down = columns // JUDGING_BLOCK_PX, rows // JUDGING_BLOCK_PX
    held_out: NDArray[np.bool_] = (2 * down + across) % 4 == 0
    return held_out


FEWEST_GROUPS = 3
"""With this many groups or more, whole groups are held out; with fewer, blocks of the images."""


def split(data: TrainingSet, fraction: float, gap_px: int, seed: int) -> Split:
    """Hold a part of the annotations out for validation, without leakage.

    With three groups or more, whole groups are held out. With fewer, a block of each image is,
    and training labels nearer to it than the gap are left out, so that no training pixel sees a
    held-out one within its field. Images without an annotated pixel are left out.

    Parameters
    ----------
    data : TrainingSet
        What to split.
    fraction : float
        Part of the groups, or of the annotated pixels, to hold out; 0 for none.
    gap_px : int
        Gap in px between training and validation pixels of one image: how far the network sees.
    seed : int
        Seed of the draw of groups.
    """
    data = _annotated(data)
    if fraction <= 0:
        return _unsplit(data, "nothing is held out, as asked for")
    groups = sorted({image.group for image in data.images})
    if len(groups) >= FEWEST_GROUPS:
        return _split_groups(data, groups, fraction, seed)
    return _split_blocks(data, fraction, gap_px)


def _unsplit(data: TrainingSet, why: str) -> Split:
    return Split(data, replace(data, images=()), "none", (), why)


def _split_groups(data: TrainingSet, groups: list[str], fraction: float, seed: int) -> Split:
    number = min(max(1, round(fraction * len(groups))), len(groups) - 1)
    rng = np.random.default_rng([seed, len(groups)])
    fallback: Split | None = None
    for _ in range(50):
        held = tuple(sorted(rng.choice(groups, number, replace=False).tolist()))
        training, validation = (
            replace(data, images=tuple(i for i in data.images if (i.group in held) is inside))
            for inside in (False, True)
        )
        sentence = f"{number} of {len(groups)} groups held out: {_shortened(held)}"
        drawn = Split(training, validation, "groups", held, sentence)
        if not all(training.counts()):
            continue
        if all(validation.counts()):
            return drawn
        if fallback is None and np.count_nonzero(validation.counts()) > 1:
            fallback = drawn
    if fallback is not None:
        return fallback
    return _unsplit(
        data,
        f"nothing is held out: for a score, paint every class in more of the {len(groups)} images "
        "or series, so that it is still learned when one of them is kept for the score",
    )


def _shortened(names: tuple[str, ...], most: int = 4, separator: str = ", ") -> str:
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return separator.join(names[:most]) + rest


def _annotated(data: TrainingSet) -> TrainingSet:
    """Return the set without the images that have no annotated pixel."""
    return replace(data, images=tuple(i for i in data.images if (i.labels >= 0).any()))


def _split_blocks(data: TrainingSet, fraction: float, gap_px: int) -> Split:
    # Frames of one exposure may show the same place: they lose the same block.
    labels: dict[tuple[str, tuple[int, ...]], list[NDArray[np.int16]]] = {}
    for image in data.images:
        labels.setdefault((image.group, image.labels.shape), []).append(image.labels)
    classes = data.learned
    blocks = {key: _best_block(each, classes, fraction, gap_px) for key, each in labels.items()}
    training, validation, names = [], [], []
    for image in data.images:
        block = blocks[image.group, image.labels.shape]
        if block is None:
            training.append(image)
            continue
        rows, columns = block
        names.append(
            f"{image.name} rows {rows.start} to {rows.stop - 1}, "
            f"columns {columns.start} to {columns.stop - 1}"
        )
        training.append(replace(image, labels=_outside(image.labels, block, gap_px)))
        validation.append(replace(image, labels=_inside(image.labels, block)))
    if not validation:
        return _unsplit(
            data,
            f"nothing is held out: for a score, {_what_to_paint(data, gap_px)}",
        )
    # what was left out of a mask makes no strokes of it
    whole = replace(data, of_strokes=data.is_sparse)
    return Split(
        _annotated(replace(whole, images=tuple(training))),
        _annotated(replace(whole, images=tuple(validation))),
        "blocks",
        tuple(names),
        f"a block of each image held out, {gap_px} px away from the training: "
        f"{_shortened(tuple(names), separator='; ')}",
    )


def _what_to_paint(data: TrainingSet, gap_px: int) -> str:
    """Return what to paint so that blocks can be held out, as a part of a sentence."""
    more = f"paint every class in {'three' if len(data.images) < FEWEST_GROUPS else 'more'} images"
    longest = max((max(image.labels.shape) for image in data.images), default=0)
    if longest <= 2 * gap_px:  # there are no such two places
        return more
    return (
        f"paint every class at two places of the image that are {max(gap_px, 1)} px or more from "
        f"each other, or {more}"
    )


Block = tuple[slice, slice]


def _inside(labels: NDArray[np.int16], block: Block) -> NDArray[np.int16]:
    inside = np.full_like(labels, NOT_ANNOTATED)
    inside[block] = labels[block]
    return inside


def _outside(labels: NDArray[np.int16], block: Block, gap_px: int) -> NDArray[np.int16]:
    outside = labels.copy()
    outside[_near(block, gap_px)] = NOT_ANNOTATED
    return outside


def _near(block: Block, gap_px: int) -> Block:
    rows, columns = (slice(max(0, side.start - gap_px), side.stop + gap_px) for side in block)
    return rows, columns


def _best_block(
    labels: list[NDArray[np.int16]], classes: int, fraction: float, gap_px: int
) -> Block | None:
    """Return the strip or corner that costs the training least, with all classes on both sides.

    All labels are of one shape, and lose the same block.
    """

    def counts(part: Block) -> NDArray[np.int64]:
        """Return the annotated pixels of each class in a part, shape (class,)."""
        inside = (each[part].ravel() for each in labels)
        # the first bin holds what is not annotated
        return np.sum([np.bincount(p + 1, minlength=classes + 1)[1:] for p in inside], axis=0)

    everywhere = counts((slice(None), slice(None)))
    total = int(everywhere.sum())
    best, most_kept = None, total // 3  # a gap that eats two thirds costs more than it tells
    for block in _blocks(labels[0].shape, fraction):
        held = counts(block)
        if not 0.25 * fraction * total <= held.sum() <= 3 * fraction * total:
            continue
        kept = everywhere - counts(_near(block, gap_px))
        if not (held.all() and kept.all()):
            continue
        number = int(kept.sum())
        if number > most_kept:
            best, most_kept = block, number
    return best


def _blocks(shape: tuple[int, ...], fraction: float) -> list[Block]:
    """Return strips along the four sides, of several widths, and the four corners."""
    blocks: list[Block] = []
    rows, columns = shape
    for share in (fraction, 1.5 * fraction, 2 * fraction):
        r, c = max(1, int(rows * share)), max(1, int(columns * share))
        whole_rows, whole_columns = slice(0, rows), slice(0, columns)
        blocks += [
            (slice(0, r), whole_columns),
            (slice(rows - r, rows), whole_columns),
            (whole_rows, slice(0, c)),
            (whole_rows, slice(columns - c, columns)),
        ]
        r, c = (min(n, max(1, int(n * share**0.5))) for n in shape)
        blocks += [
            (row, column)
            for row in (slice(0, r), slice(rows - r, rows))
            for column in (slice(0, c), slice(columns - c, columns))
        ]
    return blocks
