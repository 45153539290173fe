-- For how long was each range of pages mapped at one place, from becoming mapped to being unmapped, whatever its permissions?
-- A rectangle of the timeline that ends does not yet unmap: the same pages can go on in the next one. They do where the
-- event that ended the one began the other, at the same place, and it was mprotect or pkey_mprotect, or a record or reading
-- that told of other permissions of the same object (device, inode, offset; or anonymous memory both). mmap, mremap, shmat,
-- remap_file_pages and fork put something new there, over the same object too. What mremap moved is joined in mappings.
CREATE VIEW placements (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null where it still stood at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- permissions it was mapped with
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- what mapped it (see timeline)
    cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event
    cause_tid,
    -- entry of the call that asked for it [ns, CLOCK_MONOTONIC]
    call_ns,
    -- what unmapped it; null where it still stood at the end
    end_cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    end_ns,
    -- thread of that event
    end_tid,
    -- entry of the call that asked for the end [ns, CLOCK_MONOTONIC]
    end_call_ns,
    -- why it is only possible, null where all of it is certain
    reason
) AS
WITH
-- a rectangle is parted where certainty begins or ends; those parts are one
whole AS MATERIALIZED (
    SELECT
        capture, host, space, any_value(pid) AS pid, start, "end",
        min(from_ns) AS from_ns, if(bool_or(to_ns IS NULL), NULL, max(to_ns)) AS to_ns,
        any_value(perms) AS perms, any_value(dev) AS dev, any_value(inode) AS inode, any_value(generation) AS generation,
        any_value(path_bytes) AS path_bytes, any_value(offset_bytes) AS offset_bytes,
        cause, cause_ns, cause_tid, any_value(call_ns) AS call_ns,
        any_value(end_cause) AS end_cause, any_value(end_ns) AS end_ns, any_value(end_tid) AS end_tid,
        any_value(end_call_ns) AS end_call_ns, any_value(reason) AS reason
    FROM timeline
    GROUP BY capture, host, space, start, "end", cause, cause_ns, cause_tid
),
-- a rectangle is known by its address space, start and first instant: no other has these
begun AS MATERIALIZED (
    SELECT capture, space, from_ns AS ns, start, "end", dev, inode, path_bytes, offset_bytes, cause, cause_ns, cause_tid
    FROM whole
    WHERE cause NOT IN ('mmap', 'mremap', 'remap_file_pages', 'shmat', 'io_setup', 'map_shadow_stack', 'fork')
        AND (capture, space, from_ns) IN (SELECT (capture, space, to_ns) FROM whole WHERE to_ns IS NOT NULL)
),
ended AS MATERIALIZED (
    SELECT capture, space, to_ns AS ns, start, "end", from_ns, dev, inode, path_bytes, offset_bytes, end_cause, end_ns, end_tid
    FROM whole
    WHERE (capture, space, to_ns) IN (SELECT (capture, space, ns) FROM begun)
),
-- at one instant what ends does not overlap, nor does what begins: between two neighbouring boundaries there is one of each
cuts AS (
    SELECT capture, space, ns, start AS lo FROM begun
    UNION SELECT capture, space, ns, "end" FROM begun
    UNION SELECT capture, space, ns, start FROM ended
    UNION SELECT capture, space, ns, "end" FROM ended
),
met AS MATERIALIZED (
    SELECT
        cells.capture, cells.space, cells.ns, cells.lo, cells.hi,
        if(cells.lo < ended."end", ended.start, NULL) AS ended_start, ended.from_ns AS ended_from,
        if(cells.lo < begun."end", begun.start, NULL) AS begun_start,
        coalesce(
            cells.lo < ended."end" AND cells.lo < begun."end"
                AND end_cause = cause AND end_ns = cause_ns AND end_tid = cause_tid
                AND (cause IN ('mprotect', 'pkey_mprotect') OR (
                    ended.dev = begun.dev AND ended.inode = begun.inode AND ended.path_bytes = begun.path_bytes
                    AND (begun.inode = 0 OR in_step(begun.offset_bytes, begun.start, ended.offset_bytes, ended.start))
                )),
            false
        ) AS goes_on
    FROM (SELECT *, lead(lo) OVER (PARTITION BY capture, space, ns ORDER BY lo) AS hi FROM cuts) AS cells
    ASOF LEFT JOIN ended ON cells.capture = ended.capture AND cells.space = ended.space AND cells.ns = ended.ns AND cells.lo >= ended.start
    ASOF LEFT JOIN begun ON cells.capture = begun.capture AND cells.space = begun.space AND cells.ns = begun.ns AND cells.lo >= begun.start
    WHERE cells.hi IS NOT NULL
),
-- rectangles that go on from another, or into another
knots AS MATERIALIZED (
    SELECT whole.capture, whole.space, whole.start, "end", whole.from_ns, to_ns, reason, continues, goes_on
    FROM whole
    JOIN (
        SELECT capture, space, start, from_ns, bool_or(continues) AS continues, bool_or(NOT continues) AS goes_on
        FROM (
            SELECT capture, space, begun_start AS start, ns AS from_ns, true AS continues FROM met WHERE goes_on
            UNION ALL
            SELECT capture, space, ended_start, ended_from, false FROM met WHERE goes_on
        )
        GROUP BY ALL
    ) USING (capture, space, start, from_ns)
),
-- where among them pages became mapped (1) and unmapped (0), and where the timeline is not certain (2)
marks AS MATERIALIZED (
    SELECT capture, space, start AS lo, "end" AS hi, from_ns AS ns, 1 AS mark, start, from_ns, NULL AS reason FROM knots WHERE NOT continues
    UNION ALL
    SELECT capture, space, lo, hi, ns, 1, begun_start, ns, NULL
    FROM met
    WHERE NOT goes_on AND (capture, space, begun_start, ns) IN (SELECT (capture, space, start, from_ns) FROM knots WHERE continues)
    UNION ALL
    SELECT capture, space, start, "end", to_ns, 0, start, from_ns, NULL FROM knots WHERE NOT goes_on AND to_ns IS NOT NULL
    UNION ALL
    SELECT capture, space, lo, hi, ns, 0, ended_start, ended_from, NULL
    FROM met
    WHERE NOT goes_on AND (capture, space, ended_start, ended_from) IN (SELECT (capture, space, start, from_ns) FROM knots WHERE goes_on)
    UNION ALL
    SELECT capture, space, start, "end", from_ns, 2, start, from_ns, reason FROM knots WHERE reason IS NOT NULL
),
edges AS MATERIALIZED (
    SELECT capture, space, page, row_number() OVER (PARTITION BY capture, space ORDER BY page) AS edge
    FROM (SELECT capture, space, lo AS page FROM marks UNION SELECT capture, space, hi FROM marks)
),
-- mapped and unmapped take turns on each page
turns AS (
    SELECT *, count_if(mark = 1) OVER (PARTITION BY capture, space, cell ORDER BY ns, mark) AS turn
    FROM (
        SELECT marks.*, unnest(range(low.edge, high.edge)) AS cell
        FROM marks
        JOIN edges AS low ON marks.capture = low.capture AND marks.space = low.space AND marks.lo = low.page
        JOIN edges AS high ON marks.capture = high.capture AND marks.space = high.space AND marks.hi = high.page
    )
),
lasted AS (
    SELECT
        capture, space, cell,
        any_value(start) FILTER (mark = 1) AS first_start, any_value(from_ns) FILTER (mark = 1) AS first_from,
        any_value(start) FILTER (mark = 0) AS last_start, any_value(from_ns) FILTER (mark = 0) AS last_from,
        any_value(reason) AS reason
    FROM turns
    WHERE turn > 0
    GROUP BY capture, space, cell, turn
),
joined AS (
    SELECT
        capture, space, first_start, first_from, last_start, last_from, any_value(reason) AS reason,
        min(cell) AS first_edge, max(cell) + 1 AS past_edge
    FROM (
        SELECT *, cell - row_number() OVER (
                PARTITION BY capture, space, first_start, first_from, last_start, last_from, reason IS NULL ORDER BY cell
            ) AS run
        FROM lasted
    )
    GROUP BY capture, space, first_start, first_from, last_start, last_from, reason IS NULL, run
)
SELECT
    capture, host, space, pid, start, "end", from_ns, to_ns, perms, dev, inode, generation, path_bytes, offset_bytes,
    cause, cause_ns, cause_tid, call_ns, end_cause, end_ns, end_tid, end_call_ns, reason
FROM whole ANTI JOIN knots USING (capture, space, start, from_ns)
UNION ALL
SELECT
    joined.capture, first.host, joined.space, first.pid, low.page, high.page, first.from_ns, last.to_ns,
    first.perms, first.dev, first.inode, first.generation, first.path_bytes,
    offset_plus(first.offset_bytes, if(first.inode = 0, 0, low.page - first.start)),
    first.cause, first.cause_ns, first.cause_tid, first.call_ns,
    last.end_cause, last.end_ns, last.end_tid, last.end_call_ns, joined.reason
FROM joined
JOIN edges AS low ON joined.capture = low.capture AND joined.space = low.space AND first_edge = low.edge
JOIN edges AS high ON joined.capture = high.capture AND joined.space = high.space AND past_edge = high.edge
JOIN whole AS first ON joined.capture = first.capture AND joined.space = first.space AND first_start = first.start AND first_from = first.from_ns
LEFT JOIN whole AS last ON joined.capture = last.capture AND joined.space = last.space AND last_start = last.start AND last_from = last.from_ns;
