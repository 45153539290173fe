"""BPF records to Arrow tables, whole batches at a time.

Pure: it needs neither root nor bcc. Every function takes the columns of one ring's records and gives
a table in that table's declared schema, which may share their memory.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.hooks import FUNCTIONS, HOOKS
from recorder.ring import Columns
from recorder.schema import NR_I386, TABLES, WIRE, arrow_schema
from recorder.syscalls import SYSCALLS, Syscall

__all__ = ["DECODERS", "RECORDS", "decode_calls", "decode_faults", "decode_files", "decode_hooks", "decode_tasks"]

RECORDS: dict[str, np.dtype[np.void]] = {name: np.dtype(record.numpy_fields()) for name, record in WIRE.items()}
"""numpy layout of each ring's records."""

Ints = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]

_SCHEMAS = {name: arrow_schema(table) for name, table in TABLES.items()}
_NUMBERS = 1 << 16
_PAGE_BYTES = mmap.PAGESIZE
_NO_STACK = -38  # bpf/common.h: stacks were not asked for
_KNOWN_FILE, _KNOWN_OLD_SIZE, _KNOWN_NEW_SIZE, _KNOWN_PATH = 1, 2, 4, 8  # bpf/files.c
# pa.array looks for pandas on the disk each time it is given a list: 0.05 ms
_ABIS = pa.array(["x86_64", "i386"])
_TASK_EVENTS = pa.array(["clone", "exec", "ended"])  # enum task_event, bpf/tasks.c
_SIGNALS = {7: "SIGBUS", 11: "SIGSEGV"}


def _numbers(call: Syscall) -> list[tuple[int, tuple[tuple[str, str | None], ...]]]:
    """Record numbers of a call, each with the arguments it has there."""
    numbers = []
    if call.number >= 0:
        numbers.append((call.number, call.args))
    if call.i386 is not None:
        numbers.append((NR_I386 | call.i386, call.i386_args or call.args))
    return numbers


class _Arguments:
    """Where each argument column stands among the six registers, by record number."""

    def __init__(self) -> None:
        self.names = [call.name for call in SYSCALLS]
        self.name_index = np.full(_NUMBERS, -1, np.int32)
        self.position: dict[str, npt.NDArray[np.int8]] = {}
        for index, call in enumerate(SYSCALLS):
            for number, args in _numbers(call):
                self.name_index[number] = index
                for place, (_, column) in enumerate(args):
                    if column is None:
                        continue
                    table = self.position.setdefault(column, np.full(_NUMBERS, -1, np.int8))
                    if table[number] < 0:  # the low half of a 64-bit argument in two registers comes first
                        table[number] = place


_ARGUMENTS = _Arguments()


class _Calls:
    """Which calls the records of a batch are: `present` are their numbers, `which` the place of each record's there.

    There are few of them, so what is asked of a record by its number is looked up in a few bytes.
    """

    def __init__(self, records: Columns) -> None:
        nr = records["nr"]
        self.records = records
        self.present = np.flatnonzero(np.bincount(nr))
        places = np.zeros(_NUMBERS, np.intp)
        places[self.present] = np.arange(len(self.present))
        self.which: Ints = places[nr]
        self._masks: dict[bytes, Mask] = {}

    def where(self, asked: Mask) -> Mask | None:
        """Records of the calls of `present` that are asked for; None: all are."""
        if asked.all():
            return None
        key = asked.tobytes()
        if key not in self._masks:
            self._masks[key] = asked[self.which]
        return self._masks[key]

    def argument(self, column: str) -> tuple[Ints, Mask | None] | None:
        """Values and validity of an argument column; None when no call in the batch has it."""
        places = _ARGUMENTS.position[column][self.present]
        distinct = np.unique(places[places >= 0])
        if not len(distinct):
            return None
        args = self.records["args"]
        if len(distinct) == 1:
            values = args[distinct[0]]
        else:
            values = args[np.maximum(places, 0)[self.which], np.arange(len(self.which))]
        return values, self.where(places >= 0)


_NAMES = pa.array(_ARGUMENTS.names)
_OPERATIONS = pa.array([name.removesuffix("64") for name in _ARGUMENTS.names])
_MAPS_A_FILE = np.zeros(_NUMBERS, np.bool_)
for _call in SYSCALLS:
    if _call.name in ("mmap", "old_mmap"):
        for _number, _ in _numbers(_call):
            _MAPS_A_FILE[_number] = True


def _array(values: Ints, type: pa.DataType, valid: Mask | None = None) -> pa.Array:
    """An Arrow array over contiguous `values`, with a validity bitmap from `valid`."""
    values = np.ascontiguousarray(values, type.to_pandas_dtype())
    bitmap = None if valid is None else pa.py_buffer(np.packbits(valid, bitorder="little"))
    return pa.Array.from_buffers(type, len(values), [bitmap, pa.py_buffer(values)])


def _named(index: Ints, names: pa.Array, valid: Mask | None = None) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(_array(index, pa.int32(), valid), names)


def _text(field: Ints, valid: Mask | None = None) -> pa.DictionaryArray:
    """Fixed-width, NUL-padded byte strings as a dictionary; of equal neighbours the first is looked up, each distinct
    string is cut once."""
    words = field.view(np.uint64).reshape(len(field), field.dtype.itemsize // 8)
    changed = np.zeros(len(field), np.bool_)
    changed[:1] = True
    for word in words.T:
        changed[1:] |= word[1:] != word[:-1]
    heads = np.flatnonzero(changed)
    values = field[heads]
    fixed = pa.Array.from_buffers(pa.binary(field.dtype.itemsize), len(values), [None, pa.py_buffer(values)])
    encoded = fixed.dictionary_encode()
    names = pa.array([word.split(b"\0", 1)[0] for word in encoded.dictionary.to_pylist()], pa.binary())
    return _named(np.repeat(encoded.indices.to_numpy(), np.diff(heads, append=len(field))), names, valid)


def _path(records: Columns, valid: Mask | None) -> pa.DictionaryArray:
    """The path of each record; what the kernel left behind it in the ring is blanked first."""
    width = records.dtype["path"].itemsize
    raw = records["path"].view(np.uint8).reshape(len(records), width)
    raw[np.arange(width)[None, :] >= records["path_len"][:, None]] = 0
    return _text(records["path"], valid)


_NULLS: dict[pa.DataType, pa.Array] = {}


def _nulls(rows: int, type: pa.DataType) -> pa.Array:
    """A column of nulls. Most argument columns of most batches are one, so they share memory."""
    kept = _NULLS.get(type)
    if kept is None or len(kept) < rows:
        kept = _NULLS[type] = pa.nulls(rows, type)
    return kept.slice(0, rows)


def _table(name: str, columns: dict[str, pa.Array], rows: int) -> pa.Table:
    schema = _SCHEMAS[name]
    return pa.Table.from_arrays(
        [columns[f.name] if f.name in columns else _nulls(rows, f.type) for f in schema], schema=schema
    )


def _caller(records: Columns) -> dict[str, pa.Array]:
    return {
        "pid": _array(records["pid"], pa.uint32()),
        "tid": _array(records["tid"], pa.uint32()),
        "comm": _text(records["comm"]),
        "cpu": _array(records["cpu"], pa.uint16()),
        "cgroup_id": _array(records["cgroup_id"], pa.uint64()),
        "mm": _array(records["mm"], pa.uint64()),
        "stack_id": _stack_id(records["stack_id"]),
    }


def _stack_id(ids: Ints) -> pa.Array:
    asked = ids != _NO_STACK
    return _array(ids, pa.int32(), asked) if asked.any() else _nulls(len(ids), pa.int32())


def _abi(nr: Ints) -> pa.DictionaryArray:
    return _named(nr >= NR_I386, _ABIS)


def _outcome(ret: Ints) -> dict[str, pa.Array]:
    """`ret` and `errno`: the kernel returns errors as -4095..-1 (include/linux/err.h)."""
    failed = ret.view(np.uint64) > np.uint64(2**64 - 4096)
    return {"ret": _array(ret, pa.int64()), "errno": _array(np.where(failed, -ret, 0), pa.int32())}


def decode_calls(records: Columns) -> pa.Table:
    """Ring `calls` to table `syscalls`, one row a record, in ring order (by exit, per CPU)."""
    calls = _Calls(records)
    columns = _caller(records) | _outcome(records["ret"])
    columns["ts_enter_ns"] = _array(records["ts_enter_ns"], pa.uint64())
    columns["ts_exit_ns"] = _array(records["ts_exit_ns"], pa.uint64())
    columns["syscall"] = _named(_ARGUMENTS.name_index[calls.present][calls.which], _NAMES)
    columns["abi"] = _abi(records["nr"])
    for column in TABLES["syscalls"].columns:
        if column.name in _ARGUMENTS.position:
            found = calls.argument(column.name)
            if found is not None:
                columns[column.name] = _array(*_fit(found, column.type))
    columns["offset_bytes"] = _offset_bytes(calls)
    maps_a_file = _MAPS_A_FILE[calls.present]
    if maps_a_file.any():
        valid = records["fd_inode"] != 0
        if (mapping := calls.where(maps_a_file)) is not None:
            valid &= mapping
        for name in ("fd_inode", "fd_size_bytes", "fd_dev", "fd_generation"):
            columns[name] = _array(records[name], TABLES["syscalls"][name].type, valid)
    return _table("syscalls", columns, len(records))


def _fit(found: tuple[Ints, Mask | None], type: pa.DataType) -> tuple[Ints, pa.DataType, Mask | None]:
    """Register values as the C type of the argument: an int is its register's low half."""
    values, valid = found
    if type == pa.int32():
        values = values.astype(np.uint32).view(np.int32)
    elif type == pa.uint32():
        values = values.astype(np.uint32)
    elif type == pa.int64():
        values = values.view(np.int64)
    return values, type, valid


def _offset_bytes(calls: _Calls) -> pa.Array:
    given = calls.argument("offset_bytes")
    pages = calls.argument("pgoff")
    nr = calls.records["nr"]
    if pages is None:
        return _nulls(len(nr), pa.uint64()) if given is None else _array(given[0], pa.uint64(), given[1])
    # mmap2's unit is 4096 bytes whatever the page size; remap_file_pages counts pages
    unit = np.where(nr >= NR_I386, np.uint64(4096), np.uint64(_PAGE_BYTES))
    derived = pages[0] * unit
    if given is None:
        return _array(derived, pa.uint64(), pages[1])
    assert pages[1] is not None  # no call has both columns, so each is missing somewhere
    valid = pages[1] | (True if given[1] is None else given[1])
    return _array(np.where(pages[1], derived, given[0]), pa.uint64(), valid)


def _is_call(nr: Ints, *names: str) -> Mask:
    mask: Mask = np.isin(_ARGUMENTS.name_index[nr], [_ARGUMENTS.names.index(name) for name in names])
    return mask


def decode_files(records: Columns) -> pa.Table:
    """Ring `files` to table `files`, one row a record, in ring order."""
    rows = len(records)
    nr = records["nr"]
    known = records["known"]
    opens = _is_call(nr, "open", "openat", "openat2", "creat")
    falls = _is_call(nr, "fallocate")
    by_path = _is_call(nr, "truncate", "truncate64")
    # 32-bit calls give 64-bit lengths and offsets in two registers
    wide = _is_call(nr, "ftruncate64", "truncate64") | (falls & (nr >= NR_I386))
    arg = records["args"]

    def pair(low: int) -> Ints:
        value: Ints = arg[low] | (arg[low + 1] << np.uint64(32))
        return value

    columns = _caller(records) | _outcome(records["ret"])
    columns["ts_enter_ns"] = _array(records["ts_enter_ns"], pa.uint64())
    columns["ts_exit_ns"] = _array(records["ts_exit_ns"], pa.uint64())
    columns["operation"] = pa.array(_OPERATIONS.take(_array(_ARGUMENTS.name_index[nr], pa.int32())).dictionary_encode())
    columns["abi"] = _abi(nr)
    fd = np.where(opens, records["ret"], arg[0].astype(np.uint32).view(np.int32).astype(np.int64))
    columns["fd"] = _array(fd, pa.int32(), ~by_path & ~(opens & (records["ret"] < 0)))
    # the programs put the arguments of every open in openat's order
    columns["dirfd"] = _array(arg[0].astype(np.uint32).view(np.int32), pa.int32(), opens)
    columns["mode"] = _array(arg[3].astype(np.uint32), pa.uint32(), opens)
    columns["flags"] = _array(np.where(opens, records["open_flags"], arg[1]), pa.uint64(), opens | falls)
    columns["offset_bytes"] = _array(np.where(wide, pair(2), arg[2]), pa.uint64(), falls)
    length = np.where(falls, np.where(wide, pair(4), arg[3]), np.where(wide, pair(1), arg[1]))
    columns["length_bytes"] = _array(length, pa.uint64(), ~opens)
    columns["path_given"] = _path(records, (known & _KNOWN_PATH) != 0)
    is_file = (known & _KNOWN_FILE) != 0
    columns["dev"] = _array(records["dev"], pa.uint32(), is_file)
    columns["inode"] = _array(records["inode"], pa.uint64(), is_file)
    columns["generation"] = _array(records["generation"], pa.uint32(), is_file)
    columns["old_size_bytes"] = _array(records["old_size_bytes"], pa.uint64(), (known & _KNOWN_OLD_SIZE) != 0)
    # a truncate by path that succeeded set the size it was given (do_truncate)
    set_size = by_path & (records["ret"] == 0)
    new_size = np.where(set_size, length, records["new_size_bytes"])
    columns["new_size_bytes"] = _array(new_size, pa.uint64(), set_size | ((known & _KNOWN_NEW_SIZE) != 0))
    columns["identity"] = _named(np.zeros(rows, np.int32), pa.array(["fd"]), is_file)
    return _table("files", columns, rows)


def decode_tasks(records: Columns) -> pa.Table:
    """Ring `tasks` to table `tasks`, one row a record, in ring order."""
    rows = len(records)
    clone, execs, ended = (records["event"] == event for event in range(3))
    columns = {
        "ts_ns": _array(records["ts_ns"], pa.uint64()),
        "event": _named(records["event"], _TASK_EVENTS),
        "source": _named(np.zeros(rows, np.int32), pa.array(["bpf"])),
        "pid": _array(records["pid"], pa.uint32()),
        "tid": _array(records["tid"], pa.uint32()),
        "cpu": _array(records["cpu"], pa.uint16()),
        "parent_pid": _array(records["parent_pid"], pa.uint32(), clone),
        "parent_tid": _array(records["parent_tid"], pa.uint32(), clone),
        "ts_enter_ns": _array(records["ts_enter_ns"], pa.uint64(), clone & (records["ts_enter_ns"] > 0)),
        "clone_flags": _array(records["clone_flags"], pa.uint64(), clone),
        "comm": _text(records["comm"]),
        "path": _path(records, execs),
        "mm": _array(records["mm"], pa.uint64(), ~ended),
        "elf_class": _array(records["elf_class"], pa.uint8(), execs),
        "exit_status": _array(records["exit_status"], pa.uint32(), ended),
    }
    return _table("tasks", columns, rows)


def decode_faults(records: Columns) -> pa.Table:
    """Ring `faults` to table `faults`, one row a record, in ring order."""
    columns = _caller(records) | {
        "ts_ns": _array(records["ts_ns"], pa.uint64()),
        "signal": _named(records["nr"] == 11, pa.array([_SIGNALS[7], _SIGNALS[11]])),
        "code": _array(records["code"], pa.int32()),
        "address": _array(records["address"], pa.uint64()),
        "ip": _array(records["ip"], pa.uint64()),
        "result": _array(records["result"], pa.int32()),
    }
    mapped = records["file_inode"] != 0
    for name in ("file_dev", "file_generation", "file_inode", "file_size_bytes"):
        columns[name] = _array(records[name], TABLES["faults"][name].type, mapped)
    return _table("faults", columns, len(records))


_HOOKS = [hook.name for hook in HOOKS]
_HOOK_OF_FUNCTION = np.array([_HOOKS.index(hook.name) for hook in HOOKS for _ in hook.functions], np.int32)
_HOOK_COLUMNS = {
    "addr": ("mmap", "unmap", "replace"), "size": ("mmap", "unmap", "replace"),
    "prot": ("mmap",), "flags": ("mmap", "allocate", "invalidate"), "pgoff": ("mmap",),
    "offset_bytes": ("allocate", "invalidate"), "length_bytes": ("allocate", "invalidate"),
    "new_size_bytes": ("truncate",),
}  # fmt: skip
"""The hooks that have a column."""


def decode_hooks(records: Columns) -> pa.Table:
    """Ring `hooks` to table `hooks`, one row a record, in ring order."""
    hook = _HOOK_OF_FUNCTION[records["nr"]]
    failed = records["ret"] < 0
    columns = _caller(records) | {
        "ts_ns": _array(records["ts_ns"], pa.uint64()),
        "hook": _named(hook, pa.array(_HOOKS)),
        "function": _named(records["nr"], pa.array(FUNCTIONS)),
        "errno": _array(-records["ret"], pa.int32(), failed),
    }
    for name, hooks in _HOOK_COLUMNS.items():
        has = np.isin(hook, [_HOOKS.index(each) for each in hooks])
        columns[name] = _array(records[name], pa.uint64(), has & ~failed)
    is_file = records["inode"] != 0
    for name in ("dev", "inode", "generation", "old_size_bytes"):
        columns[name] = _array(records[name], TABLES["hooks"][name].type, is_file)
    return _table("hooks", columns, len(records))


DECODERS: dict[str, tuple[str, Callable[[Columns], pa.Table]]] = {
    "calls": ("syscalls", decode_calls),
    "files": ("files", decode_files),
    "tasks": ("tasks", decode_tasks),
    "faults": ("faults", decode_faults),
    "hooks": ("hooks", decode_hooks),
}
"""Ring → the table its records go to, and how."""
