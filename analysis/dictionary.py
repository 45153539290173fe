"""The data dictionary: every view that a query can use, and what each of its columns means.

Derived, never repeated: tables and system calls from recorder.schema, the other views from the comments
of analysis/sql/*.sql.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from typing import Literal

import pyarrow as pa

from recorder.schema import BYTES, TABLES, Column, Table
from recorder.syscalls import SYSCALLS, Syscall

__all__ = ["View", "ViewColumn", "duckdb_type", "quote", "text_literal", "units", "views"]

RESULT = "address or negative errno"
"""Unit of `ret`: an address, 0, a small number, or a negative error number."""


@dataclass(frozen=True)
class ViewColumn:
    """A column of a view: where its values come from (`expression`, over the view's source) and their meaning.

    `origin`, `toctou` and `optional` are recorder.schema's; a column of a .sql view has no origin.
    """

    name: str
    expression: str
    type: str
    unit: str
    description: str
    origin: Literal["K", "U", ""] = ""
    toctou: bool = False
    optional: bool = False

    @property
    def marks(self) -> str:
        """`U TOCTOU OPT` and the like."""
        return " ".join(filter(None, (self.origin, "TOCTOU" * self.toctou, "OPT" * self.optional)))

    @property
    def comment(self) -> str:
        """The description as it stands in DuckDB's catalogue: `start of the range [address; U OPT]`."""
        notes = "; ".join(filter(None, (self.unit, self.marks)))
        return f"{self.description} [{notes}]" if notes else self.description


@dataclass(frozen=True)
class View:
    """A view: of a table of the capture, of one system call, or one of analysis/sql (with its own `sql`)."""

    name: str
    kind: Literal["table", "call", "view"]
    description: str
    columns: tuple[ViewColumn, ...]
    sql: str


def quote(name: str) -> str:
    """A name as an SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def text_literal(text: str) -> str:
    """Text as an SQL string."""
    return "'" + text.replace("'", "''") + "'"


_SCALARS = {
    "uint8": "UTINYINT", "uint16": "USMALLINT", "uint32": "UINTEGER", "uint64": "UBIGINT",
    "int32": "INTEGER", "int64": "BIGINT", "string": "VARCHAR", "binary": "BLOB",
}  # fmt: skip


@cache
def duckdb_type(type: pa.DataType) -> str:
    """DuckDB's name of an Arrow type that recorder.schema uses."""
    if pa.types.is_dictionary(type):
        return duckdb_type(type.value_type)
    if pa.types.is_list(type):
        return f"{duckdb_type(type.value_type)}[]"
    if pa.types.is_struct(type):
        return f"STRUCT({', '.join(f'{quote(field.name)} {duckdb_type(field.type)}' for field in type)})"
    return _SCALARS[str(type)]


# With several captures open the rows of all are in one view; with one, these are constants and cost nothing.
_ORIGIN = (
    ViewColumn("capture", quote("capture"), "VARCHAR", "", "directory name of the capture the row comes from"),
    ViewColumn("host", quote("host"), "VARCHAR", "", "name of the machine that was recorded"),
)


@cache
def views() -> dict[str, View]:
    """Every view by name: tables, then system calls, then those of analysis/sql in the order they need each other."""
    found = [_table_view(table) for table in TABLES.values()]
    found += [_call_view(call) for call in SYSCALLS]
    found += _sql_views()
    return {view.name: view for view in found}


@cache
def units() -> dict[str, str]:
    """Units by column name, for the columns of any query: those names that mean one unit in all views."""
    seen: dict[str, set[str]] = {}
    for view in views().values():
        for column in view.columns:
            seen.setdefault(column.name, set()).add(column.unit)
    return {name: found.pop() for name, found in seen.items() if len(found) == 1}


def _view_columns(name: str, source: str, column: Column) -> tuple[ViewColumn, ...]:
    """A column under `name`. comm and paths become two: readable text, and the bytes as recorded."""

    def made(name: str, expression: str, type: str, unit: str, description: str) -> ViewColumn:
        return ViewColumn(name, expression, type, unit, description, column.origin, column.toctou, column.optional)

    unit = RESULT if name == "ret" else column.unit
    if column.type != BYTES:
        return (made(name, quote(source), duckdb_type(column.type), unit, column.description),)
    return (
        made(name, quote(source), "VARCHAR", "", f"{column.description}; bytes that are not UTF-8 stand as \\xNN"),
        made(f"{name}_bytes", quote(f"{source}_bytes"), "BLOB", unit, f"{column.description}, as recorded"),
    )


def _table_view(table: Table) -> View:
    columns = tuple(each for column in table.columns for each in _view_columns(column.name, column.name, column))
    return View(table.name, "table", table.description, columns + _ORIGIN, "")


def _call_view(call: Syscall) -> View:
    """The view of one system call: each argument under the kernel's name, beside who, when and with what result.

    Two parameters that share a column (a 64-bit length in two i386 registers) appear under the column's
    name, and 32-bit parameters only where the 64-bit ones do not have that column already.
    """
    table = TABLES["syscalls" if call.family == "calls" else "files"]
    arguments = {column: name for name, column in _own(call.args)}
    arguments |= {column: name for name, column in _own(call.i386_args or ()) if column not in arguments}
    if "pgoff" in arguments:
        arguments.setdefault("offset_bytes", "offset_bytes")
    everywhere = [column for column in table.columns if _for_every_call(column)]
    before = [column for column in everywhere if column.name not in _AFTER]
    after = [column for column in everywhere if column.name in _AFTER]
    if not {"fd", "length_bytes"} & set(arguments):
        after = [column for column in after if not column.name.startswith("fd_")]
    columns = [each for column in before for each in _view_columns(column.name, column.name, column)]
    for source, name in arguments.items():
        columns += _view_columns(name, source, table[source])
    for column in after:
        columns += _view_columns(column.name, column.name, column)
    columns += _ORIGIN
    names = ", ".join(f"{column.expression} AS {quote(column.name)}" for column in columns)
    key = "syscall" if call.family == "calls" else "operation"
    sql = f"SELECT {names} FROM {table.name} WHERE {key} = {text_literal(call.name)}"
    return View(call.name, "call", f"calls of {call.name}, each argument under the kernel's name", tuple(columns), sql)


_AFTER = {
    "ret", "errno", "stack_id", "fd_dev", "fd_inode", "fd_generation", "fd_size_bytes",
    "dev", "inode", "generation", "old_size_bytes", "new_size_bytes", "identity",
}  # fmt: skip


def _for_every_call(column: Column) -> bool:
    """Whether a column says something of every call: it is no argument, and not the name of the call."""
    return column.name not in _arguments() and column.name not in ("syscall", "operation")


@cache
def _arguments() -> set[str | None]:
    return {source for call in SYSCALLS for _, source in (*call.args, *(call.i386_args or ()))}


def _own(pairs: Sequence[tuple[str, str | None]]) -> list[tuple[str, str]]:
    count = Counter(column for _, column in pairs)
    named = [(name if count[column] == 1 else column, column) for name, column in pairs if column is not None]
    return list(dict.fromkeys(named))


_HEADER = re.compile(r"CREATE VIEW (\w+) \((.*?)\n\) AS\n", re.DOTALL)
_COLUMN = re.compile(r"((?:\s*--[^\n]*\n)+)\s*\"?(\w+)\"?,?", re.DOTALL)
_LEADING = re.compile(r"(?:--[^\n]*\n)*")
_UNIT = re.compile(r"(.*?)(?: \[([^\]]*)\])?", re.DOTALL)


def _sql_views() -> list[View]:
    """The views of analysis/sql. A file opens with its question; each column follows its comment, unit in []."""
    texts = _texts("sql")
    found = []
    for name in sorted(texts):
        view = _sql_view(name, texts[name])
        found += _with_kinds(view) if view.name == "findings" else [view]
    return found


def _texts(*folder: str) -> dict[str, str]:
    paths = files("analysis").joinpath(*folder).iterdir()
    return {path.name: path.read_text() for path in paths if re.fullmatch(r"\d\d_\w+\.sql", path.name)}


def _with_kinds(findings: View) -> list[View]:
    """A view edge_KIND for each file of analysis/sql/edges, and `findings`, which has the rows of all.

    Such a file is one query; it names those columns of `findings` that it fills, and the kind itself is filled in.
    """
    nothing = findings.sql[findings.sql.index("\n) AS\n") + len("\n) AS\n") :].strip()
    names = ", ".join(quote(column.name) for column in findings.columns)
    kinds = []
    for file, text in sorted(_texts("sql", "edges").items()):
        kind = file[3:].removesuffix(".sql")
        rows = f"SELECT *, {text_literal(kind)} AS kind FROM (\n{text.strip().removesuffix(';')}\n)"
        sql = (
            f"CREATE VIEW edge_{kind} AS\n"
            f"SELECT {names} FROM ({nothing}) AS nothing({names})\nUNION ALL BY NAME\n{rows}"
        )
        description = _uncommented(text[: _LEADING.match(text).end()])  # type: ignore[union-attr]
        kinds.append(View(f"edge_{kind}", "view", description, findings.columns, sql))
    every = "".join(f"\nUNION ALL FROM {kind.name}" for kind in kinds)
    return [*kinds, replace(findings, sql=findings.sql.rstrip() + every)]


def _sql_view(file: str, text: str) -> View:
    header = _HEADER.search(text)
    if header is None or header[1] != file.partition("_")[2].removesuffix(".sql"):
        raise ValueError(f"{file} does not create the view it is named for")
    columns = []
    for comment, name in _COLUMN.findall(header[2] + "\n"):
        match = _UNIT.fullmatch(_uncommented(comment))
        assert match is not None
        columns.append(ViewColumn(name, "", "", match[2] or "", match[1]))
    return View(header[1], "view", _uncommented(text[: header.start()]), tuple(columns), text)


def _uncommented(text: str) -> str:
    return " ".join(line.strip().removeprefix("--").strip() for line in text.strip().splitlines())
