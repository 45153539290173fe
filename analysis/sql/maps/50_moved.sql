-- Where did an mremap put memory? No record tells of it, nor of what it merged with.
CREATE OR REPLACE TABLE moves (
    -- first byte [address]
    lo,
    -- first byte past it [address]
    hi,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether a VMA grew in its place by this
    grew,
    -- whether it can have been several VMAs that were moved at once (Linux 6.17: MREMAP_FIXED to the same length)
    several
) AS
WITH standing_moves AS (
    SELECT min(start) AS lo, max("end") AS hi, cause_ns, cause_tid
    FROM (
        SELECT start, "end", cause_ns, cause_tid, 0 AS depth FROM standing WHERE cause = 'mremap'
        UNION ALL
        SELECT start, "end", cause_ns, cause_tid, depth
        FROM timeline JOIN (FROM lineage WHERE depth > 0) AS lineage
            ON timeline.space = lineage.space AND from_ns <= until_ns AND (to_ns IS NULL OR to_ns > until_ns)
        WHERE capture = getvariable('capture') AND cause = 'mremap'
    )
    GROUP BY cause_ns, cause_tid, depth
),
calls AS (
    SELECT ts_enter_ns, tid, addr = ret::UBIGINT AS grew, flags & 2 <> 0 AND size = new_size AS fixed, addr, addr + size AS addr_end
    FROM (FROM syscalls WHERE capture = getvariable('capture') AND syscall = 'mremap' AND errno = 0)
    SEMI JOIN standing_moves ON ts_enter_ns = cause_ns AND tid = cause_tid
),
-- it was one if the last record of anything there was of all of it
single AS (
    SELECT calls.ts_enter_ns, calls.tid, arg_max(start <= addr AND "end" >= addr_end, ts_ns) AS whole
    FROM (FROM calls WHERE fixed) AS calls, vmas SEMI JOIN tellers ON vmas.pid = tellers.pid AND ts_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture') AND start < addr_end AND "end" > addr AND ts_ns < ts_enter_ns
    GROUP BY calls.ts_enter_ns, calls.tid
)
SELECT lo, hi, cause_ns, coalesce(grew, false), coalesce(fixed AND NOT coalesce(whole, false) AND hi - lo > 4096, false)
FROM standing_moves
LEFT JOIN calls ON calls.ts_enter_ns = cause_ns AND calls.tid = cause_tid
LEFT JOIN single ON single.ts_enter_ns = cause_ns AND single.tid = cause_tid;
-- Which of the places did that touch?
CREATE OR REPLACE TABLE moved (
    -- a place at or in what was moved, or in what a VMA grew by [address]
    page,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether it is inside, or where a VMA was that grew in its place: it goes on there (mm/mremap.c, expand_vma)
    inside
) AS
SELECT page, max(ts_ns), arg_max(page < hi AND (page > lo OR grew), ts_ns)
FROM candidates JOIN moves ON lo <= page AND hi >= page
GROUP BY page;
