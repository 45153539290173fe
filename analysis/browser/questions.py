"""What the browser asks of a capture.

An engine answers one question at a time, so whoever asks takes turns. Answers are lists, read a page at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from analysis import edges
from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.filters import ALWAYS
from analysis.maps import Maps, maps_at
from analysis.options import Severity
from analysis.output import Style
from analysis.scripts import run
from analysis.spaces import find
from analysis.text import inert
from analysis.why import life, lines, place_of

__all__ = ["PAGE", "Held", "Listing", "Questions", "Row", "Spot", "Table"]

Row = dict[str, Any]
PAGE = 256
"""Rows that are asked for at once."""
_PAGES = 64  # that a table keeps


@dataclass(frozen=True)
class Spot:
    """What a line is about: a process, an instant (None: its last), an address, and the process of the other party.

    `other_ns` is when that one acted, if at another time [CLOCK_MONOTONIC]. `whole` asks for the whole life of the
    address, not only until that instant.
    """

    pid: int
    at_ns: int | None = None
    address: int | None = None
    other_pid: int | None = None
    whole: bool = False
    other_ns: int | None = None


class Listing(Protocol):
    """Rows in order, numbered from 0."""

    count: int

    def page(self, number: int) -> list[Row] | None:
        """The rows of a page, fewer at the end; None: they have to be asked for."""
        ...

    def find(self, text: str, after: int, back: bool) -> int | None:
        """The next row that holds a text in lower case, or the one before."""
        ...


class Held:
    """Rows in memory: few, or needed whole. `words` is the text of a row that a search looks through."""

    def __init__(self, rows: Sequence[Row], words: Callable[[Row], str]) -> None:
        self._rows = rows
        self._words = words
        self.count = len(rows)

    def page(self, number: int) -> list[Row]:
        """See Listing."""
        return list(self._rows[number * PAGE : (number + 1) * PAGE])

    def find(self, text: str, after: int, back: bool) -> int | None:
        """See Listing."""
        order = range(after - 1, -1, -1) if back else range(after + 1, self.count)
        return next((n for n in order if text in self._words(self._rows[n]).lower()), None)


class Table:
    """Rows of a table in the engine, which can be many; its column n numbers them."""

    def __init__(self, engine: Engine, table: str) -> None:
        self._engine = engine
        self.name = table
        self._pages: dict[int, list[Row]] = {}
        [(self.count,)] = engine.execute(f"SELECT count(*) FROM {table}")

    def page(self, number: int) -> list[Row] | None:
        """See Listing."""
        return self._pages.get(number)

    def ask(self, number: int) -> None:
        """Ask for a page."""
        if number not in self._pages:
            sql = f"FROM {self.name} WHERE n >= {number * PAGE} AND n < {(number + 1) * PAGE} ORDER BY n"
            rows = self._engine.query(sql).dicts()
            if len(self._pages) >= _PAGES:
                self._pages = {}
            self._pages[number] = rows

    def find(self, text: str, after: int, back: bool) -> int | None:
        """See Listing."""
        return self.first(f"contains(words, {text_literal(text)})", after, back)

    def first(self, condition: str, after: int = -1, back: bool = False) -> int | None:
        """The first row past a row, or the last before it, for which a condition holds."""
        found: int | None
        which = f"max(n) FROM {self.name} WHERE n < {after}" if back else f"min(n) FROM {self.name} WHERE n > {after}"
        [(found,)] = self._engine.execute(f"SELECT {which} AND {condition}")
        return found


class Questions:
    """Asks one capture."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        [(self.label, self.capture)] = engine.captures.items()
        self.clock = self.capture.manifest.clock
        self._tables = 0
        self._gathered = False

    def _keep(self, table: str) -> Table:
        """A table of its own, which the next question does not replace."""
        self._tables += 1
        self._engine.execute(f"ALTER TABLE {table} RENAME TO {table}_{self._tables}")
        return Table(self._engine, f"{table}_{self._tables}")

    def drop(self, listing: Listing) -> None:
        """Forget a list that is not shown any more."""
        if isinstance(listing, Table):
            self._engine.execute(f"DROP TABLE IF EXISTS {listing.name}")

    def processes(self) -> Table:
        """Every process; those with findings first, once these were gathered."""
        which = "FROM (SELECT unnest([pid, other_pid]) AS pid, severity FROM found WHERE expected IS NULL)"
        if not self._gathered:
            which = "FROM (SELECT NULL::UINTEGER AS pid, NULL::VARCHAR AS severity) WHERE false"
        rank = f"list_position({[str(each) for each in Severity]}, severity)"
        self._engine.execute(
            f"CREATE OR REPLACE TABLE involved AS SELECT pid, count(*) AS findings, min({rank}) AS rank {which} "
            "GROUP BY pid"
        )
        run(self._engine, "browse/processes", "listing processes")
        return self._keep("listed")

    def gather(self) -> None:
        """Look for edge cases, once."""
        if not self._gathered:
            edges.gather(self._engine, edges.kinds(), ())
            self._gathered = True

    def findings(self, everything: bool) -> Table:
        """Findings, gravest first; `everything`: what is normal, or only for the picture, too."""
        self.gather()
        condition = "true" if everything else f"expected IS NULL AND severity <> '{Severity.INFO}'"
        rank = f"list_position({[str(each) for each in Severity]}, severity)"
        self._engine.execute(
            "CREATE OR REPLACE TABLE listed_findings AS "
            f"SELECT row_number() OVER (ORDER BY {rank}, ts_ns, kind, space, start) - 1 AS n, *, "
            "lower(concat_ws(' ', severity, kind, format('{:x}', start), sentence)) AS words "
            f"FROM found WHERE {condition}"
        )
        return self._keep("listed_findings")

    def happened(self, pid: int) -> Table:
        """The time line of a process."""
        self.gather()
        self._engine.need_timeline()
        self._engine.execute(f"SET VARIABLE pid = {pid}")
        run(self._engine, "names", "naming heaps and stacks")
        run(self._engine, "browse/happened", "drawing the time line")
        return self._keep("happened")

    def maps(self, pid: int, at_ns: int | None) -> Maps:
        """The address space of a process at an instant, or at its last."""
        return maps_at(self._engine, find(self._engine, pid, None if at_ns is None else f"{at_ns}ns"))

    def change(self, pid: int, at_ns: int, back: bool) -> int | None:
        """The next instant at which the mappings of a process changed, or the one before. ns, CLOCK_MONOTONIC."""
        found: int | None
        which, order = ("max", "<") if back else ("min", ">")
        self._engine.need_timeline()
        [(found,)] = self._engine.execute(
            f"SELECT {which}(ts_ns) FROM (SELECT unnest([timeline.from_ns, timeline.to_ns]) AS ts_ns, "
            "uses.from_ns AS since_ns, uses.to_ns AS until_ns FROM timeline JOIN uses USING (capture, space) "
            f"WHERE uses.pid = {pid}) "
            f"WHERE ts_ns {order} {at_ns} AND ts_ns >= since_ns AND ts_ns < coalesce(until_ns, {ALWAYS})"
        )
        return found

    def why(self, spot: Spot, width: int) -> tuple[int, list[Row]]:
        """The life of an address: until when, and lines of text, each with the row of analysis.why that it is of."""
        assert spot.address is not None
        at_ns, faulted = spot.at_ns, False
        if spot.whole and at_ns is not None:
            at_ns, faulted = self._last(spot.pid, at_ns, spot.address)
        if faulted:
            place = find(self._engine, spot.pid, f"{at_ns}ns")
        else:
            place, faulted = place_of(self._engine, spot.pid, spot.address, None if at_ns is None else f"{at_ns}ns")
        told: list[Row] = []
        rows = life(self._engine, place, spot.address, faulted).dicts()
        passed: list[Row] = []  # lines are made as rows are taken, so a line is of the last one

        def each() -> Iterator[Row]:
            for row in rows:
                passed.append(row)
                yield row

        for line in lines(self._engine, each(), Style(width=width)):
            text = line.rstrip("\n")
            # a path is one word, however long
            told += [{**passed[-1], "line": text[at : at + width]} for at in range(0, max(len(text), 1), width)]
        return place.at_ns, told

    def _last(self, pid: int, at_ns: int, address: int) -> tuple[int, bool]:
        """The last fault at an address in the address space that a process had then, else the end of that one."""
        sql = (
            f"SELECT coalesce(to_ns - 1, {self.capture.covered_to_ns}) AS end_ns, "
            f"(SELECT max(ts_ns) FROM faults WHERE pid = {pid} AND address >> 12 = {address} >> 12 "
            f"AND ts_ns >= from_ns AND ts_ns < coalesce(to_ns, {ALWAYS})) AS fault_ns "
            f"FROM uses WHERE pid = {pid} AND from_ns <= {at_ns} AND coalesce(to_ns, {ALWAYS}) > {at_ns}"
        )
        self._engine.need_timeline()
        found = self._engine.query(sql).dicts()
        if not found:
            return at_ns, False
        end_ns, fault_ns = found[0]["end_ns"], found[0]["fault_ns"]
        return (end_ns, False) if fault_ns is None else (fault_ns, True)

    def moment(self, text: str) -> int:
        """The instant that a text names. UsageError: it names none, or none that was recorded."""
        from analysis.filters import moments

        return moments(self._engine, text)[self.label]

    def name(self, pid: int) -> str:
        """`comm (pid)`, inert."""
        rows = self._engine.execute(f"SELECT comm FROM processes WHERE pid = {pid}")
        return f"{inert(rows[0][0] or '') if rows else ''} ({pid})".lstrip()
