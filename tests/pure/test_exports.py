"""`analyze export`: what was written is read back by the format's own library, and holds what the capture holds."""

from __future__ import annotations

import csv
import errno
import stat
import subprocess
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as perfetto

import analysis
from analysis.dictionary import views
from analysis.errors import UsageError
from analysis.exports import file_names
from analysis.perfetto import lanes
from analysis.replacing import check_output, replacing
from analysis.text import inert
from analysis.trail import Trail
from tests.support.captures import START_NS, build_capture
from tests.support.commands import analyze

DATA = Path(__file__).resolve().parents[2] / "data"
BAD = "</script>\x1b[31m\u202e\n"
BYTES = b"/tmp/" + BAD.encode() + b"x" * 4000


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    call = {"pid": 7, "tid": 7, "abi": "x86_64", "syscall": "mmap", "size": 4096, "comm": b"=1+1\x1b\xff"}
    vma = {"pid": 7, "tid": 7, "start": 0x7000000000, "end": 0x7000001000, "perms": "r--s", "inode": 3, "dev": 1}
    return build_capture(
        tmp_path_factory.mktemp("exports") / "hostile",
        {
            "syscalls": [
                {**call, "ts_enter_ns": START_NS + 1, "ts_exit_ns": START_NS + 9, "ret": 0x7000000000},
                {**call, "ts_enter_ns": START_NS + 9, "ts_exit_ns": START_NS + 20, "ret": -12, "errno": 12},
            ],
            "vmas": [{**vma, "ts_ns": START_NS + 5, "path": BYTES}],
            "tasks": [{"pid": 7, "tid": 7, "event": "exec", "comm": BAD.encode()[:15], "ts_ns": START_NS}],
            "losses": [{"source": "calls", "from_ns": START_NS, "to_ns": START_NS + 30, "cause": "full", "count": 5}],
        },
    )  # fmt: skip


@pytest.fixture(scope="module")
def trail(hostile: Path) -> Iterator[Trail]:
    with analysis.open(hostile) as trail:
        yield trail


class Parsed:
    """A trace as trace_processor reads it: packets in order of time, begins and ends paired on each track."""

    def __init__(self, path: Path) -> None:
        trace = perfetto.Trace()
        trace.ParseFromString(path.read_bytes())
        size_bytes = trace.ByteSize()
        trace.DiscardUnknownFields()
        assert trace.ByteSize() == size_bytes, "there are fields that Perfetto does not know"
        self.tracks: dict[int, Any] = {}
        self.slices: list[dict[str, Any]] = []
        self.instants: list[dict[str, Any]] = []
        self.counters: dict[int, list[tuple[int, int]]] = defaultdict(list)
        self.clocks: dict[int, int] = {}
        texts: dict[str, dict[int, str]] = defaultdict(dict)
        events = []
        for packet in trace.packet:
            assert packet.trusted_packet_sequence_id == 1
            for clock in packet.clock_snapshot.clocks:
                self.clocks[clock.clock_id] = clock.timestamp
            for field in ("event_names", "debug_annotation_names", "debug_annotation_string_values"):
                for each in getattr(packet.interned_data, field):
                    texts[field][each.iid] = each.str.decode() if hasattr(each, "str") else each.name
            if packet.HasField("track_descriptor"):
                self.tracks[packet.track_descriptor.uuid] = packet.track_descriptor
            if packet.HasField("track_event"):
                events.append(packet)
        self.texts = {text for each in texts.values() for text in each.values()}
        standing: dict[int, list[dict[str, Any]]] = defaultdict(list)
        for packet in sorted(events, key=lambda each: each.timestamp):
            event = packet.track_event
            assert event.track_uuid in self.tracks
            row = {"track": event.track_uuid, "from_ns": packet.timestamp}
            if event.type == event.TYPE_COUNTER:
                self.counters[event.track_uuid].append((packet.timestamp, event.counter_value))
                continue
            if event.type == event.TYPE_SLICE_END:
                standing[event.track_uuid].pop()["to_ns"] = packet.timestamp
                continue
            row["name"] = texts["event_names"][event.name_iid]
            for note in event.debug_annotations:
                value = getattr(note, note.WhichOneof("value"))
                if note.HasField("string_value_iid"):
                    value = texts["debug_annotation_string_values"][note.string_value_iid]
                row[texts["debug_annotation_names"][note.name_iid]] = value
            if event.type == event.TYPE_INSTANT:
                self.instants.append(row)
                continue
            assert not standing[event.track_uuid], "slices of one track overlap"
            standing[event.track_uuid].append(row)
            self.slices.append(row)
        assert not any(standing.values()), "a slice has no end"

    def path(self, track: int) -> list[Any]:
        """The track, then its parents."""
        found = [self.tracks[track]]
        while found[-1].parent_uuid:
            found.append(self.tracks[found[-1].parent_uuid])
        return found


def check_trace(parsed: Parsed, trail: Trail) -> None:
    """Mappings, calls, counts, findings and losses of the trace are those of the capture."""
    covered = next(iter(trail.captures.values())).covered_to_ns
    mappings = Counter(
        (row["start"], row["end"], row["perms"], row["from_ns"], row["to_ns"], row["cause"])
        for row in parsed.slices
        if row.get("perms", "????") != "????"
    )
    assert mappings == Counter(
        trail.sql(
            'SELECT start, "end", perms, from_ns, coalesce(to_ns, '
            f"{covered + 1}), cause FROM timeline WHERE perms IS NOT NULL"
        ).fetchall()
    )
    for row in parsed.slices:
        if "perms" in row:
            file, space, process = parsed.path(row["track"])
            assert space.name.startswith("address space ")
            assert process.process.pid > 0
            assert row["name"] == f"{file.name} {row['perms']}"
    calls = "SELECT ts_enter_ns, ts_exit_ns, {} AS name, tid FROM {}"
    assert Counter(
        (row["from_ns"], row["to_ns"], row["name"], parsed.tracks[row["track"]].thread.tid)
        for row in parsed.slices
        if "returned" in row
    ) == Counter(
        trail.sql(calls.format("syscall", "syscalls") + " UNION ALL " + calls.format("operation", "files")).fetchall()
    )
    counts: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for space, ts_ns, vmas in trail.sql("SELECT space, ts_ns, vmas FROM vma_counts ORDER BY ts_ns").fetchall():
        counts[space].append((ts_ns, vmas))
    assert sorted(parsed.counters.values()) == sorted(counts.values())
    found = trail.sql("SELECT ts_ns, kind, sentence FROM findings WHERE expected IS NULL").fetchall()
    assert Counter((row["from_ns"], row["name"], row["what"]) for row in parsed.instants) == Counter(found)
    lost = trail.sql("SELECT from_ns, coalesce(count, 0) FROM losses").fetchall()
    assert Counter((row["from_ns"], row["records lost"]) for row in parsed.slices if "records lost" in row) == Counter(
        lost
    )


def test_a_trace_holds_what_the_capture_holds_and_its_slices_pair(tmp_path: Path) -> None:
    """Of a real capture with thousands of mappings and losses."""
    with pytest.warns(UserWarning, match="lost"), analysis.open(DATA / "lossy") as lossy:
        analyze("export", DATA / "lossy", "--to", "perfetto", "-o", tmp_path / "trace")
        parsed = Parsed(tmp_path / "trace")
        check_trace(parsed, lossy)
        assert sum("perms" in row for row in parsed.slices) > 1000
        clock = lossy.captures["lossy"].manifest.clock
        assert parsed.clocks == {3: clock.monotonic_ns, 1: clock.realtime_ns}


def test_a_trace_of_hostile_names_is_inert(tmp_path: Path, hostile: Path) -> None:
    analyze("export", hostile, "--to", "perfetto", "-o", tmp_path / "trace")
    parsed = Parsed(tmp_path / "trace")
    names = [name for track in parsed.tracks.values() for name in (track.name, track.process.process_name)]
    assert all(text.isprintable() for text in [*names, *parsed.texts])
    assert any(len(name) > 4000 and r"\x1b[31m\u202e\012" in name for name in names)


def test_a_trace_is_of_one_capture(tmp_path: Path) -> None:
    asked = ["export", DATA / "demo", DATA / "demo-i386", "--to", "perfetto", "-o", tmp_path / "trace"]
    assert "one capture" in analyze(*asked, status=2).stderr
    assert list(tmp_path.iterdir()) == []


def test_lanes_never_overlap_and_are_no_more_than_needed() -> None:
    """Against the plain count of what stands at once, which is how many lanes it takes."""
    random = np.random.default_rng(23)
    group = random.integers(0, 7, 2003)
    begins = random.integers(0, 500, 2003)
    ends = begins + random.integers(1, 60, 2003)
    lane = lanes(group, begins, ends)
    for each in np.unique(lane):
        of_lane = sorted(zip(begins[lane == each], ends[lane == each], strict=True))
        assert all(one[1] <= other[0] for one, other in pairwise(of_lane))
        assert len(set(group[lane == each])) == 1
    for each in range(7):
        mine = group == each
        most = max(int((mine & (begins <= at) & (ends > at)).sum()) for at in range(560))
        assert len(set(lane[mine])) == most
    assert lanes(group[:0], begins[:0], ends[:0]).tolist() == []


def test_a_database_needs_no_maptrail(tmp_path: Path, hostile: Path, trail: Trail) -> None:
    path = tmp_path / "hostile.duckdb"
    analyze("export", hostile, "--to", "duckdb", "-o", path)
    with duckdb.connect(path, read_only=True) as database:
        shown = {name for (name,) in database.execute("SELECT table_name FROM duckdb_tables()").fetchall()}
        shown |= {
            name for (name,) in database.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall()
        }
        assert shown >= set(views())
        for name in ("mmap", "timeline", "captures"):
            asked = f'SELECT * FROM "{name}" ORDER BY ALL'
            assert database.execute(asked).fetchall() == trail.sql(asked).fetchall() != []
        [(path_text, path_bytes)] = database.execute("SELECT path, path_bytes FROM vmas").fetchall()
        assert (path_text.isprintable(), path_bytes) == (True, BYTES)
        uncommented = "SELECT DISTINCT table_name FROM duckdb_columns() WHERE NOT internal AND comment IS NULL"
        rest = {name for (name,) in database.execute(uncommented).fetchall()}
        assert {name for name in rest if not name.startswith("stored_")} == {"opened_captures"}


def test_a_database_that_does_not_fit_leaves_nothing(tmp_path: Path, hostile: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 18, 1 << 18)); "
    command = [sys.executable, "-c", limit + "from analysis.cli import main; main()", "export", str(hostile)]
    command += ["--to", "duckdb", "-o", str(tmp_path / "database")]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 2 and done.stderr.startswith(f"error: cannot write {tmp_path / 'database'}: "), (
        done.stderr
    )
    assert list(tmp_path.iterdir()) == []


def test_csv_runs_nothing_and_has_every_value(tmp_path: Path, hostile: Path) -> None:
    analyze("export", hostile, "--to", "csv", "-o", tmp_path / "files")
    assert stat.S_IMODE((tmp_path / "files").stat().st_mode) == 0o700
    assert {file.name for file in (tmp_path / "files").iterdir()} == {
        f"{view.name}.csv" for view in views().values() if view.kind != "call" and not view.name.startswith("edge_")
    }
    with (tmp_path / "files" / "syscalls.csv").open(newline="") as file:
        first, second = csv.DictReader(file)
    assert first["comm"] == r"\x3d1+1\x1B\xFF"
    assert bytes.fromhex(first["comm_bytes"]) == b"=1+1\x1b\xff"
    assert (first["ret"], second["ret"], second["errno"]) == (str(0x7000000000), "-12", "12")
    with (tmp_path / "files" / "vmas.csv").open(newline="") as file:
        [vma] = csv.DictReader(file)
    assert bytes.fromhex(vma["path_bytes"]) == BYTES
    for file_ in (tmp_path / "files").iterdir():
        assert file_.read_text().replace("\n", "").isprintable(), file_


def test_arrow_is_what_arrow_reads(tmp_path: Path, hostile: Path, trail: Trail) -> None:
    only = ["--only", "timeline", "--only", "mmap"]
    analyze("export", hostile, "--to", "arrow", "-o", tmp_path / "files", *only)
    assert {file.name for file in (tmp_path / "files").iterdir()} == {"timeline.arrow", "mmap.arrow"}
    with pa.ipc.open_file(tmp_path / "files" / "timeline.arrow") as file:
        table = file.read_all()
    assert table.to_pylist() == trail.timeline().to_arrow_table().to_pylist() != []
    assert table["path"][0].as_py() == inert(BYTES.replace(b"\n", rb"\012").decode())


def test_what_is_there_is_only_replaced_when_asked(tmp_path: Path, hostile: Path) -> None:
    target = tmp_path / "out"
    target.write_text("mine")
    asked = ["export", hostile, "--to", "arrow", "--only", "tasks", "-o", target]
    assert "--overwrite" in analyze(*asked, status=2).stderr
    assert target.read_text() == "mine"
    analyze(*asked, "--overwrite")
    assert [file.name for file in target.iterdir()] == ["tasks.arrow"]
    assert "neither a table" in analyze(*asked, "--overwrite", "--only", "weather", status=2).stderr
    assert [file.name for file in target.iterdir()] == ["tasks.arrow"]
    assert (
        "only" in analyze("export", hostile, "--to", "duckdb", "--only", "tasks", "-o", tmp_path / "x", status=2).stderr
    )
    gone = analyze("export", hostile, "--to", "perfetto", "-o", tmp_path / "no" / "folder", status=2)
    assert "no such folder" in gone.stderr
    assert "cannot write" in analyze("export", hostile, "--to", "perfetto", "-o", "/proc/file", status=2).stderr
    assert "too long" in analyze("export", hostile, "--to", "csv", "-o", tmp_path / ("x" * 300), status=2).stderr
    assert {each.name for each in tmp_path.iterdir()} == {"out"}


def test_only_what_an_export_wrote_is_replaced(tmp_path: Path, hostile: Path) -> None:
    """A folder is deleted for --overwrite: so it must not be the capture, a home or the folder that we are in."""
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "tasks.csv").touch()
    check_output(mine, True, file_names())
    (tmp_path / "link").symlink_to(mine / "tasks.csv")
    for path in (tmp_path, hostile, Path("/dev/null"), tmp_path / "link"):
        with pytest.raises(UsageError, match="it is not replaced"):
            check_output(path, True, file_names())
    with pytest.raises(UsageError, match="it is no file"):
        check_output(mine, True)
    (mine / "notes.txt").write_text("mine")
    refused = analyze("export", hostile, "--to", "csv", "--only", "tasks", "-o", mine, "--overwrite", status=2)
    assert "what no export wrote is in it" in refused.stderr
    assert (mine / "notes.txt").read_text() == "mine"


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("old")
    with pytest.raises(UsageError, match="cannot write"), replacing(tmp_path / "out") as part:
        part.write_text("half")
        raise OSError(errno.ENOSPC, "No space left on device")
    with replacing(tmp_path / "out") as part:
        part.write_text("new")
        assert (tmp_path / "out").read_text() == "old"
    assert (tmp_path / "out").read_text() == "new"
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o600
    assert [each.name for each in tmp_path.iterdir()] == ["out"]
