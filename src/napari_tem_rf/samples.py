"""The sample micrographs: simulated gold on carbon with true masks and a few strokes."""

from pathlib import Path

_PLACES = (
    Path(__file__).parent / "sample_data",  # in an installed wheel
    Path(__file__).parents[2] / "sample_data",  # in a clone
)


def sample_sets() -> tuple[str, ...]:
    """Return the names of the sample sets: each holds ``images``, ``labels`` and ``strokes``."""
    return "high_resolution", "low_magnification"


def sample_folder(name: str) -> Path:
    """Return the folder of a sample set.

    Raises
    ------
    ValueError
        When there is no such set.
    FileNotFoundError
        When the files did not come along.
    """
    if name not in sample_sets():
        raise ValueError(f'there is no sample set "{name}": choose {" or ".join(sample_sets())}')
    for place in _PLACES:
        if (place / name / "images").is_dir():
            return place / name
    raise FileNotFoundError(
        f'the sample set "{name}" is not at {_PLACES[0] / name}: install the package again, '
        "or run it from a clone"
    )
