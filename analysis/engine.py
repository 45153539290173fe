"""A locked-down DuckDB over opened captures.

In memory, without extensions, without configuration changes, and with access to nothing but the batches
that passed analysis.capture's checks, by name. DuckDB's `allowed_paths` also lets COPY write to them, and
EXPLAIN ANALYZE runs what it explains, so statements are parsed first and only reading ones go through.
"""

from __future__ import annotations

import os
import queue
import re
import shutil
import tempfile
import threading
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from functools import cache
from importlib import resources
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from analysis.capture import Capture, CheckedFile
from analysis.dictionary import View, duckdb_type, quote, text_literal, views
from analysis.errors import AnalysisError, UsageError
from analysis.progress import Progress
from analysis.rows import Rows
from analysis.timeline import STORED, folders
from recorder.schema import BYTES, TABLES, Column, Table

__all__ = ["Engine", "Limits", "comments", "inert_columns", "memory_available"]

_BATCH_ROWS = 8192
_BY_TEXT = {"query", "query_table"}
"""Functions of DuckDB that are given names as text, which can be made up of anything."""
_OWN_SHARE = 8  # of the memory, the interpreter and what DuckDB does not count may take one part in so many
_SPILL_SHARE = 2  # of the free disk space, temporary files may take one part in so many
_SPILL_MOST = 32 << 30
_OUR_BYTES = 256 << 20  # beside DuckDB: 210 MiB measured, in rebuilds of 1 and of 10 million calls


@dataclass(frozen=True)
class Limits:
    """What may be used; None: half the memory there is, every CPU we may run on, no end.

    `memory_bytes` is for the whole process; what does not fit into it goes to temporary files.
    """

    memory_bytes: int | None = None
    threads: int | None = None
    timeout_s: float | None = None


def memory_available(root: Path = Path("/")) -> int:
    """Bytes of memory this process may use: the smaller of RAM and its cgroup limits (v2, and v1), the parents' too.

    systing 105: a DuckDB sized from the host's RAM ran containers out of memory.
    """
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        groups = []
    for line in groups:
        _, controllers, group = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        mount = root / "sys/fs/cgroup" / ("memory" if controllers else "")
        # in a container the path may name the host's group: the container's own limit is then at the mount
        for folder in {mount, *((mount / part) for part in _lineage(group))}:
            for name in ("memory.max", "memory.high", "memory.limit_in_bytes"):
                try:
                    limits.append(int((folder / name).read_text()))
                except (OSError, ValueError):  # not there, or "max"
                    continue
    return min(limits)


def _lineage(group: str) -> Iterator[str]:
    path = group.strip("/")
    while path:
        yield path
        path = path.rpartition("/")[0]


class Engine:
    """Views over captures, and queries on them. A context manager; `close` removes its temporary files.

    `labels` names each capture in the `capture` column: its directory's name, or its path where two
    directories have the same name. `writable` are files that statements of ours may write.
    `symbols` is a folder in which analysis.stacks looks for names of functions. `memory_bytes` is DuckDB's part of the
    memory.
    With `whole` every view is there from the start, with its descriptions; without, a view is made when a statement
    first names it, which saves up to 3 s. The views over the timeline are empty until a query names one of them, or
    `need_timeline` is called.
    """

    def __init__(
        self,
        captures: Sequence[Capture],
        limits: Limits | None = None,
        writable: Sequence[Path] = (),
        whole: bool = False,
        symbols: Path | None = None,
    ) -> None:
        self._whole = whole
        self.symbols = symbols
        self._limits = limits = limits or Limits()
        names = [capture.path.resolve().name for capture in captures]
        self.captures = {
            name if names.count(name) == 1 else str(capture.path.resolve()): capture
            for name, capture in zip(names, captures, strict=True)
        }
        self._timeline: Mapping[tuple[str, str], Path] | None = None if captures else {}
        self._defined: set[str] = set()
        self._stream_open: Generator[Any, None, None] | None = None
        self._spill = tempfile.mkdtemp(prefix="maptrail-")
        try:
            self._connection = duckdb.connect(":memory:", config=self._config(limits))
            self._create_views()
            self._lock(limits, writable)
        except BaseException:
            shutil.rmtree(self._spill, ignore_errors=True)
            raise

    def __enter__(self) -> Engine:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End what runs and remove the temporary files."""
        self._end_stream()
        self._connection.close()
        shutil.rmtree(self._spill, ignore_errors=True)

    def _config(self, limits: Limits) -> dict[str, Any]:
        memory = limits.memory_bytes or memory_available() // 2
        # DuckDB does not count all it takes: 375 MiB beyond a bound of 2 GiB, measured on 50 million events
        memory = max(min(memory - _OUR_BYTES, memory * 3 // 4), memory // 2)
        self.memory_bytes = memory - memory // _OWN_SHARE
        spill = min(shutil.disk_usage(self._spill).free // _SPILL_SHARE, _SPILL_MOST)
        return {
            "threads": limits.threads or len(os.sched_getaffinity(0)),
            "memory_limit": f"{self.memory_bytes} bytes",
            # blocks are kept, not given back to the kernel to be asked for again: a rebuild takes 3 to 6 % less
            "block_allocator_memory": f"{self.memory_bytes} bytes",
            "temp_directory": self._spill,
            "max_temp_directory_size": f"{spill} bytes",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_community_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
            "preserve_insertion_order": False,
            # below it an ASOF join is a nested loop, and with few processes the estimate is always below:
            # 96,000 records took over 40 s instead of 0.1 s
            "asof_loop_join_threshold": 0,
            # its time grows with the square of a plan: of 11 s that `FROM findings` takes on a small capture it had 8,
            # and neither the rebuild nor maps got slower without it
            "disabled_optimizers": "projection_pullup",
        }

    def _lock(self, limits: Limits, writable: Sequence[Path]) -> None:
        paths = [str(path) for path in writable]
        for capture in self.captures.values():
            paths += [str(file.path) for file in capture.files]
            # DuckDB resolves the links of /proc, and so finds what was deleted while it is held open
            paths += [f"{capture.path.resolve() / file.entry.path} (deleted)" for file in capture.files if file.held]
            for folder in folders(capture, Path(self._spill)):
                paths += [str(folder / f"{name}.parquet") for name in STORED]
        run = self.execute
        # query_progress() works, nothing is printed; in a notebook without ipywidgets DuckDB refuses: then it does not
        with suppress(AnalysisError):
            run("SET enable_progress_bar = true")
            run("SET enable_progress_bar_print = false")
        if limits.timeout_s is not None:
            run(f"SET max_execution_time = {max(int(limits.timeout_s * 1000), 1)}")
        run(f"SET allowed_paths = [{', '.join(map(text_literal, paths))}]")
        run("SET enable_external_access = false")
        run("SET lock_configuration = true")

    def _create_views(self) -> None:
        self._run(resources.files("analysis").joinpath("sql", "macros.sql").read_text())
        if self._whole:
            self.complete()

    def complete(self) -> None:
        """Make every view, with its descriptions: for who looks at what there is."""
        self._whole = True
        for view in views().values():
            if view.name in self._defined:
                self._run("; ".join(comments(view)))
            else:
                self._create(view)

    def _define(self, sql: str) -> None:
        """Make the views that a statement names and that are not there yet."""
        self._make(_named(sql))

    def _make(self, names: Set[str]) -> None:
        """Make views that are not there yet, what they are made of first."""
        missing = _with_sources(names) - self._defined
        if missing & _over_timeline():
            self.need_timeline()
        for view in views().values():
            if view.name in missing:
                self._create(view)

    def _create(self, view: View) -> None:
        sql = view.sql
        if view.kind == "table":
            sql = f"CREATE VIEW {quote(view.name)} AS {self._table_sql(TABLES[view.name])}"
        elif view.kind == "call":
            sql = f"CREATE VIEW {quote(view.name)} AS {view.sql}"
        elif _TIMELINE.search(sql):
            sql = _stored_from(sql, self._timeline or {})
        else:
            sql = sql.replace("opened_captures", self._captures_sql())
        self._defined.add(view.name)
        self._run(sql.replace("CREATE VIEW", "CREATE OR REPLACE VIEW", 1))
        if self._whole:
            self._run("; ".join(comments(view)))

    def interrupt(self) -> None:
        """End the query that another thread has running, which gets KeyboardInterrupt; one not begun goes on."""
        self._connection.interrupt()

    def need_timeline(self) -> None:
        """Fill the views over the timeline; address spaces not rebuilt yet are rebuilt."""
        if self._timeline is not None:
            return
        from analysis.rebuild import rebuilt  # which works with an engine of its own

        self._timeline = {
            (label, capture.manifest.host): rebuilt(capture, self._limits, Path(self._spill))
            for label, capture in self.captures.items()
        }
        for view in views().values():
            if view.name in self._defined and view.kind == "view" and _TIMELINE.search(view.sql):
                self._create(view)

    def _table_sql(self, table: Table) -> str:
        """The rows of all captures: one read for files with the same columns of the same capture."""
        parts = []
        for label, capture in self.captures.items():
            groups: dict[frozenset[str], list[CheckedFile]] = {}
            for file in capture.files:
                if file.entry.table == table.name and file.entry.rows:
                    groups.setdefault(file.columns, []).append(file)
            origin = f"{_text(label)} AS capture, {_text(capture.manifest.host)} AS host"
            for present, files in groups.items():
                paths = ", ".join(text_literal(str(file.path)) for file in files)
                # a folder named like host=a must not become a column
                source = f"read_parquet([{paths}], hive_partitioning = false)"
                parts.append(f"SELECT {_expressions(table, present)}, {origin} FROM {source}")
        nothing = f"SELECT {_expressions(table, frozenset())}, NULL::VARCHAR AS capture, NULL::VARCHAR AS host"
        return " UNION ALL ".join(parts) or f"{nothing} WHERE false"

    def _captures_sql(self) -> str:
        """What the manifests say, a row a capture."""
        rows = [
            f"({_text(label)}, {_text(capture.manifest.host)}, {capture.manifest.clock.started_ns}, "
            f"{capture.covered_to_ns}, {'NULL' if (most := capture.manifest.max_map_count) is None else most})"
            for label, capture in self.captures.items()
        ]
        types = ("VARCHAR", "VARCHAR", "UBIGINT", "UBIGINT", "BIGINT")
        names = ("capture", "host", "from_ns", "to_ns", "max_map_count")
        typed = ", ".join(f"{name}::{type} AS {name}" for name, type in zip(names, types, strict=True))
        values = ", ".join(rows) or "(NULL, NULL, NULL, NULL, NULL)"
        filtered = "" if rows else " WHERE false"
        return f"(SELECT {typed} FROM (VALUES {values}) AS opened({', '.join(names)}){filtered})"

    def query(self, sql: str | duckdb.Statement, what: str = "running the query") -> Rows:
        """Run one query of ours, or one statement that `statements` let through.

        Works in a thread, so that Ctrl-C interrupts DuckDB and progress can be shown. Raises AnalysisError.
        """
        self._end_stream()  # a connection runs one query at a time
        text = sql if isinstance(sql, str) else sql.query
        words = set(re.findall(r"\w+", text.lower()))
        if words & _BY_TEXT or not _over_timeline().isdisjoint(words):
            self.need_timeline()
        if isinstance(sql, str):
            self._define(text)
        else:  # what is text or a comment, in what somebody else wrote, is not for us to say
            self._make(views().keys() & words)
        self._stream_open = batches = self._stream(sql, what)
        try:
            return Rows(next(batches), batches)
        except UsageError:
            if isinstance(sql, str) or self._whole:
                raise
            # a view can be named in other ways; if not, what DuckDB suggests is then among all there are
            self.complete()
            self._stream_open = batches = self._stream(sql, what)
            return Rows(next(batches), batches)

    def relation(self, sql: str | duckdb.Statement) -> duckdb.DuckDBPyRelation:
        """A query that runs when its rows are asked for; until the engine is closed. Raises AnalysisError."""
        self._end_stream()
        self._define((sql if isinstance(sql, str) else sql.query).lower())  # SQL knows no case
        try:
            return self._connection.sql(sql)
        except duckdb.Error as error:
            raise _explained(error) from None

    def relation_of(self, rows: pa.Table) -> duckdb.DuckDBPyRelation:
        """Rows from elsewhere, as a relation."""
        self._end_stream()
        return self._connection.from_arrow(rows)

    def stored(self, name: str) -> str:
        """A query for the rows of a file of the stored timelines, see analysis.timeline.STORED."""
        self.need_timeline()
        return _stored_from(f"FROM stored_{name}", self._timeline or {})

    def execute(self, sql: str) -> list[tuple[Any, ...]]:
        """Run statements of ours to their end; the rows of the last one."""
        self._define(sql)
        return self._run(sql)

    def _run(self, sql: str) -> list[tuple[Any, ...]]:
        try:
            return self._connection.execute(sql).fetchall()
        except duckdb.Error as error:
            raise _explained(error) from None
        except RuntimeError as error:
            # what DuckDB says when a signal comes; what the signal's handler raised is lost
            if type(error) is RuntimeError and "interrupted" in str(error):
                raise KeyboardInterrupt from None
            raise

    def put(self, name: str, rows: pa.Table) -> None:
        """Make a table of rows from Python."""
        self._end_stream()
        self._connection.register("rows_to_put", rows)
        self.execute(f"CREATE OR REPLACE TABLE {quote(name)} AS FROM rows_to_put")
        self._connection.unregister("rows_to_put")

    def _end_stream(self) -> None:
        if self._stream_open is not None:
            self._stream_open.close()
            self._stream_open = None

    def _stream(self, sql: str | duckdb.Statement, what: str) -> Generator[Any, None, None]:
        """The schema of the result, then its batches."""
        results: queue.Queue[pa.Schema | pa.RecordBatch | BaseException | None] = queue.Queue(maxsize=4)
        given_up = threading.Event()

        def put(item: pa.Schema | pa.RecordBatch | BaseException | None) -> None:
            while not given_up.is_set():
                with suppress(queue.Full):
                    results.put(item, timeout=0.1)
                    return

        def work() -> None:
            try:
                relation = self._connection.sql(sql)
                if relation is None:  # CREATE
                    put(pa.schema([]))
                else:
                    reader = relation.to_arrow_reader(_BATCH_ROWS)
                    put(reader.schema)
                    for batch in reader:
                        if given_up.is_set():
                            return
                        put(batch)
                put(None)
            except BaseException as error:  # handed to the thread that asked
                put(error)

        worker = threading.Thread(target=work, daemon=True)
        with Progress(what) as progress:
            try:
                worker.start()
                while True:
                    try:
                        item = results.get(timeout=0.2)
                    except queue.Empty:
                        progress(max(self._connection.query_progress(), 0), 100)
                        continue
                    if item is None:
                        return
                    if isinstance(item, BaseException):
                        raise _explained(item) from None
                    progress.clear()
                    yield item
            finally:
                given_up.set()
                while worker.is_alive():  # an interrupt that comes before the query has begun is forgotten
                    self._connection.interrupt()
                    worker.join(0.1)

    def statements(self, sql: str) -> list[duckdb.Statement]:
        """The statements of a user's text. Raises UsageError for text that is no SQL, or does more than read."""
        try:
            found = duckdb.extract_statements(sql)
        except duckdb.Error as error:
            raise UsageError(f"not SQL: {_first_lines(error)}") from None
        for statement in found:
            if not _reads(statement):
                raise UsageError(
                    f"a capture is only read, so this statement is not allowed: {statement.type.name}",
                    "use SELECT, DESCRIBE, SHOW, SUMMARIZE, EXPLAIN, or CREATE TEMP TABLE, VIEW or MACRO; "
                    "to keep rows use --format and redirect the output",
                )
        return found

    @staticmethod
    def defines(statement: duckdb.Statement) -> bool:
        """Whether a statement makes something and has no rows of interest."""
        return statement.type == duckdb.StatementType.CREATE

    def columns(self) -> list[tuple[str, str, str]]:
        """(view, column, DuckDB type) of everything a query can use, for completion and `schema`."""
        return self.execute(
            "SELECT table_name, column_name, data_type FROM duckdb_columns() WHERE NOT internal "
            "ORDER BY table_name, column_index"
        )

    def keywords(self) -> list[str]:
        """The reserved words of DuckDB's SQL, for completion."""
        sql = "SELECT upper(keyword_name) FROM duckdb_keywords() WHERE keyword_category = 'reserved'"
        return [word for (word,) in self.execute(sql)]


_INERT = {"VARCHAR": "inert", "VARCHAR[]": "inert_list", "MAP(VARCHAR, VARCHAR)": "inert_map"}


def inert_columns(columns: Iterable[tuple[str, str]]) -> str:
    """Columns (name and DuckDB type), to be selected from what has them in that order, with every text inert."""
    return ", ".join(
        f"{_INERT.get(type, '')}(#{number}) AS {quote(name)}" for number, (name, type) in enumerate(columns, 1)
    )


_WORD = re.compile(rb"\w+|[^\w]")
_READING = {duckdb.StatementType.SELECT, duckdb.StatementType.CREATE, duckdb.StatementType.MULTI}  # MULTI: PIVOT


def _reads(statement: duckdb.Statement) -> bool:
    """Whether a statement only reads. EXPLAIN ANALYZE runs what follows it, so that is what counts."""
    if statement.type != duckdb.StatementType.EXPLAIN:
        return statement.type in _READING
    text = statement.query.encode()  # tokenize counts bytes
    offsets = [offset for offset, kind in duckdb.tokenize(statement.query) if kind != duckdb.token_type.comment]
    words = [_word(text, offset) for offset in offsets]
    first = 1  # past EXPLAIN; then ANALYZE, or options in brackets
    if words[first] == b"analyze":
        first += 1
    elif words[first] == b"(" and words[first + 1] in (b"format", b"analyze"):
        first = words.index(b")") + 1
    try:
        explained = duckdb.extract_statements(text[offsets[first] :].decode())
    except duckdb.Error:
        return False
    return [each.type for each in explained] == [duckdb.StatementType.SELECT]


def _word(text: bytes, offset: int) -> bytes:
    match = _WORD.match(text, offset)
    return match[0].lower() if match else b""


def _text(value: str) -> str:
    """Text from outside as an SQL string: a file name can hold bytes that are no UTF-8, which DuckDB refuses."""
    return text_literal(value.encode(errors="backslashreplace").decode()) + "::VARCHAR"


_TIMELINE = re.compile(r"\bstored_(\w+)")


_NAME = re.compile(r"--[^\n]*|'[^']*'|(\w+)")


def _named(sql: str) -> set[str]:
    """Views that a statement of ours names, or can be taken to name: text and comments, as we write them, aside."""
    return views().keys() & set(_NAME.findall(sql))


@cache
def _sources() -> dict[str, set[str]]:
    """What each view is made of, which comes before it in `views`."""
    found: dict[str, set[str]] = {}
    for view in views().values():
        found[view.name] = _named(view.sql) & found.keys()
    return found


def _with_sources(of: Set[str]) -> set[str]:
    names = set(of)
    for name, sources in reversed(_sources().items()):
        if name in names:
            names |= sources
    return names


@cache
def _over_timeline() -> set[str]:
    """The views that need the timeline: its own, and those made of them."""
    names: set[str] = set()
    for name, sources in _sources().items():
        if sources & names or _TIMELINE.search(views()[name].sql):
            names.add(name)
    return names


def _stored_from(sql: str, sources: Mapping[tuple[str, str], Path]) -> str:
    """A view's text with the stored files (of captures, named by label and host) in the place of `stored_NAME`."""

    def rows(match: re.Match[str]) -> str:
        name = match[1]
        parts = [
            f"SELECT *, {_text(label)} AS capture, {_text(host)} AS host "
            f"FROM read_parquet({text_literal(str(folder / f'{name}.parquet'))}, hive_partitioning = false)"
            for (label, host), folder in sources.items()
        ]
        typed = ", ".join(f"NULL::{type} AS {quote(column)}" for column, type in STORED[name].items())
        nothing = f"SELECT {typed}, NULL::VARCHAR AS capture, NULL::VARCHAR AS host WHERE false"
        return f"({' UNION ALL '.join(parts) or nothing})"

    return _TIMELINE.sub(rows, sql)


def _expressions(table: Table, present: Iterable[str]) -> str:
    return ", ".join(_expression(column, column.name in present) for column in table.columns)


def _expression(column: Column, present: bool) -> str:
    name = quote(column.name)
    value = name if present else f"NULL::{duckdb_type(column.type)}"
    if column.type != BYTES:
        return f"{value} AS {name}"
    text = f"coalesce(try(decode({name})), {name}::VARCHAR)" if present else "NULL::VARCHAR"
    return f"{text} AS {name}, {value} AS {quote(f'{column.name}_bytes')}"


def comments(view: View, kind: str = "VIEW") -> Iterator[str]:
    """Statements that describe a view, or a TABLE made of it, in DuckDB's catalogue."""
    yield f"COMMENT ON {kind} {quote(view.name)} IS {text_literal(view.description)}"
    for column in view.columns:
        yield f"COMMENT ON COLUMN {quote(view.name)}.{quote(column.name)} IS {text_literal(column.comment)}"


def _explained(error: BaseException) -> BaseException:
    """DuckDB's error as ours; what is not DuckDB's stays as it is."""
    if isinstance(error, duckdb.InterruptException):
        if "execution time" in str(error):
            return AnalysisError("the query took longer than --timeout")
        return KeyboardInterrupt()
    if isinstance(error, duckdb.OutOfMemoryException):
        # the rest is about settings that are locked
        first, *others = str(error).strip().splitlines()
        if any("max_temp_directory_size" in line for line in others):
            hint = "give it more with --memory, or a directory with more room: TMPDIR=DIRECTORY"
            return AnalysisError(f"what does not fit into memory does not fit on the disk either: {first}", hint)
        return AnalysisError(f"the query needs more memory: {first}", "give it more with --memory")
    if isinstance(error, duckdb.IOException):
        return AnalysisError(
            f"a batch went away while it was read: {_first_lines(error)}",
            "the recorder replaces batches; run the command again, or have a window frozen first: kill -USR1 RECORDER",
        )
    if isinstance(error, duckdb.PermissionException):
        return UsageError(f"a query may read the capture only: {_first_lines(error)}")
    if isinstance(error, duckdb.CatalogException | duckdb.BinderException):
        hint = "`analyze schema` lists tables and views, `analyze schema NAME` the columns of one"
        return UsageError(_first_lines(error), hint)
    if isinstance(error, duckdb.Error):
        return UsageError(_first_lines(error))
    return error


_SUGGESTED = re.compile(r'(?:name "?|column ")([^\s"]+)"? [^"\n]*!\n((?:Did you mean|Candidate bindings:)[^\n]*)')
_LEAST_ALIKE = 0.65  # by difflib: mian and main are 0.75, nosuch and cosh 0.6


def _first_lines(error: BaseException) -> str:
    return _SUGGESTED.sub(_near, str(error).strip()).rstrip()


def _near(match: re.Match[str]) -> str:
    """DuckDB suggests some name, however far from what was meant: near ones only are of help."""
    meant, suggestion = match[1], match[2]
    names = [
        name
        for name in re.findall(r'"([^"]*)"', suggestion)
        if SequenceMatcher(None, meant.lower(), name.lower()).ratio() >= _LEAST_ALIKE
    ]
    kept = match[0][: -len(suggestion)]
    if not names:
        return kept
    listed = ", ".join(f'"{name}"' for name in names)
    return f"{kept}Candidate bindings: {listed}" if suggestion.startswith("C") else f"{kept}Did you mean {listed}?"
