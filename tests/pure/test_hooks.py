"""Which function is hooked on a kernel, and where its arguments are: from symbols and BTF, never from the version."""

from __future__ import annotations

import re

import pytest

from recorder.bpfdir import bpf_dir
from recorder.hooks import FUNCTIONS, HOOKS, UnknownHook, choose, wanted

# prototypes of Debian's kernels 5.10, 6.1 and 6.12, as their BTF has them
MMAP_5_10 = ["file", "addr", "len", "prot", "flags", "pgoff", "populate", "uf"]
MMAP_6_12 = ["file", "addr", "len", "prot", "flags", "vm_flags", "pgoff", "populate", "uf"]
TRUNCATE_5_10 = ["dentry", "length", "time_attrs", "filp"]
TRUNCATE_6_1 = ["mnt_userns", *TRUNCATE_5_10]
ALIGN_6_1 = ["mas", "vma", "mm", "start", "end", "uf", "downgrade"]
MUNMAP_5_10 = ["mm", "start", "len", "uf", "downgrade"]
BY_NAME = {hook.name: hook for hook in HOOKS}


class Prototypes(dict[str, list[str]]):
    """Stands where a Btf does."""

    parameters = dict.get


@pytest.mark.parametrize(
    ("hook", "functions", "chosen", "macros"),
    [
        (
            "mmap",
            {"do_mmap": MMAP_5_10},
            "do_mmap",
            {"FILE": 0, "ADDR": 1, "LEN": 2, "PROT": 3, "FLAGS": 4, "PGOFF": 5},
        ),
        (
            "mmap",
            {"do_mmap": MMAP_6_12},
            "do_mmap",
            {"FILE": 0, "ADDR": 1, "LEN": 2, "PROT": 3, "FLAGS": 4, "PGOFF": 6},
        ),
        (
            "mmap",
            {"do_mmap": MMAP_6_12, "do_mmap_pgoff": MMAP_5_10},
            "do_mmap_pgoff",
            {"FILE": 0, "ADDR": 1, "LEN": 2, "PROT": 3, "FLAGS": 4, "PGOFF": 5},
        ),
        ("truncate", {"do_truncate": TRUNCATE_5_10}, "do_truncate", {"DENTRY": 0, "LENGTH": 1}),
        ("truncate", {"do_truncate": TRUNCATE_6_1}, "do_truncate", {"DENTRY": 1, "LENGTH": 2}),
        ("unmap", {"do_mas_align_munmap": ALIGN_6_1}, "do_mas_align_munmap", {"MM": 2, "START": 3, "END": 4}),
        ("replace", {"vms_complete_munmap_vmas": ["vms", "mas_detach"]}, "vms_complete_munmap_vmas", {"VMS": 0}),
        ("unmap", {"__do_munmap": MUNMAP_5_10}, "__do_munmap", {"MM": 0, "START": 1, "LEN": 2}),
    ],
)
def test_arguments_are_found_by_name(
    hook: str, functions: dict[str, list[str]], chosen: str, macros: dict[str, int]
) -> None:
    found = choose(BY_NAME[hook], functions, Prototypes(functions))
    assert found.function is not None and found.function.name == chosen
    assert sorted(found.macros) == sorted(f"-DHOOK_{hook}_{name}={place}" for name, place in macros.items())


def test_what_a_kernel_does_not_have_is_said() -> None:
    assert choose(BY_NAME["zero_pfn"], [], Prototypes()).why == "this kernel has none: no symbol update_mmap_zero_pfn"
    renamed = choose(BY_NAME["truncate"], ["do_truncate"], Prototypes(do_truncate=["dentry", "size"]))
    assert renamed.function is None
    assert renamed.why == "this kernel has none: BTF does not tell the parameters of do_truncate"


def test_every_program_is_written() -> None:
    source = (bpf_dir() / "hooks.c").read_text()
    for hook in HOOKS:
        for function in hook.functions:
            for program in filter(None, (function.program, function.failed)):
                assert f"int {program}(struct pt_regs *ctx)" in source
            for macro, _ in function.parameters:
                assert re.search(rf"\bHOOK_{hook.name}_{macro}\b", source), (function.name, macro)
    assert len(set(FUNCTIONS)) == len(FUNCTIONS)


def test_hooks_are_asked_for_by_fact_or_function() -> None:
    assert wanted("auto") == set(BY_NAME)
    assert wanted("off") == set()
    assert wanted("mmap,__do_munmap") == {"mmap", "unmap"}
    with pytest.raises(UnknownHook, match="do_mapp"):
        wanted("mmap,do_mapp")
