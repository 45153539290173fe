"""The capture's contract, declared once.

Everything that must agree about an event's shape is derived from this module: the C structs the
BPF programs fill (`bpf/wire.h`, written by `python -m recorder.schema`), the numpy layouts that
read them, the Arrow and Parquet schemas, the data dictionary and `analyze schema`.

It imports only the standard library and pyarrow, so both halves of the product can use it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow as pa

from recorder.syscalls import SYSCALLS

__all__ = [
    "FORMAT_VERSION",
    "TABLES",
    "WIRE",
    "Column",
    "Table",
    "WireField",
    "WireRecord",
    "arrow_schema",
    "c_header",
]

FORMAT_VERSION = 1
"""Version of the capture's layout. Columns are only ever added; a removal or a change of meaning
is a new version."""

Origin = Literal["K", "U"]
Encoding = Literal["delta", "split", "dict", "plain"]


@dataclass(frozen=True)
class Column:
    """One column of a table.

    `origin` is K when the kernel made the value and U when user space chose it. `toctou` marks a
    value that another thread or process could have changed between the moment it was read and the
    moment it took effect. `optional` marks a value that is null when the kernel, the call or the
    options did not provide it. `encoding` is the Parquet encoding, chosen by measurement: `delta`
    for what grows steadily, `split` (byte stream split) for addresses, `dict` for what repeats.
    """

    name: str
    type: pa.DataType
    unit: str
    description: str
    origin: Origin = "K"
    toctou: bool = False
    optional: bool = False
    encoding: Encoding = "dict"


@dataclass(frozen=True)
class Table:
    """One table of a capture; `time` names the column that orders it."""

    name: str
    description: str
    time: str
    columns: tuple[Column, ...]

    def __getitem__(self, name: str) -> Column:
        for column in self.columns:
            if column.name == name:
                return column
        raise KeyError(f"{self.name}.{name}")


U8, U16, U32, U64 = pa.uint8(), pa.uint16(), pa.uint32(), pa.uint64()
I32, I64 = pa.int32(), pa.int64()
TEXT = pa.dictionary(pa.int32(), pa.string())
BYTES = pa.dictionary(pa.int32(), pa.binary())
"""comm and paths are bytes chosen by user space: no encoding is assumed and nothing is replaced."""

_SEGMENT = pa.struct(
    [
        pa.field("type", U32), pa.field("flags", U32), pa.field("offset", U64), pa.field("vaddr", U64),
        pa.field("filesz", U64), pa.field("memsz", U64), pa.field("align", U64),
    ]
)

_DEV = "device of the file system, as the kernel's dev_t: major << 20 | minor"


def _ts(name: str = "ts_ns", what: str = "time of the event") -> Column:
    return Column(name, U64, "ns, CLOCK_MONOTONIC", what, encoding="delta")


def _who() -> tuple[Column, ...]:
    return (
        Column("pid", U32, "", "process (thread group) id in the initial pid namespace"),
        Column("tid", U32, "", "thread id in the initial pid namespace"),
    )


_COMM = Column("comm", BYTES, "bytes", "name of the thread, at most 15 bytes", "U")
_CPU = Column("cpu", U16, "", "CPU the record was made on")
_CGROUP = Column("cgroup_id", U64, "", "id of the cgroup v2 of the thread (its inode number)")
_MM = Column(
    "mm", U64, "", "opaque name of the address space (a kernel pointer, masked by a key of this recording); "
    "threads and CLONE_VM children share it, and it may be used again once the address space is gone",
)
_ABI = Column("abi", TEXT, "", "x86_64, or i386 for a call by a 32-bit entry")
_RET = Column("ret", I64, "", "what the call returned: an address, 0, or a negative error number", encoding="split")
_ERRNO = Column("errno", I32, "", "error number of a failed call, 0 for success")


def _arg(name: str, type: pa.DataType, unit: str, description: str, encoding: Encoding = "dict", **kw: bool) -> Column:
    return Column(name, type, unit, description, "U", optional=True, encoding=encoding, **kw)


TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "syscalls", "a completed call that may change mappings: what was asked, and what it returned", "ts_enter_ns",
            (
                _ts("ts_enter_ns", "entry of the call"),
                _ts("ts_exit_ns", "return of the call; its effect lies between the two"),
                *_who(), _COMM, _CPU, _CGROUP, _MM,
                Column("syscall", TEXT, "", "name of the call"),
                _ABI,
                _arg("addr", U64, "address", "start of the range; mremap: of the old range; brk: the new break", "split"),
                _arg("size", U64, "bytes", "length of the range as asked; mremap: of the old range"),
                _arg("prot", U64, "PROT_* bits", "protection asked for; remap_file_pages requires 0"),
                _arg("flags", U64, "bits", "flags of the call, as given"),
                _arg("fd", I32, "", "file descriptor, as given; another thread can replace it before the kernel looks it up", toctou=True),
                _arg("pgoff", U64, "pages", "remap_file_pages and i386 mmap2: offset in the file, in pages, as given"),
                _arg("offset_bytes", U64, "bytes", "offset in the file: mmap's as given, else derived from pgoff"),
                _arg("new_addr", U64, "address", "mremap: the new address asked for; meaningful with MREMAP_FIXED or MREMAP_DONTUNMAP", "split"),
                _arg("new_size", U64, "bytes", "mremap: length of the new range"),
                _arg("pkey", I32, "", "pkey_mprotect: the protection key"),
                _arg("shmid", I32, "", "shmat: the segment"),
                _arg("op", I64, "", "advice of madvise and process_madvise, mode of mbind, option of prctl, call of i386 ipc"),
                _arg("subop", I64, "", "prctl: the second argument (what PR_SET_MM or PR_SET_VMA sets)"),
                _arg("count", U64, "", "mbind: maxnode; io_setup: nr_events; process_madvise: vlen"),
                _arg("ptr", U64, "address", "a user pointer that was recorded but not followed; what it points at can change meanwhile", "split", toctou=True),
                _RET, _ERRNO,
                Column("stack_id", I32, "", "user stack of the call, a key of table stacks; negative: the error of the stack walk", optional=True),
                Column("fd_dev", U32, "", f"{_DEV}; of the file the fd named at entry. The file that counts is the VMA's", toctou=True, optional=True),
                Column("fd_inode", U64, "", "inode number of that file", toctou=True, optional=True),
                Column("fd_generation", U32, "", "inode generation of that file", toctou=True, optional=True),
                Column("fd_size_bytes", U64, "bytes", "size of that file at entry", toctou=True, optional=True),
            ),
        ),
        Table(
            "vmas", "a PERF_RECORD_MMAP2 record: a whole VMA as it is after a change, merging included", "ts_ns",
            (
                _ts(what="time of the record, taken under the mmap write lock, so in true order"),
                *_who(), _CPU,
                Column("start", U64, "address", "first byte of the VMA", encoding="split"),
                Column("end", U64, "address", "first byte past the VMA", encoding="split"),
                Column("pgoff", U64, "pages", "offset in the file; for anonymous memory the address >> 12, where /proc/PID/maps prints 0", encoding="split"),
                Column("perms", TEXT, "", "as in /proc/PID/maps: r, w, x and p (private) or s (shared)"),
                Column("flags", U32, "MAP_* bits", "MAP_SHARED, MAP_PRIVATE, MAP_LOCKED, MAP_HUGETLB and the like, from the VMA"),
                Column("dev", U32, "", _DEV),
                Column("inode", U64, "", "inode number, 0 for memory without a file"),
                Column("generation", U32, "", "inode generation, so that a recycled inode number is told apart"),
                Column("path", BYTES, "bytes", "path as the kernel resolved it, or a label such as //anon, [heap], [stack], [vdso]"),
            ),
        ),
        Table(
            "tasks", "a fork, exec, rename or exit of a task, or the end of a process", "ts_ns",
            (
                _ts(),
                Column("event", TEXT, "", "fork, clone (a fork seen with its flags), exec, rename, exit, ended (the last thread of a process exits); present at start: alive"),
                Column("source", TEXT, "", "perf (side-band), bpf (raw tracepoint), or proc (read at start)"),
                *_who(),
                Column("cpu", U16, "", "CPU the record was made on; alive: the CPU the task ran on last"),
                Column("parent_pid", U32, "", "fork, clone, exit: process of the parent", optional=True),
                Column("parent_tid", U32, "", "fork, clone, exit: thread of the parent", optional=True),
                Column("ts_enter_ns", U64, "ns, CLOCK_MONOTONIC", "clone: entry of the call that made it, or of an earlier one of the thread where that was not seen: an address space was copied after this", optional=True),
                Column("clone_flags", U64, "CLONE_* bits", "clone: flags the kernel used (CLONE_VM: the address space is shared)", optional=True),
                Column("comm", BYTES, "bytes", "clone, exec, rename, ended: name of the thread", "U", optional=True),
                Column("path", BYTES, "bytes", "exec: file as named by the caller, in the kernel's copy", "U", optional=True),
                Column("mm", U64, "", "clone: the child's address space; exec: the new one (see syscalls.mm)", optional=True),
                Column("elf_class", U8, "", "exec: 1 for a 32-bit image, 2 for a 64-bit one, 0 for a script or another format", optional=True),
                Column("exit_status", U32, "", "ended: as wait(2) tells it: exit code << 8, or the signal that killed it, | 0x80 where it dumped core", optional=True),
            ),
        ),
        Table(
            "files", "a call that can change a file's size or punch its contents", "ts_enter_ns",
            (
                _ts("ts_enter_ns", "entry of the call"),
                _ts("ts_exit_ns", "return of the call"),
                *_who(), _COMM, _CPU, _CGROUP, _MM,
                Column("operation", TEXT, "", "name of the call: ftruncate, truncate, fallocate, open, openat, openat2, creat"),
                _ABI,
                _arg("fd", I32, "", "ftruncate, fallocate: the fd as given; opens: the fd returned", toctou=True),
                _arg("dirfd", I32, "", "openat, openat2: the directory as given"),
                _arg("path_given", BYTES, "bytes", "path as read from the caller's memory at entry, which can be replaced after it", toctou=True),
                _arg("flags", U64, "bits", "opens: O_* flags; fallocate: FALLOC_FL_* mode"),
                _arg("mode", U32, "permission bits", "opens: mode of a file to be created"),
                _arg("offset_bytes", U64, "bytes", "fallocate: start of the range"),
                _arg("length_bytes", U64, "bytes", "ftruncate, truncate: the size asked for; fallocate: length of the range"),
                _RET, _ERRNO,
                Column("stack_id", I32, "", "user stack of the call (see syscalls.stack_id)", optional=True),
                Column("dev", U32, "", _DEV, toctou=True, optional=True),
                Column("inode", U64, "", "inode number of the file", toctou=True, optional=True),
                Column("generation", U32, "", "inode generation of the file", toctou=True, optional=True),
                Column("old_size_bytes", U64, "bytes", "size at entry", toctou=True, optional=True),
                Column("new_size_bytes", U64, "bytes", "size at return", toctou=True, optional=True),
                Column("identity", TEXT, "", "how the file was told: fd (the kernel's own inode), or path (looked up after the call, so possible only)", optional=True),
            ),
        ),
        Table(
            "faults", "a SIGBUS or SIGSEGV sent by the kernel", "ts_ns",
            (
                _ts(), *_who(), _COMM, _CPU, _CGROUP, _MM,
                Column("signal", TEXT, "", "SIGBUS or SIGSEGV"),
                Column("code", I32, "", "si_code: SEGV_MAPERR 1, SEGV_ACCERR 2, BUS_ADRERR 2, BUS_MCEERR_AR 4, SI_KERNEL 128"),
                Column("address", U64, "address", "the address that faulted", encoding="split"),
                Column("ip", U64, "address", "user instruction pointer, 0 where it could not be read", encoding="split"),
                Column("result", I32, "", "0 delivered, 1 ignored, 2 already pending (TRACE_SIGNAL_*)"),
                Column("stack_id", I32, "", "user stack at the fault (see syscalls.stack_id)", optional=True),
                Column("file_dev", U32, "", f"SIGBUS: {_DEV}; of the file mapped at the address, by the kernel's tree of VMAs, read without its lock", toctou=True, optional=True),
                Column("file_inode", U64, "", "SIGBUS: inode number of that file", toctou=True, optional=True),
                Column("file_generation", U32, "", "SIGBUS: inode generation of that file", toctou=True, optional=True),
                Column("file_size_bytes", U64, "bytes", "SIGBUS: size of that file as the signal was sent", toctou=True, optional=True),
            ),
        ),
        Table(
            "hooks",
            "a hit of a probe on a kernel function (recorder/hooks.py): what the kernel really used, whoever asked. A row is made as the function "
            "is entered; one that then fails makes a second row, of its error, but mmap, whose call says so itself. mm, addr and size name the range "
            "of mmap, unmap and replace, dev, inode and generation the file, offset_bytes and length_bytes a range of it",
            "ts_ns",
            (
                _ts(what="time of the hit; of mmap, unmap and replace at entry, under the mmap write lock: so in true order within one mm"),
                *_who(), _COMM, _CPU, _CGROUP,
                Column("mm", U64, "", "address space (see syscalls.mm); of unmap the one that loses the range, else the caller's"),
                Column("hook", TEXT, "", "mmap, unmap, replace, truncate, allocate or invalidate"),
                Column("function", TEXT, "", "kernel function that was hit"),
                Column("errno", I32, "", "null: at entry, nothing has been done yet; else the error of the function as it returns: the last row at entry of the same tid and function failed", optional=True),
                Column("stack_id", I32, "", "user stack (see syscalls.stack_id)", optional=True),
                Column("addr", U64, "address", "mmap: address asked for, where the kernel puts it only if MAP_FIXED, 0 for any; unmap, replace: first byte removed", optional=True, encoding="split"),
                Column("size", U64, "bytes", "mmap: length, not yet rounded up to pages; unmap, replace: length removed, holes included", optional=True),
                Column("prot", U64, "PROT_* bits", "mmap: protection the kernel used; READ_IMPLIES_EXEC is not in it yet", optional=True),
                Column("flags", U64, "bits", "mmap: MAP_* flags the kernel used; allocate: FALLOC_FL_* mode; invalidate: 1 if private copies go too, as when a file shrinks", optional=True),
                Column("pgoff", U64, "pages", "mmap: offset in the file the kernel used", optional=True),
                Column("dev", U32, "", _DEV, optional=True),
                Column("inode", U64, "", "inode number of the file, null where there is none", optional=True),
                Column("generation", U32, "", "inode generation of the file", optional=True),
                Column("offset_bytes", U64, "bytes", "allocate, invalidate: first byte of the range in the file", optional=True),
                Column("length_bytes", U64, "bytes", "allocate, invalidate: length of the range, of invalidate 0 for all that follows", optional=True),
                Column("old_size_bytes", U64, "bytes", "size of the file at the hit; invalidate: after a truncation already the new one", optional=True),
                Column("new_size_bytes", U64, "bytes", "truncate: the size it is to have", optional=True),
            ),
        ),
        Table(
            "maps", "a line of /proc/PID/maps, as read", "ts_begin_ns",
            (
                Column("reading", U32, "", "number of the reading; its lines share it", encoding="delta"),
                Column("reason", TEXT, "", "baseline, checkpoint, trigger (of the flight recorder), final, or resync and why"),
                _ts("ts_begin_ns", "before the first byte was read"),
                _ts("ts_end_ns", "after the last byte was read; the truth lies between, for each line on its own"),
                Column("pid", U32, "", "process (thread group) id in the initial pid namespace"),
                Column("start", U64, "address", "first byte", encoding="split"),
                Column("end", U64, "address", "first byte past the mapping", encoding="split"),
                Column("perms", TEXT, "", "as printed"),
                Column("offset_bytes", U64, "bytes", "offset in the file, as printed"),
                Column("dev", U32, "", _DEV),
                Column("inode", U64, "", "inode number"),
                Column("path", BYTES, "bytes", "path as printed: newlines stand as \\012, ' (deleted)' is a suffix", "K", toctou=True),
            ),
        ),
        Table(
            "images", "an ELF file seen mapped executable", "ts_ns",
            (
                _ts(what="when the file was read, after it was mapped"),
                Column("pid", U32, "", "process through which it was read"),
                Column("dev", U32, "", _DEV),
                Column("inode", U64, "", "inode number"),
                Column("generation", U32, "", "inode generation of the mapping that named it, 0 where it is not known (baseline)"),
                Column("path", BYTES, "bytes", "path of that mapping"),
                Column("build_id", pa.binary(), "bytes", "NT_GNU_BUILD_ID, null if the file has none", "U", optional=True, encoding="plain"),
                Column("elf_class", U8, "", "1 for 32-bit, 2 for 64-bit", "U"),
                Column("elf_type", U16, "", "e_type: 2 ET_EXEC, 3 ET_DYN", "U"),
                Column("entry", U64, "address", "e_entry", "U"),
                Column("segments", pa.list_(_SEGMENT), "", "PT_LOAD and PT_INTERP program headers, in file order", "U", encoding="plain"),
            ),
        ),
        Table(
            "stacks", "a distinct user stack", "ts_ns",
            (
                _ts(what="when the recorder first saw it"),
                Column("stack_id", I32, "", "key used by syscalls, files, faults and hooks"),
                Column("frames", pa.list_(U64), "address", "return addresses, innermost first, in the caller's address space", encoding="plain"),
                Column("recovered", U8, "", "how many of them, from the second on, frame pointers do not lead to: each was found on the stack, after a call of the function that the one before it is in; null in captures of older recorders", "U", optional=True),
                Column("on_top", U8, "", "1: the first of those was at the top of the stack", "U", optional=True),
                Column("joined", U8, "", "1: all of the stack from the top to where the frames after those begin was looked through; 0: it was not, so whether they lead there is not known", "U", optional=True),
            ),
        ),
        Table(
            "symbols", "a function that recorded stacks pass through", "ts_ns",
            (
                _ts(what="when its name was read, at the end of the recording"),
                Column("dev", U32, "", f"{_DEV}; 0 for code without a file"),
                Column("inode", U64, "", "inode number, 0 for code without a file"),
                Column("generation", U32, "", "inode generation, as in images"),
                Column("pid", U32, "", "code without a file: the process that made it", optional=True),
                Column("build_id", pa.binary(), "bytes", "build id of the file; its names are read only from a file that has it", "U", optional=True, encoding="plain"),
                Column("address", U64, "address", "first byte: the ELF virtual address; of code without a file the address in the process", "U", encoding="split"),
                Column("size_bytes", U64, "bytes", "length; of a function that tells none, up to the next one", "U"),
                Column("name", BYTES, "bytes", "name as the compiler wrote it, of C++ and Rust not demangled", "U"),
                Column("source", TEXT, "", "where it was read: file, debug file (of /usr/lib/debug), or perf map (/tmp/perf-PID.map, as it was at the end)"),
                Column("framed", U8, "", "1: it begins by pushing the frame pointer and setting it to the top of the stack, so that from it the walk went on to its caller; 0: it does not; null: its code was not read", "U", optional=True),
                Column("level_bytes", U32, "bytes", "length of its beginning in which nothing moves the top of the stack, 256 at most: there its return address is at the top", "U", optional=True),
            ),
        ),
        Table(
            "losses", "a gap: records that were attempted and not stored", "from_ns",
            (
                Column("source", TEXT, "", "where: a BPF ring (calls, files, tasks, faults), sideband, stacks, or writer"),
                Column("cpu", I32, "", "CPU, -1 where it does not apply"),
                _ts("from_ns", "no record was lost before this"),
                _ts("to_ns", "no record was lost after this"),
                Column("count", U64, "records", "how many; null where it cannot be known", optional=True, encoding="plain"),
                Column("cause", TEXT, "", "why"),
            ),
        ),
    )
}


@dataclass(frozen=True)
class WireField:
    """A field of a BPF record: its C type, and the length of a fixed array (0: a scalar)."""

    name: str
    ctype: Literal["u8", "u16", "u32", "u64", "s32", "s64", "char"]
    length: int = 0


@dataclass(frozen=True)
class WireRecord:
    """A fixed-width record of one BPF ring, laid out without holes (8-byte multiple)."""

    name: str
    fields: tuple[WireField, ...]

    def numpy_fields(self) -> list[tuple[str, str] | tuple[str, str, tuple[int]]]:
        """Field list for `numpy.dtype`; char arrays become opaque byte strings (`V`)."""
        kinds = {"u8": "u1", "u16": "<u2", "u32": "<u4", "u64": "<u8", "s32": "<i4", "s64": "<i8"}
        fields: list[tuple[str, str] | tuple[str, str, tuple[int]]] = []
        for field in self.fields:
            if field.ctype == "char":
                fields.append((field.name, f"V{field.length}"))
            elif field.length:
                fields.append((field.name, kinds[field.ctype], (field.length,)))
            else:
                fields.append((field.name, kinds[field.ctype]))
        return fields


COMM_BYTES = 16  # TASK_COMM_LEN
PATH_BYTES = 256  # what of a path argument is kept; the whole path of a mapped file is in vmas

_CALLER = (
    WireField("mm", "u64"), WireField("cgroup_id", "u64"),
    WireField("pid", "u32"), WireField("tid", "u32"), WireField("comm", "char", COMM_BYTES),
    WireField("cpu", "u16"), WireField("nr", "u16"), WireField("stack_id", "s32"),
)

WIRE: dict[str, WireRecord] = {
    record.name: record
    for record in (
        WireRecord(
            "calls",
            (
                WireField("ts_enter_ns", "u64"), WireField("ts_exit_ns", "u64"),
                WireField("args", "u64", 6), WireField("ret", "s64"), *_CALLER,
                WireField("fd_inode", "u64"), WireField("fd_size_bytes", "u64"),
                WireField("fd_dev", "u32"), WireField("fd_generation", "u32"),
            ),
        ),
        WireRecord(
            "files",
            (
                WireField("ts_enter_ns", "u64"), WireField("ts_exit_ns", "u64"),
                WireField("args", "u64", 6), WireField("ret", "s64"), *_CALLER,
                WireField("inode", "u64"), WireField("old_size_bytes", "u64"), WireField("new_size_bytes", "u64"),
                WireField("dev", "u32"), WireField("generation", "u32"),
                WireField("known", "u32"), WireField("path_len", "s32"),
                WireField("open_flags", "u64"),
                WireField("path", "char", PATH_BYTES),
            ),
        ),
        WireRecord(
            "tasks",
            (
                WireField("ts_ns", "u64"), WireField("ts_enter_ns", "u64"), WireField("clone_flags", "u64"), WireField("mm", "u64"),
                WireField("event", "u8"), WireField("elf_class", "u8"), WireField("cpu", "u16"), WireField("path_len", "s32"),
                WireField("pid", "u32"), WireField("tid", "u32"),
                WireField("parent_pid", "u32"), WireField("parent_tid", "u32"),
                WireField("exit_status", "u32"), WireField("unused", "u32"),
                WireField("comm", "char", COMM_BYTES), WireField("path", "char", PATH_BYTES),
            ),
        ),
        WireRecord(
            "faults",
            (
                WireField("ts_ns", "u64"), WireField("address", "u64"), WireField("ip", "u64"),
                *_CALLER, WireField("code", "s32"), WireField("result", "s32"),
                WireField("file_inode", "u64"), WireField("file_size_bytes", "u64"),
                WireField("file_dev", "u32"), WireField("file_generation", "u32"),
            ),
        ),
        WireRecord(
            "hooks",
            (
                WireField("ts_ns", "u64"), WireField("addr", "u64"), WireField("size", "u64"), WireField("prot", "u64"),
                WireField("flags", "u64"), WireField("pgoff", "u64"), WireField("offset_bytes", "u64"),
                WireField("length_bytes", "u64"), WireField("old_size_bytes", "u64"), WireField("new_size_bytes", "u64"),
                WireField("inode", "u64"), *_CALLER, WireField("dev", "u32"), WireField("generation", "u32"),
                WireField("ret", "s32"), WireField("unused", "u32"),
            ),
        ),
    )
}
"""Records of the BPF rings, one ring and one size each. `nr` is a call's 64-bit number, or its
32-bit number with bit 15 set; in `faults` it is the signal, in `hooks` the place of the function in recorder.hooks."""

NR_I386 = 1 << 15


def arrow_schema(table: Table) -> pa.Schema:
    """The Arrow schema of a table: names, types, and per field what the dictionary says of it."""
    return pa.schema(
        [
            pa.field(
                column.name, column.type, nullable=column.optional,
                metadata={
                    "unit": column.unit, "description": column.description, "origin": column.origin,
                    "toctou": str(column.toctou).lower(), "optional": str(column.optional).lower(),
                },
            )
            for column in table.columns
        ],
        metadata={"maptrail.table": table.name, "maptrail.format": str(FORMAT_VERSION)},
    )


def c_header() -> str:
    """The text of bpf/wire.h."""

    def lines() -> Iterator[str]:
        yield "/* SPDX-License-Identifier: GPL-2.0 */"
        yield "/* Made by `python -m recorder.schema` from recorder/schema.py: change it there. */"
        yield "#pragma once"
        yield f"#define NR_I386 {NR_I386}"
        yield f"#define COMM_BYTES {COMM_BYTES}"
        yield f"#define PATH_BYTES {PATH_BYTES}"
        for call in SYSCALLS:
            if call.number >= 0:
                yield f"#define NR_{call.name} {call.number}"
            if call.i386 is not None:
                yield f"#define NR32_{call.name} {call.i386}"
        for record in WIRE.values():
            yield ""
            yield f"struct {record.name}_record {{"
            for field in record.fields:
                yield f"\t{field.ctype} {field.name}{f'[{field.length}]' if field.length else ''};"
            yield "};"

    return "\n".join(lines()) + "\n"


if __name__ == "__main__":
    target = Path(__file__).parent.parent / "bpf" / "wire.h"
    target.write_text(c_header())
    print(f"wrote {target.name}", file=sys.stderr)
