"""Symbol tables: those of real files against nm, and damaged ones."""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.symbols import Function, find, read_build_id, read_functions
from tests.support.workloads import build

ASSEMBLY = """
    .text
    .globl known
    .type known, @function
known:
    nop; nop; nop
    .size known, 3
    nop
    .type endless, @function
endless:
    nop; nop
    .type __alias, @function
    .type alias, @function
    .globl alias, longer_alias
    .type longer_alias, @function
__alias:
alias:
longer_alias:
    nop; nop
    .type inner, @function
inner:
    nop
    .size inner, 1
    nop
    .size alias, 4
    .size __alias, 4
    .size longer_alias, 4
    .type last, @function
last:
    nop
    .type data, @object
data:
    nop
"""


@contextmanager
def opened(path: Path) -> Iterator[int]:
    fd = os.open(path, os.O_RDONLY)
    try:
        yield fd
    finally:
        os.close(fd)


def nm(path: Path, *options: str) -> dict[int, set[tuple[str, int]]]:
    """Names and lengths of the functions of a file, by address."""
    text = subprocess.run(["nm", "--print-size", *options, path], capture_output=True, text=True, check=True).stdout
    found = defaultdict(set)
    for line in text.splitlines():
        fields = line.split()
        if len(fields) == 4 and fields[2] in "tTwWi" and int(fields[1], 16):
            found[int(fields[0], 16)].add((fields[3].partition("@")[0], int(fields[1], 16)))
    return found


@pytest.mark.parametrize("bits", [64, 32])
def test_a_program_s_functions_are_those_that_nm_prints(bits: int) -> None:
    program = build("counts", 64 if bits == 64 else 32)
    expected = nm(program)
    assert {"main", "_start"} <= {name for names in expected.values() for name, _ in names}
    check(program, expected)


def test_a_library_s_functions_are_those_that_nm_prints() -> None:
    library = Path(sysconfig.get_config_var("LIBDIR"), sysconfig.get_config_var("INSTSONAME") or "")
    program = library if library.is_file() else Path(sys.executable).resolve()
    expected = nm(program, "-D")
    assert len(expected) > 1000
    with opened(program) as fd:
        [dynamic] = read_functions(fd)[-1:]
        check(program, expected, [dynamic])


def check(path: Path, expected: dict[int, set[tuple[str, int]]], tables: list | None = None) -> None:
    """Every first byte of a function, and every last one that is in no other, is of that function."""
    with opened(path) as fd:
        tables = tables or read_functions(fd)
        starts = sorted(expected)
        found = find(tables, np.array(starts, np.uint64))
        for start, function in zip(starts, found, strict=True):
            assert function is not None, hex(start)
            assert function.address == start
            assert (function.name.decode(), function.size_bytes) in expected[start]
        ends = [function.address + function.size_bytes for function in found if function]
        apart = [end for end, following in zip(ends, [*starts[1:], ends[-1]], strict=True) if end <= following]
        last = find(tables, np.array(apart, np.uint64) - np.uint64(1))
        assert [f and f.address + f.size_bytes for f in last] == apart


@pytest.fixture(scope="module")
def assembled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("assembly")
    (folder / "a.s").write_text(ASSEMBLY)
    options = ["-nostdlib", "-shared", "-Wl,--build-id=0x0badcafe"]
    subprocess.run(["gcc", *options, "-o", folder / "a.so", folder / "a.s"], check=True)
    return folder / "a.so"


def test_rules_of_names_and_ends(assembled: Path) -> None:
    symbols = subprocess.run(["nm", assembled], capture_output=True, text=True, check=True).stdout.splitlines()
    begin = {name: int(address, 16) for address, _, name in map(str.split, symbols)}["known"]
    known, endless = Function(begin, 3, b"known"), Function(begin + 4, 2, b"endless")
    alias, inner, last = Function(begin + 6, 4, b"alias"), Function(begin + 8, 1, b"inner"), begin + 10
    with opened(assembled) as fd:
        tables = read_functions(fd)
        assert find(tables, begin + np.arange(10, dtype=np.uint64)) == [
            known, known, known, None,  # padding
            endless, endless,  # of no stated length: up to the next function
            alias, alias,  # global, and neither underscored nor longer
            inner, alias,  # the innermost, and behind it what it lies in
        ]  # fmt: skip
        # of no stated length, and the last: up to the end of the section, with the data that stands there
        assert find(tables, np.array([last, last + 1, last + 2], np.uint64)) == [Function(last, 2, b"last")] * 2 + [
            None
        ]
        assert find(tables, np.array([0, begin - 1, 2**64 - 1], np.uint64)) == [None] * 3


def test_a_debug_file_has_the_build_id_and_the_addresses_of_its_file(assembled: Path) -> None:
    debug = assembled.with_suffix(".debug")
    subprocess.run(["objcopy", "--only-keep-debug", assembled, debug], check=True)
    with opened(assembled) as whole, opened(debug) as part:
        assert read_build_id(whole) == read_build_id(part) == bytes.fromhex("0badcafe")
        places = read_functions(whole)[0].start
        assert find(read_functions(part), places) == find(read_functions(whole), places)


def test_what_is_no_elf_file_has_no_functions(tmp_path: Path) -> None:
    for data in (b"", b"\x7fELF", b"#!/bin/sh\n" * 20, b"\x7fELF\2\1" + bytes(58), b"\x7fELF\1\1" + b"\xff" * 200):
        assert read_functions(data) == []
        assert read_build_id(data) is None
    with opened(tmp_path) as folder:
        assert read_functions(folder) == []


@given(st.data())
def test_a_damaged_file_raises_nothing(assembled: Path, data: st.DataObject) -> None:
    damaged = bytearray(assembled.read_bytes())
    headers = int.from_bytes(damaged[40:48], "little")
    places = st.one_of(st.integers(0, 63), st.integers(headers, len(damaged) - 1), st.integers(0, len(damaged) - 1))
    for at, value in data.draw(st.lists(st.tuples(places, st.sampled_from([0, 1, 0x7F, 0x80, 0xFF])), max_size=16)):
        damaged[at] = value
    cut = bytes(damaged[: data.draw(st.one_of(st.just(len(damaged)), st.integers(0, len(damaged))))])
    found = find(read_functions(cut), np.array([0, 0x1000, 0x1004, 2**63, 2**64 - 1], np.uint64))
    assert all(function is None or len(function.name) < 1 << 14 for function in found)
    read_build_id(cut)
