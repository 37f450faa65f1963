"""What the tables of a comparison and of particles share: heads with tips, and sorting by them."""

from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_tem_rf.gui.pieces.text import plain_tip

__all__ = ["SortedModel"]


class _Head(Protocol):
    """The head of a column."""

    @property
    def name(self) -> str:
        """The name that the column is sorted by."""

    @property
    def title(self) -> str:
        """The name with its unit."""

    @property
    def tip(self) -> str:
        """What the column means."""


class SortedModel(QAbstractTableModel):
    """Rows in the order that they are shown in."""

    def __init__(self) -> None:
        super().__init__()
        self._columns: Sequence[_Head] = ()
        self._order: NDArray[np.intp] = np.zeros(0, np.intp)
        """Place in the unsorted table of each row that is shown."""
        self._sorted_by: tuple[str, bool] | None = None
        """Name of a column, and whether the largest comes first."""

    def rowCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of rows."""
        return 0 if parent is not None and parent.isValid() else len(self._order)

    def columnCount(self, parent: QModelIndex | None = None) -> int:  # noqa: N802 - Qt's name
        """Return the number of columns."""
        return 0 if parent is not None and parent.isValid() else len(self._columns)

    def headerData(  # noqa: N802 - Qt's name
        self, section: int, orientation: Any, role: int = Qt.ItemDataRole.DisplayRole
    ) -> Any:
        """Return a column's name with its unit, or what it means."""
        if orientation != Qt.Orientation.Horizontal or section >= len(self._columns):
            return None
        if role == Qt.ItemDataRole.DisplayRole:
            return self._columns[section].title
        if role == Qt.ItemDataRole.ToolTipRole:
            return plain_tip(f"{self._columns[section].tip}.\nClick to sort.")
        return None

    def sort(self, column: int, order: Any = Qt.SortOrder.AscendingOrder) -> None:
        """Sort by a column; what is selected stays selected."""
        if not 0 <= column < len(self._columns):
            return
        self.layoutAboutToBeChanged.emit()
        before = self._order
        self._sorted_by = (self._columns[column].name, order == Qt.SortOrder.DescendingOrder)
        self._sort()
        row_of = np.empty(len(before), np.intp)
        row_of[self._order] = np.arange(len(before))
        old = self.persistentIndexList()
        new = [self.index(int(row_of[before[each.row()]]), each.column()) for each in old]
        self.changePersistentIndexList(old, new)
        self.layoutChanged.emit()

    def _sort(self) -> None:
        """Put the rows in order."""
        raise NotImplementedError
