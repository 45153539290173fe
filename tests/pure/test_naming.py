"""What the beginning of a function's code tells of its stack frame."""

from __future__ import annotations

from pathlib import Path

import pytest

from recorder.elf import Segment
from recorder.naming import _beginning
from recorder.symbols import Function

CODE = Segment(type=1, flags=5, offset=0x10, vaddr=0x1000, filesz=0x100, memsz=0x100, align=4096)


@pytest.mark.parametrize(
    ("code", "framed", "level_bytes"),
    [
        ("55 4889e5 4155", 1, 0),  # push %rbp; mov %rsp,%rbp
        ("f30f1efa 55 4889e5", 1, 4),  # after endbr64
        ("f30f1efb 55 89e5", 1, 4),  # of 32 bits
        ("55 be01000000 488b15132e0000 4889e5", 1, 0),  # with others between
        ("55 53 4889e5", 0, 0),  # another push between: what it points to is no frame
        ("55 4883ec38 4889e5", 0, 0),  # sub $56,%rsp between
        ("55 4883c480 4889e5", 0, 0),  # add $-128,%rsp between
        ("55 488d6424e0 4889e5", 0, 0),  # lea -32(%rsp),%rsp between
        ("55 4c89e5 c3", 0, 0),  # mov %r12,%rbp
        ("b80b000000 0f05 483d01f0ffff 7301 c3", 0, 12),  # a system call; ff 73 could be a push
        ("31c0 4883ec08 e800000000", 0, 3),  # the 48 may be another's, so the sub is taken to begin after it
        ("31c0 6a01 58", 0, 2),  # push $1
        ("31c0 ff7008", 0, 2),  # push 8(%rax)
        ("31c0 4889c4", 0, 3),  # mov %rax,%rsp
        ("55 4889ec 4889e5", 0, 0),  # mov %rbp,%rsp between
        ("", 0, 0),
    ],
)
def test_frame_pointers_and_moves_of_the_stack_are_seen(
    tmp_path: Path, code: str, framed: int, level_bytes: int
) -> None:
    text = bytes.fromhex(code)
    file = tmp_path / "file"
    file.write_bytes(bytes(0x18) + text)
    with file.open("rb") as opened:
        found = _beginning(opened.fileno(), [CODE], Function(0x1008, len(text), b"function"))
    assert found == {"framed": framed, "level_bytes": level_bytes}


def test_code_that_is_nowhere_tells_nothing(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with (tmp_path / "file").open("rb") as opened:
        assert _beginning(opened.fileno(), [CODE], Function(0x3000, 8, b"elsewhere")) == {}
