"""How an image's pixel size compares with that of a run, and what makes up for it."""

import math
from collections.abc import Sequence

from napari_tem_rf.measuring.finishing import Finishing
from napari_tem_rf.micrographs.resampling import LARGEST_RATIO, Resampling
from napari_tem_rf.networks.receptive_field import nominal_receptive_field
from napari_tem_rf.runs import RunRecord

__all__ = [
    "SIZE_TOLERANCE",
    "finishing_for",
    "resampling_for",
    "size_difference",
    "size_note",
    "size_sentence",
    "why_not_resampled",
    "wished_resampling",
]

SIZE_TOLERANCE = 0.05
"""Relative difference from which the user is told that pixel sizes differ from the training."""

MOST_PIXELS = 2**28
"""An image is not resampled to more pixels unless that is asked for."""


def size_difference(
    record: RunRecord, pixel_size_nm: tuple[float, float] | None
) -> Resampling | None:
    """Return the pixel sizes of an image and of the training images, where they differ.

    None where they agree within 5 % along both axes, or where one is not known. Of training images
    of several sizes the nearest counts, and all sizes between them are known to the network.
    """
    trained = [entry.pixel_size_nm for entry in record.data if entry.pixel_size_nm is not None]
    if not trained and record.pixel_size_nm is not None:
        trained = [record.pixel_size_nm]
    if pixel_size_nm is None or not trained:
        return None
    side = _side(pixel_size_nm)
    known = [_side(size) for size in trained]
    nearest = min(trained, key=lambda size: abs(math.log(side / _side(size))))
    wanted = min(max(side, min(known)), max(known)) / _side(nearest)
    # to the last digit what was trained at, where no size between two is wanted
    target = nearest if math.isclose(wanted, 1) else (nearest[0] * wanted, nearest[1] * wanted)
    found = Resampling(
        (float(pixel_size_nm[0]), float(pixel_size_nm[1])), (float(target[0]), float(target[1]))
    )
    if all(abs(ratio - 1) <= SIZE_TOLERANCE for ratio in found.ratios):
        return None
    return found


def resampling_for(
    record: RunRecord, pixel_size_nm: tuple[float, float] | None
) -> Resampling | None:
    """Return the resampling that shows an image to a network at its own pixel size.

    None where the image has it already, or where one of the sizes is not known.

    Raises
    ------
    ValueError
        Where the image's pixels are more than `LARGEST_RATIO` times as large.
    """
    found = size_difference(record, pixel_size_nm)
    if found is not None and max(found.ratios) > LARGEST_RATIO:
        raise ValueError(
            f"the image has {_text(found.image_nm)} and the network was trained at "
            f"{_text(found.network_nm)}: pixels more than {LARGEST_RATIO:g} times as large hold "
            "nothing to resample from; predict without resampling, or train on such images"
        )
    return found


def why_not_resampled(record: RunRecord, found: Resampling, shape: Sequence[int]) -> str:
    """Return why an image is not resampled unless that is asked for; empty where it is.

    Parameters
    ----------
    record : RunRecord
        The run that predicts.
    found : Resampling
        How it would be.
    shape : sequence of int
        (row, column) shape of the image.
    """
    if max(found.ratios) > LARGEST_RATIO:
        return f"pixels more than {LARGEST_RATIO:g} times as large hold nothing to resample from"
    rows, columns = found.shape(shape, record.cleaning.binning)
    if rows * columns > MOST_PIXELS:
        return f"at the network's pixel size it would have {rows:,} x {columns:,} px"
    if record.spec is None or min(found.ratios) >= 1:
        return ""
    field = nominal_receptive_field(record.spec)
    if min(rows, columns) < field <= min(shape[0], shape[1]):
        return (
            f"at the network's pixel size it would be {rows} x {columns} px, less than the "
            f"receptive field of {field} px"
        )
    return ""


def wished_resampling(
    record: RunRecord,
    pixel_size_nm: tuple[float, float] | None,
    shape: Sequence[int],
    wish: bool | None = None,
) -> Resampling | None:
    """Return how an image is shown to a network: at the network's own pixel size where it can be.

    Parameters
    ----------
    record : RunRecord
        The run that predicts.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of the image.
    shape : sequence of int
        (row, column) shape of the image.
    wish : bool, optional
        True: in any case; False: as it is. When not given, where sizes differ, unless
        `why_not_resampled` speaks against it.

    Raises
    ------
    ValueError
        Where it was asked for and cannot be.
    """
    if wish is False:
        return None
    if wish:
        return resampling_for(record, pixel_size_nm)
    found = size_difference(record, pixel_size_nm)
    return None if found is None or why_not_resampled(record, found, shape) else found


def size_sentence(
    record: RunRecord,
    pixel_size_nm: tuple[float, float] | None,
    shape: Sequence[int],
    wish: bool | None = None,
) -> str | None:
    """Return how an image's pixels differ from those trained on, and what follows; None if hardly.

    Parameters are those of `wished_resampling`.
    """
    note, found = size_note(record, pixel_size_nm), size_difference(record, pixel_size_nm)
    if note is None or found is None:
        return None
    if wished_resampling(record, pixel_size_nm, shape, wish) is not None:
        return f"{note}: resampled for the prediction; the mask has the image's own pixels"
    why = "" if wish is False else why_not_resampled(record, found, shape)
    why = f" ({why})" if why else ""
    return f"{note}: it is predicted as it is{why}, and what the network learned may not hold"


def finishing_for(
    record: RunRecord,
    pixel_size_nm: tuple[float, float] | None,
    finishing: Finishing | None = None,
) -> Finishing:
    """Return how the mask of an image is finished, lengths in px of that image.

    Parameters
    ----------
    record : RunRecord
        The run that predicts.
    pixel_size_nm : tuple of float, optional
        (row, column) size of a pixel of the image. Where it differs from that of the training
        images, lengths are the same in nm.
    finishing : Finishing, optional
        With lengths in px of the training images; the run's own when not given.
    """
    finishing = record.finishing if finishing is None else finishing
    sizes = size_difference(record, pixel_size_nm)
    if sizes is None:
        return finishing
    return finishing.scaled(_side(sizes.network_nm) / _side(sizes.image_nm))


def size_note(record: RunRecord, pixel_size_nm: tuple[float, float] | None) -> str | None:
    """Return how an image's pixels differ from those trained on, as a sentence; None if hardly."""
    found = size_difference(record, pixel_size_nm)
    if found is None:
        return None
    rows, columns = found.ratios
    times = f"{rows:.2f}"
    if abs(rows / columns - 1) > 0.01:
        times = f"{rows:.2f} (rows) and {columns:.2f} (columns)"
    return (
        f"its pixels are {times} times as large as those trained on ({_text(found.image_nm)}, "
        f"the network {_text(found.network_nm)})"
    )


def _text(size_nm: tuple[float, float]) -> str:
    rows, columns = (f"{side:.4g}" for side in size_nm)
    return f"{rows} nm/px" if rows == columns else f"{rows} x {columns} nm/px"


def _side(size_nm: tuple[float, float]) -> float:
    return math.sqrt(size_nm[0] * size_nm[1])
