"""The picture's tables: rectangles with their levels of detail, the squeezed axis, blocks, signs and counts of VMAs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from analysis.capture import open_captures
from analysis.charts import drawn_of
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.picture import KINDS, Bounds, Most, lay_out
from tests.support.captures import SECOND, START_NS, build_capture
from tests.support.oracle import MAP_ANONYMOUS, MAP_PRIVATE, MAP_SHARED, PAGE, Kernel, Page

ANONYMOUS = Page("rw-p")
_NEAR, _FAR = 0x10000, 0x700000000  # pages


def _busy(short: int = 211) -> Kernel:
    """Long-lived mappings of each kind far apart, many short-lived ones, and a child."""
    kernel = Kernel()
    thread = kernel.start()
    kernel.mmap(thread, _NEAR, 16, Page("rw-s", 77, 0, b"/data/store.db"), MAP_SHARED)
    kernel.mmap(thread, _NEAR + 32, 2, Page("r-xp", 78, 0, b"/lib/code.so"), MAP_PRIVATE)
    kernel.mmap(thread, _FAR, 3, Page("rwxp"), MAP_PRIVATE | MAP_ANONYMOUS)
    kernel.mmap(thread, _FAR + 8, 3, Page("r--p", 79, 0, b"/lib/data"), MAP_PRIVATE)
    for n in range(short):
        kernel.now_ns = START_NS + 1_000_000 + n * 1_000_000
        kernel.mmap(thread, _NEAR + 64 + 2 * (n % 7), 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
        kernel.munmap(thread, _NEAR + 64 + 2 * (n % 7), 1)
    kernel.fork(thread)
    return kernel


@contextmanager
def _picture(
    directory: Path, kernel: Kernel, *asked: Any, most: Most | None = None, **more: Any
) -> Iterator[tuple[Engine, Bounds]]:
    capture = build_capture(directory / "capture", kernel.rows, **{"ended_ns": START_NS + 8 * SECOND, **more})
    with Engine(open_captures([capture])) as engine:
        yield engine, lay_out(engine, *asked, most=most, findings=["truncated_under_mapping"])


def test_everything_is_drawn_as_itself_or_stands_in_a_block(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy(), most=Most(rows=50)) as (engine, bounds):
        [(stood,)] = engine.execute("SELECT count(*) FROM timeline")
        assert bounds.rectangles == stood > 211
        assert bounds.kept == 50
        for level in range(4):
            sql = f"SELECT coalesce(sum(count), 0) FROM blocks WHERE level = {level}"
            [(hidden,)] = engine.execute(sql)
            [(drawn,)] = engine.execute(f"SELECT count(*) FROM rectangles WHERE level <= {level} AND kept")
            if level < 3:
                assert drawn + hidden == stood
        assert hidden == stood - 50  # at the last level, what is not kept
        # the long-lived ones are the first to be kept
        assert engine.execute("SELECT count(*) FROM rectangles WHERE level = 0 AND NOT kept") == [(0,)]


def test_a_level_shows_what_is_a_pixel_wide(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy()) as (engine, bounds):
        pixel = bounds.width_ns / 2048
        for level, x0, x1 in engine.execute("SELECT level, greatest(x0, 0), coalesce(x1, 9e18) FROM rectangles"):
            length = min(x1, bounds.width_ns) - x0
            assert level == 0 or length < pixel / 8 ** (level - 1)
            assert level == 3 or length >= pixel / 8**level
        assert {0, 3} <= {level for (level,) in engine.execute("SELECT DISTINCT level FROM rectangles")}


def test_blocks_are_bounded_however_many_they_stand_for(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy(499)) as (engine, _):
        [(blocks, count)] = engine.execute("SELECT count(*), sum(count) FROM blocks WHERE level = 0 AND band = 0")
        # 499 ms of 8 s are 32 columns of 512; the seven places are a few rows
        assert count == 499
        assert blocks <= 33 * 8
        assert engine.execute("SELECT min(cover) > 0 AND max(cover) <= 1 FROM blocks") == [(True,)]


def test_a_block_says_how_much_of_it_is_only_possible(tmp_path: Path) -> None:
    kernel = _busy()
    loss = {"source": "calls", "cpu": 0, "from_ns": START_NS + 50_000_000, "to_ns": START_NS + 90_000_000, "count": 3}
    kernel.rows["losses"] = [{**loss, "cause": "ring full"}]
    with _picture(tmp_path, kernel) as (engine, bounds):
        [(possible, rows)] = engine.execute("SELECT count(reason), count(*) FROM rectangles WHERE level > 1")
        assert 0 < possible < rows
        assert engine.execute("SELECT sum(possible), sum(count) FROM blocks WHERE level = 1") == [(possible, rows)]
        [(unsure,)] = engine.execute(
            "SELECT (SELECT count(*) FROM rectangles WHERE level <= 1 AND reason IS NOT NULL) "
            "+ (SELECT count(*) FROM blocks WHERE level = 1 AND possible > 0)"
        )
        assert sum(not row["certain"] for row in drawn_of(engine, bounds)) == unsure


def test_kinds_are_told_apart(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy()) as (engine, _):
        kinds = dict(
            engine.execute(
                "SELECT coalesce(nullif(path_bytes::VARCHAR, ''), kind), any_value(kind) FROM rectangles "
                "JOIN (FROM looks SELECT look, path_bytes) USING (look) WHERE band = 0 GROUP BY ALL"
            )
        )
    assert kinds["/data/store.db"] == "shared"
    assert kinds["/lib/code.so"] == "code"
    assert kinds["/lib/data"] == "file"
    assert "jit" in kinds.values()
    assert "anonymous" in kinds.values()
    assert set(kinds.values()) <= set(KINDS)


def test_the_axis_squeezes_what_was_never_mapped(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy()) as (engine, bounds):
        cells = engine.execute('SELECT band, start, "end", y0, y1, mapped FROM axis ORDER BY band, start')
        for one, next_one in pairwise(cells):
            assert one[4] > one[3]
            assert next_one[3] == pytest.approx(one[4] + (6 if next_one[0] != one[0] else 0))
            if one[0] == next_one[0]:
                assert one[2] == next_one[1]
        [gap] = [cell for cell in cells if cell[0] == 0 and cell[1] <= _FAR // 2 * PAGE < cell[2]]
        assert gap[5] is False
        assert gap[4] - gap[3] == pytest.approx(1)
        assert cells[-1][4] == pytest.approx(bounds.height)
        # a rectangle is where its addresses are, and none lies where nothing was ever mapped
        rows = engine.execute('SELECT band, start, "end", y0, y1 FROM rectangles')
        for band, start, end, y0, y1 in rows:
            within = [cell for cell in cells if cell[0] == band and cell[1] < end and cell[2] > start]
            assert all(cell[5] for cell in within)
            assert (y0, y1) == (pytest.approx(within[0][3]), pytest.approx(within[-1][4]))


def test_an_axis_of_few_cells_keeps_the_long_empty_stretches(tmp_path: Path) -> None:
    kernel = Kernel()
    thread = kernel.start()
    for n in range(97):
        kernel.mmap(thread, _NEAR + 2 * n, 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
    kernel.mmap(thread, _FAR, 1, ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS)
    with _picture(tmp_path, kernel, most=Most(edges=32)) as (engine, _):
        cells = engine.execute('SELECT start, "end", mapped FROM axis ORDER BY start')
        assert len(cells) <= 32
        assert [mapped for start, end, mapped in cells if start <= _FAR // 2 * PAGE < end] == [False]
        assert engine.execute("SELECT count(*) FROM rectangles WHERE NOT y1 > y0") == [(0,)]


def test_a_process_and_a_window_can_be_asked_for(tmp_path: Path) -> None:
    kernel = _busy()
    pids = sorted({row["pid"] for row in kernel.rows["tasks"]})
    with _picture(tmp_path, kernel, [pids[1]], "+0.3s", "+1s") as (engine, bounds):
        assert (bounds.spaces, bounds.width_ns) == (1, 700_000_000)
        assert engine.execute("SELECT pid, pids FROM shown") == [(pids[1], [pids[1]])]
        assert engine.execute("SELECT count(*) FROM rectangles WHERE x1 <= 0 OR x0 > 700000000") == [(0,)]
        with pytest.raises(UsageError, match="nothing was recorded of process: 4711"):
            lay_out(engine, [4711])


def test_of_too_many_address_spaces_the_fullest_are_shown_and_the_rest_is_counted(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy(), most=Most(spaces=1)) as (engine, bounds):
        assert (bounds.spaces, bounds.spaces_there) == (1, 2)
        assert engine.execute("SELECT began FROM shown") == [("exec",)]


def test_losses_and_findings_have_their_place(tmp_path: Path) -> None:
    kernel = _busy(3)
    losses = [
        {"source": "calls", "cpu": 1, "from_ns": START_NS + SECOND, "to_ns": START_NS + 2 * SECOND, "count": 23,
         "cause": "ring full"}
    ]  # fmt: skip
    kernel.rows["losses"] = losses
    thread = next(row for row in kernel.rows["syscalls"] if row["syscall"] == "mmap")
    cut = {
           "ts_enter_ns": START_NS + 3 * SECOND, "ts_exit_ns": START_NS + 3 * SECOND + 10, "pid": thread["pid"],
           "tid": thread["tid"], "comm": b"cutter", "abi": "x86_64", "operation": "ftruncate", "identity": "fd",
           "errno": 0, "dev": 0, "inode": 77, "generation": 0, "old_size_bytes": 16 * PAGE, "new_size_bytes": PAGE
    }  # fmt: skip
    [mapped] = [row for row in kernel.rows["vmas"] if row.get("inode") == 77]
    cut["dev"] = mapped.get("dev", 0)
    kernel.rows["files"] = [cut]
    with _picture(tmp_path, kernel) as (engine, bounds):
        loss, *found = engine.query(
            "FROM signs WHERE what IN ('loss', 'truncated_under_mapping') ORDER BY what"
        ).dicts()
        assert (loss["x0"], loss["x1"]) == (SECOND, 2 * SECOND)
        assert loss["sentence"] == "23 records of calls lost on CPU 1: ring full"
        signs = [each for each in found if each["start"] == (_NEAR + 1) * PAGE]
        assert sorted(each["band"] for each in signs) == [0, 1]  # the child has it too
        for sign in signs:
            assert sign["x0"] == 3 * SECOND
            assert 0 < sign["y0"] < sign["y1"] < bounds.height
            [(y0, y1)] = engine.execute(
                f"SELECT y0, y1 FROM rectangles WHERE band = {sign['band']} AND start = {_NEAR * PAGE} AND x1 IS NULL"
            )
            assert y0 < sign["y0"] < sign["y1"] == pytest.approx(y1)


def test_the_counts_of_vmas_are_those_of_their_view(tmp_path: Path) -> None:
    with _picture(tmp_path, _busy(), max_map_count=1000) as (engine, _):
        rows = engine.execute(
            "SELECT band, max(most), arg_max(vmas, x), any_value(limit_vmas) FROM lines_over_time "
            "GROUP BY band ORDER BY band"
        )
        want = engine.execute(
            "SELECT band, max(vmas), arg_max(vmas, ts_ns), 1000 FROM vma_counts JOIN shown USING (capture, space) "
            "GROUP BY ALL ORDER BY 1"
        )
        assert rows == want
        assert len(rows) == 2


def test_machines_share_wall_time(tmp_path: Path) -> None:
    first = build_capture(tmp_path / "first", _busy(3).rows, ended_ns=START_NS + 8 * SECOND)
    days = 3 * 86_400 * SECOND
    later = {"monotonic_ns": START_NS, "realtime_ns": 1_769_860_800 * SECOND + days}
    second = build_capture(tmp_path / "second", _busy(3).rows, ended_ns=START_NS + 8 * SECOND, clock=later)
    with Engine(open_captures([first, second])) as engine:
        bounds = lay_out(engine, findings=["beyond_eof"])
        assert bounds.width_ns == days + 8 * SECOND
        sql = "SELECT shown.capture, min(rectangles.x0) FROM rectangles JOIN shown USING (band) GROUP BY ALL"
        begun = dict(engine.execute(sql))
        assert begun["second"] - begun["first"] == days
        # eight seconds are no pixel of three days: both are blocks at first, each where it was
        assert engine.execute("SELECT min(level) FROM rectangles") == [(2,)]
        spans = engine.execute(
            "SELECT capture, min(blocks.x0) >= min(since_ns::BIGINT - zero_ns), "
            "max(blocks.x1) <= max(until_ns::BIGINT - zero_ns) "
            "FROM blocks JOIN shown USING (band) GROUP BY capture ORDER BY capture"
        )
        assert spans == [("first", True, True), ("second", True, True)]
