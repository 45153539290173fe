"""Captures for Python: what the commands of `analyze` answer, as DuckDB relations.

A relation has its rows when they are asked for: `.df()` makes a pandas data frame, `.pl()` a polars one, `.arrow()`
Arrow, `.fetchall()` tuples (each runs it anew); and `.filter("pid = 7")`, `.order("from_ns")` or `.limit(5)` make
another relation. Such texts name columns; for tables and views use `Trail.sql`.

What a column means, and its unit, is in `Trail.schema`, as in `analyze schema`: times are CLOCK_MONOTONIC nanoseconds
(`…_ns`), sizes and offsets bytes (`…_bytes`), addresses integers. Text is inert: what is not plainly visible in a
name or a path is written as \\x1b or \\u202e, since programs under investigation choose it; `…_bytes` columns beside
hold it exactly.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, SupportsIndex

import pyarrow as pa

from analysis import lookups
from analysis.capture import Capture
from analysis.dictionary import views
from analysis.engine import Engine, Limits, inert_columns
from analysis.errors import UsageError
from analysis.options import By, Certainty, Class, Severity
from analysis.rows import labelled
from analysis.text import inert

if TYPE_CHECKING:
    import duckdb
    from matplotlib.figure import Figure

__all__ = ["CaptureWarning", "Time", "Trail"]

Time = str | SupportsIndex
"""`+1.5s` from the start, an ISO time, or (also as a number) CLOCK_MONOTONIC nanoseconds."""

Address = str | SupportsIndex
"""A number, `0x7f0000001000`, or a range as `0x..-0x..` or `0x..+8K`."""


class CaptureWarning(UserWarning):
    """A capture is not whole: it still grows, was cut off or is damaged, or records were lost."""


class Trail:
    """Opened captures; see analysis.open. A context manager: relations end with it.

    The first question that needs it rebuilds the address spaces, and keeps them beside the capture. Not for several
    threads at once. Methods raise analysis.errors.UsageError for what cannot be meant, as a process that was never
    seen, with what could be; running a relation raises DuckDB's errors.
    """

    def __init__(self, captures: Sequence[Capture], limits: Limits | None = None, symbols: Path | None = None) -> None:
        self._opened = list(captures)
        self._limits = limits or Limits()
        self._symbols = symbols
        for capture in captures:
            for line in capture.incomplete():
                warnings.warn(f"{inert(str(capture.path))}: {inert(line)}", CaptureWarning, stacklevel=3)

    def __enter__(self) -> Trail:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Trail of {', '.join(inert(str(capture.path)) for capture in self._opened)}>"

    def close(self) -> None:
        """End all relations and remove temporary files."""
        if "engine" in self.__dict__:
            self.engine.close()
            del self.engine

    @cached_property
    def engine(self) -> Engine:
        """What runs the queries; for the drawing of pictures."""
        engine = Engine(self._opened, self._limits, symbols=self._symbols)
        engine.need_timeline()  # a relation made of another one must not find it empty
        return engine

    @property
    def captures(self) -> dict[str, Capture]:
        """The captures by what they are called in the column `capture`; their `manifest` says what was recorded."""
        return self.engine.captures

    # The questions

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """One query over the tables and views of `schema`; it can read nothing else, and write nothing."""
        statements = self.engine.statements(query)
        if len(statements) != 1 or self.engine.defines(statements[0]):
            raise UsageError("not one query", "give one SELECT; another relation can be made of its relation")
        return self._inert(self.engine.relation(statements[0]))

    def schema(self, name: str | None = None) -> duckdb.DuckDBPyRelation:
        """Tables, system calls and views: name, kind, columns, description. Of one: its columns, units and marks."""
        from analysis.commands.schema import columns_table, views_table

        if name is not None and name not in views():
            raise UsageError(f"neither a table nor a view: {name}", "schema() lists them")
        return self._answer(views_table() if name is None else columns_table(name))

    def summary(self, section: str | None = None) -> duckdb.DuckDBPyRelation:
        """What was recorded: a row a capture, with state, completeness, host, times and size; or a section of it.

        Sections: tables (records attempted, stored, lost), losses, processes, calls, failures, faults, truncations,
        readings; the first ten of each where a view has all.
        """
        from analysis.summary import COLUMNS, SECTIONS, gather

        if section is not None and section not in SECTIONS:
            raise UsageError(f"no section of a summary: {section}", f"one of: {', '.join(SECTIONS)}")
        with self._asking() as engine:
            found = [gather(engine, label) for label in engine.captures]
        if section is None:
            rows = [{"capture": each.label, **{name: each.facts[name] for name in COLUMNS.names[1:]}} for each in found]
            return self._answer(pa.Table.from_pylist(rows, COLUMNS))
        parts = [labelled(each.tables[section], each.label) for each in found]
        return self._answer(pa.concat_tables(parts))

    def maps(self, pid: SupportsIndex, at: Time | None = None) -> duckdb.DuckDBPyRelation:
        """The address space of a process at an instant (default: its last), a row a line of /proc/PID/maps, in order.

        start, end, perms, offset_bytes, dev, inode, path, who made it (cause, cause_ns, …), certainty and reason.
        """
        return self._answer(self._maps(pid, at)[0])

    def maps_text(self, pid: SupportsIndex, at: Time | None = None) -> str:
        """The same in the format of /proc/PID/maps; then a line that says how sure that is, and every doubt."""
        from analysis.maps import line

        table, sure = self._maps(pid, at)
        return "\n".join([*map(line, table.to_pylist()), *sure])

    def timeline(
        self,
        pid: SupportsIndex | None = None,
        addr: Address | None = None,
        file: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        at: Time | None = None,
        cause: str | Sequence[str] = (),
        end_cause: str | Sequence[str] = (),
        certainty: str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """What was mapped where, from when to when, by what, ended by what: the view `timeline`, in order of time.

        Rows are rectangles of addresses and times that match all that is given and stood at some instant of that time.
        `file`: a part of the path, a glob, or major:minor:inode. `certainty`: certain or possible.
        """
        sql = lookups.timeline(
            self.engine, _pid(pid), _address(addr), file, _time(since), _time(until), _time(at), _several(cause),
            _several(end_cause), _certainty(certainty),
        )  # fmt: skip
        return self._inert(self.engine.relation(sql))

    def shared(
        self,
        pid: SupportsIndex | None = None,
        file: str | None = None,
        at: Time | None = None,
        since: Time | None = None,
        until: Time | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Which processes had which memory mapped shared, from when to when: the view `shared_memory`, with comm.

        Without a process or file only what several had and somebody could write to, see `analyze shared`.
        """
        sql = lookups.shared_memory(self.engine, _pid(pid), file, _time(at), _time(since), _time(until))
        return self._inert(self.engine.relation(sql))

    def edges(
        self,
        kind: str | Sequence[str] = (),
        severity: str = Severity.LOW,
        expected: bool = False,
        pid: SupportsIndex | None = None,
        addr: Address | None = None,
        file: str | None = None,
        since: Time | None = None,
        until: Time | None = None,
        certainty: str | None = None,
    ) -> duckdb.DuckDBPyRelation:
        """Findings, gravest first: the view `findings` (kind, severity, sentence, both parties, addresses, facts).

        Those at least so grave (high, medium, low, info); with `expected` all, what is normal too.
        """
        from analysis.edges import checked_kinds, gather, shown

        kinds, least = checked_kinds(_several(kind)), _choice(Severity, severity)
        with self._asking() as engine:
            conditions = lookups.finding_conditions(
                engine, _pid(pid), _address(addr), file, _time(since), _time(until), _certainty(certainty)
            )
            gather(engine, kinds, conditions)
            return self._answer(engine.query(shown(least, expected)).table())

    def why(
        self, pid: SupportsIndex | None = None, addr: Address | None = None, at: Time | None = None
    ) -> duckdb.DuckDBPyRelation:
        """Without an address: every SIGBUS and SIGSEGV explained, and calls refused at vm.max_map_count, deadly ones
        first, in the column `text`.

        With one: the verdict, then the life of that address until `at`, newest first: see analysis.why.COLUMNS.
        No rows: nothing is known of it.
        """
        from analysis import filters
        from analysis.why import life, owner, place_of, troubles

        if addr is None and at is not None:
            raise UsageError("a time needs the address that is asked about", "give addr too")
        with self._asking() as engine:
            number = _pid(pid)
            if addr is None:
                if number is not None:
                    filters.of_pid(engine, number)  # refused where nothing was recorded of it
                return self._answer(troubles(engine, number).table())
            address, _ = filters.address_range(_address(addr) or "")
            if number is None:
                number = owner(engine, address)
            if number is None:
                return self._answer(troubles(engine, 0).table())
            place, faulted = place_of(engine, number, address, _time(at))
            return self._answer(life(engine, place, address, faulted).table())

    def counts(
        self, pid: SupportsIndex | None = None, every: str | None = None, by: str | None = None
    ) -> duckdb.DuckDBPyRelation:
        """VMAs against vm.max_map_count: a row an address space, with peak, rate (VMAs a second) and forecast.

        `certainty` is that of the count at the end: while records were lost, there can have been more than at `peak`.

        `every` (a length of time, as 100ms): the count over time, a row a step. `by` (cause, file, stack, thread): what
        made those there at the peak, and at the end.
        """
        from analysis import counts

        if every is not None and by is not None:
            raise UsageError("every is a series and by is groups", "give one or the other")
        step_ns = None if every is None else counts.step_ns(every)
        with self._asking() as engine:
            counts.count(engine, _pid(pid))
            if step_ns is not None:
                sql = counts.series(engine, step_ns, False)
            else:
                sql = counts.makers(engine, counts.group_of(by), False) if by else counts.forecasts(engine, False)
            return self._answer(engine.query(sql).table())

    def diff(
        self,
        since: Time | None = None,
        until: Time | None = None,
        pid: SupportsIndex | None = None,
        by: str = By.FILE,
        classes: str | Sequence[str] = (),
    ) -> duckdb.DuckDBPyRelation:
        """Mappings and bytes by whether they were created and freed in a window: AIFO (leaks), AIFI, AOFI, AOFO.

        `by`: file, stack, size, cause, process, thread, or mapping (each by itself). Largest first.
        """
        from analysis import filters
        from analysis.diff import compare, group, ordered

        which = _choice(By, by)
        chosen = [_choice(Class, each.upper()) for each in _several(classes)] or list(Class)
        with self._asking() as engine:
            compare(engine, filters.windows(engine, _time(since), _time(until)), _pid(pid))
            group(engine, which, chosen, False)
            return self._answer(engine.query(ordered(which)).table())

    def check(self) -> duckdb.DuckDBPyRelation:
        """The rebuilt address spaces against the kernel's own: a row a reading of /proc/PID/maps.

        verdict: exact, possible (differs only where the answer is possible), wrong, changed or unknown (not used).
        """
        from analysis.checks import compare

        parts = []
        for label, capture in self.captures.items():
            with Engine([capture], self._limits) as engine:
                parts.append(labelled(compare(engine).table, label))
        return self._answer(pa.concat_tables(parts))

    def plot(
        self,
        pid: SupportsIndex | Sequence[SupportsIndex] = (),
        since: Time | None = None,
        until: Time | None = None,
        what: str = "maps",
    ) -> Figure:
        """A picture as a matplotlib figure, as `analyze plot` makes it; `what`: maps (address spaces) or counts (VMAs).

        Needs matplotlib, which comes with maptrail[review].
        """
        from analysis import plot

        pictures = {"maps": plot.picture, "counts": plot.counts}
        if what not in pictures:
            raise UsageError(f"no such picture: {what}", f"one of: {', '.join(pictures)}")
        pids = [pid] if isinstance(pid, SupportsIndex) else pid
        with self._asking() as engine:
            return pictures[what](engine, [operator.index(each) for each in pids], _time(since), _time(until))

    # How they are answered

    @contextmanager
    def _asking(self) -> Iterator[Engine]:
        """An engine for one question: what it makes on its way is in nobody's way."""
        with Engine(self._opened, self._limits, symbols=self._symbols) as engine:
            yield engine

    def _maps(self, pid: SupportsIndex, at: Time | None) -> tuple[pa.Table, list[str]]:
        from analysis.maps import how_sure, maps_at
        from analysis.spaces import find

        with self._asking() as engine:
            found = maps_at(engine, find(engine, operator.index(pid), _time(at)))
            return found.table, list(how_sure(engine, found))

    def _answer(self, rows: pa.Table) -> duckdb.DuckDBPyRelation:
        return self._inert(self.engine.relation_of(rows))

    def _inert(self, relation: duckdb.DuckDBPyRelation) -> duckdb.DuckDBPyRelation:
        """The relation with every text in it inert, see macros.sql."""
        return relation.project(inert_columns(zip(relation.columns, map(str, relation.types), strict=True)))


def _time(value: Time | None) -> str | None:
    return value if value is None or isinstance(value, str) else f"{operator.index(value)}ns"


def _address(value: Address | None) -> str | None:
    return value if value is None or isinstance(value, str) else f"{operator.index(value):#x}"


def _pid(value: SupportsIndex | None) -> int | None:
    return None if value is None else operator.index(value)


def _several(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _certainty(value: str | None) -> Certainty | None:
    return None if value is None else _choice(Certainty, value)


def _choice(kind: Any, value: str) -> Any:
    try:
        return kind(value)
    except ValueError:
        raise UsageError(f"not a {kind.__name__.lower()}: {value}", f"one of: {', '.join(kind)}") from None
