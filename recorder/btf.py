"""Offsets of kernel struct members and parameters of kernel functions, from the kernel's BTF.

libbpf reads the format; it is there wherever BCC is, as libbcc needs it. With the offsets given
to the BPF compiler as macros, no kernel headers are needed.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import TracebackType

__all__ = ["HELPERS", "MAPPINGS", "OFFSETS", "REMOVALS", "VMLINUX", "Btf", "BtfError", "cflags"]

VMLINUX = "/sys/kernel/btf/vmlinux"

OFFSETS: dict[str, tuple[str, str]] = {
    "OFF_TASK_MM": ("task_struct", "mm"),
    "OFF_TASK_FILES": ("task_struct", "files"),
    "OFF_TASK_TGID": ("task_struct", "tgid"),
    "OFF_TASK_PID": ("task_struct", "pid"),
    "OFF_TASK_COMM": ("task_struct", "comm"),
    "OFF_TASK_SIGNAL": ("task_struct", "signal"),
    "OFF_TASK_STATUS": ("task_struct", "thread_info.status"),
    "OFF_TASK_REAL_PARENT": ("task_struct", "real_parent"),
    "OFF_TASK_EXIT_CODE": ("task_struct", "exit_code"),
    "OFF_TASK_STACK": ("task_struct", "stack"),
    "OFF_SIGNAL_LIVE": ("signal_struct", "live.counter"),
    "OFF_FILES_FDT": ("files_struct", "fdt"),
    "OFF_FDT_FD": ("fdtable", "fd"),
    "OFF_FDT_MAX_FDS": ("fdtable", "max_fds"),
    "OFF_FILE_INODE": ("file", "f_inode"),
    "OFF_INODE_SB": ("inode", "i_sb"),
    "OFF_INODE_INO": ("inode", "i_ino"),
    "OFF_INODE_SIZE": ("inode", "i_size"),
    "OFF_INODE_GENERATION": ("inode", "i_generation"),
    "OFF_INODE_MODE": ("inode", "i_mode"),
    "OFF_SB_DEV": ("super_block", "s_dev"),
    "OFF_DENTRY_INODE": ("dentry", "d_inode"),
    "OFF_MAPPING_HOST": ("address_space", "host"),
    "OFF_BPRM_FILENAME": ("linux_binprm", "filename"),
    "OFF_BPRM_BUF": ("linux_binprm", "buf"),
    "OFF_SIGINFO_CODE": ("kernel_siginfo", "si_code"),
    "OFF_SIGINFO_ADDR": ("kernel_siginfo", "_sifields._sigfault._addr"),
}
"""The macros of the BPF programs: which member of which struct each is the byte offset of."""

MAPPINGS: dict[str, tuple[str, str]] = {
    "OFF_MM_ROOT": ("mm_struct", "mm_mt.ma_root"),
    "OFF_RANGE_PIVOT": ("maple_range_64", "pivot"),
    "OFF_RANGE_SLOT": ("maple_range_64", "slot"),
    "OFF_ARANGE_SLOT": ("maple_arange_64", "slot"),
    "OFF_VMA_START": ("vm_area_struct", "vm_start"),
    "OFF_VMA_END": ("vm_area_struct", "vm_end"),
    "OFF_VMA_FILE": ("vm_area_struct", "vm_file"),
}
"""The same, where VMAs are kept in a maple tree (d4af56c5c7c6, Linux 6.1); the programs do without them elsewhere."""

REMOVALS: dict[str, tuple[str, str]] = {
    "OFF_VMS_START": ("vma_munmap_struct", "start"),
    "OFF_VMS_END": ("vma_munmap_struct", "end"),
}
"""The same, where a removal is described by a struct (dba14840905f, Linux 6.12)."""

HELPERS = {"HAVE_TASK_PT_REGS": ("bpf_get_current_task_btf", "bpf_task_pt_regs")}
"""Macros for the BPF helpers that not every kernel has (dd6e10fbd9fb, Linux 5.15), and their functions."""

# BTF_KIND_* of include/uapi/linux/btf.h
_STRUCT, _UNION, _FUNC = 4, 5, 12
_MODIFIERS = (8, 9, 10, 11, 18)  # typedef, volatile, const, restrict, type tag


class BtfError(Exception):
    """BTF cannot be read, or does not have what was asked for; `hint` says what to do about it."""

    def __init__(self, message: str, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class _Type(ctypes.Structure):
    """struct btf_type, without what follows it."""

    _fields_ = (("name", ctypes.c_uint32), ("info", ctypes.c_uint32), ("size_or_type", ctypes.c_uint32))

    @property
    def kind(self) -> int:
        return int(self.info) >> 24 & 0x1F

    @property
    def count(self) -> int:
        return int(self.info) & 0xFFFF

    @property
    def kind_flag(self) -> bool:
        return bool(self.info >> 31)


class _Member(ctypes.Structure):
    """struct btf_member: the offset counts bits, and holds a bit field's size when kind_flag is set."""

    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32), ("offset", ctypes.c_uint32))


class _Param(ctypes.Structure):
    """struct btf_param."""

    _fields_ = (("name", ctypes.c_uint32), ("type", ctypes.c_uint32))


@cache
def _libbpf() -> ctypes.CDLL:
    for name in ("libbpf.so.1", "libbpf.so.0"):
        with suppress(OSError):
            lib = ctypes.CDLL(name, use_errno=True)
            break
    else:
        raise BtfError("libbpf is not installed", "install BCC, which brings it; `record doctor` names the command")
    lib.btf__parse_raw.restype = ctypes.c_void_p
    lib.btf__parse_raw.argtypes = (ctypes.c_char_p,)
    lib.btf__free.restype = None
    lib.btf__free.argtypes = (ctypes.c_void_p,)
    lib.btf__find_by_name_kind.restype = ctypes.c_int32
    lib.btf__find_by_name_kind.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_uint32)
    lib.btf__type_by_id.restype = ctypes.c_void_p
    lib.btf__type_by_id.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    lib.btf__name_by_offset.restype = ctypes.c_char_p
    lib.btf__name_by_offset.argtypes = (ctypes.c_void_p, ctypes.c_uint32)
    return lib


class Btf:
    """The types of a kernel, read from its raw BTF; a context manager that frees them."""

    def __init__(self, path: str = VMLINUX) -> None:
        self._lib = _libbpf()
        try:
            os.stat(path)  # libbpf prints its own complaint of a missing file
        except OSError as error:
            raise BtfError(f"the kernel shows no BTF: {path}", _NO_BTF) from error
        handle = self._lib.btf__parse_raw(os.fsencode(path))
        # libbpf before 1.0 returns -errno as a pointer
        if not handle or handle > (1 << 64) - 4096:
            raise BtfError(f"the kernel's BTF cannot be read: {path}", _NO_BTF)
        self._btf: ctypes.c_void_p | None = ctypes.c_void_p(handle)
        self._structs: dict[str, int] = {}

    def __enter__(self) -> Btf:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Free the types; nothing can be asked afterwards."""
        self._lib.btf__free(self._btf)
        self._btf = None

    def offset(self, struct: str, path: str) -> int:
        """Byte offset of a member, as in `offset("task_struct", "thread_info.status")`.

        Members of anonymous structs and unions are found as in C. BtfError names what is missing,
        and refuses bit fields, which have no byte offset.
        """
        if struct not in self._structs:
            self._structs[struct] = self._find(struct, _STRUCT, _UNION)
        type_id = self._structs[struct]
        if not type_id:
            raise BtfError(f"this kernel has no struct: {struct}", _OTHER_KERNEL)
        bits, done = 0, struct
        for name in path.split("."):
            found = self._member(type_id, name)
            done = f"{done}.{name}"
            if found is None:
                raise BtfError(f"this kernel has no member: {done}", _OTHER_KERNEL)
            type_id, member_bits, bitfield = found
            bits += member_bits
            if bitfield or bits % 8:
                raise BtfError(f"this kernel has a bit field: {done}", _OTHER_KERNEL)
        return bits // 8

    def has_function(self, name: str) -> bool:
        """Whether BTF describes a kernel function of this name."""
        return self._find(name, _FUNC) != 0

    def parameters(self, function: str) -> list[str] | None:
        """Names of a kernel function's parameters, in order; None if BTF does not know it.
        `do_mmap` of Linux 6.6: file, addr, len, prot, flags, vm_flags, pgoff, populate, uf."""
        type_id = self._find(function, _FUNC)
        if not type_id:
            return None
        address, prototype = self._type(self._type(type_id)[1].size_or_type)
        return [self._name(param.name) for param in (_Param * prototype.count).from_address(address)]

    def _find(self, name: str, *kinds: int) -> int:
        """Type id of a name, 0 if there is none."""
        ids = (int(self._lib.btf__find_by_name_kind(self._btf, name.encode(), kind)) for kind in kinds)
        return next((type_id for type_id in ids if type_id > 0), 0)

    def _type(self, type_id: int) -> tuple[int, _Type]:
        """A type, and the address of what follows it."""
        address = self._lib.btf__type_by_id(self._btf, type_id)
        return address + ctypes.sizeof(_Type), _Type.from_address(address)

    def _name(self, offset: int) -> str:
        return (self._lib.btf__name_by_offset(self._btf, offset) or b"").decode()

    def _members(self, type_id: int) -> Iterator[tuple[str, int, int, bool]]:
        """(name, type, offset in bits, whether a bit field) of a struct's or union's members."""
        address, type = self._type(type_id)
        while type.kind in _MODIFIERS:
            address, type = self._type(type.size_or_type)
        if type.kind in (_STRUCT, _UNION):
            for member in (_Member * type.count).from_address(address):
                bits = member.offset & 0xFFFFFF if type.kind_flag else member.offset
                yield self._name(member.name), member.type, bits, type.kind_flag and member.offset >> 24 != 0

    def _member(self, type_id: int, name: str) -> tuple[int, int, bool] | None:
        """(type, offset in bits, whether a bit field) of a member, looked for in anonymous ones too."""
        for member, member_type, bits, bitfield in self._members(type_id):
            if member == name:
                return member_type, bits, bitfield
            if not member and (inner := self._member(member_type, name)):
                return inner[0], bits + inner[1], inner[2]
        return None


_NO_BTF = "use a kernel built with CONFIG_DEBUG_INFO_BTF=y, as the kernels of current distributions are"
_OTHER_KERNEL = "this kernel differs from those known to work; please report its version"


def cflags(btf: Btf) -> list[str]:
    """The offsets as arguments of the BPF compiler: -DOFF_TASK_MM=1234 and so on; then the helpers that there are."""
    found = {macro: btf.offset(*where) for macro, where in OFFSETS.items()}
    for some in (MAPPINGS, REMOVALS):
        with suppress(BtfError):
            found |= {macro: btf.offset(*where) for macro, where in some.items()}
    helpers = [macro for macro, functions in HELPERS.items() if all(map(btf.has_function, functions))]
    return [*(f"-D{macro}={offset}" for macro, offset in found.items()), *(f"-D{macro}" for macro in helpers)]
