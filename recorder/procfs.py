"""What /proc says of the machine, its processes and their mappings.

A mapping table is read with large reads and parsed by whole arrays: no Python runs per line.
Numbers of processes are those of the pid namespace /proc was mounted for.
"""

from __future__ import annotations

import os
import platform
import re
import socket
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from recorder.schema import TABLES, arrow_schema

__all__ = [
    "Reading",
    "alive_tasks",
    "any_32bit_process",
    "boot_id",
    "device",
    "elf_class_of",
    "host",
    "machine_facts",
    "maps_table",
    "max_map_count",
    "page_size",
    "parse_maps",
    "pid_exists",
    "pids",
    "read_maps",
    "read_text",
]

_READ_BYTES = 1 << 20
_MAPS = arrow_schema(TABLES["maps"])
_TASKS = arrow_schema(TABLES["tasks"])
_COMM_BYTES = 15  # TASK_COMM_LEN less the zero; kernel threads print longer names

# value of each byte as a hexadecimal digit; 255 ends a number
_DIGIT = np.full(256, 255, np.uint8)
for _value, _bytes in enumerate("0123456789abcdef"):
    _DIGIT[ord(_bytes)] = _value


@dataclass(frozen=True)
class Reading:
    """The text of one /proc/PID/maps, and when reading it began and ended, CLOCK_MONOTONIC."""

    pid: int
    number: int
    reason: str
    begin_ns: int
    end_ns: int
    text: bytes


def read_maps(pid: int, reading: int, reason: str) -> pa.Table | None:
    """Read /proc/PID/maps once, as rows of table `maps` that share `reading` and `reason`; None as of `read_text`."""
    found = read_text(pid, reading, reason)
    return found and maps_table([found])


def read_text(pid: int, reading: int, reason: str) -> Reading | None:
    """Read /proc/PID/maps once.

    Returns None if the process is gone, went or executed another image while being read (its
    table would look complete and is not), or has no mappings (a kernel thread, a zombie). Gone it
    is also where its number is a thread's of another process by now, whose maps /proc would show.
    PermissionError is left to the caller. The kernel prints whole lines, at most a page of them
    a read, so a mapping that changes meanwhile is seen before or after its change.
    """
    try:
        fd = os.open(f"/proc/{pid}/maps", os.O_RDONLY | os.O_CLOEXEC)
    except (FileNotFoundError, ProcessLookupError):
        return None
    try:
        if not pid_exists(pid):
            return None
        begin = time.monotonic_ns()
        text = b"".join(iter(lambda: os.read(fd, _READ_BYTES), b""))
        end = time.monotonic_ns()
        # m_start() in fs/proc/task_mmu.c ends a reading early when the address space has died
        if not text or not os.pread(fd, 1, 0):
            return None
    except ProcessLookupError:
        return None
    finally:
        os.close(fd)
    return Reading(pid, reading, reason, begin, end, text)


def maps_table(readings: Sequence[Reading]) -> pa.Table:
    """Rows of table `maps`. Of many small readings at once, parsing costs a fifth of what it does one by one."""
    columns = parse_maps(b"".join(reading.text for reading in readings))
    lines = [reading.text.count(b"\n") for reading in readings]
    reasons = pa.array([reading.reason for reading in readings]).dictionary_encode()
    columns |= {
        "reading": pa.array(np.repeat([reading.number for reading in readings], lines), pa.uint32()),
        "reason": reasons.take(pa.array(np.repeat(np.arange(len(readings)), lines))),
        "ts_begin_ns": pa.array(np.repeat([reading.begin_ns for reading in readings], lines), pa.uint64()),
        "ts_end_ns": pa.array(np.repeat([reading.end_ns for reading in readings], lines), pa.uint64()),
        "pid": pa.array(np.repeat([reading.pid for reading in readings], lines), pa.uint32()),
    }
    return pa.Table.from_arrays([columns[name] for name in _MAPS.names], schema=_MAPS)


def parse_maps(text: bytes) -> dict[str, pa.Array]:
    """Columns start, end, perms, offset_bytes, dev, inode and path of the text of a maps file.

    `text` is whole lines as show_map_vma() in fs/proc/task_mmu.c prints them; ValueError if not.
    50,000 lines take about 35 ms; pyarrow.compute.extract_regex takes 90 ms and leaves the numbers as text.
    """
    # zeroes behind the end let a cursor run past the last line without a check
    data = np.frombuffer(text + bytes(32), np.uint8)
    size = len(text)
    line_end = np.flatnonzero(data[:size] == ord("\n"))
    if size and (not len(line_end) or line_end[-1] != size - 1):
        raise ValueError("the last line of the maps is cut")
    line_start = np.concatenate([[0], line_end[:-1] + 1]) if size else line_end

    cursor = line_start
    start, cursor = _number(data, cursor, 16, "-")
    end, cursor = _number(data, cursor, 16, " ")
    perms = data[cursor[:, None] + np.arange(4)]
    offset, cursor = _number(data, cursor + 5, 16, " ")
    major, cursor = _number(data, cursor, 16, ":")
    minor, cursor = _number(data, cursor, 16, " ")
    inode, cursor = _number(data, cursor, 10, " ")

    # the name is padded to a column with spaces and never begins with one
    inked = np.flatnonzero(data[:size] != ord(" "))
    path_start = inked[np.searchsorted(inked, cursor)] if size else cursor
    if np.any(path_start > line_end):
        raise ValueError("a line of the maps has too few fields")
    length = line_end - path_start
    path_offset = np.concatenate([[0], np.cumsum(length)])
    path_bytes = data[np.repeat(path_start - path_offset[:-1], length) + np.arange(path_offset[-1])]
    rows = len(line_end)
    return {
        "start": pa.array(start),
        "end": pa.array(end),
        "perms": _bytes_array(pa.string(), np.arange(rows + 1) * 4, perms),
        "offset_bytes": pa.array(offset),
        "dev": pa.array((major << np.uint64(20) | minor).astype(np.uint32)),
        "inode": pa.array(inode),
        "path": _bytes_array(pa.binary(), path_offset, path_bytes),
    }


def _number(
    data: npt.NDArray[np.uint8], cursor: npt.NDArray[np.int64], base: int, terminator: str
) -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    """Read a number at each cursor, digit by digit for all lines at once; return the values and
    the cursors past the terminator."""
    value = np.zeros(len(cursor), np.uint64)
    cursor = cursor.copy()
    open_ = np.arange(len(cursor))
    while len(open_):
        digit = _DIGIT[data[cursor[open_]]]
        more = digit < base
        if not more.all():
            open_, digit = open_[more], digit[more]
        value[open_] = value[open_] * np.uint64(base) + digit
        cursor[open_] += 1
    if np.any(data[cursor] != ord(terminator)):
        raise ValueError(f"a number of the maps does not end with: {terminator!r}")
    return value, cursor + 1


def _bytes_array(kind: pa.DataType, offsets: npt.NDArray[np.int64], data: npt.NDArray[np.uint8]) -> pa.Array:
    """A dictionary-encoded array of the byte strings that `offsets` cut out of `data`."""
    buffers = [None, pa.py_buffer(offsets.astype(np.int32)), pa.py_buffer(np.ascontiguousarray(data))]
    return pa.Array.from_buffers(kind, len(offsets) - 1, buffers).dictionary_encode()


def pids() -> list[int]:
    """Ids of the processes /proc shows now."""
    return _numbered("/proc")


def _numbered(folder: str) -> list[int]:
    with os.scandir(folder) as entries:
        return [int(entry.name) for entry in entries if entry.name.isdigit()]


def device(st_dev: int) -> int:
    """A device number of stat(2) as the kernel's dev_t, major << 20 | minor."""
    return os.major(st_dev) << 20 | os.minor(st_dev)


def pid_exists(pid: int) -> bool:
    """Whether /proc shows this process (a thread's id alone is no process)."""
    try:
        status = Path(f"/proc/{pid}/status").read_bytes()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return re.search(rb"^Tgid:\t%d$" % pid, status, re.MULTILINE) is not None


def alive_tasks(pids_: Iterable[int] | None) -> pa.Table:
    """The threads present now, as rows of table `tasks` (event alive, source proc), of the given
    processes, or of all if None. A task that ends meanwhile is left out. `cpu` is the one the
    task last ran on."""
    rows = [
        {
            "ts_ns": time.monotonic_ns(),
            "event": "alive",
            "source": "proc",
            "pid": pid,
            "tid": tid,
            "cpu": cpu,
            "parent_pid": parent,
            "comm": comm,
        }
        for pid in (pids() if pids_ is None else pids_)
        for tid, parent, cpu, comm in _threads(pid)
    ]
    return pa.Table.from_pylist(rows, schema=_TASKS)


def _threads(pid: int) -> Iterator[tuple[int, int, int, bytes]]:
    """(tid, pid of the parent, last CPU, name) of each thread of a process; none if it is gone."""
    if not pid_exists(pid):
        return
    try:
        tids = _numbered(f"/proc/{pid}/task")
    except (FileNotFoundError, ProcessLookupError):
        return
    for tid in tids:
        try:
            # stat escapes a name, comm does not
            stat = Path(f"/proc/{pid}/task/{tid}/stat").read_bytes()
            comm = Path(f"/proc/{pid}/task/{tid}/comm").read_bytes()
        except (FileNotFoundError, ProcessLookupError):
            continue
        # fields from state on: proc(5) counts ppid as 4, processor as 39
        fields = stat[stat.rindex(b")") + 2 :].split()
        yield tid, int(fields[1]), int(fields[36]), comm.removesuffix(b"\n")[:_COMM_BYTES]


def elf_class_of(pid: int) -> int | None:
    """1 if the process executes a 32-bit ELF image, 2 for a 64-bit one; None if it cannot be read
    (gone, a kernel thread, not permitted)."""
    try:
        fd = os.open(f"/proc/{pid}/exe", os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        ident = os.pread(fd, 5, 0)
    except OSError:
        return None
    finally:
        os.close(fd)
    return ident[4] if ident[:4] == b"\x7fELF" and ident[4:] in (b"\1", b"\2") else None


def any_32bit_process(pids_: Iterable[int] | None) -> bool:
    """Whether one of the processes (all, if None) executes a 32-bit image."""
    return any(elf_class_of(pid) == 1 for pid in (pids() if pids_ is None else pids_))


def boot_id() -> str:
    """The kernel's random id of this boot."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def host() -> str:
    """The host's name."""
    return socket.gethostname()


def page_size() -> int:
    """Bytes of a page."""
    return os.sysconf("SC_PAGE_SIZE")


def max_map_count() -> int:
    """The most mappings a process may have (vm.max_map_count)."""
    return int(Path("/proc/sys/vm/max_map_count").read_text())


def machine_facts() -> dict[str, str | int]:
    """Facts of the machine for the manifest."""
    name = os.uname()
    return {
        "host": host(),
        "boot_id": boot_id(),
        "kernel": name.release,
        "kernel_version": name.version,
        "arch": name.machine,
        "distribution": _distribution(),
        "page_size": page_size(),
        "cpus": os.cpu_count() or 1,
        "max_map_count": max_map_count(),
    }


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except (OSError, KeyError):
        return ""
