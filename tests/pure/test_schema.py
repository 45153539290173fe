"""What is declared once agrees with everything derived from it."""

from __future__ import annotations

import numpy as np
import pytest

from recorder.bpfdir import bpf_dir
from recorder.schema import TABLES, WIRE, arrow_schema, c_header
from recorder.syscalls import SYSCALLS


def test_the_c_header_is_the_schema_s() -> None:
    """Written by `python -m recorder.schema`."""
    assert (bpf_dir() / "wire.h").read_text() == c_header()


@pytest.mark.parametrize("record", WIRE.values(), ids=WIRE)
def test_a_record_has_no_holes(record: object) -> None:
    """C aligns, numpy here does not: where both agree there is nothing between fields, and nothing leaks."""
    fields = record.numpy_fields()  # type: ignore[attr-defined]
    assert np.dtype(fields).itemsize == np.dtype(fields, align=True).itemsize
    assert np.dtype(fields).itemsize % 8 == 0


def test_every_argument_has_its_column() -> None:
    table_of = {"calls": "syscalls", "files": "files"}
    for call in SYSCALLS:
        for name, column in (*call.args, *(call.i386_args or ())):
            if column is not None:
                assert TABLES[table_of[call.family]][column].origin == "U", (call.name, name)


def test_call_numbers_are_unique() -> None:
    for numbers in ([call.number for call in SYSCALLS], [call.i386 for call in SYSCALLS if call.i386 is not None]):
        assert len(set(numbers)) == len(numbers)


def test_remap_file_pages_is_as_the_kernel_has_it() -> None:
    [call] = [call for call in SYSCALLS if call.name == "remap_file_pages"]
    assert [name for name, _ in call.args] == ["start", "size", "prot", "pgoff", "flags"]
    table = TABLES["syscalls"]
    assert table["pgoff"].unit == "pages"
    assert table["offset_bytes"].unit == "bytes"
    assert table["fd"].toctou


def test_every_column_says_what_it_is() -> None:
    for table in TABLES.values():
        assert table.time in [column.name for column in table.columns]
        for column in table.columns:
            assert column.description, (table.name, column.name)
            if column.name.endswith("_ns"):
                assert column.unit.startswith("ns"), column.name
            if column.name.endswith("_bytes"):
                assert column.unit == "bytes", column.name
        for field in arrow_schema(table):
            assert {b"unit", b"description", b"origin", b"toctou", b"optional"} <= field.metadata.keys()
