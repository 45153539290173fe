"""A process in doubt is read once the loss is over, and within a second while it goes on."""

from __future__ import annotations

import time

import pytest

from recorder.resync import Resync


class Clock:
    now_ns = 10_000_000_000

    def monotonic_ns(self) -> int:
        return self.now_ns


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(time, "monotonic_ns", clock.monotonic_ns)
    return clock


def test_nothing_is_due_without_a_doubt() -> None:
    assert Resync(lambda: [1]).due() is None


def test_a_loss_is_waited_out(clock: Clock) -> None:
    resync = Resync(list)
    resync.doubt([7], "records were lost")
    assert resync.due() == ([7], "resync: records were lost")  # the first at once: it ends the doubt so far
    resync.doubt([7, 5], "records were lost")
    clock.now_ns += 100_000_000
    assert resync.due() is None
    clock.now_ns += 150_000_000
    assert resync.due() == ([5, 7], "resync: records were lost")
    assert resync.due() is None


def test_a_loss_without_end_is_read_every_second(clock: Clock) -> None:
    resync = Resync(list)
    readings = 0
    for _ in range(50):
        resync.doubt([7], "records were lost")
        readings += resync.due() is not None
        clock.now_ns += 100_000_000
    assert readings == 5


def test_a_loss_that_may_be_anyone_s_has_all_read() -> None:
    resync = Resync(lambda: [3, 1])
    resync.doubt([9], "records were lost")
    resync.doubt(None, "records were lost")
    assert resync.due() == ([1, 3, 9], "resync: records were lost")


def test_a_doubt_that_is_no_loss_is_read_at_once(clock: Clock) -> None:
    resync = Resync(list)
    resync.doubt([1], "records were lost")
    resync.due()
    clock.now_ns += 300_000_000
    resync.doubt([4], "the first 32-bit image", lost=False)
    assert resync.due() == ([4], "resync: the first 32-bit image")
