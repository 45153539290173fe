"""What the browser shows: a list with a title, a line for each row, and more about the row under the cursor.

All text is inert: what programs under investigation chose cannot move the cursor, and nothing here is read as markup.
"""

from __future__ import annotations

import signal
from collections.abc import Sequence
from contextlib import suppress
from typing import ClassVar

from rich.cells import cell_len, set_cell_size
from rich.console import Console
from rich.text import Text as Rich

from analysis.browser.questions import PAGE, Held, Listing, Questions, Row, Spot, Table
from analysis.maps import Maps
from analysis.maps import line as maps_line
from analysis.options import Severity
from analysis.spaces import exactly
from analysis.text import device, duration, inert, size
from analysis.times import relative

__all__ = ["Findings", "MapsAt", "Processes", "Text", "Timeline", "View", "Why", "fit", "folded"]

_SEVERITIES = [str(each) for each in Severity]
_LONGEST = 1 << 14  # characters of a text that are shown
_CONSOLE = Console()


def fit(text: str, width: int, right: bool = False, tail: bool = False) -> str:
    """Text in so many columns of a terminal: padded, or cut with an ellipsis, at its beginning if `tail` matters."""
    cells = cell_len(text)
    if cells <= width:
        space = " " * (width - cells)
        return space + text if right else text + space
    if width < 2:
        return "…"[:width]
    if not tail:
        return set_cell_size(text, width - 1) + "…"
    text = text[-width:]
    while cell_len(text) > width - 1:
        text = text[1:]
    return fit(f"…{text}", width)


class View:
    """A list on the screen. `keys` are its actions by key, with what the footer calls them."""

    keys: ClassVar[dict[str, tuple[str, str]]] = {}
    about: ClassVar[str] = ""
    """For the page of keys."""

    def __init__(self, questions: Questions, listing: Listing) -> None:
        self.questions = questions
        self.listing = listing
        self.cursor = 0

    @property
    def title(self) -> str:
        """Where we are."""
        raise NotImplementedError

    def header(self, width: int) -> str:  # noqa: ARG002
        """What the columns are."""
        return ""

    def line(self, row: Row, width: int) -> str:
        """A row in so many columns."""
        raise NotImplementedError

    def detail(self, row: Row) -> list[str]:
        """More about a row, in sentences."""
        raise NotImplementedError

    def spot(self, row: Row) -> Spot | None:  # noqa: ARG002
        """What questions about a row are asked of."""
        return None

    def prepare(self) -> None:
        """Ask for the rows that are shown first."""
        if isinstance(self.listing, Table):
            self.listing.ask(self.cursor // PAGE)

    def when(self, ts_ns: int | None) -> str:
        """A time from the start of the capture."""
        return "" if ts_ns is None else relative(ts_ns, self.questions.clock)

    def exactly(self, ts_ns: int) -> str:
        """The same to the nanosecond."""
        return exactly(ts_ns, self.questions.capture)

    @staticmethod
    def sure(row: Row) -> str:
        """How sure a row is."""
        return inert(f"possible: {row['reason']}") if row["certainty"] == "possible" else "certain"


_ALWAYS = {
    "f": ("findings", "findings"),
    "v": ("whole", "more"),
    "/": ("search", "find"),
    "?": ("keys", "keys"),
    "escape": ("back", "back"),
    "q": ("leave", "quit"),
}


def _columns(cells: Sequence[tuple[str, int]], rest: str, width: int, tail: bool = False) -> str:
    """Cells of fixed widths (negative: to the right), then what takes all that is left."""
    fixed = " ".join(fit(text, abs(each), right=each < 0) for text, each in cells)
    return f"{fixed} {fit(rest, max(width - cell_len(fixed) - 1, 0), tail=tail)}"


class Processes(View):
    """Which processes there were."""

    keys: ClassVar = {
        "enter": ("timeline", "time line"),
        "m": ("maps", "maps"),
        "w": ("why", "why"),
        **{key: value for key, value in _ALWAYS.items() if key != "escape"},
    }
    about = "Every process of the capture, those with the gravest findings first."

    @property
    def title(self) -> str:
        capture = self.questions.capture
        lost = sum(counts["lost"] for counts in capture.manifest.totals.values())
        missing = [line for line in capture.completeness() if line != "complete"]
        told = "; ".join([*([f"{lost:,} records were lost"] if lost else []), *missing]) or "complete"
        return f"{inert(self.questions.label)}: processes ({inert(told)})"

    def header(self, width: int) -> str:
        return self._line(("pid", "name", "first seen", "ended by", "calls", "failed"), "findings", width)

    def _line(self, cells: Sequence[str], rest: str, width: int) -> str:
        return _columns(list(zip(cells, (-8, 15, -12, 8, -9, -7), strict=True)), rest, width)

    def _ended(self, row: Row) -> str:
        if row["killed_by"]:
            with suppress(ValueError):
                return signal.Signals(row["killed_by"]).name
            return f"signal {row['killed_by']}"
        return "exit" if row["exit_ns"] is not None else ""

    def line(self, row: Row, width: int) -> str:
        found = f"{row['findings']}, {_SEVERITIES[row['rank'] - 1]}" if row["rank"] else ""
        cells = (row["pid"], inert(row["comm"] or ""), self.when(row["first_ns"]), self._ended(row), row["calls"])
        return self._line([*map(str, cells), str(row["failed"])], found, width)

    def detail(self, row: Row) -> list[str]:
        life = f"seen from {self.when(row['first_ns'])} to {self.when(row['last_ns'])}"
        if row["parent_pid"] is not None:
            life += f", child of {row['parent_pid']}"
        told = [f"{inert(row['comm'] or '')} ({row['pid']}): {inert(row['executed'] or 'no program was seen')}", life]
        if row["faults"]:
            count = f"{row['faults']} fault{'s' * (row['faults'] != 1)}"
            told.append(f"{count}, the last at {row['fault_address']:#x}, {self.when(row['fault_ns'])}")
        return [*told, f"{row['vma_records']:,} records of mappings"]

    def spot(self, row: Row) -> Spot:
        fault = row["fault_address"]
        return Spot(row["pid"], None if fault is None else row["fault_ns"], fault, whole=True)


_BEGAN = {
    "alive": "was there before the recording",
    "fork": "begins with a copy of its parent's memory",
    "exec": "begins a program in a new address space",
    "unknown": "begins, which was not recorded",
}
_ENDED = {"exec": "leaves the address space of the program before"}


class Timeline(View):
    """What happened to the memory of a process."""

    keys: ClassVar = {
        "enter": ("maps", "maps"),
        "w": ("why", "why"),
        "o": ("other", "other"),
        **_ALWAYS,
    }
    about = "What happened to the memory of a process. + came, - went, ! a finding, ? records lost, = began or ended."

    def __init__(self, questions: Questions, listing: Listing, pid: int) -> None:
        super().__init__(questions, listing)
        self.pid = pid
        self._name = questions.name(pid)

    @property
    def title(self) -> str:
        return f"{inert(self.questions.label)}: time line of {self._name}"

    def header(self, width: int) -> str:
        return _columns([("time", -12), ("  what", 13), ("address", -12), ("size", -9), ("", 4)], "of", width)

    def line(self, row: Row, width: int) -> str:
        lead = [(self.when(row["ts_ns"]), -12), (f"{row['sign']} {row['what']}", 13)]
        if row["sentence"] is not None:
            return _columns(lead, inert(row["sentence"]), width)
        if row["start"] is None:
            return _columns(lead, self._turn(row), width)
        place = [(f"{row['start']:x}", -12), (size(row["end"] - row["start"]), -9), (row["perms"] or "????", 4)]
        path = inert(row["path"] or "")
        doubt = "? " if row["certainty"] == "possible" else ""
        fixed = _columns([*lead, *place], doubt, width).rstrip() if doubt else _columns([*lead, *place], "", 0).rstrip()
        return f"{fixed} {fit(path, max(width - cell_len(fixed) - 1, 0), tail=True)}"

    def detail(self, row: Row) -> list[str]:
        if row["sentence"] is not None:
            grave = f"{row['severity']} {row['what']}: " if row["severity"] else ""
            return [grave + inert(row["sentence"]), *([self.sure(row)] if row["certainty"] else [])]
        if row["start"] is None:
            return [f"{row['what']}: {self._name} {self._turn(row)}"]
        made = f"made by {row['cause']} at {self.exactly(row['from_ns'])}"
        if row["to_ns"] is not None:
            stood = duration(row["to_ns"] - row["from_ns"])
            made += f", ended by {row['end_cause']} at {self.exactly(row['to_ns'])}, after {stood}"
        by = f"; by thread {row['tid']}" if row["tid"] else ""
        return [
            f"{row['start']:#x}-{row['end']:#x} {row['perms'] or '????'} +{row['offset_bytes'] or 0:#x} "
            f"{device(row['dev'] or 0)} {row['inode'] or 0} {inert(row['path'] or '')}",
            made + by,
            self.sure(row),
        ]

    @staticmethod
    def _turn(row: Row) -> str:
        return _BEGAN[row["what"]] if row["turn"] == 0 else _ENDED.get(row["what"], "ends")

    def spot(self, row: Row) -> Spot:
        ended = row["turn"] in (-1, 5)  # then it is not there any more
        return Spot(self.pid, row["ts_ns"] - ended, row["start"], row["other_pid"], whole=True)


class MapsAt(View):
    """An address space at an instant."""

    keys: ClassVar = {
        "enter": ("why", "why"),
        "left": ("before", ""),
        "right": ("after", "step"),
        "t": ("timeline", "time line"),
        **_ALWAYS,
    }
    about = "/proc/PID/maps as it was. + is new at this instant, ? only possible; left and right go to the next change."

    def __init__(self, questions: Questions, maps: Maps) -> None:
        super().__init__(questions, Held(maps.lines, maps_line))
        self.maps = maps
        self._name = questions.name(maps.place.pid)

    @property
    def title(self) -> str:
        place = self.maps.place
        return f"{inert(self.questions.label)}: maps of {self._name} at {self.exactly(place.at_ns)}"

    def header(self, width: int) -> str:  # noqa: ARG002
        place, lines = self.maps.place, self.maps.lines
        new = sum(row["from_ns"] == place.at_ns for row in lines)
        possible = sum(row["certainty"] == "possible" for row in lines)
        told = f"  {len(lines)} mappings, {new} new, {f'{possible} only possible' if possible else 'certain'}"
        if self.maps.doubts:
            told += f"; {len(self.maps.doubts)} ranges where others can be: {inert(self.maps.doubts[0]['reason'])}"
        return told

    def line(self, row: Row, width: int) -> str:
        mark = "+" if row["from_ns"] == self.maps.place.at_ns else "?" if row["certainty"] == "possible" else " "
        # as the kernel prints it, without its spaces where there is no room for them
        text = maps_line(row)
        if cell_len(text) + 2 <= width:
            return f"{mark} {fit(text, width - 2)}"
        fields = text.split(maxsplit=5)
        fixed = " ".join([mark, *fields[:5]])
        path = fields[5] if len(fields) > 5 else ""
        return f"{fixed} {fit(path, max(width - len(fixed) - 1, 0), tail=True)}"

    def detail(self, row: Row) -> list[str]:
        since = "" if row["from_ns"] is None else f", so since {self.exactly(row['from_ns'])}"
        by = f" by thread {row['cause_tid']}" if row["cause_tid"] else ""
        made = f"{size(row['end'] - row['start'])}; {row['cause']}{by}{since}" if row["cause"] else "the kernel's own"
        return [maps_line(row), made, self.sure(row)]

    def spot(self, row: Row) -> Spot:
        return Spot(self.maps.place.pid, self.maps.place.at_ns, row["start"])


class Findings(View):
    """What was found."""

    keys: ClassVar = {
        "enter": ("timeline", "its place"),
        "m": ("maps", "maps"),
        "w": ("why", "why"),
        "o": ("other", "other"),
        "a": ("everything", "all"),
        **{key: value for key, value in _ALWAYS.items() if key != "f"},
    }
    about = "Edge cases, gravest first: who did what to whom."

    def __init__(self, questions: Questions, listing: Listing, everything: bool) -> None:
        super().__init__(questions, listing)
        self.everything = everything

    @property
    def title(self) -> str:
        return f"{inert(self.questions.label)}: {'all ' if self.everything else ''}findings"

    def header(self, width: int) -> str:
        return _columns([("grave", 6), ("time", -12)], "what", width)

    def line(self, row: Row, width: int) -> str:
        lead = [(row["severity"], 6), (self.when(row["ts_ns"]), -12)]
        return _columns(lead, f"{row['kind']}: {inert(row['sentence'])}", width)

    def detail(self, row: Row) -> list[str]:
        normal = [inert(f"normal: {row['expected']}")] if row["expected"] else []
        return [inert(row["sentence"]), self.sure(row), *normal]

    def spot(self, row: Row) -> Spot | None:
        pid, other = (row["other_pid"], row["pid"]) if row["other_pid"] is not None else (row["pid"], None)
        return None if pid is None else Spot(pid, row["ts_ns"], row["start"], other, whole=True)


class Why(View):
    """The life of an address."""

    keys: ClassVar = {
        "enter": ("maps", "maps"),
        "t": ("timeline", "time line"),
        "o": ("other", "other"),
        **_ALWAYS,
    }
    about = "The verdict, then the life of an address, newest first."

    def __init__(self, questions: Questions, spot: Spot, at_ns: int, lines: Sequence[Row]) -> None:
        super().__init__(questions, Held(lines, lambda row: row["line"]))
        self.asked = spot
        self._at_ns = at_ns
        self._name = questions.name(spot.pid)
        self._other = next((row for row in lines if row["pid"] not in (None, spot.pid)), None)

    @property
    def title(self) -> str:
        return (
            f"{inert(self.questions.label)}: {self.asked.address:#x} of {self._name} until {self.exactly(self._at_ns)}"
        )

    def line(self, row: Row, width: int) -> str:
        return fit(row["line"], width)

    def detail(self, row: Row) -> list[str]:
        if row["what"] == "verdict":
            return [self.sure(row)]
        who = f" by {inert(row['comm'] or '')} ({row['pid']}, thread {row['tid']})" if row["pid"] is not None else ""
        return [f"{row['what']} at {self.exactly(row['ts_ns'])}{who}", inert(row["text"]), self.sure(row)]

    def spot(self, row: Row) -> Spot:
        other = row if row["pid"] not in (None, self.asked.pid) else self._other
        if other is None:
            return Spot(self.asked.pid, row["ts_ns"], self.asked.address)
        return Spot(self.asked.pid, row["ts_ns"], self.asked.address, other["pid"], other_ns=other["ts_ns"])


class Text(View):
    """Text to read."""

    keys: ClassVar = {"/": ("search", "find"), "escape": ("back", "back"), "q": ("leave", "quit")}

    def __init__(self, questions: Questions, title: str, paragraphs: Sequence[str], width: int) -> None:
        lines = [{"line": line} for text in paragraphs for line in folded(text, width)]
        super().__init__(questions, Held(lines, lambda row: row["line"]))
        self._title = title

    @property
    def title(self) -> str:
        return self._title

    def line(self, row: Row, width: int) -> str:
        return fit(row["line"], width)

    def detail(self, row: Row) -> list[str]:  # noqa: ARG002
        return []


def folded(text: str, width: int) -> list[str]:
    """Inert text in lines, broken at spaces where it can be, and anywhere where a word is too long."""
    return [line.plain.rstrip() for line in Rich(text[:_LONGEST]).wrap(_CONSOLE, max(width, 10))] or [""]
