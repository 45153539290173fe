"""The prompt of `analyze sql`. prompt_toolkit gives it line editing, history, search and completion;
Python's readline is missing or another library (libedit) on some systems, and edits one line only."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from analysis.errors import AnalysisError
from analysis.text import inert

if TYPE_CHECKING:
    from analysis.engine import Engine

__all__ = ["prompt"]

_WELCOME = """\
A query ends with a semicolon. SHOW TABLES; lists what there is, DESCRIBE mmap; the columns of one,
and Tab completes names. Ctrl-C ends a query, Ctrl-D or .quit leaves."""


def prompt(engine: Engine, run: Callable[[str], None]) -> None:
    """Read statements from the terminal and run them until the user leaves. Errors are said, and go on."""
    print(_WELCOME, file=sys.stderr)
    session: PromptSession[str] = PromptSession(
        history=_history(), completer=_Names(engine), complete_while_typing=False, key_bindings=_keys()
    )
    unfinished = Condition(lambda: not _finished(session.default_buffer.text))
    while True:
        try:
            text = session.prompt("maptrail> ", multiline=unfinished, prompt_continuation="     ...> ")
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text.strip() in (".quit", ".exit"):
            return
        try:
            if text.strip():
                run(text)
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
        except AnalysisError as error:
            print("\n".join(map(inert, f"error: {error}".split("\n"))), file=sys.stderr)
            if error.hint:
                print(f"hint: {inert(error.hint)}", file=sys.stderr)


def _keys() -> KeyBindings:
    """Ctrl-D where there is nothing to delete leaves, in the lines after the first too."""
    keys = KeyBindings()

    @keys.add("c-d", filter=Condition(lambda: not get_app().current_buffer.document.text_after_cursor))
    def leave(event: KeyPressEvent) -> None:
        event.app.exit(exception=EOFError, style="class:exiting")

    return keys


def _finished(text: str) -> bool:
    text = text.strip()
    return not text or text.endswith(";") or text in (".quit", ".exit")


def _history() -> History:
    """The history file below XDG_STATE_HOME; where it cannot be written the session keeps its own."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    folder = Path(state) / "maptrail"
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        (folder / "sql_history").touch(mode=0o600)
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(folder / "sql_history"))


class _Names(Completer):
    """Completes names of views and columns, then SQL words; after `view.` that view's columns only."""

    def __init__(self, engine: Engine) -> None:
        self._keywords = engine.keywords()
        self._columns: dict[str, list[str]] = {}
        for view, column, _ in engine.columns():
            self._columns.setdefault(view, []).append(column)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:  # noqa: ARG002
        word = document.get_word_before_cursor(WORD=True).rpartition("(")[2].rpartition(",")[2]
        view, dot, begun = word.rpartition(".")
        names: Iterable[str]
        if dot:
            names = self._columns.get(view, [])
        else:
            mentioned = [view for view in self._columns if view in document.text.replace(",", " ").split()]
            columns = dict.fromkeys(name for view in mentioned or self._columns for name in self._columns[view])
            names = [*self._columns, *columns, *self._keywords]
        for name in dict.fromkeys(names):
            if name.lower().startswith(begun.lower()):
                yield Completion(name, start_position=-len(begun))
