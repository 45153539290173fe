-- When did an address space gain or lose a VMA, and what made that VMA?
-- A rectangle is a VMA or a part of one. Neighbours of the same kind can be one VMA: a record of a mapping tells the whole
-- VMA as it then was, and a line of /proc/PID/maps does too, so the later of two neighbours tells whether they are one. Where
-- it does not (after mremap, and in the child of a child) they are taken for one, and change_at_most counts them as two. Not
-- seen are VMAs that madvise, mlock, mbind or prctl split without any record.
CREATE VIEW vma_changes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- when [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- VMAs more, or, negative, less
    change,
    -- the same, if neighbours of which no record tells are VMAs of their own
    change_at_most,
    -- of change, what is only possible
    possible,
    -- what made the mapping that came, went, or met its neighbour (see timeline)
    cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event
    cause_tid,
    -- entry of the call that asked for it; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- path; empty for anonymous memory
    path,
    -- device, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode
) AS
WITH
records AS (
    SELECT capture, ts_ns, tid, min(start) AS start, max("end") AS "end" FROM vmas GROUP BY capture, ts_ns, tid
),
-- each with the VMA that its event told of
own AS MATERIALIZED (
    SELECT
        timeline.capture, host, space, timeline.pid, timeline.start, timeline."end", from_ns,
        coalesce(to_ns, 18446744073709551615) AS to_ns, perms, dev, inode, path, if(inode = 0, path, '') AS label, offset_bytes,
        cause, cause_ns, cause_tid, call_ns, (certainty = 'possible')::BIGINT AS possible,
        cause_ns AS told_ns,
        if(cause_table = 'maps' AND timeline.start < lines."end", lines.start, records.start) AS vma_start,
        if(cause_table = 'maps' AND timeline.start < lines."end", lines."end", records."end") AS vma_end
    FROM timeline
    LEFT JOIN records ON timeline.capture = records.capture AND cause_table = 'vmas' AND cause_ns = records.ts_ns AND cause_tid = records.tid
    ASOF LEFT JOIN (SELECT capture, ts_begin_ns, pid, start, "end" FROM maps) AS lines
        ON timeline.capture = lines.capture AND cause_ns = lines.ts_begin_ns AND cause_tid = lines.pid AND timeline.start >= lines.start
),
-- a child has the VMAs of its parent
told AS MATERIALIZED (
    FROM own WHERE cause <> 'fork'
    UNION ALL
    SELECT child.* EXCLUDE (parent) REPLACE (
            if(child.cause_ns < parents.to_ns, parents.told_ns, child.told_ns) AS told_ns,
            if(child.cause_ns < parents.to_ns, parents.vma_start, NULL) AS vma_start,
            if(child.cause_ns < parents.to_ns, parents.vma_end, NULL) AS vma_end
        )
    FROM (SELECT own.*, parent FROM own JOIN spaces USING (capture, space) WHERE cause = 'fork') AS child
    ASOF LEFT JOIN own AS parents ON child.capture = parents.capture AND child.parent = parents.space AND child.start = parents.start
        AND child.cause_ns >= parents.from_ns
),
lows AS (
    SELECT *, "end" AS page, if(inode = 0, 0, offset_bytes + "end" - start) AS at_bytes FROM told
),
highs AS (
    SELECT *, start AS page, if(inode = 0, 0, offset_bytes) AS at_bytes FROM told
),
-- below a boundary stands one rectangle at a time, and above it too: who comes later finds the other
met AS (
    SELECT lows AS low, highs AS high
    FROM highs
    ASOF JOIN lows ON highs.capture = lows.capture AND highs.space = lows.space AND highs.page = lows.page AND highs.at_bytes = lows.at_bytes
        AND highs.perms = lows.perms AND highs.dev = lows.dev AND highs.inode = lows.inode AND highs.label = lows.label
        AND highs.from_ns >= lows.from_ns
    WHERE highs.from_ns < lows.to_ns
    UNION ALL
    SELECT lows, highs
    FROM lows
    ASOF JOIN highs ON highs.capture = lows.capture AND highs.space = lows.space AND highs.page = lows.page AND highs.at_bytes = lows.at_bytes
        AND highs.perms = lows.perms AND highs.dev = lows.dev AND highs.inode = lows.inode AND highs.label = lows.label
        AND lows.from_ns > highs.from_ns
    WHERE lows.from_ns < highs.to_ns
),
pairs AS (
    SELECT
        if(high.told_ns >= low.told_ns, high, low) AS later, high.start AS page,
        -- a mremap makes one VMA
        low.cause = 'mremap' AND high.cause = 'mremap' AND low.cause_ns = high.cause_ns AND low.cause_tid = high.cause_tid AS one,
        greatest(low.from_ns, high.from_ns) AS from_ns, least(low.to_ns, high.to_ns) AS to_ns
    FROM met
),
gains AS (
    SELECT
        capture, host, space, pid, from_ns, to_ns, 1 AS change, 1 AS change_at_most, possible,
        cause, cause_ns, cause_tid, call_ns, path, dev, inode
    FROM told
    UNION ALL
    SELECT
        later.capture, later.host, later.space, later.pid, from_ns, to_ns, -1, if(one OR later.vma_start IS NOT NULL, -1, 0), -later.possible,
        later.cause, later.cause_ns, later.cause_tid, later.call_ns, later.path, later.dev, later.inode
    FROM pairs
    WHERE one OR later.vma_start IS NULL OR (later.vma_start < page AND later.vma_end > page)
)
SELECT capture, host, space, pid, from_ns, change, change_at_most, possible, cause, cause_ns, cause_tid, call_ns, path, dev, inode
FROM gains
UNION ALL
SELECT capture, host, space, pid, to_ns, -change, -change_at_most, -possible, cause, cause_ns, cause_tid, call_ns, path, dev, inode
FROM gains
WHERE to_ns < 18446744073709551615;
