"""The system calls that are recorded: their numbers, and the column that holds each argument.

The standard library alone is imported, since `record doctor` asks for this where pyarrow may be missing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["SYSCALLS", "Syscall"]


@dataclass(frozen=True)
class Syscall:
    """One system call of the `syscalls` or `files` table.

    `args` pairs each kernel parameter, in the kernel's order and under the kernel's name, with the
    column that holds it (None: not kept). `number` is x86_64's, `i386` the 32-bit one (None: not there). A 32-bit
    call whose parameters differ from the 64-bit ones says so in `i386_args`.
    """

    name: str
    number: int
    i386: int | None
    args: tuple[tuple[str, str | None], ...]
    i386_args: tuple[tuple[str, str | None], ...] | None = None
    family: Literal["calls", "files"] = "calls"


# Syscall numbers: arch/x86/entry/syscalls/syscall_{64,32}.tbl. Parameter names: the SYSCALL_DEFINE
# of each call in mm/, ipc/, fs/ and kernel/.
_RANGE = (("start", "addr"), ("len", "size"))
SYSCALLS: tuple[Syscall, ...] = (
    Syscall(
        "remap_file_pages", 216, 257,
        (("start", "addr"), ("size", "size"), ("prot", "prot"), ("pgoff", "pgoff"), ("flags", "flags")),
    ),
    Syscall(
        "mmap", 9, 192,
        (("addr", "addr"), ("len", "size"), ("prot", "prot"), ("flags", "flags"), ("fd", "fd"), ("off", "offset_bytes")),
        # mmap_pgoff (mmap2): the last argument counts pages of 4096 bytes
        (("addr", "addr"), ("len", "size"), ("prot", "prot"), ("flags", "flags"), ("fd", "fd"), ("pgoff", "pgoff")),
    ),
    # old_mmap, i386 only: one pointer to the six arguments, read at entry; user space can change them meanwhile
    Syscall(
        "old_mmap", -90, 90,
        (("addr", "addr"), ("len", "size"), ("prot", "prot"), ("flags", "flags"), ("fd", "fd"), ("offset", "offset_bytes")),
    ),
    Syscall("munmap", 11, 91, (("addr", "addr"), ("len", "size"))),
    Syscall("mprotect", 10, 125, (*_RANGE, ("prot", "prot"))),
    Syscall("pkey_mprotect", 329, 380, (*_RANGE, ("prot", "prot"), ("pkey", "pkey"))),
    Syscall(
        "mremap", 25, 163,
        (("addr", "addr"), ("old_len", "size"), ("new_len", "new_size"), ("flags", "flags"), ("new_addr", "new_addr")),
    ),
    Syscall("brk", 12, 45, (("brk", "addr"),)),
    Syscall("shmat", 30, 397, (("shmid", "shmid"), ("shmaddr", "addr"), ("shmflg", "flags"))),
    Syscall("shmdt", 67, 398, (("shmaddr", "addr"),)),
    # ipc, i386 only: SHMAT (21) and SHMDT (22) behind one number
    Syscall(
        "ipc", -117, 117,
        (("call", "op"), ("first", "shmid"), ("second", "flags"), ("third", "count"), ("ptr", "addr"), ("fifth", "subop")),
    ),
    Syscall("madvise", 28, 219, (*_RANGE, ("behavior", "op"))),
    Syscall(
        "process_madvise", 440, 440,
        (("pidfd", "fd"), ("vec", "ptr"), ("vlen", "count"), ("behavior", "op"), ("flags", "flags")),
    ),
    Syscall("mlock", 149, 150, _RANGE),
    Syscall("mlock2", 325, 376, (*_RANGE, ("flags", "flags"))),
    Syscall("munlock", 150, 151, _RANGE),
    Syscall("mlockall", 151, 152, (("flags", "flags"),)),
    Syscall("munlockall", 152, 153, ()),
    Syscall(
        "mbind", 237, 274,
        (*_RANGE, ("mode", "op"), ("nmask", "ptr"), ("maxnode", "count"), ("flags", "flags")),
    ),
    Syscall("mseal", 462, 462, (*_RANGE, ("flags", "flags"))),
    Syscall("map_shadow_stack", 453, None, (("addr", "addr"), ("size", "size"), ("flags", "flags"))),
    Syscall("io_setup", 206, 245, (("nr_events", "count"), ("ctxp", "ptr"))),
    Syscall("io_destroy", 207, 246, (("ctx", "addr"),)),
    # recorded for PR_SET_MM and PR_SET_VMA only
    Syscall(
        "prctl", 157, 172,
        (("option", "op"), ("arg2", "subop"), ("arg3", "addr"), ("arg4", "size"), ("arg5", "ptr")),
    ),
    Syscall("ftruncate", 77, 93, (("fd", "fd"), ("length", "length_bytes")), family="files"),
    Syscall("truncate", 76, 92, (("path", "path_given"), ("length", "length_bytes")), family="files"),
    # ftruncate64 and truncate64, i386 only: the length in two registers
    Syscall("ftruncate64", -194, 194, (("fd", "fd"), ("length_low", "length_bytes"), ("length_high", "length_bytes")), family="files"),
    Syscall("truncate64", -193, 193, (("path", "path_given"), ("length_low", "length_bytes"), ("length_high", "length_bytes")), family="files"),
    Syscall(
        "fallocate", 285, 324,
        (("fd", "fd"), ("mode", "flags"), ("offset", "offset_bytes"), ("len", "length_bytes")),
        (("fd", "fd"), ("mode", "flags"), ("offset_low", "offset_bytes"), ("offset_high", "offset_bytes"),
         ("len_low", "length_bytes"), ("len_high", "length_bytes")),
        family="files",
    ),
    # the opens are recorded with O_TRUNC only
    Syscall("open", 2, 5, (("filename", "path_given"), ("flags", "flags"), ("mode", "mode")), family="files"),
    Syscall("openat", 257, 295, (("dfd", "dirfd"), ("filename", "path_given"), ("flags", "flags"), ("mode", "mode")), family="files"),
    Syscall("openat2", 437, 437, (("dfd", "dirfd"), ("filename", "path_given"), ("how", "flags"), ("usize", None)), family="files"),
    Syscall("creat", 85, 8, (("pathname", "path_given"), ("mode", "mode")), family="files"),
)
"""A negative `number` marks a call that only 32-bit code can make."""
