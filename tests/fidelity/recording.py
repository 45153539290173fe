"""Record a workload whose processes are stopped at random moments, so that the kernel's maps are there to judge by."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

from tests.fidelity.workloads import Workload, members
from tests.support.recordings import record_host
from tests.support.workloads import build

__all__ = ["record"]

_HELD_S = 1.3  # longer than the time between two checkpoints
_TOGETHER = 4  # as many are stopped at once at most


def record(workload: Workload, directory: Path, seed: int, seconds: float | None = None) -> tuple[Path, list[int]]:
    """The capture of a run, and the processes of the workload that stood still for its final readings."""
    chance = random.Random(seed)
    capture, place = directory / "capture", directory / "work"
    place.mkdir(parents=True)
    with _some_32bit_process(directory), record_host(capture, "--checkpoint-every", "1s", "--freeze"):
        leader = workload.start(place, seed)
        try:
            _disturb(leader.pid, chance, seconds or workload.seconds, workload.settles)
            held = _hold(leader.pid)
            if not held:
                raise AssertionError(f"{workload.name} ended by itself: {(place / 'output').read_bytes()[-500:]!r}")
            # leaving the block ends the recording with final readings
        except BaseException:
            _end(leader.pid)
            raise
    _end(leader.pid)
    leader.wait()
    return capture, held


@contextlib.contextmanager
def _some_32bit_process(directory: Path) -> Iterator[None]:
    """With one there from the start, 32-bit calls are recorded from the start: no first ones are lost."""
    settled = directory / "settled"
    settled.mkdir()
    process = subprocess.Popen(
        [build("everycause", 32), "alone", "1", "20", "map"], cwd=settled, stdout=subprocess.PIPE
    )
    try:
        assert process.stdout
        process.stdout.readline()
        yield
    finally:
        process.kill()
        process.wait()


def _disturb(session: int, chance: random.Random, seconds: float, settles: bool) -> None:
    """Stop some processes at a random moment, again and again, each time until a checkpoint has read them."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        time.sleep(chance.uniform(0.01, 0.5))
        alive = members(session)
        if settles and alive and all(_stopped(pid) for pid in alive):
            return
        chosen = chance.sample(alive, min(len(alive), chance.randrange(1, _TOGETHER + 1)))
        for pid in chosen:
            _signal(pid, signal.SIGSTOP)
        time.sleep(_HELD_S)
        for pid in chosen:
            _signal(pid, signal.SIGCONT)


def _hold(session: int) -> list[int]:
    """Stop every process of the session, those included that are born meanwhile."""
    held: list[int] = []
    while fresh := [pid for pid in members(session) if pid not in held]:
        for pid in fresh:
            _signal(pid, signal.SIGSTOP)
        held += fresh
        patience = time.monotonic() + 5  # many threads on a busy machine take a while to stop
        time.sleep(0.1)
        while time.monotonic() < patience and not all(_stopped(pid) for pid in fresh if pid in members(session)):
            time.sleep(0.05)
    return [pid for pid in held if _stopped(pid)]


def _end(session: int) -> None:
    while alive := members(session):
        for pid in alive:
            _signal(pid, signal.SIGKILL)
        time.sleep(0.02)


def _stopped(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()[0] in "Tt"
    return False


def _signal(pid: int, number: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
