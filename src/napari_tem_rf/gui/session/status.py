"""What the window says in its one line: what can be done next, what was done, what went wrong."""

from psygnal import Signal

from napari_tem_rf.gui.pieces.parts import Tone
from napari_tem_rf.gui.session.session import Session

__all__ = ["Status"]


class Status:
    """Whoever has something to say that must not be missed says it here; the newest stands.

    Parameters
    ----------
    session : Session

    Signals
    -------
    said(str, str)
        A sentence and its tone.
    """

    said = Signal(str, str)

    def __init__(self, session: Session) -> None:
        self._session = session

    def say(self, words: str, tone: Tone = "plain") -> None:
        """Say something; nothing is said of nothing."""
        if words:
            self.said.emit(words, tone)
