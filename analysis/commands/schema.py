"""`analyze schema`: which tables there are, and what each column means."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from analysis import completion
from analysis.errors import UsageError
from analysis.options import Format, FormatOption

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["columns_table", "schema", "views_table"]

_LEGEND = """\
K made by the kernel; U chosen by user space; TOCTOU could change between being read and taking effect;
OPT null where the kernel, the call or the options did not provide it"""
_NARROWEST = 24  # columns that a wrapped description gets at least


def schema(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME] [CAPTURE]",
            help="A table, system call or view; a capture.",
            show_default=False,
            autocompletion=completion.name,
        ),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Show tables, system calls and views, or the columns of one; of a capture, the probes it was made with.

    Each column has its type, unit, meaning and marks: K made by the kernel, U chosen by user space, TOCTOU
    it could change between being read and taking effect, OPT it can be missing.
    """
    from analysis.dictionary import views
    from analysis.output import Style, emit, json_text, print_rows
    from analysis.rows import Rows

    names = [each for each in what or [] if each in views()]
    paths = [Path(each) for each in what or [] if each not in views()]
    if len(names) > 1 or len(paths) > 1:
        raise UsageError("more than one name or capture given")
    if paths and not os.path.exists(paths[0]):
        hint = "`analyze schema` alone lists tables, system calls and views; a capture is a directory"
        raise UsageError(f"neither a name in the schema nor a capture: {paths[0]}", hint)
    sections: dict[str, pa.Table] = {}
    if names or not paths:
        sections |= {"columns": columns_table(names[0])} if names else {"views": views_table()}
    if paths:
        sections["probe_plan"] = _probe_plan(paths[0])

    if format is Format.TABLE:
        for title, table in sections.items():
            if title == "columns":
                emit([f"{names[0]}: {views()[names[0]].description}\n\n"])
            _print_wrapped(table)
        if names:
            print(_LEGEND, file=sys.stderr)
    elif len(sections) == 1:
        print_rows(Rows.of(next(iter(sections.values()))), format, Style())
    elif format is Format.JSON:
        emit([json_text({title: table.to_pylist() for title, table in sections.items()}), "\n"])
    else:
        raise UsageError(
            f"{format} holds one table, and two were asked for", "ask for the name and the capture in turn"
        )


def views_table() -> pa.Table:
    """Every table, system call and view: its name, kind, number of columns and description."""
    import pyarrow as pa

    from analysis.dictionary import views

    kinds = {"table": "table", "call": "system call", "view": "view"}
    return pa.Table.from_pylist(
        [
            {"name": view.name, "kind": kinds[view.kind], "columns": len(view.columns), "description": view.description}
            for view in views().values()
        ]
    )


def columns_table(name: str) -> pa.Table:
    """The columns of one: type, unit, marks and description."""
    import pyarrow as pa

    from analysis.dictionary import views
    from analysis.engine import Engine

    with Engine([], whole=True) as engine:  # DuckDB knows the types of what a view computes
        types = {column: type for view, column, type in engine.columns() if view == name}
    return pa.Table.from_pylist(
        [
            {
                "column": column.name, "type": types[column.name], "unit": column.unit, "origin": column.origin,
                "toctou": column.toctou, "optional": column.optional, "description": column.description,
            }
            for column in views()[name].columns
        ]
    )  # fmt: skip


def _probe_plan(path: Path) -> pa.Table:
    import pyarrow as pa

    from analysis.capture import read_manifest

    fields = ("fact", "source", "state", "why")
    rows = [{field: row.get(field, "") for field in fields} for row in read_manifest(path).probe_plan]
    return pa.Table.from_pylist(rows, pa.schema([(field, pa.string()) for field in fields]))


def _print_wrapped(table: pa.Table) -> None:
    """Print a table whose last column is prose: on a terminal it is wrapped, not cut."""
    import textwrap
    from dataclasses import replace

    from analysis.output import Style, emit, table_lines
    from analysis.text import inert

    style = Style.of_stdout({}, {})
    rows = [_cells(row) for row in table.to_pylist()]
    header = list(rows[0]) if rows else table.schema.names
    before = [max([len(name), *(len(inert(row[name])) for row in rows)]) for name in header[:-1]]
    room = max((style.width or 1 << 30) - sum(before) - 2 * len(before), _NARROWEST)
    lines: list[list[str]] = []
    for row in rows:
        first, *rest = textwrap.wrap(inert(row[header[-1]]), room) or [""]
        lines.append([*(inert(row[name]) for name in header[:-1]), first])
        lines += [[*("" for _ in before), line] for line in rest]
    emit(table_lines(header, lines, [False] * len(header), replace(style, width=None)))


def _cells(row: dict[str, object]) -> dict[str, str]:
    """A row as text; the three marks share a column."""
    cells = {name: str(value) for name, value in row.items() if name not in ("origin", "toctou", "optional")}
    if "origin" in row:
        marks = (row["origin"], row["toctou"] and "TOCTOU", row["optional"] and "OPT")
        cells = {**cells, "marks": " ".join(str(mark) for mark in marks if mark)}
        cells["description"] = cells.pop("description")
    return cells
