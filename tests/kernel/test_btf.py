"""Offsets that libbpf finds, against a plain Python reader of the kernel's BTF."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

from recorder.btf import HELPERS, MAPPINGS, OFFSETS, REMOVALS, VMLINUX, Btf, BtfError, cflags

REPOSITORY = Path(__file__).parents[2]

# bytes after struct btf_type by kind, fixed and per vlen (Documentation/bpf/btf.rst)
FIXED = {1: 4, 3: 12, 14: 4, 17: 4}
EACH = {4: 12, 5: 12, 6: 8, 13: 8, 15: 12, 19: 12}


class PlainBtf:
    """All types of a raw BTF file: id → (kind, kind flag, name, size or type, tuples that follow)."""

    def __init__(self, data: bytes) -> None:
        magic, _, _, header, type_off, type_len, str_off, str_len = struct.unpack_from("<HBBIIIII", data)
        assert magic == 0xEB9F
        self.strings = data[header + str_off : header + str_off + str_len]
        at, end = header + type_off, header + type_off + type_len
        self.types: list[tuple[int, bool, str, int, list[tuple[int, ...]]]] = [(0, False, "", 0, [])]
        while at < end:
            name, info, size_or_type = struct.unpack_from("<3I", data, at)
            kind, vlen, flag = info >> 24 & 0x1F, info & 0xFFFF, bool(info >> 31)
            at += 12
            following: list[tuple[int, ...]] = []
            if kind in (4, 5, 13):
                size = EACH[kind]
                following = list(struct.iter_unpack(f"<{size // 4}I", data[at : at + size * vlen]))
            at += FIXED.get(kind, 0) + EACH.get(kind, 0) * vlen
            self.types.append((kind, flag, self.text(name), size_or_type, following))
        assert at == end

    def text(self, offset: int) -> str:
        return self.strings[offset : self.strings.index(b"\0", offset)].decode()

    def id_of(self, name: str) -> int:
        return next(i for i, t in enumerate(self.types) if t[0] in (4, 5) and t[2] == name)

    def all_members(self, type_id: int, base: int = 0) -> list[tuple[str, int, int, bool]]:
        """(name, type, bit offset, bit field) of members, those of anonymous members included."""
        kind, flag, _, target, members = self.types[type_id]
        while kind in (8, 9, 10, 11, 18):
            kind, flag, _, target, members = self.types[target]
        found = []
        for name_off, member_type, offset in members if kind in (4, 5) else []:
            bits = base + (offset & 0xFFFFFF if flag else offset)
            if name := self.text(name_off):
                found.append((name, member_type, bits, flag and offset >> 24 != 0))
            else:
                found += self.all_members(member_type, bits)
        return found

    def bits(self, struct_name: str, path: str) -> int:
        type_id, total = self.id_of(struct_name), 0
        for part in path.split("."):
            _, type_id, bits, _ = next(m for m in self.all_members(type_id) if m[0] == part)
            total += bits
        return total


@pytest.fixture(scope="module")
def plain() -> PlainBtf:
    return PlainBtf(Path(VMLINUX).read_bytes())


def test_offsets_are_those_of_a_plain_reader(plain: PlainBtf) -> None:
    with Btf() as btf:
        names = {type[2] for type in plain.types}
        wanted = (
            OFFSETS | (MAPPINGS if "maple_tree" in names else {}) | (REMOVALS if "vma_munmap_struct" in names else {})
        )
        for struct_name, path in wanted.values():
            assert btf.offset(struct_name, path) * 8 == plain.bits(struct_name, path), path
        helpers = [f"-D{macro}" for macro, functions in HELPERS.items() if names.issuperset(functions)]
        offsets = [f"-D{macro}={plain.bits(*where) // 8}" for macro, where in wanted.items()]
        assert cflags(btf) == offsets + helpers


@pytest.mark.parametrize(
    "name", ["task_struct", "inode", "mm_struct", "vm_area_struct", "sk_buff", "page", "kernel_siginfo"]
)
def test_every_member_of_large_structs(plain: PlainBtf, name: str) -> None:
    members = plain.all_members(plain.id_of(name))
    names = [member for member, *_ in members]
    seen_bitfield = False
    with Btf() as btf:
        for member, _, bits, bitfield in members:
            if names.count(member) > 1:  # the same name in two anonymous unions' arms
                continue
            if bitfield:
                seen_bitfield = True
                with pytest.raises(BtfError, match=f"bit field: {name}.{member}"):
                    btf.offset(name, member)
            else:
                assert btf.offset(name, member) * 8 == bits, member
    assert len(members) > 10 or name == "kernel_siginfo"
    assert seen_bitfield or name not in ("task_struct", "sk_buff")


def test_parameters_of_functions(plain: PlainBtf) -> None:
    functions = {t[2]: t[3] for t in plain.types if t[0] == 12}
    with Btf() as btf:
        for name in ("do_mmap", "do_truncate", "vfs_fallocate", "unmap_mapping_range", "do_exit"):
            expected = [plain.text(name_off) for name_off, _ in plain.types[functions[name]][4]]
            assert btf.parameters(name) == expected
            assert btf.has_function(name)
        do_mmap = btf.parameters("do_mmap")
        assert do_mmap is not None
        assert do_mmap[:5] == ["file", "addr", "len", "prot", "flags"]
        assert "pgoff" in do_mmap
        assert not btf.has_function("update_mmap_zero_pfn")
        assert btf.parameters("update_mmap_zero_pfn") is None


def test_what_is_missing_is_named() -> None:
    with Btf() as btf:
        for struct_name, path, message in (
            ("no_such_struct", "mm", "no struct: no_such_struct"),
            ("task_struct", "no_such_member", r"no member: task_struct\.no_such_member"),
            ("task_struct", "thread_info.nothing", r"no member: task_struct\.thread_info\.nothing"),
            ("task_struct", "mm.owner", r"no member: task_struct\.mm\.owner"),  # behind a pointer
        ):
            with pytest.raises(BtfError, match=message) as raised:
                btf.offset(struct_name, path)
            assert raised.value.hint


def test_no_btf_and_damaged_btf(tmp_path: Path) -> None:
    with pytest.raises(BtfError, match="shows no BTF"):
        Btf(str(tmp_path / "vmlinux"))
    damaged = tmp_path / "damaged"
    damaged.write_bytes(Path(VMLINUX).read_bytes()[:4096])
    for text in (damaged, Path("/dev/null")):
        with pytest.raises(BtfError, match="cannot be read"):
            Btf(str(text))


def test_every_macro_of_the_bpf_programs_is_declared() -> None:
    folder = REPOSITORY / "bpf"
    sources = [*folder.glob("*.c"), *folder.glob("*.h")]
    used = {macro for source in sources for macro in re.findall(r"\bOFF_[A-Z0-9_]+", source.read_text())} - {"OFF_"}
    assert len(used) > 10
    assert used <= OFFSETS.keys() | MAPPINGS.keys() | REMOVALS.keys()


def test_start_is_quick() -> None:
    code = (
        "import time; t = time.process_time(); from recorder.btf import Btf, cflags; cflags(Btf());"
        "print(time.process_time() - t)"
    )
    runs = [
        float(subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, check=True).stdout)
        for _ in range(5)
    ]
    assert min(runs) < 0.1
