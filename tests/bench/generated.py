"""Captures larger, or worse, than what can be recorded in a minute; written by the recorder's own store.

Each function says how many mappings, as rectangles of address and time, its capture tells of.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from recorder.schema import TABLES, arrow_schema
from recorder.store import FINAL_ROWS, Store

__all__ = ["many_calls", "many_forks", "many_generations", "many_moves", "many_protections"]

_PAGE = 4096
_BASE = 0x7F00_0000_0000
_FIRST_PID, _PROCESSES = 1000, 100
_START_NS = 1_000_000_000_000
_STEP_NS = 15_000  # a step of one of the processes makes three calls
_SLOTS, _SLOT_PAGES = 300, 32  # places in an address space, and their distance
_PRIVATE, _FIXED, _ANONYMOUS = 2, 16, 32
_READ, _WRITE = 1, 2
_MAYMOVE, _FIXED_TO = 1, 2  # MREMAP_MAYMOVE, MREMAP_FIXED
_PATHS = [b"//anon", b"/usr/bin/program", b"/usr/lib/library.so"]
_PERMS = ["rw-p", "r--p", "r-xp"]
_CALLS = ["mmap", "mprotect", "munmap", "mremap"]
_LAG = np.array([0, _SLOTS // 3, 2 * _SLOTS // 3])  # steps from a mmap to the same call, its mprotect, its munmap

Coded = tuple[np.ndarray, list[Any]]
"""Values of a dictionary's column: numbers, and what they stand for."""


def many_calls(path: Path, events: int) -> int:
    """About so many events of a hundred processes that map a few pages, protect them, or half of them, later, and unmap
    them still later.

    Each process has some 200 mappings at a time. As in a compacted recording each file is by (pid, time), and later
    than the one before.
    """
    capture = _Capture(path, _FIRST_PID + np.arange(_PROCESSES))
    # five rows a step, less what comes so many steps after the mmap: two rows of the mprotect, one of the munmap
    steps = (events // _PROCESSES + 2 * int(_LAG[1]) + int(_LAG[2])) // 5
    most = FINAL_ROWS // (3 * _PROCESSES)
    for since in range(0, steps, most):
        capture.steps(since, min(since + most, steps))
    capture.close()
    protected = np.arange(max(steps - _LAG[1], 0))
    # what is protected in part stands on in two parts
    return _PROCESSES * (1 + steps + len(protected) + np.count_nonzero(_spared(protected)))


def many_protections(path: Path, vmas: int, times: int) -> int:
    """One address space with so many mappings, and so many calls that change the protection of all of them."""
    capture = _Capture(path, np.array([_FIRST_PID]))
    capture.crowd(vmas)
    for turn in range(times):
        capture.protect(vmas, turn % 2 == 0)
    capture.close()
    return 1 + vmas * (1 + times)


def many_forks(path: Path, vmas: int, times: int) -> int:
    """One address space with so many mappings, and so many children that begin with a copy of it and end."""
    capture = _Capture(path, np.array([_FIRST_PID]))
    capture.crowd(vmas)
    capture.children(times)
    capture.close()
    return (1 + vmas) * (1 + times)


def many_moves(path: Path, vmas: int, times: int) -> int:
    """One address space with so many mappings, each of which is moved away and back again, so many times."""
    capture = _Capture(path, np.array([_FIRST_PID]))
    capture.crowd(vmas)
    for turn in range(times):
        capture.move(vmas, away=turn % 2 == 0)
    capture.close()
    return 1 + vmas * (1 + times)


def many_generations(path: Path, vmas: int, times: int) -> int:
    """One address space with so many mappings, its copy, a copy of that, and so on; each ends when it was copied."""
    capture = _Capture(path, np.array([_FIRST_PID]))
    capture.crowd(vmas)
    capture.generations(times)
    capture.close()
    return (1 + vmas) * (1 + times)


def _pages(turn: np.ndarray) -> np.ndarray:
    """How many pages are mapped in which turn."""
    return 1 + turn * 2_654_435_761 // 128 % 16


def _spared(turn: np.ndarray) -> np.ndarray:
    """How many pages at the end of them are not protected."""
    return np.where(turn % 2 == 0, _pages(turn) // 2, 0)


class _Capture:
    """A capture being written, from the execution of its programs on."""

    def __init__(self, path: Path, pids: np.ndarray) -> None:
        header = {
            "maptrail": "0.1.0", "mode": "host", "command": [], "targets": [], "options": {}, "host": "generated",
            "boot_id": "0" * 32, "kernel": "6.18.0", "kernel_version": "", "arch": "x86_64", "page_size": _PAGE,
            "max_map_count": 65530, "cpus": 2, "recorder_pid": 1, "probe_plan": [], "losses": [], "recorder": {},
            "clock": {"monotonic_ns": _START_NS, "realtime_ns": 1_769_860_800_000_000_000}, "started_ns": _START_NS,
        }  # fmt: skip
        self._store = Store(path, header)
        self._totals = dict.fromkeys(TABLES, 0)
        self._pids = pids
        self._random = np.random.default_rng(1)
        self._now_ns = _START_NS
        at = self._times(3 * len(pids)).reshape(-1, 3)
        self._task("exec", "perf", at[:, 0], pids)
        self._vmas(at[:, 1], pids, np.full(len(pids), 0x40_0000), 1, perms=2, file=1)
        self._task("exec", "bpf", at[:, 2], pids, mm=_mm(pids))

    def close(self) -> None:
        totals = {name: {"attempted": rows, "stored": rows, "lost": 0} for name, rows in self._totals.items()}
        ended = self._now_ns + _STEP_NS
        self._store.close("complete", totals=totals, ended_ns=ended, drained_to_ns=ended)

    def steps(self, since: int, until: int) -> None:
        """Calls of all processes, a step each in every turn, in an order that changes from turn to turn."""
        turns, calls = np.arange(since, until), np.arange(3)
        place = self._random.permuted(np.tile(np.arange(_PROCESSES), (len(turns), 1)), axis=1).T
        begin = self._now_ns + (place + (turns - since) * _PROCESSES) * _STEP_NS
        self._now_ns += len(turns) * _PROCESSES * _STEP_NS
        enter = begin[:, :, None] + calls * (_STEP_NS // 3) + self._random.integers(0, 2000, (*place.shape, 3))
        turn, pid, call, enter = (
            each[(turns[:, None] >= _LAG)[None].repeat(_PROCESSES, axis=0)]
            for each in np.broadcast_arrays(
                turns[None, :, None] - _LAG, self._pids[:, None, None], calls[None, None, :], enter
            )
        )
        start = _BASE + turn % _SLOTS * _SLOT_PAGES * _PAGE
        touched = _pages(turn) - np.where(call == 1, _spared(turn), 0)
        file = np.where(turn % 8 == 0, 2, 0)
        self._calls(enter, pid, call, start, touched, file=file)
        told = call < 2
        at = enter + self._random.integers(200, 900, len(enter))
        self._vmas(at[told], pid[told], start[told], touched[told], perms=call[told], file=file[told])

    def crowd(self, vmas: int) -> None:
        """Neighbours that never merge: the same page of a file over and over."""
        at = self._times(vmas)
        pid, start = np.full(vmas, _FIRST_PID), _BASE + np.arange(vmas) * _PAGE
        self._calls(at, pid, np.zeros(vmas, int), start, np.ones(vmas, int), file=np.full(vmas, 2))
        self._vmas(at + 500, pid, start, 1, perms=0, file=2)

    def protect(self, vmas: int, writeless: bool) -> None:
        at = self._times(1)
        one = np.ones(1, int)
        records = at[0] + 500 + np.arange(vmas)
        self._calls(at, _FIRST_PID * one, one, _BASE * one, vmas * one, file=2 * one, lasting=1000 + vmas)
        start = _BASE + np.arange(vmas) * _PAGE
        self._vmas(records, np.full(vmas, _FIRST_PID), start, 1, perms=int(writeless), file=2)
        self._now_ns += vmas

    def children(self, times: int) -> None:
        at = self._times(3 * times).reshape(-1, 3)
        pids = _FIRST_PID + 1 + np.arange(times)
        parent = {"parent_pid": np.full(times, _FIRST_PID), "parent_tid": np.full(times, _FIRST_PID)}
        self._task("fork", "perf", at[:, 0], pids, **parent)
        self._task("clone", "bpf", at[:, 1], pids, **parent, clone_flags=np.full(times, 17), mm=_mm(pids))
        self._task("exit", "perf", at[:, 2], pids, **parent)

    def generations(self, times: int) -> None:
        at = self._times(3 * times).reshape(-1, 3)
        pids = _FIRST_PID + 1 + np.arange(times)
        parent = {"parent_pid": pids - 1, "parent_tid": pids - 1}
        self._task("fork", "perf", at[:, 0], pids, **parent)
        self._task("clone", "bpf", at[:, 1], pids, **parent, clone_flags=np.full(times, 17), mm=_mm(pids))
        self._task("exit", "perf", at[:, 2], pids - 1)

    def move(self, vmas: int, away: bool) -> None:
        """All of them, one by one, to a place of the same size, or back."""
        here, there = (
            _BASE + (np.arange(vmas) + offset) * _PAGE for offset in ((0, 2 * vmas) if away else (2 * vmas, 0))
        )
        pid, one = np.full(vmas, _FIRST_PID), np.ones(vmas, int)
        moved = {"new_addr": there, "new_size": one * _PAGE, "flags": one * (_MAYMOVE | _FIXED_TO), "ret": there}
        self._calls(self._times(vmas), pid, 3 * one, here, one, file=2 * one, **moved)

    def _times(self, count: int) -> np.ndarray:
        at = self._now_ns + np.arange(count) * _STEP_NS
        self._now_ns += count * _STEP_NS
        return at

    def _task(self, event: str, source: str, at: np.ndarray, pid: np.ndarray, **more: np.ndarray) -> None:
        same = np.zeros(len(at), int)
        columns = {"ts_ns": at, "pid": pid, "tid": pid, "event": (same, [event]), "source": (same, [source])}
        self._append("tasks", columns | more)

    def _calls(
        self, enter: np.ndarray, pid: np.ndarray, call: np.ndarray, start: np.ndarray, pages: np.ndarray,
        file: np.ndarray, lasting: int = 1000, **more: np.ndarray,
    ) -> None:  # fmt: skip
        mmap = call == 0

        def only(asked: np.ndarray, value: Any) -> np.ma.MaskedArray:
            return np.ma.masked_array(np.broadcast_to(value, call.shape), ~asked)

        columns = {
            "ts_enter_ns": enter, "ts_exit_ns": enter + lasting, "pid": pid, "tid": pid, "mm": _mm(pid),
            "comm": (0 * call, [b"program"]), "syscall": (call, _CALLS), "abi": (0 * call, ["x86_64"]),
            "addr": start, "size": pages * _PAGE, "ret": np.where(mmap, start, 0),
            "prot": only(call < 2, np.where(mmap, _READ | _WRITE, _READ)),
            "flags": only(mmap, _PRIVATE | _FIXED | np.where(file > 0, 0, _ANONYMOUS)),
            "fd": only(mmap, np.where(file > 0, 3, -1)), "offset_bytes": only(mmap, 0),
        }  # fmt: skip
        self._append("syscalls", columns | more)

    def _vmas(self, at: np.ndarray, pid: np.ndarray, start: np.ndarray, pages: Any, perms: Any, file: Any) -> None:
        perms, file = np.broadcast_to(perms, at.shape), np.broadcast_to(file, at.shape)
        columns = {
            "ts_ns": at, "pid": pid, "tid": pid, "start": start, "end": start + pages * _PAGE,
            "pgoff": np.where(file > 0, 0, start // _PAGE), "perms": (perms, _PERMS), "path": (file, _PATHS),
            "flags": np.where(file > 0, _PRIVATE, _PRIVATE | _ANONYMOUS), "dev": np.where(file > 0, 8 << 20, 0),
            "inode": np.where(file > 0, 100 + file, 0),
        }  # fmt: skip
        self._append("vmas", columns)

    def _append(self, table: str, columns: dict[str, np.ndarray | Coded]) -> None:
        count = len(columns["pid"])
        schema = arrow_schema(TABLES[table])
        rows = [_array(columns.get(field.name), field, count) for field in schema]
        self._store.append(table, pa.table(rows, schema=schema))
        self._totals[table] += count


def _mm(pid: np.ndarray) -> np.ndarray:
    return 0x5EED_0000_0000 + pid * 0x1_1000


def _array(values: np.ndarray | Coded | None, field: pa.Field, count: int) -> pa.Array:
    """A column: null, zero or empty where there are no values."""
    if values is None and field.nullable:
        return pa.nulls(count, field.type)
    if pa.types.is_dictionary(field.type):
        codes, meanings = values or (np.zeros(count, int), [b""])
        return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int32()), pa.array(meanings, field.type.value_type))
    return pa.array(np.zeros(count, int) if values is None else values, field.type)
