"""The table of a comparison: a row a network or baseline, sortable, with boxes to tick."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QModelIndex, Qt, Signal as QtSignal
from qtpy.QtGui import QFont, QFontMetrics
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_tem_rf.comparison import Comparison, network_table
from napari_tem_rf.figures.quantities import COSTS, INNER_SCORES, QUANTITIES, SCORES, Quantity
from napari_tem_rf.gui.pieces.sorted_table import SortedModel
from napari_tem_rf.gui.pieces.text import plain_tip
from napari_tem_rf.networks.words import structure

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["MOST_TICKED", "CompareTable"]

MOST_TICKED = 4
"""More pictures than that beside each other are too small to compare."""

_STAR = "★ "
_SHOWN_ROWS = 9
_PAD_PX, _BOX_PX = 14, 36
_COLUMNS = (
    "name",
    "dice",
    "receptive_field",
    "field_nm",
    "parameters",
    *(name for name in SCORES[1:] if name not in INNER_SCORES),
    *COSTS,
    "seeds",
    *INNER_SCORES,
)


@dataclass(frozen=True, slots=True)
class _Column:
    """A quantity as a narrow column."""

    quantity: Quantity

    @property
    def name(self) -> str:
        return self.quantity.name

    @property
    def title(self) -> str:
        """Its name with its unit, on two lines where there are several words."""
        words = self.quantity.words
        breaks = [place for place, letter in enumerate(words) if letter == " "]
        if breaks:
            at = min(breaks, key=lambda place: abs(2 * place + 1 - len(words)))
            words = f"{words[:at]}\n{words[at + 1 :]}"
        return words[0].upper() + words[1:]

    @property
    def tip(self) -> str:
        if self.name in SCORES:
            return f"{self.quantity.explanation}:\nmean over held-out images ± over the seeds"
        return self.quantity.explanation


class CompareModel(SortedModel):
    """Rows of a comparison in the order shown, the ticked ones by name."""

    ticked_changed = QtSignal()
    refused = QtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self._table: pd.DataFrame  # comes with the first results, and pandas
        self._columns: list[_Column] = []
        self._suggestion: str | None = None
        self._titles: dict[str, str] = {}
        self.ticked: tuple[str, ...] = ()

    @property
    def columns(self) -> list[str]:
        """Names of the columns shown."""
        return [column.name for column in self._columns]

    @property
    def names(self) -> list[str]:
        """Names of the networks and baselines, from the top of the table down."""
        return [self.name_at(place) for place in range(len(self._order))]

    def show(self, comparison: Comparison | None) -> None:
        """Show the results of a comparison, sorted as before; ticks stay."""
        self.beginResetModel()
        if comparison is None or not comparison.results:
            self._columns, self._order, self._titles = [], np.zeros(0, np.intp), {}
            self._suggestion = None
        else:
            self._fill(comparison)
            self._sort()
        kept = tuple(name for name in self.ticked if name in self._titles)
        changed, self.ticked = kept != self.ticked, kept
        self.endResetModel()
        if changed:
            self.ticked_changed.emit()

    def _fill(self, comparison: Comparison) -> None:
        table = network_table(comparison.results)
        size = comparison.record.pixel_size_nm
        table["field_nm"] = table["receptive_field"] * (size if size is not None else float("nan"))
        self._table = table
        specs = {each.contestant.name: each.contestant.spec for each in comparison.results}
        self._titles = {
            name: name if spec is None else structure(spec).removeprefix("pools ")
            for name, spec in specs.items()
        }
        self._suggestion = comparison.findings.suggestion
        left_out = {"boundary_error_px"} if table["boundary_error_nm"].notna().any() else set()
        self._columns = [
            _Column(QUANTITIES[name])
            for name in _COLUMNS
            if name not in left_out and (table[name].notna().any() or name == "dice")
        ]

    def name_at(self, place: int) -> str:
        """Return the name of the network or baseline in a row that is shown."""
        return str(self._table["name"].iloc[self._order[place]])

    def words_in(self, column: int) -> list[str]:
        """Return all that is written in a column, the lines of its title among them."""
        shown = self._columns[column]
        rows = (row for _, row in self._table.iterrows())
        return [*shown.title.split("\n"), *(self._written(row, shown) for row in rows)]

    def place_of(self, name: str) -> int | None:
        """Return the row that shows a network or baseline."""
        names = self.names
        return names.index(name) if name in names else None

    def tick(self, name: str, on: bool) -> bool:
        """Tick or untick a row; False, with the reason told, where too many would be ticked."""
        if on == (name in self.ticked):
            return True
        if on and len(self.ticked) >= MOST_TICKED:
            self.refused.emit(f"{MOST_TICKED} are ticked: untick one first.")
            return False
        others = tuple(each for each in self.ticked if each != name)
        self.ticked = (*others, name) if on else others
        place = self.place_of(name)
        if place is not None:
            index = self.index(place, 0)
            self.dataChanged.emit(index, index)
        self.ticked_changed.emit()
        return True

    # Qt's questions

    def flags(self, index: QModelIndex) -> Any:
        """Return what can be done with a cell: the first one has a box to tick."""
        flags = Qt.ItemFlag.ItemIsEnabled | Qt.ItemFlag.ItemIsSelectable
        return flags | Qt.ItemFlag.ItemIsUserCheckable if index.column() == 0 else flags

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a value as it is shown, its tick, or what it means."""
        row = self._table.iloc[self._order[index.row()]]
        column, name = self._columns[index.column()], str(row["name"])
        if role == Qt.ItemDataRole.DisplayRole:
            return self._written(row, column)
        if role == Qt.ItemDataRole.CheckStateRole and index.column() == 0:
            return Qt.CheckState.Checked if name in self.ticked else Qt.CheckState.Unchecked
        if role == Qt.ItemDataRole.TextAlignmentRole and index.column() > 0:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        if role == Qt.ItemDataRole.FontRole and name == self._suggestion:
            font = QFont()
            font.setBold(True)
            return font
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(self._tip(row))
        return None

    def setData(  # noqa: N802 - Qt's name
        self, index: QModelIndex, value: Any, role: int = Qt.ItemDataRole.EditRole
    ) -> bool:
        """Tick or untick a row."""
        if role != Qt.ItemDataRole.CheckStateRole or index.column() != 0:
            return False
        return self.tick(self.name_at(index.row()), Qt.CheckState(value) == Qt.CheckState.Checked)

    def _written(self, row: "pd.Series[Any]", column: _Column) -> str:
        if column.name == "name":
            star = _STAR if row["name"] == self._suggestion else ""
            return f"{star}{self._titles[row['name']]}"
        value = float(row[column.name])
        if value != value:
            return "–"
        decimals = column.quantity.decimals
        text = f"{value:{'+' if column.quantity.is_signed else ''},.{decimals}f}"
        spread = float(row[f"{column.name}_sd_seeds"]) if column.name in SCORES else float("nan")
        return text if spread != spread else f"{text} ± {spread:.{decimals}f}"

    def _tip(self, row: "pd.Series[Any]") -> str:
        words = [str(row["name"])]
        if row["name"] == self._suggestion:
            words.append(
                "the smallest and fastest within one standard error of the best,\nand "
                "hardly below it"
            )
        spread = float(row["dice_sd_images"])
        if spread == spread:
            words.append(f"Dice differs by ± {spread:.3f} from image to image")
        return "\n".join(words)

    def _sort(self) -> None:
        """Put the rows in order; what is unknown comes last either way."""
        self._order = np.arange(len(self._table))
        if self._sorted_by is None or self._sorted_by[0] not in self._table:
            return
        key, descending = self._sorted_by
        values = self._table[key]
        if key == "name":
            values = values.map(self._titles)
        ranked = values.reset_index(drop=True).sort_values(
            ascending=not descending, na_position="last", kind="stable"
        )
        self._order = ranked.index.to_numpy(np.intp)


class CompareTable(QTableView):
    """Shows a comparison; rows are ticked to be seen side by side, one is chosen to be used.

    Signals
    -------
    ticked(tuple of str)
        The names of the ticked rows, in the order ticked.
    chosen(str)
        The name of the row that was clicked on.
    refused(str)
        Why a row cannot be ticked.
    """

    ticked = QtSignal(object)
    chosen = QtSignal(str)
    refused = QtSignal(str)

    def __init__(self) -> None:
        super().__init__()
        self.rows = CompareModel()
        self.setModel(self.rows)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.SingleSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.verticalHeader().hide()
        self.verticalHeader().setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        self.verticalHeader().setDefaultSectionSize(self.fontMetrics().height() + 8)
        headers = self.horizontalHeader()
        headers.setHighlightSections(False)
        headers.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self.rows.ticked_changed.connect(lambda: self.ticked.emit(self.rows.ticked))
        self.rows.refused.connect(self.refused)
        self.selectionModel().currentRowChanged.connect(self._on_current)
        self._chosen: str | None = None
        self._by_user: str | None = None
        self._is_told = False

    @property
    def name(self) -> str | None:
        """Name of the row that is chosen; None while there is none."""
        return self._chosen

    def show_comparison(self, comparison: Comparison | None) -> None:
        """Show results; the chosen row stays, and is the suggestion at first."""
        self._is_told = True
        self.rows.show(comparison)
        self._fit_columns()
        self._fit_height()
        suggestion = None if comparison is None else comparison.findings.suggestion
        kept = self._by_user if self._by_user in self.rows.names else None
        self.choose(kept or suggestion or next(iter(self.rows.names), ""))
        self._is_told = False

    def choose(self, name: str) -> None:
        """Choose a row by its name; an empty one chooses none."""
        place = self.rows.place_of(name) if name else None
        self._chosen = None if place is None else name
        if place is not None:
            self.selectRow(place)

    def tick(self, names: Sequence[str]) -> None:
        """Tick these rows and no other."""
        for name in self.rows.ticked:
            if name not in names:
                self.rows.tick(name, False)
        for name in names:
            self.rows.tick(name, True)

    def _on_current(self, current: QModelIndex, _before: QModelIndex) -> None:
        if current.isValid() and not self._is_told:
            self._chosen = self._by_user = self.rows.name_at(current.row())
            self.chosen.emit(self._chosen)

    def _fit_columns(self) -> None:
        bold = self.font()
        bold.setBold(True)
        metrics = QFontMetrics(bold)
        for place in range(self.rows.columnCount()):
            words = [metrics.horizontalAdvance(each) for each in self.rows.words_in(place)]
            self.setColumnWidth(place, max(words) + (_BOX_PX if place == 0 else _PAD_PX))

    def _fit_height(self) -> None:
        """Be as high as the rows, up to a limit."""
        shown = min(max(self.rows.rowCount(), 2), _SHOWN_ROWS)
        rows = shown * self.verticalHeader().defaultSectionSize()
        bar = self.horizontalScrollBar().sizeHint().height()
        self.setFixedHeight(self.horizontalHeader().sizeHint().height() + rows + bar + 4)
