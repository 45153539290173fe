-- Which calls took mappings away or moved them? MMAP2 records are silent about these.
-- The effect lies somewhere between entry and return; 28_order.sql says where.
-- First: what shmdt and io_destroy take away, which is as long as it was when it was made.
CREATE TABLE attached (
    -- number of the address space
    space,
    -- the call that takes it away
    call,
    -- first page [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- when it was made or read [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- number of the look
    look
) AS
SELECT space, if(cause = 'shmat', 'shmdt', 'io_destroy')::cause, lo, hi, ts_ns, look
FROM records WHERE cause IN ('shmat', 'io_setup')
UNION ALL
SELECT space, if(starts_with(path::VARCHAR, '/SYSV'), 'shmdt', 'io_destroy'), lo, max(hi) OVER (PARTITION BY reading, base, dev, inode), begin_ns, look
FROM lines JOIN looks USING (look)
WHERE starts_with(path::VARCHAR, '/SYSV') OR starts_with(path::VARCHAR, '/[aio]');
CREATE TABLE removing (
    -- number of the address space
    space,
    -- thread id
    tid,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    enter_ns,
    -- return of the call [ns, CLOCK_MONOTONIC]
    exit_ns,
    -- the call
    cause,
    -- flags of the call
    flags,
    -- first page taken away, null if none is [pages]
    take_lo,
    -- first page past those [pages]
    take_hi,
    -- shmdt: only what still stands where this look was attached is taken; 0 where no attachment there is known: then
    -- what stands as if it had been
    attach_look,
    -- shmdt: first page of those that need not have been taken, null if there is none [pages]
    doubt_lo,
    -- mremap: page whose mapping is moved or extended, null if nothing is [pages]
    source,
    -- mremap: first page that is mapped anew [pages]
    put_lo,
    -- mremap: first page past those [pages]
    put_hi,
    -- mremap: pages between old and new place [pages]
    delta,
    -- mremap: first page past the old range where several VMAs can have been moved at once, else null [pages]
    several_hi
) AS
WITH
-- A part that was moved is detached at the address at which the whole would lie, and may be longer than the whole if it
-- is the first that is left (ipc/shm.c, ksys_shmdt). mremap can have made it so, where it was ever used on a segment
segments AS (
    SELECT
        max(hi - lo) AS pages,
        coalesce((
            SELECT max(new_pages) FROM calls
            WHERE call = 'mremap' AND errno = 0 AND new_pages > pages AND EXISTS (
                FROM calls AS moves JOIN attached ON page < hi AND page + greatest(pages, 1) > lo
                WHERE moves.call = 'mremap' AND errno = 0 AND attached.call = 'shmdt'
            )
        ), 0) AS longer
    FROM attached WHERE call = 'shmdt'
),
ends AS (
    SELECT
        calls.*, coalesce(own.hi, parents.hi) AS known_hi,
        if(calls.call = 'shmdt', coalesce(known_hi, calls.page + segments.pages) + longer, known_hi) AS attach_hi,
        coalesce(own.look, parents.look, 0) AS attach_look
    FROM (FROM calls WHERE errno = 0 AND call IN ('shmdt', 'io_destroy')) AS calls
    ASOF LEFT JOIN attached AS own
        ON calls.space = own.space AND calls.call = own.call AND calls.page = own.lo AND calls.enter_ns > own.ts_ns
    ASOF LEFT JOIN attached AS parents
        ON calls.call = parents.call AND calls.page = parents.lo AND calls.enter_ns > parents.ts_ns,
    segments
),
changes AS (
    SELECT
        space, tid, enter_ns, exit_ns, call, flags, page AS take_lo, page + pages AS take_hi, NULL::INTEGER AS attach_look, NULL::BIGINT AS doubt_lo,
        NULL::BIGINT AS source, NULL::BIGINT AS put_lo, NULL::BIGINT AS put_hi, NULL::BIGINT AS delta, NULL::BIGINT AS several_hi
    FROM every_call
    WHERE call = 'munmap' AND errno = 0
    UNION ALL
    SELECT calls.space, tid, enter_ns, calls.exit_ns, call, flags, top, old_top, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM calls JOIN breaks ON calls.space = breaks.space AND calls.exit_ns = breaks.exit_ns
    WHERE call = 'brk' AND top < old_top
    UNION ALL
    SELECT
        space, tid, enter_ns, exit_ns, call, flags, page, attach_hi, if(call = 'shmdt', attach_look, NULL),
        if(coalesce(known_hi, page) < attach_hi, coalesce(known_hi, page), NULL), NULL, NULL, NULL, NULL, NULL
    FROM ends
    WHERE attach_hi IS NOT NULL
    UNION ALL
    SELECT
        space, tid, enter_ns, exit_ns, call, flags,
        CASE WHEN result <> page THEN if(flags & 4 = 0 AND pages > 0, page, NULL) WHEN new_pages < pages THEN page + new_pages END,
        CASE WHEN result <> page THEN if(flags & 4 = 0 AND pages > 0, page + pages, NULL) WHEN new_pages < pages THEN page + pages END,
        NULL, NULL,
        if(result <> page OR new_pages > pages, page, NULL),
        CASE WHEN result <> page THEN result WHEN new_pages > pages THEN page + pages END,
        CASE WHEN result <> page OR new_pages > pages THEN result + new_pages END,
        result - page,
        -- Linux 6.17: MREMAP_FIXED to the same length moves all there is in the range and keeps the gaps
        if(result <> page AND flags & 2 <> 0 AND pages = new_pages AND pages > 1, page + pages, NULL)
    FROM calls
    WHERE call = 'mremap' AND errno = 0
    UNION ALL
    -- a call that failed after it had taken its target, or, mremap, what is too long of its source
    SELECT calls.space, calls.tid, enter_ns, exit_ns, calls.call, flags, lo, hi, NULL, NULL, NULL, NULL, NULL, NULL, NULL
    FROM calls JOIN (FROM unmaps WHERE errno <> 0 AND call IN ('mmap', 'mremap')) AS unmaps ON calls.tid = unmaps.tid AND enter_ns = call_ns
)
FROM changes;
CREATE VIEW removals (
    -- number of the removal
    id,
    -- the others are those of removing
    space, tid, enter_ns, exit_ns, cause, flags, take_lo, take_hi, attach_look, doubt_lo, source, put_lo, put_hi, delta, several_hi
) AS
SELECT rowid, * FROM removing;
