"""Prints rows: as a table for people, or as JSON, CSV, Parquet or Arrow for machines.

Text formats are inert: no byte of a comm or path reaches a terminal, a spreadsheet or a log as anything
but visible text. What a machine needs to be exact about is in the `_bytes` columns (hex in JSON and CSV),
and in Parquet and Arrow, which hold values as they are.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import chain
from typing import IO, Any

import pyarrow as pa

from analysis.errors import ReaderGone, UsageError
from analysis.options import Format
from analysis.rows import Rows
from analysis.text import device, duration, inert, size
from analysis.times import Clock, relative

__all__ = ["Style", "batch_lines", "emit", "json_text", "print_rows", "table_lines"]


@dataclass(frozen=True)
class Style:
    """What a table needs to know beside its rows.

    `units` by column name; `clocks` by the value of the column `capture`, so that a time can be shown from
    its own capture's start; `width` in columns of the terminal (None: as wide as it takes); `colour` for a
    terminal that wants it.
    """

    units: dict[str, str] = field(default_factory=dict)
    clocks: dict[str, Clock] = field(default_factory=dict)
    width: int | None = None
    colour: bool = False

    @classmethod
    def of_stdout(cls, units: dict[str, str], clocks: dict[str, Clock]) -> Style:
        """The style for standard output as it is: a terminal has a width, and colour unless NO_COLOR is set."""
        terminal = sys.stdout.isatty()
        colour = terminal and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
        return cls(units, clocks, shutil.get_terminal_size().columns if terminal else None, colour)


def print_rows(rows: Rows, format: Format, style: Style) -> None:
    """Print rows on standard output. UsageError: a binary format on a terminal."""
    if format in (Format.PARQUET, Format.ARROW):
        if sys.stdout.isatty():
            raise UsageError(f"{format} is binary and standard output is a terminal", f"redirect it: > rows.{format}")
        with _writing():
            _write_binary(rows, format, sys.stdout.buffer)
            sys.stdout.buffer.flush()
    else:
        emit({Format.TABLE: _table, Format.JSON: _json, Format.CSV: _csv}[format](rows, style))


def emit(lines: Iterable[str]) -> None:
    """Write lines, each with its line end, to standard output. ReaderGone: nobody reads it any more."""
    with _writing():
        sys.stdout.writelines(lines)
        sys.stdout.flush()


@contextmanager
def _writing() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError:
        raise ReaderGone("standard output was closed") from None
    except OSError as error:
        raise UsageError(f"standard output cannot be written: {error.strerror}") from None


def _write_binary(rows: Rows, format: Format, sink: IO[bytes]) -> None:
    if format is Format.ARROW:
        with pa.ipc.new_stream(sink, rows.schema) as stream:
            for batch in rows:
                stream.write_batch(batch)
        return
    import pyarrow.parquet as pq

    with pq.ParquetWriter(sink, rows.schema, compression="zstd") as file:
        for batch in rows:
            file.write_batch(batch)


# JSON


def json_text(value: Any) -> str:
    """A value as JSON in printable ASCII; bytes as hex, what JSON has no form for as text."""
    return json.dumps(_plain(value), ensure_ascii=True, allow_nan=False).replace("\x7f", "\\u007f")


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, float):
        return value if value - value == 0 else None  # NaN and infinity
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item) for item in value]
    whole = getattr(value, "to_integral_value", None)  # Decimal, which is what sums of 64-bit numbers are
    if whole is not None and value.is_finite():
        return int(value) if value == whole() else float(value)
    return str(value)


def _json(rows: Rows, style: Style) -> Iterator[str]:  # noqa: ARG001
    lead = "[\n"
    names = rows.schema.names
    for batch in rows:
        for values in _values(batch):
            yield lead + json_text(dict(zip(names, values, strict=True)))
            lead = ",\n"
    yield "[]\n" if lead == "[\n" else "\n]\n"


def _values(batch: pa.RecordBatch) -> Iterator[tuple[Any, ...]]:
    return zip(*(_python(column) for column in batch.columns), strict=True) if batch.num_columns else iter(())


def _python(column: pa.Array) -> list[Any]:
    # times are wanted as text with every digit, and Python's datetime has no nanoseconds
    if pa.types.is_temporal(column.type) and not pa.types.is_interval(column.type):
        column = column.cast(pa.string())
    values: list[Any] = column.to_pylist()
    if pa.types.is_map(column.type):  # pairs; what is not known is left out
        return [None if pairs is None else {key: item for key, item in pairs if item is not None} for pairs in values]
    return values


# CSV


_FORMULA = re.compile(r"[=+@]|-(?![-rwxps]*$)")


def _csv(rows: Rows, style: Style) -> Iterator[str]:  # noqa: ARG001
    """RFC 4180: CRLF, quotes doubled; null is an empty field, empty text is ""."""
    yield ",".join(_csv_field(name) for name in rows.schema.names) + "\r\n"
    for batch in rows:
        for values in _values(batch):
            yield ",".join(map(_csv_field, values)) + "\r\n"


def _csv_field(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = inert(value)
        if _FORMULA.match(text):  # a spreadsheet would run it; permissions like ---p stay
            text = f"\\x{ord(text[0]):02x}{text[1:]}"
    else:
        plain = _plain(value)
        text = json_text(plain) if isinstance(plain, list | dict) else inert(str(plain))
    if not text or any(char in text for char in ',"'):
        return '"' + text.replace('"', '""') + '"'
    return text


# Table


_GAP = "  "
_NULL = "-"
_MEASURED = 1000  # rows that decide how wide columns are
_NARROWEST = 8  # columns of text are cut to no less
_BOLD, _DIM, _PLAIN = "\x1b[1m", "\x1b[2m", "\x1b[0m"


def table_lines(
    header: Sequence[str],
    cells: Sequence[Sequence[str]],
    right: Sequence[bool],
    style: Style,
    more: Iterable[Sequence[Sequence[str]]] = (),
) -> Iterator[str]:
    """Lines of an aligned table. Cells are inert text already; a terminal too narrow cuts text with an ellipsis.

    Where even that does not fit, each row is printed as a block of `name  value` lines. Rows of `more` come after
    `cells`, which alone decide how wide the columns are.
    """
    rows = chain.from_iterable(chain([cells], more))
    widths = [max([_cells(name), *(_cells(row[at]) for row in cells)]) for at, name in enumerate(header)]
    if style.width is not None:
        widths = _fitted(widths, [max(_cells(name), _NARROWEST) for name in header], right, style.width)
        if sum(widths) + len(_GAP) * (len(widths) - 1) > style.width:
            yield from _blocks(header, rows, style)
            return
    yield _line(header, widths, right, style, _BOLD)
    for row in rows:
        yield _line(row, widths, right, style)


def _cells(text: str) -> int:
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def _fitted(widths: list[int], least: list[int], fixed: Sequence[bool], width: int) -> list[int]:
    """Widths with the widest text columns narrowed, one column at a time, until the line fits or cannot."""
    widths = list(widths)
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - width
    while excess > 0:
        able = [at for at, each in enumerate(widths) if not fixed[at] and each > least[at]]
        if not able:
            break
        widest = max(able, key=lambda at: widths[at])
        rest = max([least[widest], *(widths[at] for at in able if widths[at] < widths[widest])])
        step = max(min(excess, widths[widest] - rest), 1)
        widths[widest] -= step
        excess -= step
    return widths


def _line(row: Sequence[str], widths: list[int], right: Sequence[bool], style: Style, paint: str = "") -> str:
    parts = []
    for at, (text, width) in enumerate(zip(row, widths, strict=True)):
        if style.width is not None and not right[at]:
            text = _cut(text, width)
        space = " " * (width - _cells(text))
        shown = _painted(text, paint or (_DIM if text == _NULL else ""), style)
        parts.append(space + shown if right[at] else shown if at == len(row) - 1 else shown + space)
    return _GAP.join(parts) + "\n"


def _cut(text: str, width: int) -> str:
    if _cells(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1).rstrip() + "…"


def _painted(text: str, paint: str, style: Style) -> str:
    return f"{paint}{text}{_PLAIN}" if paint and style.colour else text


def _blocks(header: Sequence[str], cells: Iterable[Sequence[str]], style: Style) -> Iterator[str]:
    width = max(map(_cells, header))
    for number, row in enumerate(cells):
        yield "\n" if number else ""
        for name, text in zip(header, row, strict=True):
            yield f"{_painted(name, _BOLD, style)}{' ' * (width - _cells(name))}{_GAP}{text}\n"


def batch_lines(batch: pa.RecordBatch | pa.Table, style: Style) -> Iterator[str]:
    """Rows as the lines of a table, each value as its unit and type ask for."""
    header, right = _header(batch.schema)
    yield from table_lines(header, _cells_of(batch, style), right, style)


def _table(rows: Rows, style: Style) -> Iterator[str]:
    """The first rows decide how wide the columns are: the others appear as they come, and memory stays bounded."""
    if not rows.schema.names:
        return
    batches = iter(rows)
    first: list[pa.RecordBatch] = []
    while sum(batch.num_rows for batch in first) < _MEASURED and (batch := next(batches, None)) is not None:
        first.append(batch)
    cells = _cells_of(pa.Table.from_batches(first, rows.schema), style)
    header, right = _header(rows.schema)
    yield from table_lines(header, cells, right, style, (_cells_of(batch, style) for batch in batches))


def _columns(schema: pa.Schema) -> list[int]:
    """Numbers of the columns that a table shows: `path_bytes` is no use beside `path`."""
    twins = {f"{name}_bytes" for name in schema.names}
    return [at for at, each in enumerate(schema) if not (pa.types.is_binary(each.type) and each.name in twins)]


def _header(schema: pa.Schema) -> tuple[list[str], list[bool]]:
    """The names of the columns, and whether each stands to the right."""
    columns = [schema.field(at) for at in _columns(schema)]
    right = [
        pa.types.is_integer(each.type) or pa.types.is_floating(each.type) or pa.types.is_decimal(each.type)
        for each in columns
    ]
    return [inert(each.name) for each in columns], right


def _cells_of(batch: pa.RecordBatch | pa.Table, style: Style) -> list[tuple[str, ...]]:
    names = batch.schema.names
    labels = batch.column(names.index("capture")).to_pylist() if "capture" in names else [None] * batch.num_rows
    columns = []
    for at in _columns(batch.schema):
        show = _shown(names[at], batch.schema.field(at).type, style)
        pairs = zip(_python(batch.column(at)), labels, strict=True)
        columns.append([_NULL if value is None else show(value, label) for value, label in pairs])
    return list(zip(*columns, strict=True))


def _shown(name: str, type: pa.DataType, style: Style) -> Callable[[Any, Any], str]:
    """How a value of a column reads, given the capture it comes from (None where the rows do not say)."""
    unit = style.units.get(name, "")
    if pa.types.is_list(type) and pa.types.is_integer(type.value_type) and unit == "address":
        return lambda value, _: "[" + ", ".join(f"{each:#x}" for each in value) + "]"
    if pa.types.is_integer(type) or pa.types.is_decimal(type):
        return _shown_number(name, unit, style)
    if pa.types.is_binary(type) or pa.types.is_large_binary(type):
        return lambda value, _: value.hex()
    if pa.types.is_string(type) or pa.types.is_large_string(type):
        return lambda value, _: inert(value)
    if pa.types.is_floating(type):
        return lambda value, _: f"{value:.6g}"
    return lambda value, _: inert(value if isinstance(value, str) else json_text(value))


def _shown_number(name: str, unit: str, style: Style) -> Callable[[Any, Any], str]:
    if unit.startswith("ns, CLOCK_MONOTONIC"):
        only = next(iter(style.clocks.values())) if len(style.clocks) == 1 else None

        def time(value: Any, label: Any) -> str:
            clock = style.clocks.get(label) or only
            return relative(int(value), clock) if clock else f"{value}ns"

        return time
    if name == "dev" or name.endswith("_dev"):
        return lambda value, _: device(int(value))
    if unit == "ns":
        return lambda value, _: duration(int(value))
    if unit == "address" or (unit == "bytes" and name.startswith("off")):
        return lambda value, _: f"{int(value):#x}"
    if unit == "bytes":
        return lambda value, _: size(int(value))
    if unit.startswith("address or"):
        # a mapping is never below vm.mmap_min_addr for a user, 64 KiB; below are 0 and small numbers
        return lambda value, _: f"{int(value):#x}" if value >= 0x10000 else str(value)
    return lambda value, _: str(value)
