"""`import analysis`: what the Python interface answers is what the commands answer, and no name can do harm."""

from __future__ import annotations

import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import analysis
from analysis.engine import Engine
from analysis.errors import CaptureError, UsageError
from analysis.text import inert
from analysis.trail import CaptureWarning, Trail
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze, analyze_rows

ROOT = Path(__file__).resolve().parents[2]
DATA = ROOT / "data"
DEMO, PID, FAULT = DATA / "demo", 18572, 0x7F8801D35000
HOSTILE = "</script><img onerror=alert(1)>\x1b[31m\u202e=1+1\n"


@pytest.fixture(scope="module")
def trail() -> Iterator[Trail]:
    with analysis.open(DEMO) as trail:
        yield trail


def rows(relation: object) -> list[dict[str, object]]:
    found: list[dict[str, object]] = pa.table(relation.to_arrow_table()).to_pylist()  # type: ignore[attr-defined]
    return [{name: value for name, value in row.items() if not isinstance(value, bytes)} for row in found]


def printed(*arguments: object) -> list[dict[str, object]]:
    found = analyze_rows(*arguments)
    return [
        {name: value for name, value in row.items() if not name.endswith("_bytes") or name in BYTES} for row in found
    ]


BYTES = ("size_bytes", "offset_bytes", "shared_bytes", "possible_bytes", "offset_end_bytes", "each_bytes")


@pytest.mark.parametrize(
    ("method", "given", "command"),
    [
        ("timeline", {"pid": PID, "at": "+0.00698s"}, ["timeline", "--pid", PID, "--at", "+0.00698s"]),
        ("timeline", {"addr": FAULT, "cause": "mmap"}, ["timeline", "--addr", hex(FAULT), "--cause", "mmap"]),
        ("maps", {"pid": PID, "at": "+0.00698s"}, ["maps", "--pid", PID, "--at", "+0.00698s"]),
        (
            "edges",
            {"expected": True, "pid": PID, "kind": "nonlinear"},
            ["edges", "--expected", "--pid", PID, "--kind", "nonlinear"],
        ),
        ("why", {}, ["why"]),
        ("why", {"addr": FAULT}, ["why", "--addr", hex(FAULT)]),
        ("counts", {}, ["counts"]),
        ("counts", {"every": "1ms"}, ["counts", "--every", "1ms"]),
        ("diff", {"by": "mapping", "since": "+6ms"}, ["diff", "--by", "mapping", "--from", "+6ms"]),
        ("shared", {"file": "shrunk"}, ["shared", "--file", "shrunk"]),
        ("sql", {"query": "FROM remap_file_pages"}, ["sql", "-q", "FROM remap_file_pages"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_method_answers_what_its_command_answers(
    trail: Trail, method: str, given: dict[str, object], command: list[object]
) -> None:
    name, *options = command
    answer = rows(getattr(trail, method)(**given))
    asked = printed(name, DEMO, *options)
    assert len(answer) == len(asked) > 0
    for mine, theirs in zip(answer, asked, strict=True):
        assert {
            name: mine[name] for name in mine.keys() & theirs.keys() if not isinstance(mine[name], list | float)
        } == {name: theirs[name] for name in mine.keys() & theirs.keys() if not isinstance(mine[name], list | float)}
        assert len(mine.keys() & theirs.keys()) >= len(theirs) - 2


def test_maps_reads_as_the_command_prints_it_with_how_sure_it_is(trail: Trail) -> None:
    done = analyze("maps", DEMO, "--pid", PID, "--at", "+0.00698s")
    assert trail.maps_text(PID, "+0.00698s") == done.stdout + done.stderr.splitlines()[0]


def test_numbers_are_taken_where_the_commands_take_text(trail: Trail) -> None:
    import numpy as np

    [(at_ns,)] = trail.sql("SELECT ts_ns FROM faults").fetchall()
    assert rows(trail.timeline(PID, at=np.uint64(at_ns))) == rows(trail.timeline(PID, at=f"{at_ns}ns"))
    assert rows(trail.timeline(addr=np.uint64(FAULT))) == rows(trail.timeline(addr=f"{FAULT:#x}"))


def test_a_relation_becomes_what_its_reader_likes(trail: Trail) -> None:
    relation = trail.timeline(pid=PID)
    assert len(relation.df()) == relation.to_arrow_table().num_rows == len(relation.fetchall()) > 30
    # earlier answers stay when later questions are asked, and can be joined
    before = rows(relation)
    faults = trail.why()
    trail.why(addr=FAULT)
    assert rows(relation) == before
    assert relation.join(faults.project("start AS fault"), "start <= fault").limit(1).fetchall()


def test_a_picture_is_a_figure_of_matplotlib(trail: Trail) -> None:
    assert trail.plot(PID, since="+6ms").axes
    with pytest.raises(UsageError):
        trail.plot(what="weather")


def test_several_captures_are_asked_together() -> None:
    with analysis.open(DEMO, DATA / "demo-i386") as both:
        assert [row["capture"] for row in rows(both.summary())] == ["demo", "demo-i386"]
        assert {row["capture"] for row in rows(both.why())} == {"demo", "demo-i386"}
        assert {row["section"] for row in rows(both.sql("SELECT DISTINCT capture AS section FROM timeline"))} == {
            "demo", "demo-i386",
        }  # fmt: skip
        assert rows(both.summary("faults"))[0]["signal"] == "SIGBUS"


def test_check_judges_each_reading() -> None:
    with analysis.open(DATA / "checked") as checked:
        assert {row["verdict"] for row in rows(checked.check())} <= {"exact", "changed", "unknown"}
        assert len(checked.check().filter("verdict = 'exact'")) >= 5


def test_what_cannot_be_meant_is_refused_with_what_can(trail: Trail) -> None:
    for ask, hint in (
        (lambda: trail.timeline(pid=5), "FROM processes"),
        (lambda: trail.edges(severity="awful"), "high, medium"),
        (lambda: trail.edges(kind="nothing"), "truncated_under_mapping"),
        (lambda: trail.counts(by="size"), "cause"),
        (lambda: trail.diff(classes="AIFX"), "AIFI"),
        (lambda: trail.why(at="+1s"), "addr"),
        (lambda: trail.summary("weather"), "processes"),
        (lambda: trail.schema("weather"), "schema()"),
        (lambda: trail.timeline(certainty="sure"), "possible"),
        (lambda: trail.edges(certainty="x' OR '1'='1"), "possible"),
        (lambda: trail.sql("COPY syscalls TO '/tmp/x'"), "SELECT"),
        (lambda: trail.sql("SELECT 1; SELECT 2"), "one SELECT"),
    ):
        with pytest.raises(UsageError) as refused:
            ask()
        assert hint in " ".join(refused.value.__notes__)
    with pytest.raises(CaptureError):
        analysis.open(ROOT / "tests")
    with pytest.raises(Exception, match=r"(?i)disabled|permission|access"):
        trail.sql(f"FROM read_text('{ROOT}/README.md')").fetchall()


def test_what_is_not_whole_warns() -> None:
    with pytest.warns(CaptureWarning, match="records were lost"):
        analysis.open(DATA / "lossy")


def test_text_is_inert_and_bytes_are_exact(tmp_path: Path) -> None:
    call = {"pid": 7, "tid": 7, "syscall": "mmap", "abi": "x86_64", "ret": 0x7000000000, "size": 4096}
    vma = {"pid": 7, "tid": 7, "start": 0x7000000000, "end": 0x7000001000, "perms": "r--s", "inode": 3, "dev": 1}
    path = f"/tmp/{HOSTILE}".encode()
    capture = build_capture(
        tmp_path / "hostile",
        {
            "syscalls": [
                {**call, "ts_enter_ns": START_NS + 1, "ts_exit_ns": START_NS + 9, "comm": HOSTILE.encode()[:15]}
            ],
            "vmas": [{**vma, "ts_ns": START_NS + 5, "path": path}],
            "tasks": [{"pid": 7, "tid": 7, "event": "exec", "comm": b"\xe2\x80\xae\x1b\xff", "ts_ns": START_NS}],
        },
    )
    with analysis.open(capture) as trail:
        [row] = rows(trail.timeline().project("path"))
        assert (
            row["path"] == r"/tmp/</script><img onerror=alert(1)>\x1b[31m\u202e=1+1\012"
        )  # newlines as the kernel prints them
        assert trail.sql("SELECT path_bytes FROM vmas").fetchall() == [(path,)]
        for relation in (
            trail.timeline(), trail.summary(), trail.summary("processes"), trail.maps(7), trail.counts(), trail.diff(),
            trail.shared(file="script"), trail.edges(kind=["wx", "aliased_windows"], expected=True),
            trail.sql("FROM tasks"), trail.sql("SELECT [comm] AS names, map {comm: comm} AS both FROM syscalls"),
        ):  # fmt: skip
            assert str(rows(relation)).isprintable()
            assert "ENUM" not in str(relation.types)
        assert trail.maps_text(7).replace("\n", "").isprintable()


def test_what_sql_calls_inert_is_what_python_does() -> None:
    planes = (*range(0x20000), *range(0xE0000, 0xE0200))
    letters = [chr(code) for code in planes if not 0xD800 <= code < 0xE000]
    known = [letter for letter in letters if unicodedata.category(letter) != "Cn"]  # newer Unicode may know more
    with Engine([]) as engine:
        engine.put("letters", pa.table({"letter": known}))
        made = dict(engine.execute("SELECT letter, inert(letter) FROM letters"))
    assert made == {letter: inert(letter) for letter in known}


def test_importing_it_costs_nothing() -> None:
    program = "import analysis, sys; print(*{'duckdb', 'pyarrow', 'numpy', 'pandas'} & set(sys.modules))"
    assert subprocess.check_output([sys.executable, "-c", program], text=True, cwd=ROOT).strip() == ""
