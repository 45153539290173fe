"""Kernel functions worth a probe: what each tells, under which names kernels have it, and how its arguments are found.

Everything that differs between kernels stands here, with where that can be read; which function a kernel has is found
by looking (kallsyms, BTF), never by its version. Recording works without any of them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from recorder.btf import Btf

__all__ = ["FUNCTIONS", "HOOKS", "Chosen", "Function", "Hook", "UnknownHook", "choose", "wanted"]


@dataclass(frozen=True)
class Function:
    """A kernel function, and the BPF program for it; `parameters` pairs the program's macros with names in BTF.

    `why` says in which kernels it is, and where to read that. `failed` is the program for its return, where that can
    be a negative error.
    """

    name: str
    program: str
    parameters: tuple[tuple[str, str], ...]
    why: str
    failed: str = ""


@dataclass(frozen=True)
class Hook:
    """A fact that only the kernel's own functions tell, and the functions that do, the best first."""

    name: str
    tells: str
    functions: tuple[Function, ...]


_MMAP = (
    ("FILE", "file"), ("ADDR", "addr"), ("LEN", "len"), ("PROT", "prot"), ("FLAGS", "flags"), ("PGOFF", "pgoff"),
)  # fmt: skip
_UNMAP = (("MM", "mm"), ("START", "start"), ("END", "end"))

HOOKS: tuple[Hook, ...] = (
    Hook(
        "mmap", "the file, range, protection, flags and pgoff that mmap or remap_file_pages really used",
        (
            Function("do_mmap_pgoff", "hook_mmap", _MMAP, "up to 4.2, then inline, gone in 5.9 (45e55300f114)"),
            # vm_flags, before pgoff, is a parameter up to 5.8 and again from 6.6 on (592b5fad1677, for shadow stacks)
            Function("do_mmap", "hook_mmap", _MMAP, "in every kernel since 2.x (mm/mmap.c)"),
        ),
    ),
    Hook(
        "zero_pfn", "nothing: a name in old notes",
        (Function("update_mmap_zero_pfn", "", (), "in no kernel tree"),),
    ),
    Hook(
        "unmap", "the true range and order of every removal, under the mmap lock",
        (
            # from 6.12 on MAP_FIXED removes by itself (f8d112a4e657): see replace
            Function("do_vmi_align_munmap", "hook_unmap", _UNMAP, "6.3 on (183654ce26a5)", "failed_unmap"),
            Function(
                "do_mas_align_munmap", "hook_unmap", _UNMAP, "6.1 and 6.2: the maple tree (11f9a21ab655)",
                "failed_unmap",
            ),
            Function(
                "__do_munmap", "hook_unmap_len", (("MM", "mm"), ("START", "start"), ("LEN", "len")),
                "4.20 to 6.0 (dd2283f2605e)", "failed_unmap",
            ),
        ),
    ),
    Hook(
        "replace", "what mmap(MAP_FIXED) took away where that is no call of unmap's functions; a refused one's too",
        (
            # where every removal ends, so the program leaves out what is no mmap's
            Function("vms_complete_munmap_vmas", "hook_replace", (("VMS", "vms"),), "6.12 on (f8d112a4e657)"),
        ),
    ),
    Hook(
        "truncate", "which file is cut to what size, by path and by io_uring too",
        # its first parameter became the mount's user namespace in 5.12 (643fe55a0679)
        (
            Function(
                "do_truncate", "hook_truncate", (("DENTRY", "dentry"), ("LENGTH", "length")), "fs/open.c",
                "failed_truncate",
            ),
        ),
    ),
    Hook(
        "allocate", "holes punched and ranges collapsed, by io_uring too",
        (
            Function(
                "vfs_fallocate", "hook_allocate",
                (("FILE", "file"), ("MODE", "mode"), ("OFFSET", "offset"), ("LEN", "len")), "fs/open.c",
                "failed_allocate",
            ),
        ),
    ),
    Hook(
        "invalidate", "file pages taken from under mappings, whoever does it: the kernel's own NFS and SMB servers too",
        (
            Function(
                "unmap_mapping_range", "hook_invalidate",
                (("MAPPING", "mapping"), ("BEGIN", "holebegin"), ("LEN", "holelen"), ("COWS", "even_cows")),
                "mm/memory.c",
            ),
        ),
    ),
)  # fmt: skip

FUNCTIONS = tuple(function.name for hook in HOOKS for function in hook.functions)
"""Every function that can be hooked; the number of one, as the programs report it, is its place here."""


class UnknownHook(ValueError):
    """A name that is neither a hook's nor a function's."""


@dataclass(frozen=True)
class Chosen:
    """The function taken for a hook; None: this kernel has none. `why` is the finding."""

    hook: Hook
    function: Function | None
    why: str
    macros: tuple[str, ...] = ()


def wanted(text: str) -> frozenset[str]:
    """The hooks that `auto`, `off` or a list of names asks for. Raises UnknownHook."""
    if text == "auto":
        return frozenset(hook.name for hook in HOOKS)
    if text in ("off", ""):
        return frozenset()
    found = set()
    for name in text.split(","):
        hooks = [hook.name for hook in HOOKS if name in (hook.name, *(function.name for function in hook.functions))]
        if not hooks:
            raise UnknownHook(name)
        found.update(hooks)
    return frozenset(found)


def choose(hook: Hook, symbols: Collection[str], btf: Btf) -> Chosen:
    """The first function of a hook that this kernel has, with its arguments located."""
    whys = []
    for function in hook.functions:
        if function.name not in symbols:
            whys.append(f"no symbol {function.name}")
            continue
        places = _places(function, btf.parameters)
        if places is None:
            whys.append(f"BTF does not tell the parameters of {function.name}")
            continue
        macros = [
            f"-DHOOK_{hook.name}_{macro}={place}" for (macro, _), place in zip(function.parameters, places, strict=True)
        ]
        return Chosen(hook, function, f"{function.name}: {hook.tells}", tuple(macros))
    return Chosen(hook, None, f"this kernel has none: {'; '.join(whys)}")


def _places(function: Function, parameters: Callable[[str], list[str] | None]) -> list[int] | None:
    given = parameters(function.name)
    if given is None:
        return None
    places = []
    for _, name in function.parameters:
        if name not in given:
            return None
        places.append(given.index(name))
    return places
