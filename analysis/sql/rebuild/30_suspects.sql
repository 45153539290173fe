-- Where can the rebuild not tell what is mapped, from when on? Until those pages are written again, or read.
CREATE TABLE suspects (
    -- number of the address space
    space,
    -- time from which on, times eight [ns / 8, CLOCK_MONOTONIC]
    key,
    -- first page [pages]
    lo,
    -- first page past them [pages]
    hi,
    -- why
    reason,
    -- thread of the event that raised the doubt
    tid
) AS
WITH
-- a probe on every removal tells what a failed call took, and of one without a removal that it took nothing. That mmap's are among
-- them is seen by others'
told AS (
    SELECT
        (SELECT count(*) > 0 FROM unmaps WHERE call = 'mmap' AND errno = 0) AS mmap,
        (SELECT count(*) > 0 FROM hooks WHERE hook = 'unmap') AS mremap
),
blind AS (
    SELECT from_ns::BIGINT AS from_ns, to_ns::BIGINT AS to_ns FROM losses WHERE source = 'hooks'
),
failures AS (
    SELECT
        *, if(call = 'mmap', told.mmap, told.mremap) AND NOT EXISTS (FROM blind WHERE exit_ns >= from_ns AND enter_ns <= to_ns) AS seen
    FROM calls, told
    WHERE errno <> 0 AND call IN ('mmap', 'mremap')
)
SELECT space, key, lo, hi, reason, tid
FROM (
    -- errors found before anything is touched: EBADF, EEXIST, and EINVAL for what is no whole page
    SELECT
        space, exit_ns * 8 + 6, page, page + pages, 'a failed mmap(MAP_FIXED) can leave a hole', tid
    FROM failures
    WHERE call = 'mmap' AND flags & 16 <> 0 AND flags & 1048576 = 0 AND errno NOT IN (9, 17) AND pages > 0 AND NOT seen
    UNION ALL
    SELECT space, exit_ns * 8 + 6, new_page, new_page + new_pages, 'a failed mremap(MREMAP_FIXED) can have unmapped its target', tid
    FROM failures
    WHERE call = 'mremap' AND flags & 2 <> 0 AND new_pages > 0
        -- what it removed is known then, but of several mappings some can have come there
        AND (NOT seen OR new_pages = pages AND pages > 1 AND EXISTS (FROM unmaps WHERE unmaps.tid = failures.tid AND call_ns = enter_ns))
    UNION ALL
    -- it maps anew what it found, and a segment whose id was removed meanwhile cannot be (ipc/shm.c, shm_mmap): EINVAL
    SELECT space, exit_ns * 8 + 6, page, page + pages, 'a failed remap_file_pages can leave a hole', tid
    FROM calls
    WHERE call = 'remap_file_pages' AND errno = 22 AND pages > 0 AND (
        EXISTS (FROM attached WHERE attached.call = 'shmdt' AND page < hi AND page + calls.pages > lo)
        OR EXISTS (FROM removals WHERE cause = 'mremap' AND page < put_hi AND page + calls.pages > put_lo AND EXISTS (FROM attached WHERE call = 'shmdt'))
    )
    UNION ALL
    SELECT space, exit_ns * 8 + 6, page, page + pages, 'a failed mremap of several mappings can have moved some', tid
    FROM failures
    WHERE call = 'mremap' AND flags & 2 <> 0 AND new_pages = pages AND pages > 1
        AND (NOT seen OR EXISTS (FROM unmaps WHERE unmaps.tid = failures.tid AND call_ns = enter_ns))
    UNION ALL
    SELECT space, exit_ns * 8 + 6, page, page + 1, 'what was attached there is not known', tid
    FROM calls
    WHERE call IN ('shmdt', 'io_destroy') AND errno = 0
        AND NOT EXISTS (FROM removals WHERE removals.tid = calls.tid AND removals.enter_ns = calls.enter_ns)
    UNION ALL
    SELECT space, exit_ns * 8 + 6, doubt_lo, take_hi, 'what was attached there is not known', tid
    FROM removals
    WHERE doubt_lo IS NOT NULL
    UNION ALL
    SELECT space, ts_ns * 8 + 6, from_page, to_page, 'the program headers of the executed file are not known', tid
    FROM images_at_exec
    WHERE NOT known
    UNION ALL
    SELECT
        races.space,
        -- a copy is made at one instant, whatever is under way in its original for longer
        if(races.other = 'fork', other_ns * 8 + 7, greatest(moments.key, coalesce(other_ns * 8 + 4, other.key)) + 3), lo, hi,
        format('the order of {} and {} by two threads at once is not known', moments.cause, races.other), moments.tid
    FROM races
    JOIN moments USING (id)
    LEFT JOIN moments AS other ON races.other_id = other.id
    WHERE verdict = 'unknown'
    UNION ALL
    SELECT copy, fork_ns * 8 + 7, lo, hi, format('the order of {} and fork by two threads at once is not known', cause), tid
    FROM changed_meanwhile
    UNION ALL
    -- what was moved can have been read at its old place, or at its new one, or at none
    SELECT moves.space, greatest(key + 2, readings.end_ns * 8 + 8), put_lo, put_hi, 'moved while the maps were being read', moves.tid
    FROM (FROM moments WHERE source IS NOT NULL) AS moves
    ASOF JOIN readings ON moves.space = readings.space AND moves.exit_ns >= readings.begin_ns
    WHERE readings.end_ns >= moves.enter_ns
    UNION ALL
    -- advice is followed like mappings are, but not where there were none: where a move of several left a gap
    SELECT lives.space, lives.from_ns * 8 + 7, put_lo, put_hi, 'whether what was moved there is copied by a fork is not known', lives.parent_tid
    FROM removals
    JOIN lives ON lives.parent = removals.space AND lives.began = 'fork' AND lives.from_ns >= removals.exit_ns
    WHERE several_hi IS NOT NULL AND removals.space IN (SELECT space FROM calls WHERE call = 'madvise' AND op = 10)
    UNION ALL
    -- a context whose ring was unmapped or mapped over lives on, under the address that a later one can be given too; the
    -- kernel reads which is meant from that memory
    SELECT
        removals.space, removals.exit_ns * 8 + 6, take_lo, greatest(take_hi, max(to_page)),
        'io_destroy was called where several contexts had been set up', removals.tid
    FROM removals
    JOIN records ON removals.space = records.space AND records.cause = 'io_setup' AND take_lo = from_page AND ts_ns < removals.exit_ns
    LEFT JOIN calls AS earlier ON removals.space = earlier.space AND earlier.call = 'io_destroy' AND earlier.errno = 0
        AND earlier.page = take_lo AND earlier.exit_ns < removals.exit_ns
    WHERE removals.cause = 'io_destroy'
    GROUP BY removals.id, removals.space, removals.exit_ns, take_lo, take_hi, removals.tid
    HAVING count(DISTINCT ts_ns) > 1 + count(DISTINCT earlier.exit_ns)
) AS found(space, key, lo, hi, reason, tid)
-- a range that passes the end of the largest address space, of 56 bits, is refused before anything is touched
WHERE hi <= 1::BIGINT << 44;
