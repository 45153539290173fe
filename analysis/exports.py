"""Writes captures in the formats of other tools: Perfetto, a DuckDB database, CSV or Arrow files.

Text in them is inert, as everywhere else; `…_bytes` columns hold what was recorded.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path

import duckdb
import pyarrow as pa
from pyarrow import csv

from analysis.dictionary import quote, views
from analysis.engine import Engine, comments, inert_columns
from analysis.errors import UsageError
from analysis.replacing import replacing
from analysis.timeline import STORED

__all__ = ["check_names", "file_names", "to_duckdb", "to_files", "to_perfetto"]

_CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "autoinstall_known_extensions": False,
    "autoload_known_extensions": False,
}
_INERT_TEXT = "inert(coalesce(try(decode(bytes)), bytes::VARCHAR))"


def check_names(names: Sequence[str]) -> None:
    """Raise UsageError for what is no table or view: before anything is read for it."""
    for name in names:
        if name not in views():
            raise UsageError(f"neither a table nor a view: {name}", "`analyze schema` lists them")


def file_names() -> Collection[str]:
    """Of all files that `to_files` can write."""
    return {f"{name}.{format}" for name in views() for format in ("csv", "arrow")}


def to_perfetto(engine: Engine, path: Path) -> None:
    """Write a trace for ui.perfetto.dev and trace_processor: see analysis.perfetto."""
    from analysis.perfetto import write

    if len(engine.captures) > 1:
        raise UsageError("a trace has one clock, so it is made of one capture", "export them one at a time")
    with replacing(path) as part, part.open("wb") as sink:
        write(engine, sink)


def to_duckdb(engine: Engine, path: Path) -> None:
    """Write a database that any DuckDB client opens: recorded tables, the timeline, and all views, with comments."""
    with replacing(path) as part, _new_database(part) as database:
        database.execute(resources.files("analysis").joinpath("sql", "macros.sql").read_text())
        # where the views make text of bytes
        database.execute(f"CREATE OR REPLACE MACRO text_of(bytes) AS {_INERT_TEXT}")
        for view in views().values():
            if view.kind == "table":
                _copy(engine, f"FROM {quote(view.name)}", _columns(engine, view.name), view.name, database)
                database.execute("; ".join(comments(view, "TABLE")))
        for name, columns in STORED.items():
            typed = [*columns.items(), ("capture", "VARCHAR"), ("host", "VARCHAR")]
            _copy(engine, engine.stored(name), typed, f"stored_{name}", database)
            database.execute(f"COMMENT ON TABLE stored_{name} IS 'what was rebuilt: ask the view {name}'")
        _copy(engine, "FROM captures", _columns(engine, "captures"), "opened_captures", database)
        database.execute("COMMENT ON TABLE opened_captures IS 'ask the view captures'")
        for view in views().values():
            if view.kind != "table":
                database.execute(view.sql if view.kind == "view" else f"CREATE VIEW {quote(view.name)} AS {view.sql}")
                database.execute("; ".join(comments(view)))


@contextmanager
def _new_database(path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """Raises OSError where it cannot be written."""
    try:
        with duckdb.connect(path, config=_CONFIG) as database:
            yield database
    except duckdb.Error as error:  # which kind differs with the statement
        raise OSError(str(error)) from None
    finally:
        path.with_name(f"{path.name}.wal").unlink(missing_ok=True)


def _columns(engine: Engine, view: str) -> list[tuple[str, str]]:
    return [(column, type) for name, column, type in engine.columns() if name == view]


def _copy(
    engine: Engine, sql: str, columns: Sequence[tuple[str, str]], name: str, database: duckdb.DuckDBPyConnection
) -> None:
    rows = engine.query(f"SELECT {inert_columns(columns)} FROM ({sql})", f"copying {name}")
    database.register("rows_to_copy", pa.RecordBatchReader.from_batches(rows.schema, rows))
    database.execute(f"CREATE TABLE {quote(name)} AS FROM rows_to_copy")
    database.unregister("rows_to_copy")


def to_files(engine: Engine, format: str, path: Path, names: Sequence[str] = ()) -> None:
    """Write a folder with a file for each table and view, as NAME.csv or NAME.arrow; or for those named.

    Without names the views of single system calls and of single kinds of findings are left out: `syscalls` and
    `findings` have their rows. The engine must be `whole`.
    """
    usual = [view.name for view in views().values() if view.kind != "call" and not view.name.startswith("edge_")]
    with replacing(path) as part:
        part.mkdir()
        for name in names or usual:
            columns = _columns(engine, name)
            sql = f"SELECT {inert_columns(columns)} FROM {quote(name)}"
            rows = engine.query(_flat(columns, sql) if format == "csv" else sql, f"writing {name}")
            make = csv.CSVWriter if format == "csv" else pa.ipc.new_file
            with make(part / f"{name}.{format}", rows.schema) as file:
                for batch in rows:
                    file.write_batch(batch)


def _flat(columns: Sequence[tuple[str, str]], sql: str) -> str:
    """Columns as CSV can have them: bytes in hex, what is nested as JSON, and no text that a spreadsheet would run."""
    flat = []
    for name, type in columns:
        column = quote(name)
        if type == "BLOB":
            column = f"lower(hex({column}))"
        elif type == "VARCHAR":
            column = f"no_formula({column})"
        elif type.endswith("]") or type.startswith(("STRUCT", "MAP")):
            column = f"to_json({column})::VARCHAR"
        flat.append(f"{column} AS {quote(name)}")
    return f"SELECT {', '.join(flat)} FROM ({sql})"
