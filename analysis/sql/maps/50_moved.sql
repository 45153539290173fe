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
    FROM timeline JOIN lineage ON timeline.space = lineage.space AND from_ns <= until_ns AND (to_ns IS NULL OR to_ns > until_ns)
    WHERE capture = getvariable('capture') AND cause = 'mremap'
    GROUP BY cause_ns, cause_tid, timeline.space
)
SELECT
    lo, hi, cause_ns, coalesce(syscalls.addr = syscalls.ret::UBIGINT, false),
    coalesce(syscalls.flags & 2 <> 0 AND syscalls.size = syscalls.new_size AND hi - lo > 4096, false)
FROM standing_moves LEFT JOIN (FROM syscalls WHERE syscall = 'mremap' AND capture = getvariable('capture') AND errno = 0) AS syscalls
    ON cause_ns = ts_enter_ns AND cause_tid = tid;
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
