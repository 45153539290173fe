"""The queries of `analyze timeline`, `shared` and `edges`, from what a user asked for."""

from __future__ import annotations

from collections.abc import Sequence

from analysis import filters
from analysis.engine import Engine
from analysis.errors import UsageError
from analysis.options import Certainty

__all__ = ["finding_conditions", "shared_memory", "timeline"]

_FILE = "stay.capture, stay.dev, stay.inode, stay.generation"


def _span(engine: Engine, at: str | None, since: str | None, until: str | None) -> dict[str, tuple[int, int]]:
    if at is not None and (since is not None or until is not None):
        raise UsageError("--at is one instant, --from and --to are a stretch of time", "give one or the other")
    return filters.windows(engine, at if at is not None else since, at if at is not None else until)


def timeline(
    engine: Engine,
    pid: int | None = None,
    addr: str | None = None,
    file: str | None = None,
    since: str | None = None,
    until: str | None = None,
    at: str | None = None,
    cause: Sequence[str] = (),
    end_cause: Sequence[str] = (),
    certainty: Certainty | None = None,
    columns: str = "timeline.*",
    joined: str = "",
) -> str:
    """Rows of the timeline that match everything that is given, in order of time.

    `joined` is SQL after the FROM clause. Raises UsageError for a value that cannot be meant.
    """
    times = _span(engine, at, since, until)
    conditions = [filters.of_file(file)] if file is not None else []
    conditions += [filters.caused_by("cause", cause)] if cause else []
    conditions += [filters.caused_by("end_cause", end_cause)] if end_cause else []
    conditions += [f"certainty = '{certainty}'"] if certainty else []
    if addr is not None:
        conditions.append(filters.at_address(addr))
    sources = [("windows", filters.per_capture(times), "true")]
    if pid is not None:
        sources.append(("used", filters.of_pid(engine, pid), "used.space = timeline.space"))
    source = "timeline" + "".join(
        f" SEMI JOIN {relation} AS {name} ON {name}.capture = timeline.capture AND {space} "
        f"AND {filters.during('timeline', name)}"
        for name, relation, space in sources
    )
    return (
        f"SELECT {columns} FROM {source} {joined} WHERE {' AND '.join(conditions) or 'true'} "
        "ORDER BY timeline.capture, from_ns, timeline.space, start"
    )


def shared_memory(
    engine: Engine,
    pid: int | None = None,
    file: str | None = None,
    at: str | None = None,
    since: str | None = None,
    until: str | None = None,
    columns: str = "stay.*, comm",
) -> str:
    """Who had which file mapped shared, by file; unless a process or a file is asked for, only what several shared.

    Raises UsageError for a value that cannot be meant.
    """
    times = _span(engine, at, since, until)
    conditions = [filters.of_file(file)] if file is not None else []
    if pid is not None:
        mine = (
            f"SELECT ({_FILE}) FROM shared_memory AS stay JOIN {filters.of_pid(engine, pid)} AS used "
            f"ON used.capture = stay.capture AND used.space = stay.space AND {filters.during('stay', 'used')}"
        )
        conditions.append(f"({_FILE}) IN ({mine})")
    several = ""
    if pid is None and file is None:
        # a copy that a fork made only to execute something else shares nothing to speak of
        execed = "SELECT (capture, space) FROM spaces WHERE began = 'fork' AND ended = 'exec'"
        conditions.append(f"(cause <> 'fork' OR (stay.capture, stay.space) NOT IN ({execed}))")
        several = (
            f"QUALIFY others > 0 AND count(*) OVER (PARTITION BY {_FILE}) > 1 "
            f"AND bool_or(perms[2] = 'w') OVER (PARTITION BY {_FILE}) "
        )
    return (
        f"SELECT {columns} FROM (FROM shared_memory) AS stay JOIN {filters.per_capture(times)} AS span "
        f"ON span.capture = stay.capture AND {filters.during('stay', 'span')} "
        "LEFT JOIN (SELECT capture, pid, comm FROM processes) AS named "
        "ON named.capture = stay.capture AND named.pid = stay.pid "
        f"WHERE {' AND '.join(conditions) or 'true'} {several}"
        f"ORDER BY stay.capture, min(stay.from_ns) OVER (PARTITION BY {_FILE}), stay.dev, stay.inode, "
        "stay.from_ns, stay.space"
    )


def finding_conditions(
    engine: Engine,
    pid: int | None = None,
    addr: str | None = None,
    file: str | None = None,
    since: str | None = None,
    until: str | None = None,
    certainty: Certainty | None = None,
) -> list[str]:
    """What a finding must fulfil to match everything that is given. Raises UsageError for what cannot be meant."""
    conditions = [filters.of_file(file)] if file is not None else []
    if addr is not None:
        conditions.append(filters.at_address(addr))
    if pid is not None:
        filters.of_pid(engine, pid)  # refused where nothing was recorded of it
        conditions.append(f"(pid = {pid} OR other_pid = {pid})")
    if certainty is not None:
        conditions.append(f"certainty = '{certainty}'")
    if since is not None or until is not None:
        times = filters.per_capture(filters.windows(engine, since, until))
        span = "span.capture = finding.capture AND ts_ns BETWEEN since_ns AND until_ns"
        conditions.append(f"EXISTS (FROM {times} AS span WHERE {span})")
    return conditions
