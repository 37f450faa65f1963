"""Two buttons that make a few annotated frames go far."""

from qtpy.QtWidgets import QPushButton, QWidget

from napari_tem_rf.gui.movies.annotating import Annotating
from napari_tem_rf.gui.pieces.bars import CalmBar
from napari_tem_rf.gui.pieces.parts import Sentence, Tone, column, listen, row
from napari_tem_rf.gui.pieces.text import set_tip

__all__ = ["AnnotatePart"]


class AnnotatePart(QWidget):
    """Pushes labels on, and goes to the frame that is worth annotating next.

    Parameters
    ----------
    annotating : Annotating
    """

    def __init__(self, annotating: Annotating) -> None:
        super().__init__()
        self.annotating = annotating
        self.push_button = QPushButton("Push labels to next frame")
        self.push_button.clicked.connect(annotating.push)
        self.look_button = QPushButton("Most doubtful frame")
        self.look_button.clicked.connect(annotating.look)
        self.stop_button = QPushButton("Stop")
        set_tip(self.stop_button, "Stop; the frames that were looked at decide")
        self.stop_button.clicked.connect(annotating.stop)
        self.bar = CalmBar()
        self.bar.setRange(0, 1000)
        self.bar.setFormat("looking at frames, %p %")
        self.words = Sentence()
        column(
            self,
            [
                row(self.push_button, self.look_button),
                row(self.stop_button, self.bar, stretch=1),
                self.words,
            ],
        )
        session = annotating.movie.session
        listen(self, annotating.changed, self.enable)
        listen(self, annotating.said, self._say)
        listen(self, annotating.progressed, self._on_progress)
        listen(self, annotating.movie.changed, self.enable)
        session.watch(
            self,
            lambda now: (now.scene.frame, now.scene.annotated, now.choices.annotation, now.edits),
            self.enable,
        )
        self.enable()

    def enable(self, _now: object = None) -> None:
        """Switch buttons on and off, and say what is missing."""
        annotating = self.annotating
        why = annotating.why_not_push
        self.push_button.setEnabled(not why and not annotating.is_pushing)
        set_tip(
            self.push_button,
            why
            or "Move this frame's labels to the next frame, by the drift and piece by piece to "
            "where the image shows them; what is painted there stays",
        )
        why = annotating.why_not_look
        self.look_button.setEnabled(not why and not annotating.is_looking)
        runs = len(annotating.runs)
        set_tip(
            self.look_button,
            why
            or (
                f"Go to the frame in which the masks of {runs} runs differ most"
                if runs > 1
                else "Go to the frame of which the network is least certain"
            ),
        )
        self.stop_button.setVisible(annotating.is_looking)
        self.bar.setVisible(annotating.is_looking)

    def _on_progress(self, fraction: float) -> None:
        self.bar.setValue(round(1000 * fraction))

    def _say(self, words: str, tone: Tone) -> None:
        self.words.say(words, tone)
