"""What several commands can be asked to look at: a process, an address, a file, a time. Each becomes an SQL condition.

A value that cannot be meant is refused with a UsageError that says what could be.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files

from analysis.dictionary import text_literal
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.options import parse_size
from analysis.spaces import never_seen, outside
from analysis.text import inert
from analysis.times import Clock, parse

__all__ = [
    "ALWAYS", "address_range", "at_address", "caused_by", "during", "moments", "of_file", "of_pid", "per_capture",
    "windows",
]  # fmt: skip

ALWAYS = 18446744073709551615
"""Past every time: what null in a column `to_ns` stands for."""

_ADDRESS = re.compile(r"(?:0x)?([0-9a-f]{1,16})", re.ASCII | re.IGNORECASE)
_USER_END = 1 << 47
_FILE = re.compile(r"([0-9a-f]+):([0-9a-f]+):(\d+)", re.ASCII | re.IGNORECASE)
_ADDRESS_HINT = "write 0x7f0000001000, 0x7f0000001000-0x7f0000003000 or 0x7f0000001000+8K"


def moments(engine: Engine, text: str) -> dict[str, int]:
    """The instant that a text names in each capture, by its own clock; captures that do not cover it are left out."""
    found = {}
    for label, capture in engine.captures.items():
        moment = parse(text, capture.manifest.clock)
        if capture.manifest.clock.started_ns <= moment <= capture.covered_to_ns:
            found[label] = moment
    if not found:
        raise outside(engine.captures.values(), text)
    return found


def windows(engine: Engine, since: str | None, until: str | None) -> dict[str, tuple[int, int]]:
    """First and last instant of a stretch of time in each capture; what is not given is the capture's start or end.

    Standard error says which captures do not cover it, and are left out.
    """
    froms = moments(engine, since) if since is not None else _each(engine, lambda clock, _: clock.started_ns)
    tos = moments(engine, until) if until is not None else _each(engine, lambda _, covered: covered)
    both = {label: (froms[label], tos[label]) for label in froms if label in tos}
    if not both:
        raise UsageError(f"no capture covers both times: {since} and {until}")
    for label, capture in engine.captures.items():
        if label not in both:
            print(f"note: left out, for it does not cover that time: {inert(str(capture.path))}", file=sys.stderr)
    if any(start > end for start, end in both.values()):
        raise UsageError(f"the first time is after the second: {since} and {until}", "exchange --from and --to")
    return both


def _each(engine: Engine, value: Callable[[Clock, int], int]) -> dict[str, int]:
    return {label: value(capture.manifest.clock, capture.covered_to_ns) for label, capture in engine.captures.items()}


def per_capture(values: dict[str, tuple[int, int]]) -> str:
    """A relation (capture, since_ns, until_ns) of times by capture."""
    rows = ", ".join(
        f"({text_literal(label)}, {since}::UBIGINT, {until}::UBIGINT)" for label, (since, until) in values.items()
    )
    return f"(FROM (VALUES {rows}) AS each(capture, since_ns, until_ns))"


def of_pid(engine: Engine, pid: int) -> str:
    """A relation (capture, space, since_ns, until_ns): when the process used which address space, shared ones too."""
    sql = (
        "(SELECT capture, space, one.from_ns AS since_ns, coalesce(one.to_ns, "
        f"{ALWAYS}) - 1 AS until_ns FROM (SELECT capture, space, unnest(users) AS one FROM spaces) "
        f"WHERE one.pid = {pid})"
    )
    if not engine.query(f"FROM {sql} LIMIT 1").dicts():
        raise never_seen(engine, pid)
    return sql


def during(row: str, span: str) -> str:
    """A condition: a row of the timeline stood at some instant from since_ns to until_ns, both included."""
    return f"{row}.from_ns <= {span}.until_ns AND coalesce({row}.to_ns, {ALWAYS}) > {span}.since_ns"


def address_range(text: str) -> tuple[int, int]:
    """First address, and first past them, of `0x..`, `0x..-0x..` or `0x..+size`."""
    first, joint, rest = re.fullmatch(r"([^-+]*)([-+]?)(.*)", text.strip(), re.DOTALL).groups()  # type: ignore[union-attr]
    start = _address(first, text)
    if joint == "-":
        end = _address(rest, text)
    elif joint == "+":
        end = start + (
            int(rest, 16) if re.fullmatch("0x[0-9a-f]+", rest, re.ASCII | re.IGNORECASE) else _size(rest, text)
        )
    else:
        end = start + 1
    if end <= start:
        raise UsageError(f"an empty range of addresses: {text}", _ADDRESS_HINT)
    return start, min(end, (1 << 64) - 1)


def _address(part: str, text: str) -> int:
    match = _ADDRESS.fullmatch(part)
    if match is None:
        raise UsageError(f"not an address: {text}", _ADDRESS_HINT)
    # json and csv have addresses in decimal: nothing that user space can have has so many hexadecimal digits
    if part.isdigit() and int(part, 16) >= _USER_END > int(part):
        raise UsageError(f"addresses are hexadecimal: {text}", f"in decimal this is {int(part):#x}")
    return int(match[1], 16)


def _size(part: str, text: str) -> int:
    import typer

    try:
        return parse_size(part)
    except typer.BadParameter:
        raise UsageError(f"not a size after the address: {text}", _ADDRESS_HINT) from None


def at_address(text: str) -> str:
    """A condition on start and end: it has one of these addresses (see address_range)."""
    low, high = address_range(text)
    return f'start < {high} AND "end" > {low}'


def of_file(text: str) -> str:
    """A condition on dev, inode and path: `08:11:1234` is a device and inode, *?[ make a glob, else a part of it."""
    if not text:
        raise UsageError(
            "--file is empty", "give a part of the path, a glob, or major:minor:inode as in /proc/PID/maps"
        )
    if match := _FILE.fullmatch(text):
        major, minor, inode = int(match[1], 16), int(match[2], 16), int(match[3])
        if major < 1 << 12 and minor < 1 << 20 and inode < 1 << 64:
            return f"dev = {major << 20 | minor} AND inode = {inode}"
    if re.search(r"[*?\[]", text):
        return f"path GLOB {text_literal(text)}"
    return f"contains(path, {text_literal(text)})"


@cache
def _causes() -> list[str]:
    """Everything that can make or end a mapping, as macros.sql declares it."""
    macros = files("analysis").joinpath("sql", "macros.sql").read_text()
    declared = re.search(r"MACRO causes\(\) AS \[([^]]*)]", macros)
    assert declared is not None
    return re.findall(r"'([^']*)'", declared[1])


def caused_by(column: str, causes: Sequence[str]) -> str:
    """A condition that a column holds one of these causes."""
    for cause in causes:
        if cause not in _causes():
            raise UsageError(f"nothing is ever made or ended by: {cause}", f"one of: {', '.join(_causes())}")
    return f"{column} IN ({', '.join(map(text_literal, causes))})"
