"""Rebuilds every address space of a capture: what was mapped, at every instant.

The work is done in SQL, by the files of analysis/sql/rebuild in the order of their numbers; this module runs them.
First the whole capture becomes writes onto pages, in the kernel's order (files up to 40). Then, in slices of time,
the last writer of each page is found (files from 50 on); what stands at the end of a slice is carried to the next,
so memory is bounded by the slice and the cost grows with the writes. A slice is halved when wide writes over many
small pieces would make it too large. Copies made by a fork follow their originals level by level, and where they are
copies of copies many deep, several levels at once.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path

from analysis.capture import Capture
from analysis.dictionary import quote, text_literal
from analysis.engine import Engine, Limits
from analysis.errors import UsageError
from analysis.progress import Progress
from analysis.timeline import STORED, folders, keep, partial, stored

__all__ = ["PAGE_BYTES", "Rebuild", "rebuilt", "store"]

PAGE_BYTES = 4096
_END = 1 << 62
_FEW_CELLS, _MANY_CELLS = 1.5, 2.5  # cells a span: larger slices pay below, smaller ones above
_DEEP = 8  # copies of copies: more of them at once are followed several levels together
# what a copy copies is asked for just before it, which must be in the same slice
_WHOLE = "key NOT IN (SELECT key FROM writes WHERE kind = 'copy')"


@cache
def _texts() -> dict[str, str]:
    """The SQL of the rebuild by the name of its file, without number and ending."""
    found = sorted(files("analysis").joinpath("sql", "rebuild").iterdir(), key=lambda path: path.name)
    return {path.name[3:-4]: path.read_text() for path in found if path.name.endswith(".sql")}


_BEFORE = (
    "types", "mm_seen", "segments", "users", "lives", "readings", "seen", "looks", "lines", "calls", "breaks",
    "records", "unmaps", "images_at_exec", "removals", "hooked", "races", "copies", "order",
    "suspects", "gaps", "reasons", "writes", "state",
)  # fmt: skip


class Rebuild:
    """The rebuild of one capture, in the memory of one engine. Afterwards its tables hold the answers:
    `rectangles`, `doubts_found`, `lives`, `users`.

    `slice_writes` bounds the writes of one slice, by default as the memory allows, `slice_cells` its cells. Within
    that a slice is as many times `step_writes` as suits what was found in those before. Where copies are more than
    `deep` deep in one, levels are followed together.
    """

    def __init__(
        self,
        engine: Engine,
        slice_writes: int | None = None,
        slice_cells: int = 8_000_000,
        step_writes: int = 250_000,
        deep: int = _DEEP,
    ) -> None:
        [self._capture] = engine.captures.values()
        if self._capture.manifest.page_size != PAGE_BYTES:
            raise UsageError(
                f"address spaces with pages of {PAGE_BYTES} bytes can be rebuilt, this capture has pages of: "
                f"{self._capture.manifest.page_size}"
            )
        self._engine = engine
        # of 10 million records, 2 million writes a slice took 0.8 s less than 500,000, and more gained nothing
        self._slice_writes = slice_writes or min(max(engine.memory_bytes >> 10, 500_000), 2_000_000)
        self._slice_cells = slice_cells
        self._deep = deep
        self._step_writes = min(step_writes, self._slice_writes)  # smaller slices cost more, whatever is in them
        self._most_steps = self._slice_writes // self._step_writes
        self._spans = self._cells = 0

    def run(self) -> None:
        """Rebuild everything; a progress line shows once it takes over a second."""
        with Progress("rebuilding address spaces") as progress:
            self._prepare(progress)
            cuts = self._cuts()
            at, steps = 0, max(self._most_steps // 2, 1)
            while at + 1 < len(cuts):
                progress(len(cuts) + at, 2 * len(cuts))
                until = min(at + steps, len(cuts) - 1)
                self._slices(cuts[at], cuts[until])
                at, steps = until, self._suitable(steps)
            for name in ("eras", "doubts", "rectangles", "spaces", "marks", "traits"):
                self._run(name)

    def _run(self, name: str) -> None:
        self._engine.execute(_texts()[name])

    def _value(self, sql: str) -> int | None:
        value: int | None
        [(value,)] = self._engine.execute(sql)
        return value

    def _prepare(self, progress: Progress) -> None:
        manifest = self._capture.manifest
        self._engine.execute(f"SET VARIABLE started_ns = {manifest.clock.started_ns}")
        self._engine.execute("CREATE TABLE damages (source VARCHAR, from_ns BIGINT, to_ns BIGINT)")
        for damage in self._capture.damaged:
            entry = damage.entry
            if entry.table in ("syscalls", "vmas", "tasks"):
                self._engine.execute(f"INSERT INTO damages VALUES ('{entry.table}', {entry.from_ns}, {entry.to_ns})")
        for number, name in enumerate(_BEFORE):
            progress(number, 2 * len(_BEFORE))
            self._run(name)

    def _cuts(self) -> list[int]:
        """Keys at which a slice can begin or end: between two of them lies about a step."""
        rows = self._engine.execute(
            f"SELECT min(key) FROM writes WHERE {_WHOLE} AND rowid >= {self._step_writes} "
            f"GROUP BY rowid // {self._step_writes} ORDER BY 1"
        )
        return [0, *(key for (key,) in rows), _END]

    def _suitable(self, steps: int) -> int:
        """How many steps the next slice should take, after one of so many.

        Where places are used again and again in other sizes, the edges of all of them cut every write that is in one
        slice with them: of 5 million such events slices of 250,000 writes took 20 s, of 2 million 27 s. Elsewhere it
        is the slices that cost, not what is in them.
        """
        if self._cells < _FEW_CELLS * self._spans:
            return min(2 * steps, self._most_steps)
        return max(steps // 2, 1) if self._cells > _MANY_CELLS * self._spans else steps

    def _slices(self, since: int, until: int) -> None:
        """Rebuild from one key to another, in as many slices as it takes."""
        self._spans = self._cells = 0
        todo = [(since, until)]
        while todo:
            since, until = todo.pop()
            self._engine.execute("BEGIN")
            cut = self._slice(since, until)
            if cut is None:
                self._engine.execute("COMMIT")
                continue
            self._engine.execute("ROLLBACK")
            todo += [(cut, until), (since, cut)]

    def _slice(self, since: int, until: int) -> int | None:
        """Rebuild one slice; or say where it must be cut, because it is too large."""
        self._engine.execute(f"SET VARIABLE slice_from = {since}; SET VARIABLE slice_to = {until}")
        self._run("levels")
        deepest = self._value("SELECT max(level) FROM levels") or 0
        if deepest > self._deep:
            self._run("families")
            deepest = self._value("SELECT max(level) FROM levels") or 0
        for level in range(deepest + 1):
            self._engine.execute(f"SET VARIABLE level = {level}")
            cut = self._level(since)
            if cut is not None:
                return cut
            self._run("ended")
        return None

    def _level(self, since: int) -> int | None:
        for name in ("ranked", "edges", "spans"):
            self._run(name)
        [(spans, cells, special, followed, forks)] = self._engine.execute(
            "SELECT count(*), coalesce(sum(past - first), 0), count_if(soft OR kind IN ('probe', 'clear attach')), "
            "count_if(kind IN ('probe', 'clear attach')), count_if(kind = 'fork') FROM spans"
        )
        if cells > self._slice_cells:
            half = self._value(
                "SELECT quantile_disc(key, 0.5) FROM writes "
                f"WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND {_WHOLE}"
            )
            if half is not None and half > since:
                return half
        self._spans += spans
        self._cells += cells
        self._run("cells")
        if special:
            self._run("befores")
        if followed:
            self._run("nodes")
            while self._value("SELECT count(*) FROM nodes"):
                self._run("step")
            self._run("resolve")
        for name in ("idle", "lasting", "joined", "made", "close"):
            self._run(name)
        if forks:
            self._run("inherited")
            self._run("copy")
        return None


_FINAL = {
    "timeline": "SELECT * FROM rectangles",
    "spaces": "SELECT * FROM spaces_found ORDER BY space",
    "doubts": "SELECT space, lo::UBIGINT << 12, hi::UBIGINT << 12, from_ns, to_ns, reason FROM doubts_found",
    "marks": "SELECT * FROM marks_found ORDER BY space, from_ns",
    "traits": "SELECT * FROM traits_found ORDER BY space, ts_ns",
}


def store(engine: Engine, folder: Path) -> None:
    """Write what a rebuild found to the files of a stored timeline."""
    for name, columns in STORED.items():
        # texts stay what they are: an ENUM is written as text, and six times faster
        typed = ", ".join(
            quote(column) if type == "VARCHAR" else f"{quote(column)}::{type} AS {quote(column)}"
            for column, type in columns.items()
        )
        named = ", ".join(map(quote, columns))
        engine.execute(
            f"COPY (SELECT {typed} FROM ({_FINAL[name]}) AS found({named})) "
            f"TO {text_literal(str(folder / f'{name}.parquet'))} "
            # version 2 has delta encoding, which suits times; dictionaries are for texts and devices, which are few;
            # level 3 would take a fifth more time and 5 % less space
            "(FORMAT parquet, PARQUET_VERSION v2, DICTIONARY_SIZE_LIMIT 1000, COMPRESSION zstd, COMPRESSION_LEVEL 1)"
        )


def rebuilt(capture: Capture, limits: Limits, temporary: Path) -> Path:
    """The folder of the stored timeline of a capture, rebuilt if there is none yet."""
    found = stored(capture, temporary)
    if found is not None:
        return found
    writable = [partial(folder) / f"{name}.parquet" for folder in folders(capture, temporary) for name in STORED]
    with Engine([capture], limits, writable) as engine:
        Rebuild(engine).run()
        return keep(capture, temporary, lambda folder: store(engine, folder))
