"""Decoding whole batches gives what reading record by record would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from recorder.decode import RECORDS, decode_calls, decode_faults, decode_files, decode_hooks, decode_tasks
from recorder.hooks import FUNCTIONS
from recorder.ring import Columns
from recorder.schema import NR_I386, PATH_BYTES, TABLES, arrow_schema
from recorder.syscalls import SYSCALLS, Syscall

U64 = st.one_of(st.integers(0, 8), st.integers(0, 2**64 - 1))
NO_STACK = -38
KNOWN_FILE, KNOWN_OLD_SIZE, KNOWN_NEW_SIZE, KNOWN_PATH = 1, 2, 4, 8


def numbered(family: str) -> list[tuple[int, Syscall]]:
    calls = [call for call in SYSCALLS if call.family == family]
    native = [(call.number, call) for call in calls if call.number >= 0]
    return native + [(NR_I386 | call.i386, call) for call in calls if call.i386 is not None]


def caller(draw: st.DrawFn) -> dict[str, Any]:
    return {
        "mm": draw(U64), "cgroup_id": draw(U64), "pid": draw(st.integers(1, 2**22)), "tid": draw(st.integers(1, 2**22)),
        "comm": draw(st.binary(max_size=15)), "cpu": draw(st.integers(0, 300)),
        "stack_id": draw(st.sampled_from([NO_STACK, -14, 0, 5])),
    }  # fmt: skip


@st.composite
def call_record(draw: st.DrawFn) -> dict[str, Any]:
    nr, _ = draw(st.sampled_from(numbered("calls")))
    return caller(draw) | {
        "nr": nr, "ts_enter_ns": draw(U64), "ts_exit_ns": draw(U64),
        "args": tuple(draw(U64) for _ in range(6)), "ret": draw(st.integers(-5000, 2**47)),
        "fd_inode": draw(st.integers(0, 3)), "fd_size_bytes": draw(U64), "fd_dev": 7, "fd_generation": 9,
    }  # fmt: skip


@st.composite
def file_record(draw: st.DrawFn) -> dict[str, Any]:
    nr, _ = draw(st.sampled_from(numbered("files")))
    path = draw(st.binary(max_size=PATH_BYTES - 1))
    return caller(draw) | {
        "nr": nr, "ts_enter_ns": draw(U64), "ts_exit_ns": draw(U64),
        "args": tuple(draw(U64) for _ in range(6)), "ret": draw(st.integers(-200, 200)),
        "inode": draw(U64), "old_size_bytes": draw(U64), "new_size_bytes": draw(U64), "dev": 7, "generation": 9,
        "known": draw(st.integers(0, 15)), "path": path + b"\0" + b"left over"[: PATH_BYTES - 1 - len(path)],
        "path_len": len(path) + 1, "open_flags": draw(U64),
    }  # fmt: skip


def records(ring: str, rows: list[dict[str, Any]]) -> Columns:
    array = np.zeros(len(rows), RECORDS[ring])
    for index, row in enumerate(rows):
        for name, value in row.items():
            kind = RECORDS[ring][name]
            array[index][name] = np.void(value.ljust(kind.itemsize, b"\0")) if isinstance(value, bytes) else value
    return Columns.of(array)


def who(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "pid": row["pid"], "tid": row["tid"], "cpu": row["cpu"], "mm": row["mm"], "cgroup_id": row["cgroup_id"],
        "comm": row["comm"].split(b"\0")[0], "stack_id": None if row["stack_id"] == NO_STACK else row["stack_id"],
    }  # fmt: skip


def signed(value: int) -> int:
    value &= 2**32 - 1
    return value - 2**32 if value >= 2**31 else value


def outcome(row: dict[str, Any]) -> dict[str, Any]:
    return {"ret": row["ret"], "errno": -row["ret"] if -4095 <= row["ret"] < 0 else 0}


def call_row(row: dict[str, Any]) -> dict[str, Any]:
    """One record of ring `calls`, read the slow and obvious way."""
    call = dict(numbered("calls"))[row["nr"]]
    i386 = row["nr"] >= NR_I386
    expected = dict.fromkeys(column.name for column in TABLES["syscalls"].columns) | who(row) | outcome(row)
    expected |= {"ts_enter_ns": row["ts_enter_ns"], "ts_exit_ns": row["ts_exit_ns"]}
    expected |= {"syscall": call.name, "abi": "i386" if i386 else "x86_64"}
    for (_, column), value in zip((i386 and call.i386_args) or call.args, row["args"], strict=False):
        assert column
        kind = TABLES["syscalls"][column].type
        if kind == pa.int32():
            value = signed(value)
        elif kind == pa.int64():
            value = value - 2**64 if value >= 2**63 else value
        expected[column] = value
    if expected["pgoff"] is not None:
        expected["offset_bytes"] = expected["pgoff"] * 4096 % 2**64
    if call.name in ("mmap", "old_mmap") and row["fd_inode"]:
        expected |= {name: row[name] for name in ("fd_inode", "fd_size_bytes", "fd_dev", "fd_generation")}
    return expected


def file_row(row: dict[str, Any]) -> dict[str, Any]:
    """One record of ring `files`, read the slow and obvious way."""
    call = dict(numbered("files"))[row["nr"]]
    name, args, known = call.name, row["args"], row["known"]
    i386 = row["nr"] >= NR_I386
    operation = name.removesuffix("64")
    expected = dict.fromkeys(column.name for column in TABLES["files"].columns) | who(row) | outcome(row)
    expected |= {"ts_enter_ns": row["ts_enter_ns"], "ts_exit_ns": row["ts_exit_ns"]}
    expected |= {"operation": operation, "abi": "i386" if i386 else "x86_64"}
    if operation in ("open", "openat", "openat2", "creat"):
        expected |= {"dirfd": signed(args[0]), "mode": args[3] % 2**32, "flags": row["open_flags"]}
        expected["fd"] = row["ret"] if row["ret"] >= 0 else None
    elif operation == "fallocate":
        pair = [args[2] | args[3] << 32 & (2**64 - 1), args[4] | args[5] << 32 & (2**64 - 1)] if i386 else args[2:4]
        expected |= {"fd": signed(args[0]), "flags": args[1], "offset_bytes": pair[0], "length_bytes": pair[1]}
    else:
        wide = args[1] | args[2] << 32 & (2**64 - 1)
        expected["length_bytes"] = wide if name.endswith("64") else args[1]
        expected["fd"] = signed(args[0]) if operation == "ftruncate" else None
    if known & KNOWN_FILE:
        expected |= {"dev": row["dev"], "inode": row["inode"], "generation": row["generation"], "identity": "fd"}
    if known & KNOWN_OLD_SIZE:
        expected["old_size_bytes"] = row["old_size_bytes"]
    if operation == "truncate" and row["ret"] == 0:
        expected["new_size_bytes"] = expected["length_bytes"]
    elif known & KNOWN_NEW_SIZE:
        expected["new_size_bytes"] = row["new_size_bytes"]
    if known & KNOWN_PATH:
        expected["path_given"] = row["path"][: row["path_len"]].split(b"\0")[0]
    return expected


def check(table: pa.Table, name: str, expected: list[dict[str, Any]]) -> None:
    table.validate(full=True)
    assert table.schema.equals(arrow_schema(TABLES[name]))
    assert table.to_pylist() == expected


@settings(deadline=None)
@given(st.lists(call_record(), min_size=1, max_size=12))
def test_calls(rows: list[dict[str, Any]]) -> None:
    check(decode_calls(records("calls", rows)), "syscalls", [call_row(row) for row in rows])


@settings(deadline=None)
@given(st.lists(file_record(), min_size=1, max_size=12))
def test_files(rows: list[dict[str, Any]]) -> None:
    check(decode_files(records("files", rows)), "files", [file_row(row) for row in rows])


def test_tasks() -> None:
    clone = {
        "ts_ns": 5, "ts_enter_ns": 4, "clone_flags": 0x4111, "mm": 6, "event": 0, "elf_class": 0, "cpu": 1,
        "path_len": 0, "pid": 11, "tid": 11, "parent_pid": 10, "parent_tid": 12, "exit_status": 0, "comm": b"sh",
        "path": b"left over",
    }  # fmt: skip
    image = {"event": 1, "elf_class": 2, "path": b"/bin/ls\0left over", "path_len": 8}
    execve = clone | image | {"clone_flags": 0, "ts_enter_ns": 0}
    ended = clone | {"event": 2, "mm": 0, "exit_status": 0x87}  # SIGBUS, and a core
    base = {"ts_ns": 5, "source": "bpf", "pid": 11, "tid": 11, "cpu": 1, "comm": b"sh", "mm": 6, "exit_status": None}
    parent = {"parent_pid": 10, "parent_tid": 12, "ts_enter_ns": 4, "clone_flags": 0x4111}
    parent |= {"path": None, "elf_class": None}
    image = dict.fromkeys(parent) | {"path": b"/bin/ls", "elf_class": 2}
    order = [column.name for column in TABLES["tasks"].columns]
    end = dict.fromkeys(parent) | {"event": "ended", "mm": None, "exit_status": 0x87}
    expected = [base | {"event": "clone"} | parent, base | {"event": "exec"} | image, base | end]
    rows = [clone, execve, ended]
    check(decode_tasks(records("tasks", rows)), "tasks", [{k: row[k] for k in order} for row in expected])


def test_faults() -> None:
    row = {
        "ts_ns": 5, "address": 0x1000, "ip": 0x2000, "mm": 6, "cgroup_id": 7, "pid": 11, "tid": 12, "comm": b"die",
        "cpu": 1, "nr": 7, "stack_id": 3, "code": 2, "result": 0,
        "file_inode": 77, "file_size_bytes": 0, "file_dev": 8, "file_generation": 9,
    }  # fmt: skip
    names = ("ts_ns", "address", "ip", "code", "result")
    file = {name: row[name] for name in row if name.startswith("file_")}
    unmapped = row | {"nr": 11, "stack_id": NO_STACK, "file_inode": 0}  # the rest is left over
    seen = decode_faults(records("faults", [row, unmapped])).to_pylist()
    for got, more in zip(
        seen,
        ({"signal": "SIGBUS", "stack_id": 3} | file, {"signal": "SIGSEGV", "stack_id": None} | dict.fromkeys(file)),
        strict=True,
    ):
        assert got == {name: row[name] for name in names} | who(row) | more


def test_hooks() -> None:
    """Each hit has the columns of its hook alone, and a failure none but its error."""
    row = {
        "ts_ns": 5, "addr": 0x1000, "size": 0x2000, "prot": 3, "flags": 17, "pgoff": 7, "offset_bytes": 21,
        "length_bytes": 22, "old_size_bytes": 23, "new_size_bytes": 24, "inode": 77, "dev": 8, "generation": 9,
        "mm": 6, "cgroup_id": 7, "pid": 11, "tid": 12, "comm": b"cut", "cpu": 1, "stack_id": NO_STACK, "ret": 0,
    }  # fmt: skip
    file = ("inode", "dev", "generation", "old_size_bytes")
    hits: list[tuple[str, str, dict[str, int], tuple[str, ...]]] = [
        ("mmap", "do_mmap", {}, ("addr", "size", "prot", "flags", "pgoff", *file)),
        ("mmap", "do_mmap", {"inode": 0}, ("addr", "size", "prot", "flags", "pgoff")),
        ("unmap", "do_vmi_align_munmap", {"inode": 0}, ("addr", "size")),
        ("unmap", "__do_munmap", {"inode": 0, "ret": -12}, ()),
        ("replace", "vms_complete_munmap_vmas", {"inode": 0}, ("addr", "size")),
        ("truncate", "do_truncate", {}, ("new_size_bytes", *file)),
        ("allocate", "vfs_fallocate", {}, ("flags", "offset_bytes", "length_bytes", *file)),
        ("invalidate", "unmap_mapping_range", {}, ("flags", "offset_bytes", "length_bytes", *file)),
    ]
    expected = []
    for hook, function, change, columns in hits:
        filled = who(row) | {"ts_ns": 5, "hook": hook, "function": function} | {name: row[name] for name in columns}
        filled |= {"errno": 12} if change.get("ret") else {}
        expected.append(dict.fromkeys(column.name for column in TABLES["hooks"].columns) | filled)
    rows = [row | {"nr": FUNCTIONS.index(function)} | change for _, function, change, _ in hits]
    check(decode_hooks(records("hooks", rows)), "hooks", expected)


def test_columns_are_filled_and_used_again() -> None:
    columns = Columns(RECORDS["calls"], 4)
    array = np.zeros(3, RECORDS["calls"])
    array["pid"] = [1, 2, 3]
    columns.take(array)
    columns.take(array[:1])
    assert columns.free == 0
    assert columns["pid"].tolist() == [1, 2, 3, 1]
    assert columns["args"].shape == (6, 4)
    columns.clear()
    assert len(columns) == 0
    columns.take(array[1:2])
    assert columns["pid"].tolist() == [2]
