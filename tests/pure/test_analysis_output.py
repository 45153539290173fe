"""Rows in every format: exact for machines, aligned for people, inert for terminals and spreadsheets."""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analysis.capture import open_captures
from analysis.dictionary import units
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.options import Format
from analysis.output import Style, batch_lines, print_rows
from analysis.rows import Rows
from analysis.times import Clock
from tests.support.captures import START_NS, build_capture

HOSTILE = {
    "escape": b"\x1b[31m\x1b]0;owned\x07",
    "newline": b"a\nb\r\n\tc",
    "bidi": "\u202egpj\u2066\u200f\u061c".encode(),
    "c1": "\x9b31m\x85".encode(),
    "not utf-8": b"\xff\xfe\x80ok\x1b",
    "markup": b"[red]x[/red][link=file:///]",
    "quotes": b'it\'s "quoted", \\ and `ticked`',
    "formula": b"=cmd|' /C calc'!A0",
    "html": b"<script>alert(1)</script>",
    "nothing": b"",
    "invisible": "a\u200bb\ufeff\u2028".encode(),
}


def _table(rows: Rows | pa.Table, **style: Any) -> str:
    rows = rows if isinstance(rows, Rows) else Rows.of(rows)
    return "".join(batch_lines(rows.table(), Style(**style)))


def _printed(capsys: pytest.CaptureFixture[str], rows: pa.Table, format: Format) -> str:
    print_rows(Rows.of(rows), format, Style())
    return capsys.readouterr().out


class _Stdout(io.TextIOWrapper):
    """A standard output whose bytes can be seen."""

    def __init__(self) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")

    def isatty(self) -> bool:
        return False

    def bytes(self) -> bytes:
        self.flush()
        buffer = self.buffer
        assert isinstance(buffer, io.BytesIO)
        return buffer.getvalue()


def _inert(text: str) -> bool:
    """Whether text may be shown: a line end is the only control, and nothing is invisible."""
    return not [
        char for char in text if char not in "\r\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")
    ]


@pytest.fixture
def hostile(tmp_path: Path) -> Path:
    rows = [{"pid": number, "path": path, "inode": 5} for number, path in enumerate(HOSTILE.values())]
    return build_capture(tmp_path / "capture", {"vmas": rows}, host="\x1b[1mhost\u202e")


@pytest.mark.parametrize("format", Format)
def test_hostile_bytes_are_inert_in_text_and_exact_in_bytes(
    hostile: Path, format: Format, monkeypatch: pytest.MonkeyPatch
) -> None:
    stdout = _Stdout()
    monkeypatch.setattr("sys.stdout", stdout)
    with Engine(open_captures([hostile])) as engine:
        rows = engine.query("SELECT pid, path, path_bytes, host FROM vmas ORDER BY pid")
        print_rows(rows, format, Style(units()))
    data = stdout.bytes()
    recorded = list(HOSTILE.values())
    if format is Format.PARQUET:
        assert pq.read_table(io.BytesIO(data))["path_bytes"].to_pylist() == recorded
        return
    if format is Format.ARROW:
        assert pa.ipc.open_stream(data).read_all()["path_bytes"].to_pylist() == recorded
        return
    text = data.decode()
    assert _inert(text)
    if format is Format.JSON:
        assert text.isascii()
        assert [bytes.fromhex(row["path_bytes"]) for row in json.loads(text)] == recorded
        assert json.loads(text)[2]["path"] == HOSTILE["bidi"].decode()
    elif format is Format.CSV:
        lines = list(csv.DictReader(io.StringIO(text, newline="")))
        assert [bytes.fromhex(line["path_bytes"]) for line in lines] == recorded
        assert lines[7]["path"] == r"\x3dcmd|' /C calc'!A0"
    else:
        assert text.count("\n") == 1 + len(HOSTILE)
        assert "[red]x[/red][link=file:///]" in text


@given(values=st.lists(st.binary(max_size=40), min_size=1, max_size=8), width=st.none() | st.integers(10, 100))
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
def test_a_table_of_any_bytes_holds_no_control_but_line_ends(values: list[bytes], width: int | None) -> None:
    # every way a value can reach the printer: as text however decoded, as bytes, as a name, nested
    texts = [value.decode("latin-1") for value in values]
    table = pa.table(
        {
            "text": texts,
            "bytes": values,
            "nested": [[{"key": text}] for text in texts],
            texts[0]: [value.decode(errors="replace") for value in values],
        }
    )
    shown = _table(table, width=width)
    assert not [char for char in shown if char != "\n" and unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_csv_of_any_text_is_one_record_a_row_and_inert(values: list[str]) -> None:
    stdout = _Stdout()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        print_rows(Rows.of(pa.table({"a": values, "b": values})), Format.CSV, Style())
    text = stdout.bytes().decode()
    assert _inert(text)
    assert [len(line) for line in csv.reader(io.StringIO(text, newline=""))] == [2] * (1 + len(values))


@given(st.lists(st.text(), min_size=1, max_size=5))
def test_json_of_any_text_is_printable_ascii_and_exact(values: list[str]) -> None:
    stdout = _Stdout()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stdout", stdout)
        print_rows(Rows.of(pa.table({"a": values})), Format.JSON, Style())
    text = stdout.bytes().decode()
    assert text.replace("\n", "").isascii()
    assert text.replace("\n", "").isprintable()
    assert [row["a"] for row in json.loads(text)] == values


VALUES = pa.table(
    {
        "ts_ns": pa.array([START_NS + 1_234_567_890, None], pa.uint64()),
        "addr": pa.array([0x7FFFFFFFF000, 0], pa.uint64()),
        "size_bytes": pa.array([4096, 1500], pa.uint64()),
        "total_ns": pa.array([1_500, 0], pa.int64()),
        "ret": pa.array([0x7F0000000000, -22], pa.int64()),
        "perms": ["---p", ""],
        "sum": pa.array([Decimal(2**64), None], pa.decimal128(38, 0)),
        "yes": [True, None],
        "frames": pa.array([[0x1000, 0x2000], None], pa.list_(pa.uint64())),
        "raw": [b"\x00\xff", None],
    }
)

TABLE = """\
     ts_ns            addr  size_bytes  total_ns             ret  perms                   sum  yes   frames            raw
+1.234567s  0x7ffffffff000       4 KiB    1.5 us  0x7f0000000000  ---p   18446744073709551616  true  [0x1000, 0x2000]  00ff
         -             0x0     1.5 KiB      0 ns             -22                            -  -     -                 -
"""  # noqa: E501
JSON = """\
[
{"ts_ns": 1001234567890, "addr": 140737488351232, "size_bytes": 4096, "total_ns": 1500, "ret": 139637976727552, \
"perms": "---p", "sum": 18446744073709551616, "yes": true, "frames": [4096, 8192], "raw": "00ff"},
{"ts_ns": null, "addr": 0, "size_bytes": 1500, "total_ns": 0, "ret": -22, \
"perms": "", "sum": null, "yes": null, "frames": null, "raw": null}
]
"""
CSV = """\
ts_ns,addr,size_bytes,total_ns,ret,perms,sum,yes,frames,raw\r
1001234567890,140737488351232,4096,1500,139637976727552,---p,18446744073709551616,true,"[4096, 8192]",00ff\r
,0,1500,0,-22,"",,,,\r
"""


def test_a_table_shows_values_by_their_units() -> None:
    clock = Clock(START_NS, 0, 0)
    text = _table(VALUES, units={**units(), "size_bytes": "bytes"}, clocks={"capture": clock})
    assert [line.rstrip() for line in text.splitlines()] == [line.rstrip() for line in TABLE.splitlines()]


def test_json_is_exact(capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(capsys, VALUES, Format.JSON) == JSON


def test_csv_tells_null_from_empty_text(capsys: pytest.CaptureFixture[str]) -> None:
    assert _printed(capsys, VALUES, Format.CSV) == CSV


def test_no_rows_are_an_empty_result_in_every_text_format(capsys: pytest.CaptureFixture[str]) -> None:
    empty = pa.table({"a": pa.array([], pa.int64())})
    assert _printed(capsys, empty, Format.JSON) == "[]\n"
    assert _printed(capsys, empty, Format.CSV) == "a\r\n"
    assert _printed(capsys, empty, Format.TABLE) == "a\n"


def test_numbers_json_cannot_say_are_null(capsys: pytest.CaptureFixture[str]) -> None:
    rows = pa.table({"a": [float("nan"), float("inf"), 1.5]})
    assert json.loads(_printed(capsys, rows, Format.JSON)) == [{"a": None}, {"a": None}, {"a": 1.5}]


def test_times_are_from_the_start_of_their_own_capture() -> None:
    rows = pa.table({"capture": ["a", "b"], "ts_ns": pa.array([5_000_000_000, 5_000_000_000], pa.uint64())})
    text = _table(rows, units=units(), clocks={"a": Clock(5_000_000_000, 0, 0), "b": Clock(3_000_000_000, 0, 0)})
    assert text.splitlines()[1:] == ["a        +0.000000s", "b        +2.000000s"]


def test_a_table_of_several_batches_has_one_header_and_one_width(capsys: pytest.CaptureFixture[str]) -> None:
    batches = [pa.record_batch({"text": [text], "n": [n]}) for text, n in (("abc", 5), ("d", 7), ("longer", 111))]
    print_rows(Rows(batches[0].schema, batches), Format.TABLE, Style())
    assert capsys.readouterr().out.splitlines() == ["text      n", "abc       5", "d         7", "longer  111"]


def test_later_rows_keep_the_columns_and_no_number_is_cut(capsys: pytest.CaptureFixture[str]) -> None:
    batches = [
        pa.record_batch({"text": ["abc"] * 1000, "n": [5] * 1000}),
        pa.record_batch({"text": ["x"], "n": [10**9]}),
    ]
    print_rows(Rows(batches[0].schema, batches), Format.TABLE, Style(width=40))
    lines = capsys.readouterr().out.splitlines()
    assert (len(lines), lines[0], lines[1], lines[-1]) == (1002, "text  n", "abc   5", "x     1000000000")


def test_bytes_beside_their_text_are_not_in_a_table_and_devices_are_as_in_maps() -> None:
    rows = pa.table({"path": ["/x"], "path_bytes": [b"/x"], "raw_bytes": [b"\xff"], "dev": pa.array([8 << 20 | 17])})
    assert _table(rows).splitlines() == ["path  raw_bytes    dev", "/x    ff         08:11"]


def test_a_narrow_terminal_cuts_text_and_never_numbers() -> None:
    rows = pa.table({"path": ["/" + "x" * 60, "/漢字" * 10], "addr": pa.array([2**47, 0], pa.uint64())})
    lines = _table(rows, units=units(), width=40).splitlines()
    assert lines[1] == "/" + "x" * 22 + "…  0x800000000000"
    assert lines[2].startswith("/漢字/漢字") and "…" in lines[2]


def test_a_terminal_too_narrow_for_the_columns_shows_a_row_as_a_block() -> None:
    rows = pa.table({f"number{at}": [at, at] for at in range(20)})
    lines = _table(rows, width=40).splitlines()
    assert lines[:2] == ["number0   0", "number1   1"]
    assert lines[20] == ""


def test_colour_is_only_there_when_asked_for() -> None:
    rows = pa.table({"a": [None, "x"]})
    assert "\x1b" not in _table(rows)
    assert _table(rows, colour=True).startswith("\x1b[1ma\x1b[0m")


def test_binary_is_not_sent_to_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    stdout = _Stdout()
    monkeypatch.setattr(stdout, "isatty", lambda: True)
    monkeypatch.setattr("sys.stdout", stdout)
    with pytest.raises(UsageError, match="binary"):
        print_rows(Rows.of(VALUES), Format.PARQUET, Style())
    assert stdout.bytes() == b""
