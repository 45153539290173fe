"""Times as people write them: `+1.5s` from the start, an ISO time, or `123ns` of CLOCK_MONOTONIC.

One grammar for every command. All arithmetic is in whole nanoseconds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal

from analysis.errors import UsageError

__all__ = ["Clock", "iso", "parse", "relative"]

_UNITS = {"ns": 1, "us": 1_000, "ms": 1_000_000, "s": 1_000_000_000, "m": 60_000_000_000}
_RELATIVE = re.compile(r"([+-])(\d+(?:\.\d+)?)(ns|us|ms|s|m)", re.ASCII)
_MONOTONIC = re.compile(r"(\d+)ns", re.ASCII)
_FRACTION = re.compile(r"(.*?[T ]\d\d:\d\d:\d\d)[.,](\d{1,9})(.*)", re.ASCII)
_HINT = "write +1.5s (also ns, us, ms, m), 2026-01-31T12:00:00.5Z, or 123ns of CLOCK_MONOTONIC"


@dataclass(frozen=True)
class Clock:
    """The clocks of one capture: its start (CLOCK_MONOTONIC, ns), and the two clocks read together once."""

    started_ns: int
    monotonic_ns: int
    realtime_ns: int


def parse(text: str, clock: Clock) -> int:
    """The CLOCK_MONOTONIC time in ns that `text` names. An ISO time without an offset is UTC.

    Raises UsageError where the text is no time.
    """
    text = text.strip()
    if match := _RELATIVE.fullmatch(text):
        sign, number, unit = match.groups()
        distance = int((Decimal(number) * _UNITS[unit]).to_integral_value())
        return clock.started_ns + (distance if sign == "+" else -distance)
    if match := _MONOTONIC.fullmatch(text):
        return int(match[1])
    return _wall_ns(text) - clock.realtime_ns + clock.monotonic_ns


def _wall_ns(text: str) -> int:
    """Nanoseconds since 1970 of an ISO time; datetime holds microseconds only, so the fraction is ours."""
    fraction = 0
    if match := _FRACTION.fullmatch(text):
        text, fraction = match[1] + match[3], int(match[2].ljust(9, "0"))
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise UsageError(f"not a time: {text}", _HINT) from None
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    distance = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (distance.days * 86_400 + distance.seconds) * 1_000_000_000 + distance.microseconds * 1_000 + fraction


def relative(ts_ns: int, clock: Clock, digits: int = 6) -> str:
    """A CLOCK_MONOTONIC time as distance from the start: `+1.234567s`, rounded down to `digits`."""
    distance = ts_ns - clock.started_ns
    whole, rest = divmod(abs(distance), 1_000_000_000)
    return f"{'-' if distance < 0 else '+'}{whole}.{f'{rest:09d}'[:digits]}s"


def iso(ts_ns: int, clock: Clock) -> str:
    """A CLOCK_MONOTONIC time as UTC wall clock with nanoseconds: `2026-01-31T12:00:00.500000000Z`."""
    seconds, rest = divmod(clock.realtime_ns + ts_ns - clock.monotonic_ns, 1_000_000_000)
    try:
        moment = datetime.fromtimestamp(seconds, UTC)
    except (ValueError, OverflowError, OSError):
        return f"{seconds}.{rest:09d} s since 1970"
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{rest:09d}Z"
