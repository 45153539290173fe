"""The report: one HTML file that opens offline, with the picture of analysis.picture to zoom into.

Everything that was recorded is in blocks of base64, which no byte of a hostile name can break out of, and is shown by
`textContent` alone. Mappings are in chunks of columns, each compressed, which the reader's browser unpacks as it needs
them. The content security policy allows the scripts and styles of this file, by their hashes, and nothing else.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from analysis.commands.common import has_stacks
from analysis.engine import Engine
from analysis.filters import ALWAYS
from analysis.picture import KINDS, Bounds
from analysis.progress import Progress
from analysis.replacing import replacing
from analysis.stacks import name_stacks, with_stacks
from analysis.summary import gather, head
from analysis.text import device, inert

__all__ = ["Written", "write"]

_CHUNK = 8192  # rows
_MOST_SIGNS = 500  # findings of one kind, and losses
_MOST_STACKS, _MOST_DOUBTS = 10_000, 20_000
_MOST_SHARED, _MOST_STAYS = 100, 50  # files, and of each who had it
_D3 = (
    "dispatch",
    "selection",
    "color",
    "interpolate",
    "timer",
    "ease",
    "transition",
    "drag",
    "zoom",
    "array",
    "format",
    "scale",
)
"""In the order in which they need each other."""

# what a mapping's row holds, in the order in which report.js reads it. x0 is the difference to the row before;
# length_ns is 0 where it stood to the end, else one more; stack and reason are 0 where there is none
_RECTANGLES = (
    "x0", "length_ns", "band", "start_page", "pages", "look", "kind", "offset_page", "cause", "tid", "end_cause",
    "end_tid", "reason", "stack",
)  # fmt: skip
_BLOCKS = ("x0", "length_ns", "band", "kind", "y0", "height", "count", "possible", "cover")


@dataclass(frozen=True)
class Written:
    """What became of it: bytes of the file, and how many mappings of how many are in it as themselves."""

    size_bytes: int
    kept: int
    rectangles: int


def write(engine: Engine, bounds: Bounds, out: Path) -> Written:
    """Write the report of a picture that `analysis.picture.lay_out` made. Raises UsageError where it cannot."""
    blocks: list[tuple[str, bytes]] = []
    _number(engine)
    chunks = [
        *_chunks(engine, "rectangles", _RECTANGLES, blocks),
        *_chunks(engine, "blocks", _BLOCKS, blocks),
    ]
    blocks.insert(
        0, ("head", json.dumps(_inert(_head(engine, bounds)) | {"chunks": chunks}, separators=(",", ":")).encode())
    )
    page = _page(blocks)
    with replacing(out) as part:
        part.write_bytes(page)
    return Written(len(page), bounds.kept, bounds.rectangles)


def _page(blocks: Sequence[tuple[str, bytes]]) -> bytes:
    assets = files("analysis").joinpath("report")
    license_text = assets.joinpath("d3", "LICENSE").read_text()
    parts = [f"/*\n{license_text}*/", *(assets.joinpath("d3", f"d3-{name}.min.js").read_text() for name in _D3)]
    script = "\n".join([*parts, assets.joinpath("report.js").read_text()])
    style = assets.joinpath("report.css").read_text()
    data = "\n".join(
        f'<script type="application/gzip;base64" id="{name}">'
        f"{base64.b64encode(gzip.compress(content, 6, mtime=0)).decode()}</script>"
        for name, content in blocks
    )
    page = assets.joinpath("report.html").read_text()
    for name, text in (
        ("script_hash", _hash(script)), ("style_hash", _hash(style)), ("style", style), ("data", data),
        ("script", script),
    ):  # fmt: skip
        page = page.replace(f"{{{name}}}", text, 1)
    return page.encode()


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _number(engine: Engine) -> None:
    """Give numbers to what many mappings have in common: files, causes, reasons and stacks."""
    stack_id, stacks = "NULL::INTEGER AS stack_id", ""
    if has_stacks(engine):
        stack_id = "stack_id"
        stacks = (
            "LEFT JOIN (SELECT capture, ts_enter_ns, tid, stack_id FROM syscalls WHERE stack_id >= 0) AS calls "
            "ON shown.capture = calls.capture AND call_ns = ts_enter_ns AND cause_tid = tid"
        )
    engine.query(
        f"CREATE OR REPLACE TABLE drawn AS SELECT rectangles.*, shown.capture, shown.space, {stack_id} "
        f"FROM rectangles JOIN shown USING (band) {stacks} WHERE kept",
        "gathering mappings",
    ).dicts()
    engine.execute(
        "CREATE OR REPLACE TABLE used_looks AS "
        "SELECT look, row_number() OVER (ORDER BY look) - 1 AS number FROM (SELECT DISTINCT look FROM drawn); "
        "CREATE OR REPLACE TABLE causes AS SELECT cause, row_number() OVER (ORDER BY cause) AS number FROM "
        "(SELECT cause::VARCHAR AS cause FROM drawn UNION SELECT end_cause::VARCHAR FROM drawn) "
        "WHERE cause IS NOT NULL; "
        "CREATE OR REPLACE TABLE reasons AS SELECT reason, row_number() OVER (ORDER BY reason) AS number FROM "
        "(SELECT DISTINCT reason FROM drawn WHERE reason IS NOT NULL)"
    )
    engine.execute(
        "CREATE OR REPLACE TABLE asked_for AS "
        "SELECT capture, space, stack_id, min(taken_ns) AS ts_ns, count(*) AS uses, NULL::VARCHAR AS stack FROM ("
        "SELECT capture, space, stack_id, call_ns AS taken_ns FROM drawn WHERE stack_id >= 0 "
        "UNION ALL SELECT capture, space, stack_id, call_ns FROM signs WHERE stack_id >= 0 AND space IS NOT NULL"
        f") GROUP BY capture, space, stack_id ORDER BY uses DESC LIMIT {_MOST_STACKS}"
    )
    name_stacks(engine, "FROM asked_for")
    engine.execute(
        "CREATE OR REPLACE TABLE stack_texts AS "
        "SELECT *, dense_rank() OVER (ORDER BY lines) AS number FROM ("
        "SELECT capture, space, stack_id, stack_lines AS lines "
        f"FROM {with_stacks('asked_for', 'ts_ns')} WHERE stack_lines IS NOT NULL)"
    )


_ROWS = {
    "rectangles": f"""
        SELECT
            level, x0::BIGINT AS x0, if(x1 IS NULL, 0, x1 - x0 + 1) AS length_ns, drawn.band, start >> 12 AS start_page,
            ("end" - start) >> 12 AS pages, used_looks.number AS look, list_position({list(KINDS)}, kind) - 1 AS kind,
            offset_bytes >> 12 AS offset_page, made.number AS cause, coalesce(cause_tid, 0) AS tid,
            coalesce(ended.number, 0) AS end_cause, coalesce(end_tid, 0) AS end_tid,
            coalesce(reasons.number, 0) AS reason, coalesce(stack_texts.number, 0) AS stack
        FROM drawn
        JOIN used_looks USING (look)
        JOIN causes AS made ON made.cause = drawn.cause::VARCHAR
        LEFT JOIN causes AS ended ON ended.cause = end_cause::VARCHAR
        LEFT JOIN reasons ON reasons.reason = drawn.reason
        LEFT JOIN stack_texts ON stack_texts.capture = drawn.capture AND stack_texts.space = drawn.space
            AND stack_texts.stack_id = drawn.stack_id
        ORDER BY level, x0, drawn.band, start""",
    "blocks": f"""
        SELECT
            level, x0::BIGINT AS x0, x1 - x0 + 1 AS length_ns, band, list_position({list(KINDS)}, kind) - 1 AS kind,
            floor(y0 * 16) AS y0, greatest(ceil(y1 * 16) - floor(y0 * 16), 1) AS height, count,
            possible, ceil(cover * 255) AS cover
        FROM blocks
        ORDER BY level, x0, band, blocks.y0""",
}


def _chunks(
    engine: Engine, what: str, columns: Sequence[str], blocks: list[tuple[str, bytes]]
) -> Iterator[dict[str, Any]]:
    """The rows as blocks of columns; yields what the reader must know of each to want it."""
    values = ", ".join(f"{name}::BIGINT AS {name}" for name in ("level", *columns))
    table = engine.query(f"SELECT {values} FROM ({_ROWS[what]})", "writing mappings").table().combine_chunks()
    rows = {name: _numbers(table, name) for name in table.column_names}
    levels = rows.pop("level")
    with Progress("writing mappings") as progress:
        for level in range(4):
            first, last = np.searchsorted(levels, [level, level + 1])
            for begin in range(first, last, _CHUNK):
                end = min(begin + _CHUNK, last)
                part = {name: column[begin:end] for name, column in rows.items()}
                lengths = part["length_ns"]
                # where one stood to the end, so does the chunk
                until = None if (lengths == 0).any() else int((part["x0"] + lengths - 1).max())
                base = int(part["x0"][0])
                name = f"{what}-{len(blocks)}"
                content, widths = _columns({**part, "x0": np.diff(part["x0"], prepend=base)}, columns)
                blocks.append((name, content))
                yield {
                    "id": name, "level": level, "x0": base, "x1": until, "rows": int(end - begin), "widths": widths,
                }  # fmt: skip
                progress(end, max(len(levels), 1))


def _numbers(table: pa.Table, name: str) -> np.ndarray[Any, Any]:
    """A column of 64-bit integers without nulls: pyarrow need not know numpy for it."""
    column = table[name]
    if not len(column):
        return np.zeros(0, np.int64)
    [chunk] = column.chunks
    assert chunk.null_count == 0, name
    return np.frombuffer(chunk.buffers()[1], np.int64)[chunk.offset : chunk.offset + len(chunk)]


def _columns(rows: dict[str, np.ndarray[Any, Any]], names: Sequence[str]) -> tuple[bytes, list[int]]:
    """Columns one after the other, of each the lowest bytes of all rows first: bytes that are alike compress well."""
    parts, widths = [], []
    for name in names:
        values = np.ascontiguousarray(rows[name])
        width = max((int(values.max()).bit_length() + 7) // 8, 1)
        parts.append(values.view(np.uint8).reshape(len(values), 8)[:, :width].T.tobytes())
        widths.append(width)
    return b"".join(parts), widths


def _head(engine: Engine, bounds: Bounds) -> dict[str, Any]:
    """Everything but the mappings, as plain values."""
    looks = engine.query(
        "SELECT perms, dev, inode, coalesce(try(decode(path_bytes)), path_bytes::VARCHAR) AS path "
        "FROM looks JOIN used_looks USING (look) ORDER BY number"
    ).dicts()
    threads = engine.query(
        "SELECT DISTINCT capture, tid, comm FROM ("
        "SELECT capture, tid, arg_max(comm, ts_ns) AS comm FROM ("
        "SELECT capture, tid, comm, ts_enter_ns AS ts_ns FROM syscalls "
        "UNION ALL SELECT capture, tid, comm, ts_ns FROM tasks) GROUP BY capture, tid) "
        "SEMI JOIN (SELECT capture, cause_tid AS tid FROM drawn UNION SELECT capture, end_tid FROM drawn) "
        "USING (capture, tid)",
        "naming threads",
    ).dicts()
    axis = engine.query(
        'SELECT band, start, "end", y0, y1, mapped::UTINYINT AS mapped FROM axis ORDER BY band, start'
    ).dicts()
    ends = dict(engine.execute("SELECT capture, until_ns::BIGINT - zero_ns FROM asked"))
    names = {label: number for number, label in enumerate(bounds.zero_ns)}
    of_band = ("band", "pid", "pids", "ended", "x0", "x1", "rectangles")
    lines: dict[int, dict[str, Any]] = {}
    for row in engine.query("FROM lines_over_time ORDER BY band, x").dicts():
        line = lines.setdefault(row["band"], {"limit": row["limit_vmas"], "points": []})
        line["points"].append((row["x"], row["vmas"], row["most"]))
    return {
        **{name: getattr(bounds, name) for name in ("width_ns", "spaces", "spaces_there", "rectangles", "kept")},
        "kinds": KINDS, "most_signs": _MOST_SIGNS,
        "captures": [_capture(engine, label, zero) | {"end_x": ends[label]} for label, zero in bounds.zero_ns.items()],
        "bands": [
            {key: row[key] for key in of_band} | {"capture": names[row["capture"]], "comm": row["comm"] or ""}
            for row in engine.query("FROM shown ORDER BY band").dicts()
        ],
        "axis": [tuple(row.values()) for row in axis],
        "looks": [
            {
                "perms": row["perms"] or "????", "dev": device(row["dev"] or 0), "inode": str(row["inode"] or 0),
                "path": row["path"] or "",
            }
            for row in looks
        ],
        "causes": ["", *(row["cause"] for row in engine.query("FROM causes ORDER BY number").dicts())],
        "reasons": ["", *(row["reason"] for row in engine.query("FROM reasons ORDER BY number").dicts())],
        "stacks": [[], *_stacks(engine)],
        "threads": [(names[row["capture"]], row["tid"], row["comm"] or "") for row in threads],
        "doubts": _doubts(engine), "signs": _signs(engine, names), "lines": lines, "shared": _shared(engine),
    }  # fmt: skip


def _inert(value: Any) -> Any:
    """The same with every text in it inert: who builds the head need not think of it."""
    if isinstance(value, str):
        return inert(value)
    if isinstance(value, dict):
        return {key: _inert(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_inert(each) for each in value]
    return value


def _stacks(engine: Engine) -> list[list[str]]:
    rows = engine.query("SELECT DISTINCT number, lines FROM stack_texts ORDER BY number").dicts()
    return [row["lines"] for row in rows]


def _capture(engine: Engine, label: str, zero_ns: int) -> dict[str, Any]:
    summary = gather(engine, label)
    clock = engine.captures[label].manifest.clock
    counts = [
        [row["table"], row["read"], row["attempted"], row["stored"], row["lost"], row["expired"]]
        for row in summary.tables["tables"].to_pylist()
        if row["read"] or row["attempted"]
    ]
    return {
        "label": label, "facts": list(head(summary.facts)),
        "completeness": summary.facts["completeness"], "counts": counts,
        "start_x": clock.started_ns - zero_ns,
    }  # fmt: skip


def _doubts(engine: Engine) -> list[tuple[Any, ...]]:
    """Where in address and time nothing is certain, mapped or not; the longest."""
    rows = engine.query(
        'SELECT band, start, "end", '
        "from_ns::BIGINT - zero_ns::BIGINT AS x0, to_ns::BIGINT - zero_ns::BIGINT AS x1, reason "
        "FROM doubts JOIN (SELECT capture, space, band, zero_ns, since_ns, until_ns FROM shown) USING (capture, space) "
        f"WHERE from_ns <= until_ns AND coalesce(to_ns, {ALWAYS}) > since_ns "
        f"ORDER BY coalesce(to_ns, {ALWAYS}) - from_ns DESC, band, start LIMIT {_MOST_DOUBTS}"
    ).dicts()
    return [tuple(row.values()) for row in rows]


def _signs(engine: Engine, names: dict[str, int]) -> list[dict[str, Any]]:
    rows = engine.query(
        "SELECT signs.*, stack_texts.number AS stack, count(*) OVER (PARTITION BY what, expected IS NULL) AS alike "
        "FROM signs LEFT JOIN stack_texts USING (capture, space, stack_id) "
        f"QUALIFY row_number() OVER (PARTITION BY what, expected IS NULL ORDER BY x0, start) <= {_MOST_SIGNS} "
        "ORDER BY expected IS NOT NULL, list_position(['high', 'medium', 'low', 'info'], severity), x0, start"
    ).dicts()
    keys = (
        "x0", "x1", "band", "y0", "y1", "stack", "alike", "what", "severity", "expected", "certainty", "reason",
        "sentence",
    )  # fmt: skip
    return [
        {key: row[key] for key in keys if row[key] is not None} | {"capture": names[row["capture"]]} for row in rows
    ]


def _shared(engine: Engine) -> dict[str, Any]:
    """Who had which memory with whom: of each file that two of the address spaces shown had, the stays."""
    rows = engine.query(
        f"""
        WITH stays AS (
            SELECT
                memory.*, band, comm, from_ns::BIGINT - zero_ns::BIGINT AS x0, to_ns::BIGINT - zero_ns::BIGINT AS x1,
                dense_rank() OVER (ORDER BY capture, dev, inode, generation) AS file
            FROM shared_memory AS memory
            JOIN (SELECT capture, space, band, comm, since_ns, until_ns, zero_ns FROM shown) USING (capture, space)
            WHERE from_ns <= until_ns AND coalesce(to_ns, {ALWAYS}) > since_ns AND others > 0 AND contains(perms, 'w')
        ),
        chosen AS (
            SELECT file, row_number() OVER (ORDER BY max(shared_bytes) DESC, file) AS place, count(*) OVER () AS files
            FROM stays GROUP BY file
        )
        SELECT
            place, files, band, pid, comm, kind, path, perms, offset_bytes, offset_end_bytes, shared_bytes, x0, x1,
            cause, certainty
        FROM stays JOIN chosen USING (file)
        WHERE place <= {_MOST_SHARED}
        QUALIFY row_number() OVER (PARTITION BY place ORDER BY x0, band) <= {_MOST_STAYS}
        ORDER BY place, x0, band
        """,
        "asking who shares what",
    ).dicts()
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        file = found.setdefault(row["place"], {"path": row["path"] or "", "kind": row["kind"], "stays": []})
        keys = (
            "band",
            "pid",
            "perms",
            "offset_bytes",
            "offset_end_bytes",
            "shared_bytes",
            "x0",
            "x1",
            "cause",
            "certainty",
        )
        file["stays"].append({key: row[key] for key in keys} | {"comm": row["comm"] or ""})
    return {"files": list(found.values()), "there": rows[0]["files"] if rows else 0}
