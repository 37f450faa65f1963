"""What is expected of the predictions of this session's images, kept while the images are open."""

from dataclasses import dataclass, replace
from pathlib import Path
from weakref import ReferenceType, ref

from napari.layers import Image
from psygnal import Signal

from napari_tem_rf.gui.layers.layers import frame_name
from napari_tem_rf.gui.layers.marks import id_of
from napari_tem_rf.gui.session.session import Session
from napari_tem_rf.measuring.expected_dice import ExpectedDice

__all__ = ["Expectations", "ExpectedFrame"]


@dataclass(frozen=True, slots=True, eq=False)
class ExpectedFrame:
    """What is expected of the prediction of one frame.

    Attributes
    ----------
    image : weak reference to Image
    frame : int
    name : str
        Of the image, with the frame of a series.
    expected : ExpectedDice
    is_outdated : bool
        Whether the mask was finished in another way since.
    """

    image: ReferenceType[Image]
    frame: int
    name: str
    expected: ExpectedDice
    is_outdated: bool = False


class Expectations:
    """Keeps the newest expectation of each frame, by the run that predicted it.

    Parameters
    ----------
    session : Session

    Signals
    -------
    changed()
        Another frame was judged.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self._of_run: dict[Path, dict[tuple[str, int], ExpectedFrame]] = {}

    def keep(self, image: Image, frame: int, run: Path, expected: ExpectedDice | None) -> None:
        """Keep what is expected of a frame that a run predicted; None forgets it."""
        kept = self._of_run.setdefault(run, {})
        key = (id_of(image), frame)
        kept.pop(key, None)
        if expected is not None:
            kept[key] = ExpectedFrame(ref(image), frame, frame_name(image, frame), expected)
        self.changed.emit()

    def finished_anew(self, image: Image, frame: int, run: Path, as_judged: bool) -> None:
        """Note that a mask was finished in another way, or again as it was when it was judged."""
        kept, key = self._of_run.get(run, {}), (id_of(image), frame)
        if key in kept and kept[key].is_outdated is as_judged:
            kept[key] = replace(kept[key], is_outdated=not as_judged)
            self.changed.emit()

    def of(self, image: Image | None, frame: int, run: Path | None) -> ExpectedFrame | None:
        """Return what is expected of a run's prediction of a frame; None where it made none."""
        if image is None or run is None:
            return None
        return self._of_run.get(run, {}).get((id_of(image), frame))

    def worst_first(self, run: Path | None) -> list[ExpectedFrame]:
        """Return the frames that a run predicted, the worst first, without those that are gone."""
        layers = self._session.viewer.layers
        kept = {} if run is None else self._of_run.get(run, {})
        there = [each for each in kept.values() if (image := each.image()) and image in layers]
        return sorted(there, key=lambda each: each.expected.order)
