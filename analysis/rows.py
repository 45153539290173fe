"""Rows on their way to the output: an Arrow schema, and batches as they come."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import pyarrow as pa

__all__ = ["Rows", "labelled"]


class Rows:
    """Rows of one result; they can be gone through once. Leaving the iteration ends the query behind it."""

    def __init__(self, schema: pa.Schema, batches: Iterable[pa.RecordBatch]) -> None:
        self.schema = schema
        self._batches = iter(batches)

    @classmethod
    def of(cls, table: pa.Table) -> Rows:
        """The rows of an Arrow table."""
        return cls(table.schema, table.to_batches())

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return self._batches

    def table(self) -> pa.Table:
        """All rows at once."""
        return pa.Table.from_batches(list(self._batches), self.schema)

    def dicts(self) -> list[dict[str, Any]]:
        """All rows at once, as dicts; for small results."""
        rows: list[dict[str, Any]] = self.table().to_pylist()
        return rows


def labelled(table: pa.Table, label: str) -> pa.Table:
    """The table with the column `capture` before the others."""
    return table.add_column(0, "capture", pa.array([label] * table.num_rows, pa.string()))
