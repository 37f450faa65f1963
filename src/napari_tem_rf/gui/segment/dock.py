"""The workspace: the way from image to mask in one dock, in the order of work.

The parts scroll; what is pressed again and again stays in sight below them.

The parts are imported where they are used: a dock that shows one of them opens without the others.
"""

from typing import TYPE_CHECKING

import napari
from qtpy.QtWidgets import QFrame, QVBoxLayout, QWidget

from napari_tem_rf.gui.field import shortcuts as field_keys
from napari_tem_rf.gui.field.overlay import FieldOverlay
from napari_tem_rf.gui.pieces.parts import Dock, Fold, column, listen
from napari_tem_rf.gui.pieces.shortcuts import hold_in_window, key_of
from napari_tem_rf.gui.segment import shortcuts as segment_keys
from napari_tem_rf.gui.session.viewers import session_of

if TYPE_CHECKING:
    from napari_tem_rf.gui.segment.tour import TourStep


class _Sections(Dock):
    """Titled widgets one below the other."""

    def __init__(
        self,
        sections: list[tuple[str, QWidget]],
        first: tuple[QWidget, ...] = (),
        last: QWidget | None = None,
    ) -> None:
        super().__init__()
        content = QWidget()
        layout = QVBoxLayout(content)
        layout.setContentsMargins(6, 4, 6, 8)
        layout.setSpacing(6)
        for widget in first:
            layout.addWidget(widget)
        for place, (title, widget) in enumerate(sections):
            if place:
                line = QFrame()
                line.setFixedHeight(1)
                line.setStyleSheet("background: rgba(128, 128, 128, 110);")
                layout.addWidget(line)
            layout.addWidget(Fold(title, widget, is_open=True, heading=True))
        layout.addStretch(1)
        if last is not None:
            layout.addWidget(last)
        self.setWidget(content)


class Workspace(QWidget):
    """Image, annotation, network, training and result, in the order of work.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        self.session = session_of(viewer)
        # before anything else: libraries load in a process of their own while the dock is made
        self.session.warm_up()

        from napari_tem_rf.gui.segment.action_bar import ActionBar
        from napari_tem_rf.gui.segment.annotation import AnnotationWidget
        from napari_tem_rf.gui.segment.image import LoadWidget
        from napari_tem_rf.gui.segment.last_time import LastTimeWidget
        from napari_tem_rf.gui.segment.live import LivePart
        from napari_tem_rf.gui.segment.network import NetworkWidget
        from napari_tem_rf.gui.segment.place import PlaceWidget
        from napari_tem_rf.gui.segment.reader_offer import ReaderOffer
        from napari_tem_rf.gui.segment.result import ExportWidget
        from napari_tem_rf.gui.segment.tour import Tour
        from napari_tem_rf.gui.segment.train import TrainWidget

        super().__init__()
        segment_keys.register_shortcuts()
        field_keys.register_shortcuts()
        hold_in_window(viewer)
        self.overlay = self.session.part(FieldOverlay)
        self.load = LoadWidget(viewer)
        self.annotation = AnnotationWidget(viewer)
        self.live = LivePart(viewer, below=self.annotation)
        self.network = NetworkWidget(viewer, is_folded=True)
        self.train = TrainWidget(viewer)
        self.result = ExportWidget(viewer)
        self.place = PlaceWidget(viewer)
        self.last_time = LastTimeWidget(viewer)
        self.reader_offer = ReaderOffer(viewer)
        self.sections = _Sections(
            [
                ("1  Image", self.load),
                ("2  Annotation", self.annotation),
                ("3  Network", self.network),
                ("4  Train", self.train),
                ("5  Result", self.result),
            ],
            first=(self.last_time, self.reader_offer),
            last=self.place,
        )
        self.actions = ActionBar(self.train, self.result)
        self.tour = Tour(self._steps(), self.ensureWidgetVisible)
        column(self, [self.tour, self.sections, self.actions], spacing=0).setStretch(1, 1)
        listen(self, self.session.requested, self._on_request)
        self.tour.enter_help_menu(viewer)
        self.tour.offer()

    def _on_request(self, name: str) -> None:
        if name == "tour":
            self.tour.begin()

    def _steps(self) -> "list[TourStep]":
        """Return where the tour leads: the way from image to mask."""
        from napari_tem_rf.gui.segment.tour import TourStep

        return [
            TourStep(
                "Image",
                "Open a micrograph, or drop its file on the canvas. The pixel size comes from the "
                "file; where it has none, type it here or draw along the scale bar.",
                lambda: self.load,
            ),
            TourStep(
                "Annotation",
                "Press New, choose a class, and paint a few strokes with napari's brush: some "
                "inside particles, some on the background between them. Ctrl+Z takes one back.",
                lambda: self.annotation,
            ),
            TourStep(
                "Live",
                "While you paint, a prediction follows each stroke. Paint where it is wrong. It "
                "comes with the first annotation, below it.",
                lambda: self.live.tick,
            ),
            TourStep(
                "Network",
                "How far a network looks (its receptive field) and how much it can learn (its "
                "parameters) are picked apart from each other. The first pick does for most "
                "images; the line below says when it may not.",
                lambda: self.network,
            ),
            TourStep(
                "Train",
                "Train makes a network that you can keep, use on other images and hand on. It "
                f"works in the background ({key_of('train')} starts it, {key_of('stop')} stops "
                "it): go on painting meanwhile.",
                lambda: self.train.train_button,
            ),
            TourStep(
                "Result",
                "The mask appears as a layer of its own, and here is how good it is. Predict all "
                "does the other images, Export writes masks and sizes in nm.",
                lambda: self.result,
            ),
            TourStep(
                "More",
                "Receptive field, Compare, Particles and Movie are docks of their own, in napari's "
                "Plugins menu. What is preferred from the start is in napari's Preferences, and "
                "so are the keys.",
                lambda: self.place.settings_button,
            ),
        ]

    def ensureWidgetVisible(self, widget: QWidget) -> None:  # noqa: N802 - Qt's name
        """Scroll to a widget, as `QScrollArea` does; what is in the action bar is in sight."""
        self.sections.ensureWidgetVisible(widget)


class TrainDock(_Sections):
    """Annotation and training, for those who keep the other parts in docks of their own.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        self.session = session_of(viewer)
        self.session.warm_up()

        from napari_tem_rf.gui.segment.annotation import AnnotationWidget
        from napari_tem_rf.gui.segment.train import TrainWidget

        segment_keys.register_shortcuts()
        hold_in_window(viewer)
        self.annotation = AnnotationWidget(viewer)
        self.train = TrainWidget(viewer)
        super().__init__([("Annotation", self.annotation), ("Train", self.train)])


class LoadDock(Dock):
    """The load widget in a dock of its own.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        from napari_tem_rf.gui.segment.image import LoadWidget

        self.load = LoadWidget(viewer)
        super().__init__(self.load)


class NetworkDock(Dock):
    """The network widget in a dock of its own.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        from napari_tem_rf.gui.segment.network import NetworkWidget

        field_keys.register_shortcuts()
        hold_in_window(viewer)
        self.overlay = session_of(viewer).part(FieldOverlay)
        self.network = NetworkWidget(viewer)
        super().__init__(self.network)


class ExportDock(Dock):
    """The export widget in a dock of its own.

    Parameters
    ----------
    viewer : napari.viewer.Viewer
        The viewer to work in.
    """

    def __init__(self, viewer: "napari.viewer.Viewer") -> None:
        from napari_tem_rf.gui.segment.result import ExportWidget

        segment_keys.register_shortcuts()
        hold_in_window(viewer)
        self.result = ExportWidget(viewer)
        super().__init__(self.result)
