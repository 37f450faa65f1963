"""What the user prefers, from napari's Preferences: what a session begins with.

The manifest describes the settings and napari shows, checks and keeps them, in a file beside its
own. They hold for windows that open later; what is changed in the docks goes before them.
"""

from dataclasses import dataclass, fields
from typing import Literal

from napari.settings import get_plugin_settings

from napari_tem_rf.measuring.finishing import UNFINISHED, Finishing
from napari_tem_rf.protocol import Device

__all__ = ["AS_SUGGESTED", "Preferences", "preferences"]

PLUGIN = "napari-tem-rf"

Finished = Literal["as the run suggests", "not at all"]
AS_SUGGESTED: Finished = "as the run suggests"


@dataclass(frozen=True, slots=True)
class Preferences:
    """The settings under napari's Preferences; without them, these.

    Attributes
    ----------
    live : bool
        Whether a prediction follows the strokes from the beginning.
    autosave_seconds : int
        How long after a stroke the annotation is saved.
    device : {"auto", "cpu", "cuda", "mps"}
        Where to train.
    workers : int
        Number of worker processes on this machine; 0: as many as the engine takes by itself.
    finishing : {"as the run suggests", "not at all"}
        How predicted masks are finished.
    """

    live: bool = True
    autosave_seconds: int = 60
    device: Device = "auto"
    workers: int = 0
    finishing: Finished = AS_SUGGESTED

    @property
    def chosen_finishing(self) -> Finishing | None:
        """How masks are finished; None: as each run says."""
        return None if self.finishing == AS_SUGGESTED else UNFINISHED


def preferences() -> Preferences:
    """Return what the user prefers; the defaults where napari does not know the plugin."""
    try:
        kept = get_plugin_settings(PLUGIN)
    except KeyError:
        return Preferences()
    groups = [getattr(kept, name) for name in ("painting", "training", "masks")]
    found = {
        field.name: getattr(group, field.name)
        for field in fields(Preferences)
        for group in groups
        if hasattr(group, field.name)
    }
    return Preferences(**found)
