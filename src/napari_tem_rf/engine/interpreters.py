"""Child interpreters that run nobody else's code.

Python puts the current folder first on its path for ``-m`` and ``-c``, also in children. The
current folder is where the images are, perhaps from somebody else: a file ``json.py`` there must
not run.
"""

import os
import sys
from pathlib import Path

__all__ = ["SCRATCH", "command", "environment"]

SCRATCH = "napari-tem-rf-engine-"
"""What the names of their scratch folders begin with: they remove no other folder."""


def command(module: str, *arguments: str) -> list[str]:
    """Return the command that runs a module in a new interpreter, never from the current folder."""
    return [sys.executable, "-P", "-m", module, *arguments]


def environment(**variables: str) -> dict[str, str]:
    """Return the environment of a child that can import what this process can.

    Parameters
    ----------
    **variables : str
        Set unless the user has set them.
    """
    return {
        **variables,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(_search_path()),
        # for interpreters that the child starts
        "PYTHONSAFEPATH": "1",
    }


def _search_path() -> list[str]:
    """Return this process's path; the current folder last, so that nothing there hides a library.

    It is on the path at all where the user wrote ``python -m`` or runs a script that lies there.
    """
    try:
        here: Path | None = Path.cwd()
    except OSError:  # it was removed in the meantime
        here = None
    named = {Path(entry) for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if entry}
    entries = [entry for entry in sys.path if os.path.isabs(entry)]
    return sorted(entries, key=lambda entry: Path(entry) == here and here not in named)
