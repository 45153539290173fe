"""The perf side-band's rings: one a CPU, opened by hand and drained without Python per record.

An event that counts nothing (PERF_COUNT_SW_DUMMY) makes the kernel write a record for every change
of a mapping, exec, rename, fork and exit. Rings are polled, never waited for. Layouts and rules:
perf_event_open(2), include/uapi/linux/perf_event.h; only x86-64, whose memory model lets the ring's
positions be read and written without barriers.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import mmap
import os
import resource
import struct
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np
import numpy.typing as npt

from recorder.sideband import RING_FULL, RawChunk, SidebandLoss, lost_in, record_bounds

__all__ = ["PerfError", "PerfRings"]

CHUNK_BYTES = 2 << 20
"""Most bytes of a chunk. Smaller ones take more calls of numpy for a record, larger ones leave a CPU's cache: in one
run 95 ns a record at 1 MiB, 79 at 2, 135 at 9. A record, 64 KiB at most, must fit."""

_SYS_PERF_EVENT_OPEN = 298  # arch/x86/entry/syscalls/syscall_64.tbl
_FD_CLOEXEC = 8  # PERF_FLAG_FD_CLOEXEC
_IOC_ENABLE, _IOC_DISABLE, _IOC_SET_OUTPUT = 0x2400, 0x2401, 0x2405
_FORMAT_LOST = 1 << 4  # read() tells what an event lost; Linux 6.0, commit 119a784c8127
_SAMPLE = 1 << 1 | 1 << 2 | 1 << 6 | 1 << 7  # TID, TIME, ID, CPU: sideband.TRAILER_WORDS

_DISABLED, _INHERIT, _EXCLUDE_KERNEL, _EXCLUDE_HV = 1 << 0, 1 << 1, 1 << 5, 1 << 6
_WATERMARK, _SAMPLE_ID_ALL, _USE_CLOCKID = 1 << 14, 1 << 18, 1 << 25
_MMAP, _COMM, _TASK, _MMAP_DATA, _MMAP2, _COMM_EXEC = 1 << 8, 1 << 9, 1 << 13, 1 << 17, 1 << 23, 1 << 24
# exclude_kernel asks for nothing less here, and is what an unprivileged user is allowed
_RING = _DISABLED | _EXCLUDE_KERNEL | _EXCLUDE_HV | _WATERMARK | _SAMPLE_ID_ALL | _USE_CLOCKID
_RECORDS = _MMAP | _COMM | _TASK | _MMAP_DATA | _MMAP2 | _COMM_EXEC

_HEAD, _TAIL, _DATA_OFFSET, _DATA_SIZE = (offset // 8 for offset in (1024, 1032, 1040, 1048))  # perf_event_mmap_page

_LARGEST_RECORD = 2 * mmap.PAGESIZE  # a path of PATH_MAX, what stands around it, and a LOST record before it

_PARANOID = Path("/proc/sys/kernel/perf_event_paranoid")
_libc = ctypes.CDLL(None, use_errno=True)


class PerfError(Exception):
    """The side-band cannot be had; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


@dataclass
class _Ring:
    """One CPU's ring.

    `since_ns`: time of the last record drained; `reported`: losses its LOST records told; `was_full`:
    when records were last found in it, there may have been no room for another.
    """

    cpu: int
    fd: int
    control: npt.NDArray[np.uint64]
    data: npt.NDArray[np.uint64]
    since_ns: int
    reported: int = 0
    was_full: bool = False

    def drain(self) -> Iterator[RawChunk]:
        """What is in the ring now, in chunks; the room of each is given back before it is handed out."""
        end = int(self.control[_HEAD])
        if used := end - int(self.control[_TAIL]):
            self.was_full = used > self.data.nbytes - _LARGEST_RECORD
        while (tail := int(self.control[_TAIL])) < end:
            count = min(end - tail, CHUNK_BYTES) // 8
            words = np.empty(count, np.uint64)
            start = tail // 8 % len(self.data)
            first = min(count, len(self.data) - start)
            words[:first] = self.data[start : start + first]
            words[first:] = self.data[: count - first]
            bounds = record_bounds(words)
            words = words[: bounds[-1]]
            self.control[_TAIL] = tail + words.nbytes
            self.reported += lost_in(words, bounds)
            since_ns, self.since_ns = self.since_ns, int(words[-3])
            yield RawChunk(self.cpu, words, bounds, tail, since_ns)


class PerfRings:
    """The rings of all online CPUs, and the events that write to them."""

    def __init__(self, ring_bytes: int, pid: int, flags: int) -> None:
        """Make the rings, each owned by an event of process `pid` (-1: all) with `flags`, and enable these."""
        self._read_format = _FORMAT_LOST
        self._fds: list[tuple[int, int]] = []
        self._rings: list[_Ring] = []
        _raise_file_limit()
        pages = 1 << (max(ring_bytes, mmap.PAGESIZE) // mmap.PAGESIZE - 1).bit_length()
        try:
            for cpu in _online_cpus():
                self._rings.append(self._map(cpu, self._open(pid, cpu, flags), pages))
            for ring in self._rings:
                ring.since_ns = time.monotonic_ns()
                fcntl.ioctl(ring.fd, _IOC_ENABLE, 0)
        except BaseException:
            self.close()
            raise

    @classmethod
    def open_host(cls, ring_bytes: int) -> Self:
        """Record every process of the machine; `ring_bytes` a CPU are rounded up to 2^n pages. Raises PerfError."""
        return cls(ring_bytes, -1, _RING | _RECORDS)

    @classmethod
    def open_tasks(cls, pids: Iterable[int], ring_bytes: int) -> Self:
        """Record these processes and what they fork from now on; no one else pays. Raises PerfError.

        The rings belong to silent events of our own, so they outlive any target.
        """
        rings = cls(ring_bytes, 0, _RING)
        try:
            for pid in pids:
                rings.add(pid)
        except BaseException:
            rings.close()
            raise
        return rings

    def add(self, pid: int) -> None:
        """Record one more process, all its threads, and what they fork from now on. Raises PerfError if it is gone.

        Threads may come into being meanwhile, of a parent already attached or not, which no one can
        tell: all are attached until two listings in a row show no new one, and the decoder drops
        the second copies of those that have two events. Children that the process had before are not
        followed.
        """
        seen: set[int] = set()
        quiet = attached = 0
        while quiet < 2:
            fresh = _threads(pid) - seen
            quiet = 0 if fresh else quiet + 1
            attached += sum(self._attach(tid) for tid in fresh)
            seen |= fresh
        if not attached:
            raise PerfError(f"no such process: {pid}", "give the number of a running process; pgrep finds it by name")

    def _attach(self, tid: int) -> bool:
        """Events of one thread on every CPU; False if it is gone, or a zombie."""
        # Enabled only with its output set: a record of an event without a ring is lost uncounted.
        for ring in self._rings:
            try:
                fd = self._open(tid, ring.cpu, _RING | _RECORDS | _INHERIT)
                fcntl.ioctl(fd, _IOC_SET_OUTPUT, ring.fd)
                fcntl.ioctl(fd, _IOC_ENABLE, 0)
            except ProcessLookupError:
                return False
        return True

    def _open(self, pid: int, cpu: int, flags: int) -> int:
        """A new event. Raises PerfError, and ProcessLookupError for a thread that is gone or going."""
        while True:
            fd = _perf_event_open(pid, cpu, flags, self._read_format)
            if fd >= 0:
                self._fds.append((cpu, fd))
                return fd
            number = -fd
            if number == errno.ESRCH:
                raise ProcessLookupError(number, os.strerror(number))
            if number != errno.EINVAL or not self._read_format:
                raise _refused(number)
            self._read_format = 0

    def _map(self, cpu: int, fd: int, pages: int) -> _Ring:
        size = (1 + pages) * mmap.PAGESIZE
        try:
            memory = mmap.mmap(fd, size, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        except OSError as error:
            if error.errno == errno.EMFILE:  # Python's mmap keeps a copy of the fd
                raise _refused(errno.EMFILE) from None
            reason = os.strerror(error.errno or 0)
            raise PerfError(
                f"cannot map a side-band ring of {pages * mmap.PAGESIZE} bytes on CPU {cpu}: {reason}",
                "give a smaller --ring-size, or raise kernel.perf_event_mlock_kb or the limit of locked memory",
            ) from None
        control = np.frombuffer(memory, np.uint64)
        offset, length = int(control[_DATA_OFFSET]), int(control[_DATA_SIZE])
        return _Ring(cpu, fd, control, control[offset // 8 : (offset + length) // 8], 0)

    def drain(self) -> Iterator[RawChunk]:
        """What each ring holds when its turn comes, in chunks of at most CHUNK_BYTES, in ring order for each CPU."""
        for ring in self._rings:
            yield from ring.drain()

    def lost_total(self) -> dict[int, int] | None:
        """Records lost so far by CPU, told by LOST records or not yet; None before Linux 6.0.

        What inherited events lose the kernel counts on the event they come from (__perf_output_begin).
        """
        if not self._read_format:
            return None
        totals = dict.fromkeys((ring.cpu for ring in self._rings), 0)
        for cpu, fd in self._fds:
            answer = os.read(fd, 16)
            if len(answer) == 16:  # empty for an event in error
                totals[cpu] += struct.unpack("QQ", answer)[1]
        return totals

    def final_losses(self) -> list[SidebandLoss]:
        """Losses after the last LOST record of each ring; ask when disabled and drained.

        Before Linux 6.0 no one counts these: a ring that was last found full has a gap of unknown size.
        """
        now_ns = time.monotonic_ns()
        totals = self.lost_total()
        losses: list[SidebandLoss] = []
        for ring in self._rings:
            untold = totals[ring.cpu] - ring.reported if totals else None
            if untold or (untold is None and ring.was_full):
                losses.append(("sideband", ring.cpu, ring.since_ns, now_ns, untold, RING_FULL))
        return losses

    def disable(self) -> None:
        """Let no more records be made; what is in the rings can still be drained."""
        for _, fd in self._fds:
            fcntl.ioctl(fd, _IOC_DISABLE, 0)

    def close(self) -> None:
        """Give everything back; the chunks handed out stay valid."""
        self._rings.clear()  # the last views of the memory, which is unmapped with them
        while self._fds:
            os.close(self._fds.pop()[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _perf_event_open(pid: int, cpu: int, flags: int, read_format: int) -> int:
    """The system call: an fd, or a negative error number."""
    attr = struct.pack(
        "=IIQQQQQIIQQQQIiQII",
        1, 112, 9,  # PERF_TYPE_SOFTWARE, PERF_ATTR_SIZE_VER5, PERF_COUNT_SW_DUMMY
        0, _SAMPLE, read_format, flags,
        0xFFFFFFFF,  # wakeup_watermark: as late as can be
        0, 0, 0, 0, 0, 0,
        time.CLOCK_MONOTONIC,
        0, 0, 0,
    )  # fmt: skip
    fd: int = _libc.syscall(_SYS_PERF_EVENT_OPEN, attr, pid, cpu, -1, ctypes.c_ulong(_FD_CLOEXEC))
    return fd if fd >= 0 else -ctypes.get_errno()


def _refused(number: int) -> PerfError:
    message = f"the kernel refuses the perf side-band: {os.strerror(number)}"
    if number in (errno.EACCES, errno.EPERM):
        level = _PARANOID.read_text().strip() if _PARANOID.exists() else "unknown"
        return PerfError(message, f"run as root or with CAP_PERFMON (kernel.perf_event_paranoid is {level})")
    if number == errno.EMFILE:
        _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        return PerfError(message, f"raise the hard limit of open files, now {hard}: each thread takes one for each CPU")
    if number in (errno.ENOENT, errno.ENOSYS):
        return PerfError(message, "this kernel is built without perf events (CONFIG_PERF_EVENTS)")
    return PerfError(message, "see what record doctor says of this kernel")


def _raise_file_limit() -> None:
    """Raise the soft limit of open files to the hard one: a target takes an fd for each thread and CPU."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _threads(pid: int) -> set[int]:
    try:
        return {int(name) for name in os.listdir(f"/proc/{pid}/task")}
    except (FileNotFoundError, ProcessLookupError):
        return set()
    except OSError as error:
        raise _refused(error.errno or 0) from None


def _online_cpus() -> list[int]:
    """CPUs that are online, from a list such as 0-3,6."""
    spans = Path("/sys/devices/system/cpu/online").read_text().strip().split(",")
    bounds = [span.split("-") for span in spans]
    return [cpu for ends in bounds for cpu in range(int(ends[0]), int(ends[-1]) + 1)]
