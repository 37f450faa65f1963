"""A network of one's own: pools, dilations and filters to type."""

import re
from collections.abc import Callable

from qtpy.QtWidgets import QLineEdit, QWidget

from napari_tem_rf.gui.pieces.parts import Sentence, column, form
from napari_tem_rf.networks.spec import NetworkSpec


class OwnNetwork(QWidget):
    """Pools, dilations and filters to type."""

    def __init__(self, on_picked: Callable[[NetworkSpec], None]) -> None:
        super().__init__()
        self._on_picked = on_picked
        self._shown: NetworkSpec | None = None
        self.pools = QLineEdit()
        self.pools.setPlaceholderText("none")
        self.pools.setToolTip(
            "Size of the max pool of each level, each 2 or more: 4, 4.\n"
            "Pools enlarge the receptive field and add no parameters; each level adds filters."
        )
        self.dilations = QLineEdit()
        self.dilations.setPlaceholderText("all 1")
        self.dilations.setToolTip(
            "Dilation of the 3x3 convolutions of each level, then of the bottleneck:\n"
            "one more than there are pools. Empty: all 1."
        )
        self.filters = QLineEdit()
        self.filters.setToolTip("Channels of the first level; they double from level to level.")
        self.error = Sentence(tone="error")
        lines = QWidget()
        layout = form(lines)
        for name, box in (
            ("pools", self.pools),
            ("dilations", self.dilations),
            ("filters", self.filters),
        ):
            layout.addRow(name, box)
            box.editingFinished.connect(self._read)
        column(self, [lines, self.error])

    def show_spec(self, spec: NetworkSpec) -> None:
        """Show a network's numbers, unless these are being typed."""
        if spec == self._shown:
            return
        self._shown = spec
        self.error.say("")
        self.pools.setText(", ".join(map(str, spec.pools)))
        dilated = set(spec.dilations) != {1}
        self.dilations.setText(", ".join(map(str, spec.dilations)) if dilated else "")
        self.filters.setText(str(spec.filters))

    def _read(self) -> None:
        shown = self._shown
        try:
            pools = whole_numbers("pools", self.pools.text())
            filters = whole_numbers("filters", self.filters.text())
            if len(filters) != 1:
                raise ValueError(f'filters "{self.filters.text()}": type one whole number')
            spec = NetworkSpec(
                pools=pools,
                dilations=whole_numbers("dilations", self.dilations.text()),
                filters=filters[0],
                growth=2.0 if shown is None else shown.growth,
            )
        except ValueError as error:
            self.error.say(f"{error}.", "error")
            return
        self.error.say("")
        if spec != shown:
            self._shown = spec
            self._on_picked(spec)


def whole_numbers(name: str, text: str) -> tuple[int, ...]:
    """Return the whole numbers of a typed list.

    Raises
    ------
    ValueError
        When something else is typed.
    """
    words = [word for word in re.split(r"[\s,;]+", text.strip()) if word]
    if not all(re.fullmatch(r"\d+", word) for word in words):
        raise ValueError(f'{name} "{text}": type whole numbers with commas between them')
    return tuple(int(word) for word in words)
