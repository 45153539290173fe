"""The engine is locked down, and everything it offers is documented."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from analysis.capture import open_captures
from analysis.dictionary import units, views
from analysis.engine import Engine, Limits, memory_available
from analysis.errors import AnalysisError, UsageError
from recorder.schema import TABLES
from recorder.syscalls import SYSCALLS
from tests.support.captures import START_NS, build_capture, edit_manifest

_HOSTILE = b"\x1b[31m\n\xff"


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    # a folder that looks like a Hive partition and like a pattern must be neither
    rows = [{"pid": 7, "comm": _HOSTILE, "ts_ns": START_NS}, {"pid": 11, "comm": "ä\u202e".encode()}]
    return build_capture(tmp_path / "pid=99" / "c[1]*", {"faults": rows})


@pytest.fixture
def engine(capture: Path) -> Iterator[Engine]:
    with Engine(open_captures([capture]), whole=True) as engine:
        yield engine


def _run(engine: Engine, sql: str) -> list[dict[str, object]]:
    (statement,) = engine.statements(sql)
    return engine.query(statement).dicts()


def test_every_view_and_column_has_a_comment(engine: Engine) -> None:
    assert _run(engine, "SELECT view_name FROM duckdb_views() WHERE NOT internal AND comment IS NULL") == []
    assert (
        _run(engine, "SELECT table_name, column_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL")
        == []
    )
    described = _run(engine, "SELECT view_name FROM duckdb_views() WHERE NOT internal")
    assert {row["view_name"] for row in described} == {*TABLES, *(call.name for call in SYSCALLS)} | {
        name for name, view in views().items() if view.kind == "view"
    }


def test_a_view_made_when_it_is_named_is_the_same(engine: Engine, capture: Path) -> None:
    for name in views():
        with Engine(open_captures([capture]), whole=False) as quick:
            columns = quick.query(f"DESCRIBE FROM {name}").dicts()
            assert columns == engine.query(f"DESCRIBE FROM {name}").dicts() != [], name


def test_a_name_is_seen_wherever_a_query_can_have_it(engine: Engine) -> None:
    """Else the timeline would silently be empty."""
    for query in ("""SELECT 1 AS "it's", (SELECT count(*) AS 'n' FROM Timeline)""", "/* don't */ FROM TIMELINE -- '"):
        engine._timeline = None
        _run(engine, query)
        assert engine._timeline is not None


def test_the_columns_of_the_dictionary_are_those_of_the_views(engine: Engine) -> None:
    there: dict[str, list[str]] = {}
    for view, column, _ in engine.columns():
        there.setdefault(view, []).append(column)
    assert there == {name: [column.name for column in view.columns] for name, view in views().items()}


def test_system_calls_have_the_kernels_argument_names() -> None:
    names = {name: [column.name for column in view.columns] for name, view in views().items()}
    expected = {
        "remap_file_pages": ["start", "size", "prot", "pgoff", "flags", "offset_bytes"],
        "mmap": ["addr", "len", "prot", "flags", "fd", "off", "pgoff"],
        "munmap": ["addr", "len"],
        "mremap": ["addr", "old_len", "new_len", "flags", "new_addr"],
        "ftruncate64": ["fd", "length_bytes"],
        "truncate": ["path", "path_bytes", "length"],
    }
    for call, arguments in expected.items():
        after = names[call].index("abi") + 1
        assert names[call][after : after + len(arguments) + 1] == [*arguments, "ret"]


def test_units_know_addresses_times_and_sizes() -> None:
    known = units()
    for name in ("addr", "start", "end", "new_addr", "ip", "shmaddr", "brk"):
        assert known[name] == "address"
    assert known["ts_ns"] == "ns, CLOCK_MONOTONIC"
    assert known["new_size_bytes"] == "bytes"
    assert known["pgoff"] == "pages"


def test_bytes_are_readable_and_kept(engine: Engine) -> None:
    assert _run(engine, "SELECT pid, comm, comm_bytes FROM faults ORDER BY pid") == [
        {"pid": 7, "comm": r"\x1B[31m\x0A\xFF", "comm_bytes": _HOSTILE},
        {"pid": 11, "comm": "ä\u202e", "comm_bytes": "ä\u202e".encode()},
    ]


def test_tables_without_rows_are_there(engine: Engine) -> None:
    for name in {*TABLES, *(call.name for call in SYSCALLS)} - {"faults"}:
        assert _run(engine, f'SELECT * FROM "{name}"') == []


def test_several_captures_stand_together_and_are_told_apart(tmp_path: Path) -> None:
    paths = [
        build_capture(tmp_path / place / "same", {"faults": [{"pid": pid}]}, host=f"host'{pid}")
        for place, pid in (("a", 7), ("b", 11))
    ]
    with Engine(open_captures(paths)) as engine:
        found = _run(engine, "SELECT capture, host, pid FROM faults ORDER BY pid")
    assert found == [
        {"capture": str(path.resolve()), "host": f"host'{pid}", "pid": pid}
        for path, pid in zip(paths, (7, 11), strict=True)
    ]


def test_a_host_name_of_any_bytes_does_no_harm(tmp_path: Path) -> None:
    path = build_capture(tmp_path / "c", {"faults": [{"pid": 7}]}, host="x'; DROP\x1b\udcff\"")
    with Engine(open_captures([path])) as engine:
        assert _run(engine, "SELECT host FROM faults") == [{"host": "x'; DROP\x1b\\udcff\""}]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1",
        "FROM faults",
        "DESCRIBE mmap",
        "SHOW TABLES",
        "SUMMARIZE faults",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "EXPLAIN (FORMAT json) FROM faults",
        "/* ä */ EXPLAIN /* copy */ ANALYZE SELECT 'ä'",
        "CREATE TEMP TABLE mine AS FROM faults",
        "CREATE MACRO twice(a) AS 2 * a",
        "PIVOT faults ON signal USING count(*)",
    ],
)
def test_reading_is_allowed(engine: Engine, sql: str) -> None:
    _run(engine, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN /* SELECT 1 */ (ANALYZE) COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPLAIN -- SELECT\n ANALYZE COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "PREPARE p AS COPY (SELECT 1) TO '{file}' (FORMAT parquet, USE_TMP_FILE false)",
        "EXPORT DATABASE '{file}.d'",
        "ATTACH '{file}.db'",
        "SET memory_limit = '1TB'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "CALL enable_logging(storage = 'file', storage_path = '{file}.log')",
        "PRAGMA enable_profiling",
    ],
)
def test_writing_and_configuring_are_refused(engine: Engine, capture: Path, sql: str) -> None:
    file = capture / "faults" / "000001.parquet"
    before = hashlib.sha256(file.read_bytes()).hexdigest()
    with pytest.raises(UsageError, match="a capture is only read"):
        _run(engine, sql.format(file=file))
    assert hashlib.sha256(file.read_bytes()).hexdigest() == before


@pytest.mark.parametrize(
    "sql",
    [
        "FROM read_text('/etc/hostname')",
        "FROM read_csv('/etc/passwd')",
        "FROM glob('/*')",
        "FROM '/etc/passwd'",
        "FROM read_parquet('https://localhost/x.parquet')",
        "FROM enable_logging(storage = 'file', storage_path = '/tmp/log')",
        "FROM enable_profiling(save_location = '/tmp/profile')",
        "FROM engine",  # a Python variable
    ],
)
def test_nothing_outside_the_capture_can_be_reached(engine: Engine, sql: str) -> None:
    with pytest.raises(UsageError):
        _run(engine, sql)


def test_files_of_the_capture_that_were_not_checked_cannot_be_read(engine: Engine, capture: Path) -> None:
    (capture / "faults" / "000002.parquet").write_bytes((capture / "faults" / "000001.parquet").read_bytes())
    with pytest.raises(UsageError, match="may read the capture only"):
        _run(engine, f"FROM read_parquet('{capture}/faults/000002.parquet')")


def test_what_a_recorder_deletes_meanwhile_is_still_read(capture: Path) -> None:
    edit_manifest(capture, state="recording")
    lock = os.open(capture, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)  # as a recorder does
    try:
        [opened] = open_captures([capture])
        with Engine([opened]) as engine:
            assert opened.state == "growing"
            [before] = _run(engine, "SELECT count(*) AS faults FROM faults")
            for file in capture.glob("*/*.parquet"):
                file.unlink()
            assert [before] == _run(engine, "SELECT count(*) AS faults FROM faults")
        with Engine([opened]) as engine:  # also when nothing of it was read before
            assert [before] == _run(engine, "SELECT count(*) AS faults FROM faults")
    finally:
        os.close(lock)
    assert before["faults"] == 2


def test_a_query_over_its_time_ends(capture: Path) -> None:
    with (
        Engine(open_captures([capture]), Limits(timeout_s=0.2)) as engine,
        pytest.raises(AnalysisError, match="longer than"),
    ):
        _run(engine, "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b")


def test_a_query_over_its_memory_ends_and_says_so(capture: Path) -> None:
    with (
        Engine(open_captures([capture]), Limits(memory_bytes=20 << 20)) as engine,
        pytest.raises(AnalysisError, match="needs more memory") as error,
    ):
        _run(engine, "SELECT length(string_agg(repeat('x', 1000), '')) FROM range(100000)")
    assert error.value.hint == "give it more with --memory"


def test_a_query_over_its_memory_and_its_disk_says_so(capture: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("analysis.engine._SPILL_MOST", 1 << 20)
    with (
        Engine(open_captures([capture]), Limits(memory_bytes=64 << 20)) as engine,
        pytest.raises(AnalysisError, match="does not fit on the disk either") as error,
    ):
        _run(
            engine,
            "SELECT count(*) FROM (SELECT random() AS a, random() AS b FROM range(10000000) ORDER BY a) WHERE b > 0",
        )
    assert "TMPDIR" in error.value.hint


def test_rows_left_unread_end_the_query_and_leave_nothing_behind(
    capture: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    with Engine(open_captures([capture])) as engine:
        assert len(list(folder.iterdir())) == 1
        rows = engine.query("SELECT * FROM range(100000000)")
        next(iter(rows))
        assert engine.query("SELECT 23 AS n").dicts() == [{"n": 23}]
    assert list(folder.iterdir()) == []


def test_memory_is_that_of_the_tightest_cgroup(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/outer/inner\n")
    inner = tmp_path / "sys/fs/cgroup/outer/inner"
    inner.mkdir(parents=True)
    (inner / "memory.max").write_text("max\n")
    unlimited = memory_available(tmp_path)
    (inner.parent / "memory.max").write_text("67108864\n")
    assert memory_available(tmp_path) == 64 << 20 < unlimited


def test_memory_limits_of_cgroup_version_1_count(tmp_path: Path) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("5:cpu,cpuacct:/a\n4:memory:/docker/1\n")
    folder = tmp_path / "sys/fs/cgroup/memory"  # inside a container the path given is the host's
    folder.mkdir(parents=True)
    (folder / "memory.limit_in_bytes").write_text("67108864\n")
    assert memory_available(tmp_path) == 64 << 20
