"""The writer never holds up draining, and counts what it cannot store."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from recorder.decode import RECORDS
from recorder.ring import Columns
from recorder.store import Store, StoreError
from recorder.writer import Batch, Loss, Writer
from tests.support.stored import read_capture

HEADER: dict[str, Any] = {"maptrail": "test"}
ROWS = 1000
MPROTECT = 10


class SlowStore(Store):
    """A store whose disk stands still until `let_go` is set."""

    def __init__(self, directory: Path) -> None:
        super().__init__(directory, HEADER)
        self.let_go = threading.Event()

    def append(self, table: str, batch: pa.Table) -> None:
        self.let_go.wait()
        super().append(table, batch)


class FullStore(Store):
    """A store whose disk is full for its first `refusals` batches of calls."""

    refusals = 2

    def append(self, table: str, batch: pa.Table) -> None:
        if table == "syscalls" and self.refusals:
            self.refusals -= 1
            raise StoreError("no space left for the capture", errno=28)
        super().append(table, batch)


def ignore(*_: object) -> None:
    pass


def batch(turn: int) -> Batch:
    records = np.zeros(ROWS, RECORDS["calls"])
    records["nr"] = MPROTECT
    records["pid"] = 100 + turn
    records["ts_enter_ns"] = np.arange(ROWS) + 1_000_000 * turn
    records["ts_exit_ns"] = records["ts_enter_ns"] + 1
    return Batch(rings={"calls": Columns.of(records)}, drained_to_ns=1_000_000 * (turn + 1))


def write(
    store: Store, turns: int, memory_bytes: int
) -> tuple[Writer, list[bool], list[tuple[Loss, list[int] | None]]]:
    """Hand over batches as fast as they come, then let a slow store go on and finish."""
    heard: list[tuple[Loss, list[int] | None]] = []
    writer = Writer(
        store,
        memory_bytes=memory_bytes,
        exclude_pid=1,
        on_tables=ignore,
        facts=dict,
        on_loss=lambda loss, pids: heard.append((loss, pids)),
    )
    writer.start()
    fitted = [writer.submit(batch(turn)) for turn in range(turns)]
    if isinstance(store, SlowStore):
        store.let_go.set()
    writer.finish()
    store.close("complete")
    return writer, fitted, heard


def stored(path: Path) -> tuple[int, list[dict[str, Any]]]:
    _, tables = read_capture(path)
    losses = [row for part in tables.get("losses", []) for row in part.to_pylist()]
    return sum(part.num_rows for part in tables.get("syscalls", [])), losses


def test_everything_is_stored_when_there_is_room(tmp_path: Path) -> None:
    writer, fitted, heard = write(Store(tmp_path / "c", HEADER), 5, 1 << 30)
    assert all(fitted)
    assert heard == []
    assert stored(tmp_path / "c") == (5 * ROWS, [])
    assert writer.totals.stored == {"syscalls": 5 * ROWS}


def test_a_disk_that_stands_still_costs_batches_not_time(tmp_path: Path) -> None:
    """`submit` returns while the store is stuck; what does not fit is a counted, placed loss."""
    one = RECORDS["calls"].itemsize * ROWS
    writer, fitted, heard = write(SlowStore(tmp_path / "c"), 6, 2 * one)
    assert fitted == [True, True, False, False, False, False]
    kept, losses = stored(tmp_path / "c")
    assert kept == 2 * ROWS
    assert sum(row["count"] for row in losses) == 4 * ROWS
    assert kept + writer.totals.lost["syscalls"] == 6 * ROWS
    assert [(row["from_ns"], row["to_ns"]) for row in losses] == [
        (turn * 1_000_000, turn * 1_000_000 + ROWS - 1) for turn in range(2, 6)
    ]
    assert all("slow" in row["cause"] for row in losses)
    assert [pids for _, pids in heard] == [[102], [103], [104], [105]]


def test_a_full_disk_is_a_loss_and_space_may_come_back(tmp_path: Path) -> None:
    writer, _, heard = write(FullStore(tmp_path / "c", HEADER), 5, 1 << 30)
    kept, losses = stored(tmp_path / "c")
    assert kept == 3 * ROWS
    assert sum(row["count"] for row in losses) == writer.totals.lost["syscalls"] == 2 * ROWS
    assert all("no space left" in row["cause"] for row in losses)
    assert len(heard) == 2
    assert writer.trouble == ""


def test_a_batch_that_cannot_be_decoded_is_counted_too(tmp_path: Path) -> None:
    """A fault of our own ends neither the thread nor the account."""
    seen: list[dict[str, pa.Table]] = []

    def fail_at_the_second(tables: dict[str, pa.Table]) -> None:
        seen.append(tables)
        if len(seen) == 2:
            raise RuntimeError("a fault")

    store = Store(tmp_path / "c", HEADER)
    writer = Writer(
        store, memory_bytes=1 << 30, exclude_pid=1, on_tables=fail_at_the_second, facts=dict, on_loss=ignore
    )
    writer.start()
    for turn in range(3):
        writer.submit(batch(turn))
    with pytest.raises(RuntimeError, match="a fault"):
        writer.finish()
    store.close("failed")
    assert writer.totals.stored["syscalls"] == 2 * ROWS
    assert writer.totals.lost["syscalls"] == ROWS


def test_columns_are_used_again_once_stored(tmp_path: Path) -> None:
    store = Store(tmp_path / "c", HEADER)
    writer = Writer(store, memory_bytes=1 << 30, exclude_pid=1, on_tables=ignore, facts=dict, on_loss=ignore)
    writer.start()
    first = batch(0)
    columns = first.rings["calls"]
    writer.submit(first)
    writer.catch_up()
    writer.finish()
    store.close("complete")
    assert writer.pool.get("calls") is columns
    assert len(columns) == 0
