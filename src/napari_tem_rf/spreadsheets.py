"""Tables as CSV that a spreadsheet shows and does not run."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["csv_of"]

_STARTS = ("=", "+", "-", "@", "\t", "\r")
"""A spreadsheet takes a cell that begins so as a formula."""


def csv_of(table: "pd.DataFrame") -> str:
    """Return a table as CSV, with a header and without an index.

    Texts that a spreadsheet would take as a formula, a file's name ``=HYPERLINK(...)`` for one,
    get an apostrophe before them, and line breaks in them become spaces; numbers stay numbers,
    negative ones too.
    """
    harmless = table.copy(deep=False)
    for place in range(len(harmless.columns)):
        column = harmless.iloc[:, place]
        if isinstance(column.dtype, np.dtype) and column.dtype.kind in "biuf":
            continue
        values = list(column)
        if any(isinstance(value, str) for value in values):
            harmless.isetitem(place, [_harmless(value) for value in values])
    return str(harmless.to_csv(index=False, lineterminator="\n"))


def _harmless(value: object) -> object:
    if not isinstance(value, str):
        return value
    line = " ".join(value.splitlines()) if "\r" in value or "\n" in value else value
    return f"'{line}" if line.startswith(_STARTS) else line
