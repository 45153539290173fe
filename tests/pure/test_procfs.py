"""Parsing of /proc/PID/maps text, against a plain Python parse line by line."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recorder.procfs import parse_maps

Row = tuple[int, int, str, int, int, int, bytes]


def plain_parse(text: bytes) -> list[Row]:
    rows: list[Row] = []
    for line in text.removesuffix(b"\n").split(b"\n") if text else []:
        span, perms, offset, dev, rest = line.split(b" ", 4)
        inode, _, padded = rest.partition(b" ")
        start, end = (int(part, 16) for part in span.split(b"-"))
        major, minor = (int(part, 16) for part in dev.split(b":"))
        path = padded.lstrip(b" ")
        rows.append((start, end, perms.decode(), int(offset, 16), major << 20 | minor, int(inode), path))
    return rows


def parsed(text: bytes) -> list[Row]:
    columns = parse_maps(text)
    names = ("start", "end", "perms", "offset_bytes", "dev", "inode", "path")
    return list(zip(*(columns[name].to_pylist() for name in names), strict=True))


def printed(row: Row) -> bytes:
    """A line as show_map_vma() prints it: the name padded to column 73."""
    start, end, perms, offset, dev, inode, path = row
    head = f"{start:08x}-{end:08x} {perms} {offset:08x} {dev >> 20:02x}:{dev & 0xFFFFF:02x} {inode} ".encode()
    return head + (b"" if path == b"" else b" " * (72 - len(head)) + b" " + path) + b"\n"


# every width of a number is as likely as any other
def number(bits: int) -> st.SearchStrategy[int]:
    return st.integers(0, bits).flatmap(lambda width: st.integers(0, (1 << width) - 1))


paths = st.one_of(
    st.just(b""),
    st.sampled_from(
        [b"[heap]", b"[vdso]", b"[anon:a b]", b"//anon", b"/a b (deleted)", b"/new\\012line", b"/\\\\", b"-"]
    ),
    # d_path() never begins with a space and prints a newline as \012; all other bytes pass
    st.binary(max_size=300).map(lambda name: b"/" + name.replace(b"\n", b"\\012")),
)
rows = st.tuples(
    st.one_of(number(64), st.sampled_from([0xFFFFFFFFFF600000, 0, 0x7FFFFFFFF000])),
    number(64),
    st.tuples(*(st.sampled_from(pair) for pair in ("r-", "w-", "x-", "ps"))).map("".join),
    number(64),
    number(32),
    number(64),
    paths,
)


@given(st.lists(rows, max_size=40))
def test_parses_as_a_plain_parser_does(expected: list[Row]) -> None:
    text = b"".join(printed(row) for row in expected)
    assert plain_parse(text) == expected
    assert parsed(text) == expected


def test_vsyscall_line() -> None:
    line = b"ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0                  [vsyscall]\n"
    assert parsed(line) == [(0xFFFFFFFFFF600000, 0xFFFFFFFFFF601000, "--xp", 0, 0, 0, b"[vsyscall]")]


def test_no_lines() -> None:
    assert parsed(b"") == []


@pytest.mark.parametrize(
    "text",
    [
        b"00400000-00401000 r-xp 00000000 fe:00 12 ",  # cut
        b"00400000-00401000 r-xp 00000000 fe:00\n",
        b"00400000-00401000 r-xp\n",
        b"00400000+00401000 r-xp 00000000 fe:00 12 \n",
        b"hello\n",
        b"\n",
    ],
)
def test_text_that_is_no_maps_file_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match="maps"):
        parsed(text)


@given(st.lists(st.sampled_from([b"00400000-00401000", b" r-xp ", b"00", b":", b" 7", b"\n", b"-", b" "]), max_size=12))
def test_nonsense_is_refused_or_parsed_and_reads_nothing_outside(parts: list[bytes]) -> None:
    try:
        parsed(b"".join(parts))
    except ValueError as error:
        assert "maps" in str(error)
