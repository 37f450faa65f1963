"""Exposures from the names of images, by a pattern that may be slow without end."""

import json
import subprocess
import sys
from collections.abc import Sequence

from napari_tem_rf.micrographs.annotation import group_of

__all__ = ["groups_of"]

LONGEST_SECONDS = 10.0

_TRIAL = "import json, re, sys; pattern, names = json.load(sys.stdin)\n"
_TRIAL += "for name in names: re.search(pattern, name)"


def groups_of(names: Sequence[str], pattern: str | None) -> dict[str, str]:
    """Return the group of each image, by its name; see `group_of`.

    A pattern such as ``(a+)+$`` takes longer than anybody lives, and nothing stops the search from
    inside: it is tried in a process of its own first.

    Raises
    ------
    ValueError
        When the pattern is not a regular expression, does not match a name, or is too slow.
    """
    if pattern is not None:
        try:
            subprocess.run(
                [sys.executable, "-I", "-c", _TRIAL],
                input=json.dumps([pattern, list(names)]).encode(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=LONGEST_SECONDS,
                check=False,  # what is wrong with the pattern is said below
            )
        except subprocess.TimeoutExpired:
            raise ValueError(
                f"the grouping pattern {pattern!r} takes more than {LONGEST_SECONDS:g} s for "
                f'{len(names)} names such as "{names[0]}": write one without repeats inside '
                "repeats, like ([^_]+)_"
            ) from None
    return {name: group_of(name, pattern) for name in names}
