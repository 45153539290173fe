"""Text, sizes and times as people see them."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.errors import UsageError
from analysis.text import duration, inert, size
from analysis.times import Clock, iso, parse, relative

_CLOCK = Clock(started_ns=1_000_000_000_000, monotonic_ns=1_000_000_000_500, realtime_ns=1_769_860_800_000_000_500)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain äöü 漢 [red]x[/red]'\"\\", "plain äöü 漢 [red]x[/red]'\"\\"),
        ("\x1b[31m", "\\x1b[31m"),
        ("a\nb\r\t", "a\\x0ab\\x0d\\x09"),
        ("\x7f\x9b", "\\x7f\\x9b"),
        ("\u202egpj.exe\u2066\u061c\u200f", "\\u202egpj.exe\\u2066\\u061c\\u200f"),
        ("a\u200bb\ufeff\u2028", "a\\u200bb\\ufeff\\u2028"),
        ("\udcff", "\\udcff"),
        ("\U000e0041", "\\U000e0041"),
    ],
)
def test_what_is_not_plainly_visible_is_escaped(text: str, shown: str) -> None:
    assert inert(text) == shown


@given(st.text(st.characters()))
def test_inert_text_has_no_controls_and_no_format_characters(text: str) -> None:
    # the judge is the Unicode database, not isprintable
    assert not [char for char in inert(text) if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Zl", "Zp")]


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, "0 B"), (1023, "1023 B"), (1024, "1 KiB"), (1536, "1.5 KiB"), (1 << 30, "1 GiB"), (2**64 - 1, "16 EiB")],
)
def test_sizes_are_in_binary_units(count: int, shown: str) -> None:
    assert size(count) == shown


@pytest.mark.parametrize(
    ("ns", "shown"), [(0, "0 ns"), (999, "999 ns"), (1_500, "1.5 us"), (12_250_000, "12.25 ms"), (90 * 10**9, "90 s")]
)
def test_durations_are_in_the_largest_unit_with_a_whole_part(ns: int, shown: str) -> None:
    assert duration(ns) == shown


@pytest.mark.parametrize(
    ("text", "from_start_ns"),
    [
        ("+1.5s", 1_500_000_000),
        ("+0.000000001s", 1),
        ("+250ms", 250_000_000),
        ("+3us", 3_000),
        ("+7ns", 7),
        ("+2m", 120_000_000_000),
        ("-1s", -1_000_000_000),
        ("1000000000042ns", 42),
        ("2026-01-31T12:00:01Z", 1_000_000_000),
        ("2026-01-31 12:00:01", 1_000_000_000),
        ("2026-01-31T13:00:00.123456789+01:00", 123_456_789),
    ],
)
def test_the_three_ways_to_write_a_time(text: str, from_start_ns: int) -> None:
    assert parse(text, _CLOCK) == _CLOCK.started_ns + from_start_ns


@pytest.mark.parametrize(
    "text", ["", "1.5s", "+s", "+1.5h", "1.5ns", "noon", "+1e3s", "2026-13-01T00:00:00", "+\u0661s"]
)
def test_what_is_no_time_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="not a time"):
        parse(text, _CLOCK)


@given(st.integers(0, 2**62))
def test_a_printed_wall_time_reads_back_to_the_nanosecond(ts_ns: int) -> None:
    assert parse(iso(ts_ns, _CLOCK), _CLOCK) == ts_ns


@given(st.integers(0, 2**63))
def test_a_printed_relative_time_reads_back_to_the_nanosecond(ts_ns: int) -> None:
    assert parse(relative(ts_ns, _CLOCK, digits=9), _CLOCK) == ts_ns
