-- What did each MMAP2 record tell of, and which part of it did its call change?
-- A record gives the whole VMA after merging. What lies outside the call's range was the same before, or merging
-- would not have been possible: writing it again would cost the square of the records of a growing heap.
CREATE TABLE records (
    -- number of the address space
    space,
    -- thread id
    tid,
    -- time of the record [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- first page of the VMA [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- number of the look
    look,
    -- what to take from a page's number to get its offset in the file; 0 without a file [pages]
    base,
    -- what made it: a call, exec, stack growth (a page fault), or something not seen
    cause,
    -- entry of that call [ns, CLOCK_MONOTONIC]
    call_ns,
    -- flags of that call
    flags,
    -- first page changed; null where that is not known [pages]
    from_page,
    -- first page past the change [pages]
    to_page
) AS
WITH placed AS (
    SELECT
        users.space, vmas.tid, ts_ns::BIGINT AS ts_ns, ("start" >> 12)::BIGINT AS lo, ("end" >> 12)::BIGINT AS hi, look,
        if(vmas.inode = 0 AND vmas.dev = 0, 0, ("start" >> 12)::BIGINT - pgoff::BIGINT) AS base,
        flags AS vma_flags
    FROM vmas
    JOIN seen USING (perms, dev, inode, generation, path_bytes)
    JOIN users ON vmas.pid = users.pid AND ts_ns::BIGINT >= from_ns AND ts_ns::BIGINT < next_ns
),
asked AS (
    SELECT
        tid, enter_ns, exit_ns, call, flags, CASE
            WHEN call IN ('mprotect', 'pkey_mprotect', 'remap_file_pages') THEN page
            WHEN errno <> 0 THEN NULL
            WHEN call IN ('mmap', 'map_shadow_stack') THEN result
            WHEN call IN ('shmat', 'io_setup') THEN 0
        END AS first_page, CASE
            WHEN call IN ('mprotect', 'pkey_mprotect', 'remap_file_pages') THEN page + pages
            WHEN errno <> 0 THEN NULL
            WHEN call IN ('mmap', 'map_shadow_stack') THEN result + pages
            WHEN call IN ('shmat', 'io_setup') THEN 1::BIGINT << 51
        END AS last_page
    FROM named_calls
    -- munmap has no records
    WHERE call NOT IN ('munmap', 'brk')
    UNION ALL
    SELECT tid, enter_ns, calls.exit_ns, call, flags, if(errno = 0, old_top, NULL), if(errno = 0, result, NULL)
    FROM (FROM calls WHERE call = 'brk') AS calls
    LEFT JOIN breaks ON calls.space = breaks.space AND calls.exit_ns = breaks.exit_ns
),
matched AS (
    SELECT
        placed.*, coalesce(asked.exit_ns >= placed.ts_ns, false) AS in_call, asked.* EXCLUDE (tid, exit_ns),
        vma_flags & 262144 <> 0 AS huge, -- MAP_HUGETLB: the length was rounded up further
        vma_flags & 256 <> 0 AS grows, -- MAP_GROWSDOWN
        coalesce(placed.ts_ns <= exec_end_ns, false) AS in_exec
    FROM placed
    ASOF LEFT JOIN asked ON placed.tid = asked.tid AND placed.ts_ns >= asked.enter_ns
    LEFT JOIN lives ON placed.space = lives.space
),
changed AS (
    SELECT
        *,
        CASE WHEN in_exec OR (in_call AND huge) THEN lo WHEN in_call THEN greatest(lo, first_page) END AS from_page,
        CASE WHEN in_exec OR (in_call AND huge) THEN hi WHEN in_call THEN least(hi, last_page) END AS to_page
    FROM matched
)
SELECT
    space, tid, ts_ns, lo, hi, look, base,
    (CASE WHEN in_exec THEN 'exec'::cause WHEN in_call THEN call WHEN grows THEN 'stack growth'::cause ELSE 'not seen'::cause END),
    if(in_call, enter_ns, NULL), if(in_call, flags, NULL),
    if(from_page < to_page AND (in_exec OR huge OR first_page IS NOT NULL), from_page, NULL),
    if(from_page < to_page AND (in_exec OR huge OR first_page IS NOT NULL), to_page, NULL)
FROM changed;
