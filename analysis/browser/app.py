"""The terminal's side of the browser: a stack of lists, keys, and one thread that asks.

Nothing that asks the capture runs where keys are read, so the screen answers always; Escape ends a question.
"""

from __future__ import annotations

import asyncio
import signal
import threading
from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

from rich.cells import set_cell_size
from rich.segment import Segment
from rich.style import Style
from rich.text import Text as Rich
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.events import Key, Resize
from textual.geometry import Size
from textual.message import Message
from textual.scroll_view import ScrollView
from textual.strip import Strip
from textual.widgets import Input, Static
from textual.worker import get_current_worker

from analysis.browser.questions import PAGE, Questions, Row, Spot, Table
from analysis.browser.views import Findings, MapsAt, Processes, Text, Timeline, View, Why, folded
from analysis.engine import Engine
from analysis.errors import AnalysisError, UsageError
from analysis.filters import address_range
from analysis.progress import told_to
from analysis.text import inert

__all__ = ["KEYS", "Browser", "Lines"]

Answer = TypeVar("Answer")
_DETAIL = 5  # lines about the row under the cursor
KEYS = {"enter": "⏎", "escape": "esc", "left": "←", "right": "→"}
"""Names of keys that have no character."""

_EXPLAINED = {
    "timeline": "the time line of the process of this line, at its time",
    "maps": "/proc/PID/maps at the time of this line",
    "why": "why: the life of the address of this line, and who did what",
    "other": "the time line of the other process that took part in this",
    "before": "the maps at the change before",
    "after": "the maps at the next change",
    "findings": "findings: the edge cases of the whole capture, gravest first",
    "everything": "all findings, what is normal too; again: only what matters",
    "whole": "everything that is known of this line",
    "search": "find",
    "keys": "this page",
    "back": "back to where you came from; ends a question that takes long",
    "leave": "quit",
}


class Lines(ScrollView, can_focus=True):
    """The rows of a view. The cursor is a > as well as reversed, so no colour is needed."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up,k", "move(-1)"),
        Binding("down,j", "move(1)"),
        Binding("pageup,b", "move(-1, True)"),
        Binding("pagedown,space", "move(1, True)"),
        Binding("home,g", "end(False)"),
        Binding("end,G", "end(True)"),
    ]

    class Moved(Message):
        """The cursor is on another row."""

    class Wanted(Message):
        """A page of rows is needed that is not here."""

        def __init__(self, view: View, page: int) -> None:
            super().__init__()
            self.view = view
            self.page = page

    def __init__(self) -> None:
        super().__init__()
        self._view: View | None = None
        self._wanted: set[int] = set()

    def show(self, view: View) -> None:
        """Show a view, its cursor where it was."""
        self._view = view
        self._wanted = set()
        self.virtual_size = Size(self.size.width, view.listing.count)
        self.go(view.cursor)

    def row(self, n: int) -> Row | None:
        """A row, if it is here; else it is asked for."""
        view = self._view
        if view is None or not 0 <= n < view.listing.count:
            return None
        rows = view.listing.page(n // PAGE)
        if rows is None:
            if n // PAGE not in self._wanted:
                self._wanted.add(n // PAGE)
                # asked for while the screen is drawn, it would be the screen's, and go no further than that
                self.post_message(self.Wanted(view, n // PAGE).set_sender(self))
            return None
        return rows[n % PAGE]

    def came(self, page: int) -> None:
        """A page that was asked for is here; where it is not, it is asked for again."""
        self._wanted.discard(page)
        self.refresh()
        self.post_message(self.Moved())

    @property
    def waits(self) -> bool:
        """Whether rows were asked for that are not here yet."""
        return bool(self._wanted)

    @property
    def current(self) -> Row | None:
        """The row under the cursor."""
        return None if self._view is None else self.row(self._view.cursor)

    def go(self, n: int) -> None:
        """Put the cursor on a row."""
        view = self._view
        if view is None:
            return
        view.cursor = max(min(n, view.listing.count - 1), 0)
        top, height = self.scroll_offset.y, max(self.size.height, 1)
        if not top <= view.cursor < top + height:
            self.scroll_to(y=max(view.cursor - height // 2, 0), animate=False, force=True)
        self.refresh()
        self.post_message(self.Moved())

    def action_move(self, step: int, page: bool = False) -> None:
        if self._view:
            self.go(self._view.cursor + step * (max(self.size.height - 1, 1) if page else 1))

    def action_end(self, last: bool) -> None:
        if self._view:
            self.go(self._view.listing.count - 1 if last else 0)

    def on_resize(self, event: Resize) -> None:
        if self._view:
            self.virtual_size = Size(event.size.width, self._view.listing.count)
            self.go(self._view.cursor)

    def render_line(self, y: int) -> Strip:
        width = self.size.width
        n = y + self.scroll_offset.y
        view = self._view
        if view is None or n >= view.listing.count:
            return Strip.blank(width, Style())
        row = self.row(n)
        text = "…" if row is None else view.line(row, width - 2)
        here = n == view.cursor
        return Strip([Segment(f"{'>' if here else ' '} {text}", Style(reverse=here))]).adjust_cell_length(
            width, Style()
        )


class Browser(App[None]):
    """Browses the one capture of an engine, which no other thread may use meanwhile."""

    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #title { height: 1; text-style: bold reverse; }
    #header { height: 1; text-style: underline; }
    Lines { height: 1fr; scrollbar-size: 0 0; }
    #detail { height: 6; border-top: solid ansi_default; }
    #note { height: 1; text-style: italic; }
    #search { height: 1; border: none; padding: 0; display: none; }
    #search:focus { border: none; }
    #foot { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+c,ctrl+q", "leave", priority=True),
        Binding("n", "again(False)"),
        Binding("N", "again(True)"),
    ]

    def __init__(self, engine: Engine) -> None:
        super().__init__(ansi_color=True)  # the terminal's own colours, or with NO_COLOR none
        self.theme = "ansi-dark"
        self.questions = Questions(engine)
        self.stack: list[View] = []
        self._engine = engine
        self._asking = threading.Lock()  # an engine answers one question at a time
        self._question = 0
        self._text = ""

    def compose(self) -> ComposeResult:
        yield Static(id="title", markup=False)
        yield Static(id="header", markup=False)
        yield Lines()
        yield Static(id="detail", markup=False)
        yield Input(id="search", placeholder="text, +1.5s or 0x7f0000001000")
        yield Static(id="note", markup=False)
        yield Static(id="foot", markup=False)

    def on_mount(self) -> None:
        loop = asyncio.get_running_loop()
        if not self.is_headless:
            for number in (signal.SIGTERM, signal.SIGHUP):  # so that the terminal is left as it was
                loop.add_signal_handler(number, self._leave, 128 + number)
        self.lines.focus()
        self.ask("listing processes", self._processes, self._begin)

    def on_unmount(self) -> None:
        self._stop()

    @property
    def lines(self) -> Lines:
        """The list."""
        return self.query_one(Lines)

    @property
    def view(self) -> View:
        """The list that is shown."""
        return self.stack[-1]

    # asking

    def ask(
        self, what: str, question: Callable[[], Answer], then: Callable[[Answer], None], always: bool = False
    ) -> None:
        """Ask in a thread, in turn; `then` gets the answer: `always`, or unless something else was asked meanwhile."""
        self._question += 1
        number = self._question
        self._note(f"{what} … esc ends it")

        def work() -> None:
            worker = get_current_worker()
            tell = self.call_from_thread
            with self._asking:
                if worker.is_cancelled or not (always or number == self._question):
                    return
                try:
                    with told_to(lambda line: tell(self._progress, number, line)):
                        answer = question()
                        if isinstance(answer, View):
                            answer.prepare()
                except KeyboardInterrupt:  # it was interrupted
                    return
                except AnalysisError as error:
                    tell(self._failed, number, error)
                    return
            tell(self._answered, number, then, answer, always)

        self.run_worker(work, thread=True, group="question", exit_on_error=True)

    def _answered(self, number: int, then: Callable[[Any], None], answer: Any, always: bool) -> None:
        if number == self._question:
            self._note("")
        if always or number == self._question:
            then(answer)

    def _progress(self, number: int, line: str) -> None:
        if line and number == self._question:
            self._note(f"{line} … esc ends it")

    def _failed(self, number: int, error: AnalysisError) -> None:
        if number == self._question:
            self._refused(error)

    def _refused(self, error: AnalysisError) -> None:
        self._note(f"{error} ({error.hint})" if error.hint else str(error))

    @property
    def busy(self) -> bool:
        """Whether a question is being answered."""
        return self._asking.locked()

    def _stop(self) -> None:
        """End the question that runs."""
        self._question += 1

        def until_ended() -> None:
            while not self._asking.acquire(timeout=0.1):  # an interrupt between two statements is forgotten
                self._engine.interrupt()
            self._asking.release()

        self._engine.interrupt()
        threading.Thread(target=until_ended, daemon=True).start()

    # showing

    def _note(self, text: str) -> None:
        self.query_one("#note", Static).update(Rich(inert(text), no_wrap=True, overflow="ellipsis"))

    def push(self, view: View) -> None:
        """Show a view on top."""
        self.stack.append(view)
        self._show()

    def replace(self, view: View) -> None:
        """Show a view in the place of the one on top."""
        self.stack[-1:] = [view]
        self._show()

    def _show(self) -> None:
        view = self.view
        self.lines.show(view)
        keys = Rich(no_wrap=True)
        for key, (_, label) in view.keys.items():
            keys.append(KEYS.get(key, key), "reverse").append(f" {label} " if label else "")
        self.query_one("#foot", Static).update(keys)
        self._moved()

    def on_lines_moved(self) -> None:
        self._moved()

    def on_resize(self) -> None:
        if self.stack:
            self.call_after_refresh(self._moved)

    def _moved(self) -> None:
        if not self.stack:
            return
        view, row = self.view, self.lines.current
        count = view.listing.count
        place = f"{min(view.cursor + 1, count):,}/{count:,}"
        width = self.size.width
        title = Rich(view.title, no_wrap=True)
        title.truncate(max(width - len(place) - 1, 0), overflow="ellipsis", pad=True)
        self.query_one("#title", Static).update(Rich(f"{title.plain} {place}", no_wrap=True))
        self.query_one("#header", Static).update(Rich("  " + view.header(width - 2), no_wrap=True))
        detail = [line for text in ([] if row is None else view.detail(row)) for line in folded(text, width)]
        if len(detail) > _DETAIL:
            more = "… v: more"
            detail[_DETAIL - 1 :] = [set_cell_size(detail[_DETAIL - 1], width - len(more)).rstrip() + more]
        self.query_one("#detail", Static).update(Rich("\n".join(detail), no_wrap=True))

    def on_lines_wanted(self, wanted: Lines.Wanted) -> None:
        view, page = wanted.view, wanted.page

        def work() -> None:
            with self._asking:
                if view is not self.view or not isinstance(view.listing, Table):
                    return
                try:
                    view.listing.ask(page)
                except KeyboardInterrupt:
                    pass
                except AnalysisError as error:  # the page stays away: asked for again it would fail again
                    self.call_from_thread(self._refused, error)
                    return
            self.call_from_thread(self._came, view, page)

        self.run_worker(work, thread=True, group="page")

    def _came(self, view: View, page: int) -> None:
        if view is self.view:
            self.lines.came(page)

    # keys

    def on_key(self, event: Key) -> None:
        if self.query_one("#search").display:
            if event.key == "escape":
                self._end_search()
            return
        key = event.character if event.character and event.character in "/?" else event.key
        if event.key == "escape" and self.busy:
            self._stop()
            self._note("ended")
        elif self.stack and key in self.view.keys:
            getattr(self, f"do_{self.view.keys[key][0]}")()

    def _spot(self) -> Spot | None:
        row = self.lines.current
        return None if row is None else self.view.spot(row)

    def _processes(self) -> Processes:
        return Processes(self.questions, self.questions.processes())

    def _begin(self, view: Processes) -> None:
        self.push(view)

        def again() -> Processes:
            self.questions.gather()
            return self._processes()

        self.ask("looking for edge cases", again, self._sorted, always=True)

    def _sorted(self, view: Processes) -> None:
        """The list of processes, now that it is known which have findings."""
        if self.stack[1:]:
            self.stack[0] = view
        else:
            self.replace(view)

    def do_timeline(self) -> None:
        if spot := self._spot():
            self.timeline(spot)

    def do_other(self) -> None:
        spot = self._spot()
        if spot and spot.other_pid is not None:
            self.timeline(Spot(spot.other_pid, spot.at_ns if spot.other_ns is None else spot.other_ns))
        else:
            self._note("no other process took part in this")

    def timeline(self, spot: Spot) -> None:
        """Show the time line of a process, the cursor at an instant, on what touches the address."""

        def question() -> Timeline:
            listing = self.questions.happened(spot.pid)
            view = Timeline(self.questions, listing, spot.pid)
            if spot.at_ns is not None:
                view.cursor = self._line_of(listing, spot.at_ns, spot.address)
            return view

        self.ask(f"drawing the time line of {spot.pid}", question, self.push)

    @staticmethod
    def _line_of(listing: Table, at_ns: int, address: int | None) -> int:
        """The line for an instant: a finding at that address, else what touches it, else what is next."""
        touches = "false" if address is None else f'coalesce(start <= {address} AND "end" > {address}, false)'
        for condition in (f"ts_ns = {at_ns} AND sign = '!' AND {touches}", f"ts_ns = {at_ns} AND {touches}"):
            if (n := listing.first(condition)) is not None:
                return n
        n = listing.first(f"ts_ns >= {at_ns}")
        return listing.count - 1 if n is None else n

    def do_maps(self) -> None:
        if spot := self._spot():
            self.maps(spot.pid, spot.at_ns, spot.address)

    def maps(self, pid: int, at_ns: int | None, address: int | None, instead: bool = False) -> None:
        """Show an address space at an instant, the cursor at an address."""

        def show(view: MapsAt) -> None:
            rows = view.maps.lines
            if address is not None:
                view.cursor = max(sum(row["start"] <= address for row in rows) - 1, 0)
            (self.replace if instead else self.push)(view)

        self.ask(f"looking at the maps of {pid}", lambda: MapsAt(self.questions, self.questions.maps(pid, at_ns)), show)

    def do_before(self) -> None:
        self._step(True)

    def do_after(self) -> None:
        self._step(False)

    def _step(self, back: bool) -> None:
        view = self.view
        assert isinstance(view, MapsAt)
        place, row = view.maps.place, self.lines.current

        def go(at_ns: int | None) -> None:
            if at_ns is None:
                self._note(f"nothing changed {'before' if back else 'after'} that")
            else:
                self.maps(place.pid, at_ns, row["start"] if row else None, instead=True)

        self.ask("looking for a change", lambda: self.questions.change(place.pid, place.at_ns, back), go)

    def do_why(self) -> None:
        spot = self._spot()
        if spot is None or spot.address is None:
            self._note("this line is about no address")
            return
        width = self.size.width - 2

        def question() -> Why:
            at_ns, lines = self.questions.why(spot, width)
            return Why(self.questions, spot, at_ns, lines)

        self.ask(f"looking into the life of {spot.address:#x}", question, self.push)

    def do_findings(self) -> None:
        self._findings(False, self.push)

    def do_everything(self) -> None:
        view = self.view
        assert isinstance(view, Findings)
        self._findings(not view.everything, self.replace)

    def _findings(self, everything: bool, show: Callable[[View], None]) -> None:
        def question() -> Findings:
            return Findings(self.questions, self.questions.findings(everything), everything)

        self.ask("looking for edge cases", question, show)

    def do_whole(self) -> None:
        row = self.lines.current
        if row is not None:
            values = [inert(f"{name}: {value}") for name, value in row.items() if value is not None and name != "words"]
            self.push(Text(self.questions, "all of it", [*self.view.detail(row), "", *values], self.size.width - 2))

    def do_keys(self) -> None:
        view = self.view
        told = [f"{KEYS.get(key, key):>5}  {_EXPLAINED[action]}" for key, (action, _) in view.keys.items()]
        moving = "Up, Down, PgUp, PgDn, Home, End move; so do k, j, b, space, g, G."
        searching = (
            "/ finds text, or goes to a time (+1.5s) or an address (0x7f0000001000). n finds the next, N the last."
        )
        self.push(Text(self.questions, "keys", [view.about, "", *told, "", moving, searching], self.size.width - 2))

    def do_back(self) -> None:
        if len(self.stack) > 1:
            gone = self.stack.pop()
            self._note("")
            self._show()
            if isinstance(gone.listing, Table):
                self.run_worker(lambda: self._forget(gone), thread=True, group="page")

    def _forget(self, view: View) -> None:
        with self._asking:
            self.questions.drop(view.listing)

    def do_leave(self) -> None:
        self._leave(0)

    def action_leave(self) -> None:
        self._leave(0)

    def _leave(self, status: int) -> None:
        self._stop()  # the program ends once its threads have
        self.exit(return_code=status)

    # search

    def do_search(self) -> None:
        self.query_one("#note").display = False
        search = self.query_one(Input)
        search.display = True
        search.value = ""
        search.focus()

    def _end_search(self) -> None:
        self.query_one(Input).display = False
        self.query_one("#note").display = True
        self.lines.focus()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        self._text = event.value.strip() or self._text
        self._end_search()
        self._search(False)

    def action_again(self, back: bool) -> None:
        if self.stack:
            self._search(back)

    def _search(self, back: bool) -> None:
        text, view, cursor = self._text, self.view, self.view.cursor
        if not text:
            return
        try:
            moment = self.questions.moment(text) if text.startswith("+") else None
            address = address_range(text)[0] if text.startswith("0x") else None
        except UsageError as error:
            self._refused(error)
            return
        if isinstance(view, MapsAt) and moment is not None:
            row = self.lines.current
            self.maps(view.maps.place.pid, moment, row["start"] if row else None, instead=True)
            return

        def question() -> int | None:
            listing = view.listing
            if isinstance(view, MapsAt) and address is not None:
                return next((n for n, row in enumerate(view.maps.lines) if row["start"] <= address < row["end"]), None)
            if isinstance(listing, Table) and not isinstance(view, Processes):
                if moment is not None:
                    return listing.first(f"ts_ns >= {moment}")
                if address is not None:
                    return listing.first(f'start <= {address} AND "end" > {address}', cursor, back)
            return listing.find(text.lower(), cursor, back)

        def go(n: int | None) -> None:
            if n is None:
                self._note(f"not found {'above' if back else 'below'}: {text}")
            else:
                self.lines.go(n)

        self.ask(f"looking for {text}", question, go)
