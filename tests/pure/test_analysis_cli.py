"""`analyze` as a user runs it: output, exit statuses, signals."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.terminal import on_terminal

_ROOT = Path(__file__).parents[2]
_ANALYZE = [sys.executable, "-c", "from analysis.cli import main; main()"]
_ENDLESS = "SELECT sum(a.range * b.range) FROM range(10000000) a, range(10000000) b"
_COMM = b"\x1b[31m[b]x\n\xff"


def _environment(home: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(_ROOT),
        "HOME": str(home),
        "XDG_STATE_HOME": str(home / "state"),
        "COLUMNS": "100",
    }


@pytest.fixture
def capture(tmp_path: Path) -> Path:
    call = {"pid": 7, "tid": 7, "comm": _COMM, "abi": "x86_64"}
    calls = [
        {
            **call,
            "syscall": "mmap",
            "addr": 0,
            "size": 8192,
            "ret": 0x7F0000000000,
            "ts_enter_ns": START_NS + at,
            "ts_exit_ns": START_NS + at + 700,
        }
        for at in range(0, 23_000, 1_000)
    ]
    failing = {
        **call,
        "syscall": "remap_file_pages",
        "pgoff": 3,
        "offset_bytes": 12288,
        "ret": -22,
        "errno": 22,
        "ts_enter_ns": START_NS + SECOND,
        "ts_exit_ns": START_NS + SECOND,
    }
    return build_capture(
        tmp_path / "capture",
        {
            "syscalls": [calls, [failing] * 5],
            "faults": [
                {
                    **{name: call[name] for name in ("pid", "tid", "comm")},
                    "signal": "SIGBUS",
                    "code": 2,
                    "address": 0x7F0000001000,
                }
            ],
            "losses": [
                {"source": "calls", "cause": "ring full", "count": 3, "from_ns": START_NS, "to_ns": START_NS + SECOND}
            ],
        },
        command=["/bin/x", "\x1b[1m", "\udcff"],
        probe_plan=[{"fact": "calls", "source": "tracepoints", "state": "on", "why": "tracefs has them"}],
    )


def _run(home: Path, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*_ANALYZE, *map(str, arguments)],
        input=stdin, capture_output=True, text=True, timeout=60, env=_environment(home), check=False,
    )  # fmt: skip


def test_summary_says_what_was_recorded(tmp_path: Path, capture: Path) -> None:
    done = _run(tmp_path, "summary", capture)
    assert done.returncode == 0
    lines = done.stdout.splitlines()
    assert lines[0] == "complete"
    squeezed = [" ".join(line.split()) for line in lines]
    assert r"recorded run: /bin/x '\x1b[1m' '\udcff'" in squeezed
    assert "syscalls 28 28 28 0" in squeezed
    assert "calls ring full 1 3 0 +0.000000s +1.000000s" in squeezed
    assert "mmap x86_64 23 0 1 16.1 us 700 ns" in squeezed
    assert "remap_file_pages EINVAL 5 1 +1.000000s" in squeezed
    assert done.stderr.splitlines()[-1].startswith("hint: ask anything with: analyze sql")
    assert "\x1b" not in done.stdout + done.stderr


def test_a_recording_that_goes_on_is_said_once_and_its_command_was_not_there_before(tmp_path: Path) -> None:
    alive = {"event": "alive", "source": "proc", "pid": 7, "tid": 7, "comm": b"x"}
    path = build_capture(
        tmp_path / "live", {"tasks": [alive, {**alive, "pid": 8, "tid": 8}]}, state="recording", targets=[7]
    )
    done = _run(tmp_path, "summary", path)
    assert (done.stdout + done.stderr).count("killed: the recorder ended") == 1
    rows = [line.split()[:3] for line in done.stdout.splitlines()]
    assert ["7", "x", "run"] in rows and ["8", "x", "alive"] in rows


def test_summary_for_machines_is_one_object(tmp_path: Path, capture: Path) -> None:
    (found,) = json.loads(_run(tmp_path, "summary", capture, "--format", "json").stdout)["captures"]
    assert found["state"] == "complete"
    assert found["command"] == ["/bin/x", "\x1b[1m", "\udcff"]
    assert found["processes"][0]["comm_bytes"] == _COMM.hex()
    assert {row["syscall"]: row["calls"] for row in found["calls"]} == {"mmap": 23, "remap_file_pages": 5}


def test_a_damaged_capture_is_summed_up_with_a_warning_and_fails_check(tmp_path: Path, capture: Path) -> None:
    (capture / "syscalls" / "000002.parquet").unlink()
    done = _run(tmp_path, "summary", capture)
    assert done.returncode == 0
    assert done.stdout.splitlines()[1].startswith(
        "3 of 4 batches read; missing: syscalls/000002.parquet (missing), covers"
    )
    checked = _run(tmp_path, "check", "--files", capture, "--format", "json")
    assert checked.returncode == 1
    assert {row["file"]: row["result"] for row in json.loads(checked.stdout)} == {
        "faults/000001.parquet": "ok",
        "losses/000001.parquet": "ok",
        "syscalls/000001.parquet": "ok",
        "syscalls/000002.parquet": "missing",
    }


def test_check_of_a_whole_capture_says_yes(tmp_path: Path, capture: Path) -> None:
    assert _run(tmp_path, "check", "--files", capture).returncode == 0


def test_sql_from_an_option_a_file_and_standard_input(tmp_path: Path, capture: Path) -> None:
    file = tmp_path / "query.sql"
    file.write_text("-- how many?\nSELECT count(*) AS n FROM mmap;")
    expected = "n\r\n23\r\n"
    assert (
        _run(tmp_path, "sql", capture, "-q", file.read_text(), "--format", "csv").stdout.replace("\n", "\r\n")
        == expected
    )
    assert _run(tmp_path, "sql", capture, "--file", file, "--format", "csv").stdout.replace("\n", "\r\n") == expected
    assert (
        _run(tmp_path, "sql", capture, "--format", "csv", stdin=file.read_text()).stdout.replace("\n", "\r\n")
        == expected
    )


def test_sql_names_views_in_any_way_and_is_told_of_those_there_are(tmp_path: Path, capture: Path) -> None:
    for query in ('FROM "Mmap"', "FROM query_table('mmap')", "FROM query('FROM mm' || 'ap')", "/* it's */ FROM mmap"):
        done = _run(tmp_path, "sql", capture, "-q", f"SELECT count(*) AS n FROM ({query})", "--format", "csv")
        assert done.stdout.split() == ["n", "23"], query
    wrong = _run(tmp_path, "sql", capture, "-q", "FROM mapped_file")
    assert wrong.returncode == 2 and 'Did you mean "mapped_files"?' in wrong.stderr
    wrong = _run(tmp_path, "sql", capture, "-q", "FROM nosuch")
    assert wrong.returncode == 2 and "nosuch does not exist!\n\nhint: `analyze schema`" in wrong.stderr
    wrong = _run(tmp_path, "sql", capture, "-q", "SELECT lenn FROM mmap")
    assert wrong.returncode == 2 and 'Candidate bindings: "len"\n' in wrong.stderr
    comment = "SELECT comment IS NOT NULL AS told FROM duckdb_views() WHERE view_name = 'vmas'"
    assert _run(tmp_path, "sql", capture, "-q", comment, "--format", "csv").stdout.split() == ["told", "true"]


def test_sql_of_several_statements_prints_each_table(tmp_path: Path, capture: Path) -> None:
    done = _run(tmp_path, "sql", capture, "-q", "CREATE TEMP TABLE t AS SELECT 1 AS a; FROM t; SELECT 2 AS b")
    assert [line.split() for line in done.stdout.splitlines()] == [["a"], ["1"], [], ["b"], ["2"]]


def test_sql_to_parquet_through_a_redirection(tmp_path: Path, capture: Path) -> None:
    target = tmp_path / "rows.parquet"
    with target.open("wb") as file:
        command = [*_ANALYZE, "sql", str(capture), "-q", "FROM mmap", "--format", "parquet"]
        subprocess.run(command, stdout=file, env=_environment(tmp_path), check=True, timeout=60)
    assert pq.read_table(target)["comm_bytes"].to_pylist() == [_COMM] * 23


def test_schema_shows_arguments_with_their_marks(tmp_path: Path) -> None:
    done = _run(tmp_path, "schema", "remap_file_pages")
    rows = {line.split()[0]: line.split()[1:] for line in done.stdout.splitlines() if line}
    assert rows["start"][:4] == ["UBIGINT", "address", "U", "OPT"]
    assert rows["pgoff"][:4] == ["UBIGINT", "pages", "U", "OPT"]
    assert rows["offset_bytes"][:4] == ["UBIGINT", "bytes", "U", "OPT"]
    assert rows["ts_enter_ns"][3] == "K"
    listed = json.loads(_run(tmp_path, "schema", "mmap", "--format", "json").stdout)
    fd = next(row for row in listed if row["column"] == "fd")
    assert (fd["origin"], fd["toctou"], fd["optional"]) == ("U", True, True)


def test_schema_of_a_capture_shows_its_probes(tmp_path: Path, capture: Path) -> None:
    both = json.loads(_run(tmp_path, "schema", "faults", capture, "--format", "json").stdout)
    assert both["probe_plan"] == [{"fact": "calls", "source": "tracepoints", "state": "on", "why": "tracefs has them"}]
    assert both["columns"][0]["column"] == "ts_ns"


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["sql", "{capture}", "-q", "SELEC 1"], 2, "not SQL"),
        (["sql", "{capture}", "-q", "FROM nowhere"], 2, "nowhere does not exist"),
        (["sql", "{capture}", "-q", "SELECT nope FROM mmap"], 2, "hint: `analyze schema` lists"),
        (["sql", "{capture}", "-q", ""], 2, "the query is empty"),
        (["sql", "{capture}", "-q", "1", "--file", "x"], 2, "both --query and --file"),
        (["sql", "{capture}", "--file", "/nonexistent"], 2, "the query cannot be read"),
        (["sql", "{capture}", "-q", "SELECT 1", "--memory", "lots"], 2, "not a size"),
        (["sql", "{capture}", "-q", _ENDLESS, "--timeout", "0.3"], 1, "longer than --timeout"),
        (["summary", "{capture}", "--format", "csv"], 2, "hint: use table or json"),
        (["schema", "nothing"], 2, "neither a name in the schema nor a capture: nothing"),
        (["summary", "/nonexistent"], 3, "no such capture: /nonexistent"),
        (["summary", "x" * 300], 3, "cannot read the capture (File name too long)"),
        (["schema", "x" * 300], 2, "neither a name in the schema nor a capture: xxx"),
        (["summary", "/etc"], 3, "it has no manifest.json"),
        (["summary"], 2, "Missing argument"),
        (["dance"], 2, "No such command"),
    ],
)
def test_what_goes_wrong_is_said_with_its_own_status(
    tmp_path: Path, capture: Path, arguments: list[str], status: int, message: str
) -> None:
    done = _run(tmp_path, *(argument.format(capture=capture) for argument in arguments))
    assert (done.returncode, done.stdout) == (status, "")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_capture_of_somebody_else_is_not_permitted(tmp_path: Path, capture: Path) -> None:
    capture.chmod(0)
    other = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    command = [*other, *_ANALYZE, "summary", str(capture)]
    done = subprocess.run(command, env=_environment(tmp_path), capture_output=True, text=True, timeout=60)
    capture.chmod(0o700)
    assert done.returncode == 4, done.stderr
    assert done.stderr.startswith("error: not permitted to read: ")
    assert "\nhint: a capture belongs to who recorded it" in done.stderr


def _heed_interrupts() -> None:
    """A background job of a shell ignores SIGINT, and what it starts does too."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_a_long_query_and_leaves_nothing_behind(
    tmp_path: Path, capture: Path, number: signal.Signals, status: int
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    environment = {**_environment(tmp_path), "TMPDIR": str(folder)}
    command = [*_ANALYZE, "sql", str(capture), "-q", _ENDLESS]
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_heed_interrupts,
    ) as running:
        deadline = time.monotonic() + 30
        while not any(folder.iterdir()) and time.monotonic() < deadline:
            time.sleep(0.02)
        time.sleep(0.5)
        running.send_signal(number)
        begin = time.monotonic()
        _, errors = running.communicate(timeout=30)
    assert running.returncode == status
    assert time.monotonic() - begin < 5
    assert b"Traceback" not in errors
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("format", ["table", "arrow"])
def test_a_full_disk_is_told(tmp_path: Path, capture: Path, format: str) -> None:
    command = [*_ANALYZE, "sql", str(capture), "-q", "FROM range(30000)", "--format", format]
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run(command, env=_environment(tmp_path), stdout=full, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, done.stderr) == (2, b"error: standard output cannot be written: No space left on device\n")


@pytest.mark.parametrize("format", ["table", "json", "csv", "arrow"])
def test_a_reader_that_leaves_is_no_error(tmp_path: Path, capture: Path, format: str) -> None:
    command = [*_ANALYZE, "sql", str(capture), "-q", "FROM range(3000000)", "--format", format]
    with subprocess.Popen(
        command, env=_environment(tmp_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as running:
        assert running.stdout is not None and running.stderr is not None
        running.stdout.read(10)
        running.stdout.close()
        errors = running.stderr.read()
        assert running.wait(timeout=60) == 141
    assert errors == b""


@pytest.mark.parametrize(("name", "status"), [("capture", 141), ("missing", 3)])
def test_a_reader_of_messages_that_leaves_changes_no_answer(
    tmp_path: Path, capture: Path, name: str, status: int
) -> None:
    """1 would be an answer. What cannot be told for want of a reader is 141, an error stays what it is."""
    gone, pipe = os.pipe()
    os.close(gone)
    command = [*_ANALYZE, "edges", str(capture.with_name(name) if name == "missing" else capture)]
    done = subprocess.run(command, env=_environment(tmp_path), stdout=subprocess.DEVNULL, stderr=pipe, check=False)
    os.close(pipe)
    assert done.returncode == status


def test_help_answers_quickly_and_names_every_command(tmp_path: Path) -> None:
    times = []
    for _ in range(3):  # the machine may be busy: the best of three
        begin = time.monotonic()
        done = _run(tmp_path, "--help")
        times.append(time.monotonic() - begin)
    names = ("summary", "why", "maps", "timeline", "diff", "edges", "shared", "counts", "check", "schema", "sql")
    assert [name for name in names if f"│ {name} " not in done.stdout] == []
    assert min(times) < 0.5


def test_help_loads_neither_duckdb_nor_pyarrow(tmp_path: Path) -> None:
    slow = ("duckdb", "pyarrow", "prompt_toolkit")
    code = f"import analysis.cli, sys; print([name for name in {slow} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], env=_environment(tmp_path), capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"


def test_a_command_does_without_numpy(tmp_path: Path, capture: Path) -> None:
    code = (
        "import sys; sys.argv = sys.argv[1:]; from analysis.cli import app; app(standalone_mode=False); "
        "before = 'numpy' in sys.modules; import numpy; print(before, numpy.arange(2).tolist())"
    )
    command = [sys.executable, "-c", code, "analyze", "sql", str(capture), "-q", "FROM faults", "--format", "csv"]
    done = subprocess.run(command, env=_environment(tmp_path), capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False [0, 1]"


def test_ctrl_d_leaves_in_the_middle_of_a_statement_too(tmp_path: Path, capture: Path) -> None:
    program = [
        "env",
        f"PYTHONPATH={_ROOT}",
        f"HOME={tmp_path}",
        f"XDG_STATE_HOME={tmp_path}",
        "PROMPT_TOOLKIT_NO_CPR=1",
    ]
    with on_terminal([*program, *_ANALYZE, "sql", str(capture)]) as terminal:
        terminal.read(60, until=b"maptrail>")
        terminal.type(b"SELECT 1,\r")
        terminal.read(60, until=b"...>")
        terminal.type(b"\x04")
        assert terminal.end() == 0


def test_the_prompt_completes_runs_recovers_and_keeps_history(tmp_path: Path, capture: Path) -> None:
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 200))
    with subprocess.Popen(
        [*_ANALYZE, "sql", str(capture)],
        stdin=end, stdout=end, stderr=end, start_new_session=True, preexec_fn=_heed_interrupts,
        env=_environment(tmp_path) | {"TERM": "xterm", "PROMPT_TOOLKIT_NO_CPR": "1"},
    ) as running:  # fmt: skip
        try:
            os.close(end)
            _until(terminal, b"maptrail>")
            os.write(terminal, b"SELECT 23 * 29 AS answer FROM calls_by_sys")
            _until(terminal, b"calls_by_sys")
            os.write(terminal, b"\t")
            _until(terminal, b"call")
            os.write(terminal, b" LIMIT 1;\r")
            _until(terminal, b"667")
            os.write(terminal, b"SELECT nonsense;\r")
            _until(terminal, b"error: ")
            os.write(terminal, _ENDLESS.encode() + b";\r")
            time.sleep(1)
            running.send_signal(signal.SIGINT)
            _until(terminal, b"interrupted")
            os.write(terminal, b".quit\r")
            assert running.wait(timeout=30) == 0
        finally:
            running.kill()
    os.close(terminal)
    history = (tmp_path / "state" / "maptrail" / "sql_history").read_text()
    assert "FROM calls_by_syscall LIMIT 1;" in history


def _until(terminal: int, wanted: bytes, timeout_s: float = 20) -> bytes:
    seen = b""
    deadline = time.monotonic() + timeout_s
    while wanted not in seen:
        ready, _, _ = select.select([terminal], [], [], max(deadline - time.monotonic(), 0))
        assert ready, f"{wanted!r} did not come: {seen!r}"
        seen += os.read(terminal, 65536)
    return seen
