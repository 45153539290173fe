"""The side-band of real processes, against /proc/PID/maps and what the workload was told to do."""

from __future__ import annotations

import fcntl
import os
import resource
import shutil
import signal
import struct
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from recorder.perfring import PerfError, PerfRings
from recorder.sideband import RawChunk, SidebandDecoder, SidebandLoss
from tests.support.requirements import requires

PAGE = 4096
FS_IOC_GETVERSION = 0x80087601
RING = 4 << 20
Rows = list[dict[str, Any]]


@pytest.fixture(scope="session")
def workload(tmp_path_factory: pytest.TempPathFactory) -> Path:
    compiler = shutil.which("cc")
    requires(compiler, "this needs a C compiler (cc)")
    program = tmp_path_factory.mktemp("sideband") / "workload"
    source = Path(__file__).with_name("test_sideband_workload.c")
    subprocess.run([str(compiler), "-O1", "-Wall", "-pthread", "-o", program, source], check=True)
    return program


class Running:
    """A workload that waits to be let go."""

    def __init__(self, *command: object) -> None:
        self.process = subprocess.Popen(
            [os.fsencode(str(part)) if not isinstance(part, bytes) else part for part in command],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0,
        )  # fmt: skip
        self.pid = self.process.pid
        self._expect(b"ready\n")

    def _expect(self, line: bytes) -> None:
        assert self.process.stdout
        assert self.process.stdout.readline() == line

    def work(self) -> None:
        """Let it work; returns when it has, while it still lives."""
        self.start()
        self._expect(b"done\n")

    def start(self) -> None:
        assert self.process.stdin
        self.process.stdin.write(b"x")

    def end(self) -> None:
        self.start()
        assert self.process.wait(20) == 0
        for pipe in (self.process.stdin, self.process.stdout):
            assert pipe
            pipe.close()


@pytest.fixture
def run(workload: Path) -> Iterator[Callable[..., Running]]:
    running: list[Running] = []

    def start(*arguments: object) -> Running:
        running.append(Running(workload, *arguments))
        return running[-1]

    yield start
    for one in running:
        one.process.kill()
        one.process.wait()


@contextmanager
def opened(mode: str, pid: int, ring_bytes: int = RING) -> Iterator[PerfRings]:
    with PerfRings.open_host(ring_bytes) if mode == "host" else PerfRings.open_tasks([pid], ring_bytes) as rings:
        yield rings


both = pytest.mark.parametrize("mode", ["host", "tasks"])


def sorted_rows(table: pa.Table, pid: int | None = None) -> Rows:
    rows: Rows = table.sort_by("ts_ns").to_pylist()
    return [row for row in rows if pid in (None, row["pid"])]


def lost_of(losses: list[SidebandLoss]) -> int:
    return sum(loss[4] or 0 for loss in losses)


def pages_by_records(rows: Rows) -> dict[int, tuple[Any, ...]]:
    """Address -> what is mapped there, by applying the records one after another; they only ever add or replace."""
    pages: dict[int, tuple[Any, ...]] = {}
    for row in rows:
        for number, address in enumerate(range(row["start"], row["end"], PAGE)):
            anonymous = not row["inode"]
            file = None if anonymous else (row["pgoff"] + number, row["dev"], row["inode"], row["path"])
            pages[address] = (row["perms"], file)
    return pages


def pages_by_kernel(pid: int) -> dict[int, tuple[Any, ...]]:
    """The same from /proc/PID/maps."""
    pages: dict[int, tuple[Any, ...]] = {}
    for line in Path(f"/proc/{pid}/maps").read_bytes().split(b"\n")[:-1]:
        span, perms, offset, dev, inode, *path = line.split(None, 5)
        start, end = (int(part, 16) for part in span.split(b"-"))
        major, minor = (int(part, 16) for part in dev.split(b":"))
        for number, address in enumerate(range(start, end, PAGE)):
            name = path[0].replace(b"\\012", b"\n") if path else b""
            file = (int(offset, 16) // PAGE + number, major << 20 | minor, int(inode), name) if int(inode) else None
            pages[address] = (perms.decode(), file)
    return pages


def hostile_files(folder: Path) -> list[bytes]:
    base = os.fsencode(folder)
    names = [b"plain", b"new\nline", b"\x1b[31mred", b"\xff\xfe\x80", "\u202egnp.exe".encode(), b"[b]'\";--", b"a b "]
    paths = [base + b"/" + name for name in names]
    deep = base
    while len(deep) < 3800:
        deep += b"/" + b"d" * 200
    os.makedirs(deep)
    # d_path() has PATH_MAX - 8 bytes, the closing NUL among them (perf_event_mmap_event)
    paths.append(deep + b"/" + b"f" * (4087 - len(deep) - 1))
    for path in paths:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, 16 * PAGE)
        os.close(fd)
    return paths


@both
def test_vmas_are_those_of_proc_maps(mode: str, run: Callable[..., Running], tmp_path: Path) -> None:
    paths = hostile_files(tmp_path)
    child = run("files", *paths)
    with opened(mode, child.pid) as rings:
        child.work()
        kernel = pages_by_kernel(child.pid)
        child.end()
        decoded = SidebandDecoder({os.getpid()}).decode(rings.drain())
        assert rings.lost_total() == dict.fromkeys(rings.lost_total() or {}, 0)
    rows = sorted_rows(decoded.tables["vmas"], child.pid)
    assert len(rows) == 2 + 5 * len(paths)
    pages = pages_by_records(rows)
    assert len(pages) >= 5 + 3 + 10 * len(paths)  # more where the kernel merged new memory with old
    assert pages == {address: kernel[address] for address in pages}
    inodes = {(os.stat(path).st_ino, path) for path in paths}
    assert {(row["inode"], row["path"]) for row in rows[2:]} == inodes
    assert [row["event"] for row in sorted_rows(decoded.tables["tasks"], child.pid)] == ["exit"]
    if mode == "tasks":
        assert set(decoded.tables["vmas"]["pid"].to_pylist()) == {child.pid}
        assert decoded.records == len(rows) + 1


@both
def test_a_path_too_long_for_the_kernel_is_said_to_be(mode: str, run: Callable[..., Running], tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    while len(folder) < 3800:
        folder += b"/" + b"d" * 200
    os.makedirs(folder)
    path = folder + b"/" + b"f" * (4088 - len(folder) - 1)
    fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    os.ftruncate(fd, 16 * PAGE)
    os.close(fd)
    child = run("files", path)
    with opened(mode, child.pid) as rings:
        child.work()
        decoded = SidebandDecoder().decode(rings.drain())
    assert [row["path"] for row in sorted_rows(decoded.tables["vmas"], child.pid)][2:] == [b"//toolong"] * 5


def test_generation_is_the_inodes(run: Callable[..., Running], tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(16 * PAGE))
    child = run("files", path)
    with path.open() as file:
        try:
            answer = fcntl.ioctl(file, FS_IOC_GETVERSION, bytes(8))
        except OSError as error:
            requires(False, f"the file system of {tmp_path} does not tell inode generations: {error.strerror}")
    with opened("tasks", child.pid) as rings:
        child.work()
        decoded = SidebandDecoder().decode(rings.drain())
    rows = sorted_rows(decoded.tables["vmas"])[2:]
    (generation,) = struct.unpack_from("<I", answer)
    assert generation
    assert [row["generation"] for row in rows] == [generation] * 5


def test_targets_are_followed_through_threads_fork_and_exec_and_no_one_else_is(
    run: Callable[..., Running], workload: Path
) -> None:
    child, other = run("tree"), run("protects", 997)
    with opened("tasks", child.pid) as rings:
        other.work()
        child.work()
        child.end()
        other.end()
        decoded = SidebandDecoder().decode(rings.drain())
        assert rings.final_losses() == []
    tasks, vmas = sorted_rows(decoded.tables["tasks"]), sorted_rows(decoded.tables["vmas"])
    forks = [row for row in tasks if row["event"] == "fork"]
    thread, process = forks
    assert (thread["pid"], thread["parent_pid"], thread["parent_tid"]) == (child.pid, child.pid, child.pid)
    assert thread["tid"] != child.pid
    assert (process["parent_pid"], process["parent_tid"]) == (child.pid, child.pid)
    grandchild = process["pid"]
    assert process["tid"] == grandchild
    assert grandchild not in (child.pid, other.pid)
    assert {row["pid"] for row in tasks + vmas} == {child.pid, grandchild}
    exits = [(row["pid"], row["tid"]) for row in tasks if row["event"] == "exit"]
    assert exits == [(child.pid, thread["tid"]), (grandchild, grandchild), (child.pid, child.pid)]
    (execed,) = [row for row in tasks if row["event"] == "exec"]
    assert (execed["pid"], execed["comm"]) == (grandchild, b"workload")
    mapped_by_thread = [row for row in vmas if row["start"] == 0x200000000000]
    assert [row["tid"] for row in mapped_by_thread] == [thread["tid"]]
    of_grandchild = [row for row in vmas if row["pid"] == grandchild]
    before = [row for row in of_grandchild if row["ts_ns"] < execed["ts_ns"] and row["path"] == b"//anon"]
    assert len(before) >= 23
    after = [row for row in of_grandchild if row["ts_ns"] > execed["ts_ns"]]
    assert os.fsencode(workload) in {row["path"] for row in after}


@both
def test_a_process_about_to_exec_is_recorded_from_the_start(mode: str) -> None:
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(write_end)
        os.read(read_end, 1)
        os.execv("/bin/true", ["true"])
    os.close(read_end)
    with opened(mode, pid) as rings:
        os.close(write_end)
        assert os.waitpid(pid, 0)[1] == 0
        decoded = SidebandDecoder({os.getpid()}).decode(rings.drain())
    tasks = sorted_rows(decoded.tables["tasks"], pid)
    assert [row["event"] for row in tasks] == ["exec", "exit"]
    assert tasks[0]["comm"] == b"true"
    image = os.fsencode(os.path.realpath("/bin/true"))
    assert image in {row["path"] for row in sorted_rows(decoded.tables["vmas"], pid)}


def test_a_stopped_process_can_be_attached(run: Callable[..., Running]) -> None:
    child = run("protects", 23)
    os.kill(child.pid, signal.SIGSTOP)
    with opened("tasks", child.pid) as rings:
        os.kill(child.pid, signal.SIGCONT)
        child.work()
        decoded = SidebandDecoder().decode(rings.drain())
    assert decoded.tables["vmas"].num_rows == 23


@pytest.mark.parametrize("pages", [1, 2, 4])
@pytest.mark.parametrize("command", ["protects", "forked-protects"])
def test_stored_and_lost_are_what_was_attempted(run: Callable[..., Running], command: str, pages: int) -> None:
    """The rings are drained twice only, so nearly all is lost; some of it after the last LOST record."""
    count = 10_007
    child = run(command, count)
    began_ns = time.monotonic_ns()
    with opened("tasks", child.pid, pages * PAGE) as rings:
        decoder = SidebandDecoder()
        child.work()
        first = decoder.decode(rings.drain())
        child.end()
        second = decoder.decode(rings.drain())
        rings.disable()
        last = rings.final_losses()
        totals = rings.lost_total()
    requires(totals is not None, "this kernel does not tell what an event lost (PERF_FORMAT_LOST)")
    assert totals
    # MMAP2 records, and the EXIT of each process; a forked child also copies no mapping, but has a FORK record
    attempted = count + 1 + (2 if command == "forked-protects" else 0)
    # the forked child's stack is written to, which reports nothing; a stack that grows would be counted here
    stored = sum(table.num_rows for part in (first, second) for table in part.tables.values())
    losses = first.losses + second.losses + last
    assert stored + lost_of(losses) == attempted
    assert lost_of(losses) == sum(totals.values()) > attempted // 2
    for _, _, from_ns, to_ns, _, _ in losses:
        assert began_ns <= from_ns <= to_ns <= time.monotonic_ns()


def test_what_is_lost_before_a_stored_record_is_placed_between_its_neighbours(run: Callable[..., Running]) -> None:
    child = run("protects", 10_007)
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(child.pid, {cpu})
    with opened("tasks", child.pid, PAGE) as rings:
        decoder = SidebandDecoder()
        child.work()
        first = decoder.decode(rings.drain())
        drained_ns = time.monotonic_ns()
        child.end()  # its EXIT record finds room, with the LOST record before it
        second = decoder.decode(rings.drain())
        rings.disable()
        assert rings.final_losses() == []
    (loss,) = second.losses
    last_stored = first.tables["vmas"]["ts_ns"].to_pylist()[-1]
    (exited,) = second.tables["tasks"].to_pylist()
    assert loss[:4] == ("sideband", cpu, last_stored, exited["ts_ns"])
    assert last_stored < drained_ns < exited["ts_ns"]
    assert loss[4] == 10_007 - first.tables["vmas"].num_rows


@pytest.mark.parametrize(("count", "lost"), [(23, 0), (10_007, 1)])
def test_where_no_one_counts_the_last_losses_a_full_ring_is_a_gap_of_unknown_size(
    run: Callable[..., Running], monkeypatch: pytest.MonkeyPatch, count: int, lost: int
) -> None:
    # a format that no kernel knows is refused as PERF_FORMAT_LOST is before 6.0
    monkeypatch.setattr("recorder.perfring._FORMAT_LOST", 1 << 40)
    child = run("protects", count)
    cpu = min(os.sched_getaffinity(0))
    os.sched_setaffinity(child.pid, {cpu})
    with opened("tasks", child.pid, 4 * PAGE) as rings:
        child.work()
        decoded = SidebandDecoder().decode(rings.drain())
        rings.disable()
        assert rings.lost_total() is None
        losses = rings.final_losses()
    last_ns = decoded.tables["vmas"]["ts_ns"].to_pylist()[-1]
    assert [(loss[1], loss[2], loss[4]) for loss in losses] == [(cpu, last_ns, None)] * lost


def test_a_ring_drained_while_it_is_written_goes_round_and_round(run: Callable[..., Running]) -> None:
    count = 1_000_003  # a second's worth: it still writes when five rings' worth were read
    rounds = 5 * 16 * PAGE
    child = run("protects", count)
    with opened("tasks", child.pid, 16 * PAGE) as rings:
        chunks: list[RawChunk] = []
        child.start()
        until = time.monotonic() + 60
        while max((chunk.position for chunk in chunks), default=0) <= rounds and time.monotonic() < until:
            chunks += rings.drain()
        child._expect(b"done\n")
        chunks += rings.drain()
        decoded = SidebandDecoder().decode(chunks)
        rings.disable()
        lost = lost_of(decoded.losses) + lost_of(rings.final_losses())
    assert max(chunk.position for chunk in chunks) > rounds
    assert decoded.tables["vmas"].num_rows + lost == count


def test_many_chunks_hold_every_record_in_order(run: Callable[..., Running]) -> None:
    count = 50_021  # more than two chunks of 2 MiB
    child = run("protects", count)
    with opened("tasks", child.pid, 2 * RING) as rings:
        child.work()
        chunks = list(rings.drain())
        decoded = SidebandDecoder().decode(chunks)
        assert list(rings.drain()) == []
    assert len(chunks) > 2
    assert decoded.tables["vmas"].num_rows == count
    starts = set(decoded.tables["vmas"]["start"].to_pylist())
    assert len(starts) == 1
    perms = [row["perms"] for row in sorted_rows(decoded.tables["vmas"])]
    assert perms == ["r--p" if i % 2 == 0 else "rw-p" for i in range(count)]


def test_a_thread_attached_twice_is_recorded_once(run: Callable[..., Running]) -> None:
    child = run("threaded", 97)
    with opened("tasks", child.pid) as rings:
        rings.add(child.pid)
        child.work()
        child.end()
        decoded = SidebandDecoder().decode(rings.drain())
    assert decoded.tables["vmas"].num_rows == 97
    assert decoded.repeats >= 97
    tasks = sorted_rows(decoded.tables["tasks"])
    assert [row["event"] for row in tasks] == ["exit", "exit"]


def test_threads_born_while_attaching_are_recorded_once_each(run: Callable[..., Running]) -> None:
    count = 211
    child = run("chain", count)
    with PerfRings.open_tasks([], RING) as rings:
        child.start()
        rings.add(child.pid)
        attached_ns = time.monotonic_ns()
        child._expect(b"done\n")
        decoded = SidebandDecoder().decode(rings.drain())
    rows = [row for row in sorted_rows(decoded.tables["vmas"]) if 0x300000000000 <= row["start"] < 0x310000000000]
    starts = [row["start"] for row in rows]
    assert len(starts) == len(set(starts))
    # the threads count down: once one is seen, all after it are
    assert starts == [0x300000000000 + left * 2 * PAGE for left in reversed(range(len(starts)))]
    later = [row for row in rows if row["ts_ns"] > attached_ns]
    assert later == rows[len(rows) - len(later) :]


def test_a_process_that_is_gone_is_said_to_be() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # a zombie now
    for _ in range(2):
        with pytest.raises(PerfError, match=f"no such process: {child.pid}"):
            PerfRings.open_tasks([child.pid], RING)
        child.wait()


def in_child(body: Callable[[], None]) -> None:
    """Run `body` in a process of its own, which may give up its rights."""
    pid = os.fork()
    if pid == 0:
        try:
            body()
            os._exit(0)
        except BaseException as error:
            os.write(2, f"{error!r}\n".encode())
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


def test_without_rights_the_error_says_what_to_do() -> None:
    paranoid = int(Path("/proc/sys/kernel/perf_event_paranoid").read_text())
    requires(paranoid > 0, "kernel.perf_event_paranoid lets everyone record the machine")

    def body() -> None:
        os.setgid(65534)
        os.setuid(65534)
        with pytest.raises(PerfError, match="the kernel refuses the perf side-band: ") as caught:
            PerfRings.open_host(RING)
        assert "CAP_PERFMON" in caught.value.hint

    in_child(body)


def test_the_soft_limit_of_open_files_is_raised_and_the_hard_one_reported(run: Callable[..., Running]) -> None:
    child = run("threaded", 23)

    def taken() -> int:
        """How many fds there are once every gap below the highest is filled."""
        return max(os.dup(0) for _ in range(64)) + 1

    def raised() -> None:
        resource.setrlimit(resource.RLIMIT_NOFILE, (taken() + 3, 4096))
        with opened("tasks", child.pid):
            assert resource.getrlimit(resource.RLIMIT_NOFILE) == (4096, 4096)

    def refused() -> None:
        limit = taken() + 3
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
        with pytest.raises(PerfError, match="Too many open files") as caught:
            PerfRings.open_tasks([child.pid], RING)
        assert f"now {limit}" in caught.value.hint

    in_child(raised)
    in_child(refused)


def test_a_closed_ring_gives_everything_back() -> None:
    before = os.listdir("/proc/self/fd")
    for _ in range(3):
        rings = PerfRings.open_host(RING)
        chunks = list(rings.drain())
        rings.close()
        rings.close()
    assert len(os.listdir("/proc/self/fd")) == len(before)
    assert b"perf_event" not in Path("/proc/self/maps").read_bytes()
    assert all(chunk.words[chunk.bounds[0]] for chunk in chunks)
