"""From drained records to acknowledged batches, on a thread of its own.

Draining must never wait for decoding, compression or a disk. The drain loop hands whole batches
over and goes on; what the writer cannot take within its memory budget, or cannot store, is counted
as lost, with its place in time.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from recorder.decode import DECODERS, RECORDS
from recorder.ring import Columns
from recorder.schema import TABLES, arrow_schema
from recorder.sideband import RawChunk, SidebandDecoder

__all__ = ["COLUMN_ROWS", "Batch", "Loss", "Totals", "Writer"]

COLUMN_ROWS = 1 << 17
"""Calls in a batch at most: larger files would be hardly smaller a row (a tenth from 10k to 100k rows)."""


@dataclass(frozen=True)
class Loss:
    """A gap, as a row of table `losses`. `count` is None where it cannot be known."""

    source: str
    cpu: int
    from_ns: int
    to_ns: int
    count: int | None
    cause: str


@dataclass
class Batch:
    """What was drained since the last hand-over.

    `rings` holds the columns of each BPF ring's records, `sideband` raw chunks of the perf rings,
    `tables` rows that are Arrow already. `drained_to_ns`: every event before it is in this batch or
    an earlier one. The writer calls `first` before it stores the batch, and `then` when it has.
    """

    rings: dict[str, Columns] = field(default_factory=dict)
    sideband: list[RawChunk] = field(default_factory=list)
    tables: dict[str, list[pa.Table]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)
    drained_to_ns: int = 0
    first: Callable[[], None] | None = None
    then: Callable[[], None] | None = None

    def add_table(self, name: str, rows: pa.Table) -> None:
        self.tables.setdefault(name, []).append(rows)

    @property
    def nbytes(self) -> int:
        tables = sum(rows.nbytes for parts in self.tables.values() for rows in parts)
        return int(tables) + sum(c.nbytes for c in self.rings.values()) + sum(c.nbytes for c in self.sideband)


class _Pool:
    """Columns to be filled, given back once stored."""

    def __init__(self) -> None:
        self._free: queue.SimpleQueue[tuple[str, Columns]] = queue.SimpleQueue()
        self._kept: dict[str, list[Columns]] = {}

    def get(self, ring: str) -> Columns:
        """Empty columns for a ring's records. For the draining thread only."""
        while not self._free.empty():
            name, columns = self._free.get()
            self._kept.setdefault(name, []).append(columns)
        kept = self._kept.get(ring)
        if kept:
            return kept.pop()
        return Columns(RECORDS[ring], COLUMN_ROWS if ring == "calls" else COLUMN_ROWS // 8)

    def put_all(self, rings: dict[str, Columns]) -> None:
        for name, columns in rings.items():
            columns.clear()
            self._free.put((name, columns))


@dataclass
class Totals:
    """Rows stored and lost by table, and losses by source and cause."""

    stored: dict[str, int] = field(default_factory=dict)
    lost: dict[str, int] = field(default_factory=dict)
    causes: dict[tuple[str, str], int] = field(default_factory=dict)
    stored_bytes: int = 0

    def lose(self, table: str, loss: Loss) -> None:
        count = loss.count or 0
        self.lost[table] = self.lost.get(table, 0) + count
        key = (loss.source, loss.cause)
        self.causes[key] = self.causes.get(key, 0) + count


class _Store(Protocol):
    def append(self, table: str, batch: pa.Table) -> None: ...

    def commit(self, **fields: Any) -> None: ...

    def tidy(self) -> bool: ...


class Writer(threading.Thread):
    """Decodes and stores batches in the order they came.

    `on_tables(tables)` is called with the decoded tables of every batch before they are stored, so
    that what follows from them (new stacks, images to read) can be added. `facts()` gives the
    manifest's fields for each commit. `on_loss(loss, pids)` hears of every loss at once; pids is
    None where the processes concerned are not known.
    """

    def __init__(
        self,
        store: _Store,
        *,
        memory_bytes: int,
        exclude_pid: int,
        on_tables: Callable[[dict[str, pa.Table]], None],
        facts: Callable[[], dict[str, Any]],
        on_loss: Callable[[Loss, list[int] | None], None],
    ) -> None:
        super().__init__(name="writer", daemon=True)
        self._store = store
        self._queue: queue.SimpleQueue[Batch | threading.Event | None] = queue.SimpleQueue()
        self._queued_bytes = 0
        self._lock = threading.Lock()
        self._memory_bytes = memory_bytes
        self._sideband = SidebandDecoder(exclude={exclude_pid})
        # batches are dropped on the draining thread, which must not wait for this one's decoder
        self._dropping = SidebandDecoder(exclude={exclude_pid})
        self._on_tables = on_tables
        self._facts = facts
        self._on_loss = on_loss
        self._pending_losses: list[Loss] = []
        self.pool = _Pool()
        self.totals = Totals()
        self.failure: Exception | None = None
        self.trouble = ""

    def submit(self, batch: Batch) -> bool:
        """Hand a batch over without waiting. False: it did not fit, and was dropped and counted."""
        nbytes = batch.nbytes
        with self._lock:
            fits = self._queued_bytes + nbytes <= self._memory_bytes
            if fits:
                self._queued_bytes += nbytes
        if not fits:
            self._drop(batch)
            self.pool.put_all(batch.rings)
            batch = replace(batch, rings={}, sideband=[], tables={})
        self._queue.put(batch)
        return fits

    def catch_up(self) -> None:
        """Wait until everything handed over is stored."""
        reached = threading.Event()
        self._queue.put(reached)
        reached.wait()

    def finish(self) -> None:
        """Store everything handed over, then end the thread."""
        self._queue.put(None)
        self.join()
        if self.failure is not None:
            raise self.failure

    def run(self) -> None:
        while (batch := self._queue.get()) is not None:
            if isinstance(batch, threading.Event):
                batch.set()
                continue
            try:
                if batch.first:
                    batch.first()
                self._store_batch(batch)
            except Exception as error:
                self.failure = error
                self._lose_whole(batch, f"the recorder failed: {error}")
            try:
                if batch.then:
                    batch.then()
            except Exception as error:
                self.failure = error
            with self._lock:
                self._queued_bytes -= batch.nbytes
            self.pool.put_all(batch.rings)
            self._tidy()

    def _tidy(self) -> None:
        try:
            while self._queue.empty() and self._store.tidy():
                pass
        except Exception as error:  # the small files stay as they are
            self.trouble = str(error)

    def _drop(self, batch: Batch) -> None:
        cause = "the writer's memory was full: the disk is too slow"
        for name, rows in self._decode(batch, self._dropping).items():
            self._lose(name, rows, cause)

    def _lose_whole(self, batch: Batch, cause: str) -> None:
        """Count a batch that could not be decoded, from what its raw records say."""
        for ring, records in batch.rings.items():
            if not len(records):
                continue
            times = records["ts_exit_ns" if ring in ("calls", "files") else "ts_ns"]
            loss = Loss("writer", -1, int(times.min()), int(times.max()), len(times), cause)
            self._note(DECODERS[ring][0], loss)
        for chunk in batch.sideband:
            self._note("vmas", Loss("writer", chunk.cpu, chunk.since_ns, batch.drained_to_ns, chunk.records, cause))

    def _decode(self, batch: Batch, sideband: SidebandDecoder) -> dict[str, pa.Table]:
        parts: dict[str, list[pa.Table]] = {name: list(tables) for name, tables in batch.tables.items()}
        for ring, records in batch.rings.items():
            if len(records):
                table, decode = DECODERS[ring]
                parts.setdefault(table, []).append(decode(records))
        if batch.sideband:
            decoded = sideband.decode(batch.sideband)
            for table, rows in decoded.tables.items():
                parts.setdefault(table, []).append(rows)
            for loss in decoded.losses:
                self._note("vmas", Loss(*loss))
        return {
            name: pa.concat_tables(tables).unify_dictionaries() if len(tables) > 1 else tables[0]
            for name, tables in parts.items()
            if any(table.num_rows for table in tables)
        }

    def _store_batch(self, batch: Batch) -> None:
        for loss in batch.losses:
            self._note(_TABLE_OF_SOURCE.get(loss.source, "syscalls"), loss)
        tables = self._decode(batch, self._sideband)
        self._on_tables(tables)
        stored: dict[str, int] = {}
        for name, rows in tables.items():
            try:
                self._store.append(name, rows)
                stored[name] = rows.num_rows
            except Exception as error:
                self.trouble = str(error)
                self._lose(name, rows, f"not stored: {error}")
        losses = list(self._pending_losses)
        if losses:
            try:
                self._store.append("losses", _loss_table(losses))
                with self._lock:
                    del self._pending_losses[: len(losses)]
            except Exception as error:  # kept, and tried again with the next batch
                self.trouble = str(error)
        for name, count in stored.items():
            self.totals.stored[name] = self.totals.stored.get(name, 0) + count
        try:
            self._store.commit(drained_to_ns=batch.drained_to_ns, **self._facts())
            if len(stored) == len(tables):
                self.trouble = ""
        except Exception as error:  # what was appended is acknowledged by the next commit that succeeds
            self.trouble = str(error)

    def _lose(self, table: str, rows: pa.Table, cause: str) -> None:
        times = rows.column(TABLES[table].time)
        low, high = pc.min_max(times).as_py().values()
        pids = pc.unique(rows.column("pid")).to_pylist() if "pid" in rows.column_names else []
        self._note(table, Loss("writer", -1, low, high, rows.num_rows, f"{cause} ({table})"), pids)

    def _note(self, table: str, loss: Loss, pids: list[int] | None = None) -> None:
        with self._lock:
            self.totals.lose(table, loss)
            self._pending_losses.append(loss)
        self._on_loss(loss, pids)


_TABLE_OF_SOURCE = {
    "calls": "syscalls",
    "threads": "syscalls",
    "files": "files",
    "tasks": "tasks",
    "faults": "faults",
    "stacks": "stacks",
    "hooks": "hooks",
    "sideband": "vmas",
}


def _loss_table(losses: Iterable[Loss]) -> pa.Table:
    rows = [vars(loss) for loss in losses]
    return pa.Table.from_pylist(rows, schema=arrow_schema(TABLES["losses"]))
