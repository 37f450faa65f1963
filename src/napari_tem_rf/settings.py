"""What lasts between sessions: where runs are kept, where work runs, what is not asked again.

A small JSON file in the user's configuration folder, or at the path in ``TEM_RF_CONFIG``. Nothing
in it is needed: without it, or where it cannot be read, the defaults hold.
"""

import json
import os
import re
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeGuard

from platformdirs import user_config_path

from napari_tem_rf.engine import ADDRESS_VARIABLE
from napari_tem_rf.records import LONGEST_TEXT, RecordError, read_json
from napari_tem_rf.storage import write_text

__all__ = ["Settings", "address_trouble", "read_settings", "remember", "settings_file"]

CONFIG_VARIABLE = "TEM_RF_CONFIG"

LARGEST_BYTES = 2**20

_ADDRESS = re.compile(r"(tcp|tls|ws|wss)://[^\s/:]+(:[^\s/:]+)*:\d{1,5}")


@dataclass(frozen=True, slots=True)
class Settings:
    """The settings of a user.

    Attributes
    ----------
    runs_folder : str
        Folder in which runs are kept; empty: ``napari-tem-rf`` in the home folder.
    scheduler : str
        Address of the Dask scheduler that work goes to; empty: this machine.
    declined_endings : str
        Endings of files, separated by commas, that other readers are to open without a question.
    tour : str
        "seen" once the tour of the window was taken or declined.
    """

    runs_folder: str = ""
    scheduler: str = ""
    declined_endings: str = ""
    tour: str = ""

    @property
    def runs_path(self) -> Path:
        """The folder in which runs are kept."""
        return Path(self.runs_folder) if self.runs_folder else Path.home() / "napari-tem-rf"

    @property
    def address(self) -> str:
        """Where work goes: ``TEM_RF_SCHEDULER``, set for a session, goes before the settings."""
        return os.environ.get(ADDRESS_VARIABLE) or self.scheduler


def settings_file() -> Path:
    """Return the path of the settings; it need not exist."""
    named = os.environ.get(CONFIG_VARIABLE)
    return Path(named) if named else user_config_path("napari-tem-rf", False) / "settings.json"


def read_settings() -> Settings:
    """Return what is remembered; the defaults for whatever is missing or damaged."""
    values = _read()
    known = {name: values.get(name) for name in asdict(Settings())}
    return Settings(**{name: value for name, value in known.items() if _is_text(value)})


def remember(**changes: str) -> Settings:
    """Change settings and keep them for the next session; returns all of them.

    Raises
    ------
    StorageError
        When they cannot be written; nothing is changed then.
    """
    settings = replace(read_settings(), **changes)
    # what a newer version wrote there stays
    write_text(settings_file(), json.dumps({**_read(), **asdict(settings)}, indent=2) + "\n")
    return settings


def address_trouble(address: str) -> str:
    """Return why a text cannot be the address of a scheduler, in a sentence; empty if it can."""
    if not address or _ADDRESS.fullmatch(address):
        return ""
    return (
        f'"{address}" is not the address of a Dask scheduler: write it as it is printed when the '
        "scheduler starts, like tcp://10.0.0.7:8786, or leave it empty to work on this machine"
    )


def _read() -> dict[str, Any]:
    try:
        values = read_json(settings_file(), LARGEST_BYTES)
    except RecordError:
        return {}
    return values if isinstance(values, dict) else {}


def _is_text(value: Any) -> TypeGuard[str]:
    """Return whether a value can be a path or an address: a text of bounded length."""
    return isinstance(value, str) and len(value) <= LONGEST_TEXT and value.isprintable()
