"""What is pressed again and again, always in sight below the parts that scroll, and one line."""

from qtpy.QtWidgets import QFrame, QSizePolicy, QWidget

from napari_tem_rf.gui.pieces.parts import column, row
from napari_tem_rf.gui.segment.result import ExportWidget
from napari_tem_rf.gui.segment.train import TrainWidget

_FEWEST_LINES, _MOST_LINES = 2, 6
"""Lines of words: there is always room for a few, so that the dock does not jump, and the words of
a file's author do not fill it."""


class ActionBar(QWidget):
    """Train, Stop, Predict all, Export, how far the work is, and what there is to say.

    The buttons, the bars and the line are those of the training and of the result, taken from
    where these have them when they stand alone.

    Parameters
    ----------
    train : TrainWidget
    result : ExportWidget
    """

    def __init__(self, train: TrainWidget, result: ExportWidget) -> None:
        super().__init__()
        self.words = train.words
        line = QFrame()
        line.setFixedHeight(1)
        line.setStyleSheet("background: rgba(128, 128, 128, 110);")
        letters = self.words.fontMetrics()
        self.words.setMinimumHeight(_FEWEST_LINES * letters.lineSpacing())
        self.words.setMaximumHeight(_MOST_LINES * letters.lineSpacing())
        layout = column(
            self,
            [
                line,
                row(result.bar, result.stop_button, stretch=0),
                row(
                    train.train_button,
                    train.bar,
                    train.stop_button,
                    result.all_button,
                    result.export_button,
                    stretch=1,
                ),
                self.words,
            ],
            spacing=4,
        )
        layout.setContentsMargins(6, 0, 6, 4)
        # as wide as the parts above: while the buttons of a training make room for those of a
        # prediction both are there for a moment, and napari's docks never get narrower again
        policy = self.sizePolicy()
        policy.setHorizontalPolicy(QSizePolicy.Policy.Ignored)
        self.setSizePolicy(policy)
