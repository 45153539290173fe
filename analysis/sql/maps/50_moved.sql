-- What did an mremap put, and is part of it still there? No record tells of it.
-- null where nothing was copied: then nothing is read
SET VARIABLE copied_ns = (SELECT max(until_ns) FROM lineage WHERE depth > 0);
CREATE OR REPLACE TABLE put (
    -- first byte [address]
    lo,
    -- first byte past it [address]
    hi,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- thread that called
    tid
) AS
SELECT min(start), max("end"), cause_ns, cause_tid
FROM (
    SELECT start, "end", cause_ns, cause_tid, 0 AS depth FROM standing WHERE cause = 'mremap'
    UNION ALL
    SELECT start, "end", cause_ns, cause_tid, depth
    FROM timeline JOIN (FROM lineage WHERE depth > 0) AS lineage
        ON timeline.space = lineage.space AND from_ns <= until_ns AND (to_ns IS NULL OR to_ns > until_ns)
    WHERE capture = getvariable('capture') AND cause = 'mremap' AND from_ns <= getvariable('copied_ns')
)
GROUP BY cause_ns, cause_tid, depth;
-- null where there is none: then nothing is read
SET VARIABLE first_ns = (SELECT min(ts_ns) FROM put);
SET VARIABLE last_ns = (SELECT max(ts_ns) FROM put);
-- And how did it get there?
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
WITH calls AS (
    SELECT put.*, addr = ret::UBIGINT AS grew, flags & 2 <> 0 AND size = new_size AS fixed, addr, addr + page_up(size) AS addr_end
    FROM put JOIN syscalls ON put.ts_ns = ts_enter_ns AND put.tid = syscalls.tid
    WHERE capture = getvariable('capture') AND syscall = 'mremap' AND errno = 0
        AND ts_enter_ns BETWEEN getvariable('first_ns') AND getvariable('last_ns')
),
records AS (
    SELECT start, "end", ts_ns
    FROM vmas JOIN tellers ON vmas.pid = tellers.pid AND ts_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture') AND ts_ns < getvariable('last_ns')
),
-- it was one if the last record of anything there was of all of it
single AS (
    SELECT calls.ts_ns, tid, arg_max(start <= addr AND "end" >= addr_end, records.ts_ns) AS whole
    FROM calls JOIN records ON start < addr_end AND "end" > addr AND records.ts_ns < calls.ts_ns
    WHERE fixed
    GROUP BY calls.ts_ns, tid
)
SELECT put.lo, put.hi, put.ts_ns, coalesce(grew, false), coalesce(fixed AND NOT coalesce(whole, false) AND put.hi - put.lo > 4096, false)
FROM put
LEFT JOIN calls USING (lo, hi, ts_ns, tid)
LEFT JOIN single USING (ts_ns, tid);
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
