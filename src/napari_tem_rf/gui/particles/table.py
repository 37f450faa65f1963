"""The table of particles: thousands of rows, sortable, units in the headers."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QItemSelection, QItemSelectionModel, QModelIndex, Qt, Signal as QtSignal
from qtpy.QtWidgets import QAbstractItemView, QHeaderView, QTableView

from napari_tem_rf.gui.pieces.sorted_table import SortedModel

if TYPE_CHECKING:
    import pandas as pd

_UNITS = {"nm": "nm", "nm2": "nm²", "px": "px"}
_TITLES = {
    "index": ("Label", "The particle's value in the layer"),
    "frame": ("Frame", "Frame of the series, from 0"),
    "class": ("Class", "The particle's value in the mask"),
    "area": ("Area", "Number of pixels times the area of a pixel"),
    "equivalent_diameter": ("Diameter", "Equivalent diameter: of the circle of the same area"),
    "feret_max": ("Feret\nmax", "Largest distance of two parallel tangents: the length"),
    "feret_min": ("Feret\nmin", "Smallest distance of two parallel tangents: the width"),
    "aspect_ratio": ("Aspect\nratio", "Largest over smallest Feret diameter; 1 for a circle"),
    "circularity": ("Circu-\nlarity", "4 π area / perimeter², Crofton's perimeter; 1 for a circle"),
    "lattice_spacing": ("Lattice", "Spacing of the strongest lattice planes; empty: none"),
    "lattice_spacing_error": ("± ", "Standard error of the spacing by the noise"),
    "lattice_angle_deg": ("Lattice\nangle (°)", "Normal of the planes, from the right upwards"),
    "lattice_angle_error_deg": ("± (°)", "Standard error of that angle by the noise"),
    "lattice_strength": ("Lattice\nstrength", "Power of the spot over the noise around it"),
    "mean_intensity": ("Mean\nintensity", "Mean grey value of the image inside the particle"),
    "row": ("Row", "Centroid, down from the centre of the first pixel"),
    "column": ("Column", "Centroid, to the right from the centre of the first pixel"),
    "touches_border": ("At the\nborder", "Whether the image's border may cut the particle"),
}
_SIGNIFICANT = 3


@dataclass(frozen=True, slots=True, eq=False)
class Column:
    """A column of the table: its values and how they are written."""

    name: str
    title: str
    tip: str
    values: NDArray[Any]
    decimals: int

    def written(self, row: int) -> str:
        """Return a value as it is shown."""
        value = self.values[row]
        if self.values.dtype.kind == "b":
            return "yes" if value else ""
        if self.values.dtype.kind in "iuOU":
            return str(value)
        return f"{value:.{self.decimals}f}" if np.isfinite(value) else "–"


def quantity_and_unit(name: str) -> tuple[str, str]:
    """Return a column's quantity and its unit: ``area_nm2`` gives "area" and "nm²"."""
    quantity, _, unit = name.rpartition("_")
    if unit in _UNITS and quantity:
        # an area that is counted in pixels and a length in pixels have the same ending
        return quantity, _UNITS[unit]
    return name, ""


Titles = Mapping[str, tuple[str, str]]
"""What a quantity is called in its header, and what it means."""


def columns_of(table: "pd.DataFrame", titles: Titles = _TITLES) -> list[Column]:
    """Return the columns of a table of particles, or of what has a name likewise, in their order.

    Parameters
    ----------
    table : DataFrame
        The first column names the rows.
    titles : mapping
        Headers and their meaning, by quantity: the column's name without the unit.
    """
    columns = []
    for name in map(str, table.columns):
        quantity, unit = quantity_and_unit(name)
        title, tip = titles.get(quantity, (name, name))
        if unit:
            title = f"{title} ({unit})" if "\n" in title else f"{title}\n({unit})"
            tip = f"{tip}, in {unit}"
        values = table[name].to_numpy()
        columns.append(Column(name, title, tip, values, _decimals(values)))
    return columns


def _decimals(values: NDArray[Any]) -> int:
    """Return as many decimals as give the median three significant digits."""
    if values.dtype.kind != "f":
        return 0
    sizes = np.abs(values[np.isfinite(values)])
    if not sizes.size or not np.median(sizes):
        return _SIGNIFICANT - 1
    return int(np.clip(_SIGNIFICANT - 1 - np.floor(np.log10(np.median(sizes))), 0, 6))


class ParticleModel(SortedModel):
    """Particles in the order that the table shows them in."""

    def __init__(self, titles: Titles = _TITLES) -> None:
        super().__init__()
        self._titles = titles
        self._columns: list[Column] = []

    @property
    def columns(self) -> list[Column]:
        """The columns."""
        return self._columns

    def show(self, table: "pd.DataFrame") -> None:
        """Show another table, sorted as the one before."""
        self.beginResetModel()
        self._columns = columns_of(table, self._titles)
        self._order = np.arange(len(table))
        self._sort()
        self.endResetModel()

    def labels(self) -> NDArray[Any]:
        """Return the labels in the order shown."""
        return self._columns[0].values[self._order] if self._columns else np.zeros(0, int)

    def place(self, row: int) -> int:
        """Return the place in the unsorted table of a row that is shown."""
        return int(self._order[row])

    def data(self, index: QModelIndex, role: int = Qt.ItemDataRole.DisplayRole) -> Any:
        """Return a value as it is shown."""
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[index.column()].written(self._order[index.row()])
        if role == Qt.ItemDataRole.TextAlignmentRole:
            return Qt.AlignmentFlag.AlignRight | Qt.AlignmentFlag.AlignVCenter
        return None

    def _sort(self) -> None:
        if self._sorted_by is None:
            return
        name, descending = self._sorted_by
        for column in self._columns:
            if column.name == name:
                keys = column.values
                if keys.dtype.kind == "O":  # words: by their place in the alphabet
                    keys = np.unique(keys.astype(str), return_inverse=True)[1]
                if descending:
                    keys = -keys.astype(np.float64)
                self._order = np.argsort(keys, kind="stable")
                return


class ParticleTable(QTableView):
    """Shows particles; emits ``chosen`` with the labels that the user selects.

    Parameters
    ----------
    titles : mapping
        As for `columns_of`.
    """

    chosen = QtSignal(object)

    def __init__(self, titles: Titles = _TITLES) -> None:
        super().__init__()
        self.particles = ParticleModel(titles)
        self.setModel(self.particles)
        self.setSelectionBehavior(QAbstractItemView.SelectionBehavior.SelectRows)
        self.setSelectionMode(QAbstractItemView.SelectionMode.ExtendedSelection)
        self.setHorizontalScrollMode(QAbstractItemView.ScrollMode.ScrollPerPixel)
        self.setWordWrap(False)
        self.setShowGrid(False)
        self.setAlternatingRowColors(False)
        self.verticalHeader().hide()
        rows = self.verticalHeader()
        rows.setSectionResizeMode(QHeaderView.ResizeMode.Fixed)
        rows.setDefaultSectionSize(self.fontMetrics().height() + 6)
        headers = self.horizontalHeader()
        headers.setHighlightSections(False)
        headers.setSortIndicator(-1, Qt.SortOrder.AscendingOrder)
        self.setSortingEnabled(True)
        self._is_told = False
        self._table: pd.DataFrame | None = None
        self.selectionModel().selectionChanged.connect(self._on_selection)

    def show_table(self, table: "pd.DataFrame") -> None:
        """Show another table; particles that are still there stay selected."""
        if table is self._table:
            return
        self._table = table
        labels = self.selected()
        names = [column.name for column in self.particles.columns]
        self._is_told = True
        self.particles.show(table)
        self._is_told = False
        if names != [column.name for column in self.particles.columns]:
            self._fit_columns()
        self.select(labels)

    def selected(self) -> list[int]:
        """Return the labels of the selected particles, from top to bottom."""
        labels = self.particles.labels()
        # selectedRows() would ask the model for each row
        ranges = [(part.top(), part.bottom() + 1) for part in self.selectionModel().selection()]
        rows = sorted({row for first, stop in ranges for row in range(first, stop)})
        return [int(labels[row]) for row in rows]

    def select(self, labels: Collection[int], first: int | None = None) -> None:
        """Select particles by their labels, and bring one into sight; says nothing."""
        rows = np.flatnonzero(np.isin(self.particles.labels(), list(labels)))
        last = self.particles.columnCount() - 1
        selection = QItemSelection()
        for row in rows.tolist():
            selection.select(self.particles.index(row, 0), self.particles.index(row, last))
        self._is_told = True
        model = self.selectionModel()
        model.select(selection, QItemSelectionModel.SelectionFlag.ClearAndSelect)
        if len(rows):
            seen = np.flatnonzero(self.particles.labels() == first) if first in labels else rows
            place = self.particles.index(int(seen[0]), 0)
            model.setCurrentIndex(place, QItemSelectionModel.SelectionFlag.NoUpdate)
            self.scrollTo(place)
        self._is_told = False

    def _on_selection(self, _selected: object, _deselected: object) -> None:
        if not self._is_told:
            self.chosen.emit(self.selected())

    def _fit_columns(self) -> None:
        """Make columns as wide as their headers and numbers: Qt would measure every row."""
        metrics = self.fontMetrics()
        for place, column in enumerate(self.particles.columns):
            words = column.title.split("\n")
            values = column.values
            if values.dtype.kind == "O":
                words += [max(map(str, values), key=len, default="")]
            elif values.dtype.kind != "b" and np.isfinite(values).any():
                ends = (int(np.nanargmin(values)), int(np.nanargmax(values)))
                words += [column.written(end) for end in ends]
            width = max(metrics.horizontalAdvance(word) for word in words)
            self.setColumnWidth(place, width + 18)
