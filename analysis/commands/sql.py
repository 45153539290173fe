"""`analyze sql`: any question, in SQL."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis.errors import UsageError
from analysis.options import CapturesArgument, Format, FormatOption, MemoryOption

if TYPE_CHECKING:
    from analysis.engine import Engine

__all__ = ["sql"]

_LOOKS_AROUND = re.compile(
    r"\b(show|describe|summarize|pragma\w*|duckdb_\w+|information_schema|pg_\w+|sqlite_\w+)\b", re.I
)
"""Words of queries that ask what tables and views there are."""


def sql(
    captures: CapturesArgument,
    query: Annotated[str | None, typer.Option("--query", "-q", help="The query.", show_default=False)] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="Read the query from a file.", show_default=False)
    ] = None,
    format: FormatOption = Format.TABLE,
    memory: MemoryOption = None,
    threads: Annotated[int | None, typer.Option(min=1, help="Threads to use. Default: one for each CPU.")] = None,
    timeout: Annotated[
        float | None, typer.Option(min=0.001, metavar="SECONDS", help="End a query after this time.")
    ] = None,
) -> None:
    """Query captures with DuckDB's SQL: `analyze sql CAPTURE -q "FROM calls_by_syscall"`.

    Tables, system calls and views are those of `analyze schema`. Of several captures, the rows stand
    together; the columns capture and host tell them apart. Without a query it is read from standard input,
    or, on a terminal, a prompt opens. A capture is only ever read, and nothing else can be reached. Several
    statements are parted by semicolons, and each result is printed; json, csv, parquet and arrow print the
    last one only.
    """
    from analysis.commands.common import open_engine
    from analysis.engine import Limits

    if query is not None and file is not None:
        raise UsageError("both --query and --file given")
    if query is None and (file is not None or not sys.stdin.isatty()):
        query = _read(file)
    whole = query is None or _LOOKS_AROUND.search(query) is not None
    with open_engine(captures, Limits(memory, threads, timeout), whole=whole) as engine:
        if query is None:
            from analysis.prompt import prompt

            prompt(engine, lambda text: _run(engine, text, format))
        else:
            _run(engine, query, format)


def _read(file: Path | None) -> str:
    try:
        return (file.read_bytes() if file else sys.stdin.buffer.read()).decode()
    except OSError as error:
        raise UsageError(f"the query cannot be read: {file}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise UsageError(f"the query is not UTF-8: {file or 'standard input'}") from None


def _run(engine: Engine, text: str, format: Format) -> None:
    from analysis.commands.common import style
    from analysis.output import emit, print_rows

    statements = engine.statements(text)
    if not statements:
        raise UsageError("the query is empty", 'for instance -q "FROM calls_by_syscall"')
    some = False
    for number, statement in enumerate(statements, 1):
        rows = engine.query(statement)
        if engine.defines(statement) or (format is not Format.TABLE and number < len(statements)):
            for _ in rows:
                pass
            continue
        emit(["\n"] if some else [])
        print_rows(rows, format, style(engine))
        some = True
