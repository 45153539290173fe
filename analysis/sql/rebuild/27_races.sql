-- Which removals overlapped another thread's change of the same pages, and can it be told which came first?
-- What the kernel placed itself was free, so it came after what was there was taken; if nothing was there, see 81_doubts.
-- A change of protection needs its pages, so it came before they were taken, which the removal's return says anyway.
-- Where a probe saw the removal (hooked), its order is known.
-- First: what began while a removal was under way? A table, so that the joins with it know how few these are.
CREATE TABLE met (
    -- number of the removal
    id,
    -- number of the other removal, null if it is none
    other_id,
    -- when the other began, or its record came [ns, CLOCK_MONOTONIC]
    other_ns,
    -- number of the address space that a fork made meanwhile
    copy,
    -- first page that it changed [pages]
    from_page,
    -- first page past those [pages]
    to_page,
    -- of a record, where it is: chosen by the kernel, given by the call, kept by what was there; copied by a fork
    place,
    -- what the other was
    cause
) AS
WITH
many AS (
    SELECT space
    FROM (
        SELECT space, tid FROM removals
        UNION ALL SELECT space, tid FROM records
        -- who only copies it may do so while another changes it
        UNION ALL SELECT parent, parent_tid FROM lives WHERE began = 'fork' AND parent IS NOT NULL
    )
    GROUP BY space
    HAVING min(tid) <> max(tid) AND space IN (SELECT space FROM removals)
),
moving AS (
    SELECT DISTINCT space FROM removals SEMI JOIN many USING (space) WHERE put_lo IS NOT NULL
),
-- each call stands under the one span of time, or two, longer than the call, that it lies in
calls_sized AS (
    SELECT id, space, tid, enter_ns, exit_ns, span_bits(exit_ns - enter_ns) AS bits
    FROM removals SEMI JOIN many USING (space)
),
under_way AS (
    SELECT *, (enter_ns >> bits) * 64 + bits AS span FROM calls_sized
    UNION ALL
    SELECT *, (exit_ns >> bits) * 64 + bits FROM calls_sized WHERE exit_ns >> bits <> enter_ns >> bits
),
others AS (
    SELECT space, tid, enter_ns AS at_ns, id AS other_id, NULL::BIGINT AS copy, NULL::cause AS cause, NULL::BIGINT AS flags, NULL::BIGINT AS from_page, NULL::BIGINT AS to_page
    -- two removals come to the same in either order, unless one of them moves something
    FROM removals SEMI JOIN moving USING (space)
    UNION ALL
    SELECT space, tid, ts_ns, NULL, NULL, cause, flags, from_page, to_page
    FROM records SEMI JOIN many USING (space)
    WHERE from_page IS NOT NULL
        -- so does what stays in its place
        AND (cause NOT IN ('mprotect', 'pkey_mprotect', 'remap_file_pages', 'mremap') OR space IN (FROM moving))
    UNION ALL
    SELECT parent, parent_tid, from_ns, NULL, space, 'fork'::cause, NULL, 0, 1::BIGINT << 51
    FROM lives
    WHERE began = 'fork' AND parent IN (FROM many)
)
SELECT
    id, other_id, at_ns AS other_ns, copy, from_page, to_page,
    CASE
        WHEN copy IS NOT NULL THEN 'copied'
        WHEN other_id IS NOT NULL THEN ''
        WHEN (cause = 'mmap' AND flags & 16 <> 0 AND flags & 1048576 = 0) OR (cause = 'shmat' AND flags & 16384 <> 0) OR cause = 'brk' THEN 'given'
        WHEN cause IN ('mmap', 'shmat', 'io_setup', 'map_shadow_stack') THEN 'chosen'
        ELSE 'kept'
    END AS place,
    cause
FROM (FROM others, (SELECT DISTINCT bits FROM calls_sized)) AS others
JOIN under_way
    ON others.space = under_way.space AND (at_ns >> others.bits) * 64 + others.bits = span
    AND others.tid <> under_way.tid AND at_ns >= enter_ns AND at_ns <= exit_ns
WHERE other_id IS NOT NULL OR at_ns > enter_ns;
-- Then: which of those meet in their pages, and in what order?
CREATE TABLE races (
    -- number of the removal
    id,
    -- before: the removal came first; unknown: it cannot be told, for MAP_FIXED takes what is there
    verdict,
    -- time of the other's record, null if it is a removal too [ns, CLOCK_MONOTONIC]
    other_ns,
    -- number of the other removal
    other_id,
    -- address space in which the outcome is doubtful
    space,
    -- first page in question [pages]
    lo,
    -- first page past them [pages]
    hi,
    -- what the other was
    other,
    -- thread of the removal
    tid,
    -- entry of the removal [ns, CLOCK_MONOTONIC]
    enter_ns,
    -- entry of the other, if it is a removal too [ns, CLOCK_MONOTONIC]
    other_call_ns
) AS
WITH either_way AS (
    SELECT id, other_id FROM met WHERE other_id IS NOT NULL
    UNION
    SELECT other_id, id FROM met WHERE other_id IS NOT NULL
)
SELECT *
FROM (
    SELECT
        id, CASE WHEN place = 'chosen' THEN 'before' ELSE 'unknown' END, other_ns, NULL, coalesce(copy, space),
        greatest(take_lo, from_page), least(take_hi, to_page), met.cause, tid, enter_ns, NULL
    FROM met JOIN removals USING (id)
    WHERE place IN ('chosen', 'given', 'copied') AND take_lo < to_page AND take_hi > from_page
    UNION ALL
    SELECT
        id, CASE WHEN place = 'kept' THEN 'before' ELSE 'unknown' END, other_ns, NULL, coalesce(copy, space),
        greatest(put_lo, from_page), least(put_hi, to_page), met.cause, tid, enter_ns, NULL
    FROM met JOIN removals USING (id)
    WHERE place IN ('kept', 'given', 'copied') AND put_lo < to_page AND put_hi > from_page
    UNION ALL
    -- what was put where a move came from can be what was moved; so can a protection, where the pages stay
    SELECT id, 'unknown', other_ns, NULL, space, put_lo, put_hi, met.cause, tid, enter_ns, NULL
    FROM met JOIN removals USING (id)
    WHERE source IS NOT NULL AND (place = 'given' OR (place = 'kept' AND take_lo IS NULL))
        AND source < to_page AND source + (put_hi - put_lo) > from_page
    UNION ALL
    SELECT
        mover.id, 'unknown', NULL, other.id, mover.space, mover.put_lo, mover.put_hi, 'mremap',
        mover.tid, mover.enter_ns, other.enter_ns
    FROM either_way JOIN removals AS mover USING (id) JOIN removals AS other ON other_id = other.id
    WHERE mover.source < other.put_hi AND mover.source + (mover.put_hi - mover.put_lo) > other.put_lo
    UNION ALL
    -- taken, then given to an mremap; with MREMAP_FIXED that is not known
    SELECT
        taker.id, CASE WHEN mover.flags & 2 = 0 THEN 'before' ELSE 'unknown' END, NULL, mover.id, taker.space,
        greatest(taker.take_lo, mover.put_lo), least(taker.take_hi, mover.put_hi), 'mremap',
        taker.tid, taker.enter_ns, mover.enter_ns
    FROM either_way JOIN removals AS taker USING (id) JOIN removals AS mover ON other_id = mover.id
    WHERE taker.take_lo < mover.put_hi AND taker.take_hi > mover.put_lo
    UNION ALL
    -- moved away, then taken: moving needs the pages
    SELECT mover.id, 'before', NULL, taker.id, mover.space, NULL, NULL, 'munmap', mover.tid, mover.enter_ns, taker.enter_ns
    FROM either_way JOIN removals AS mover USING (id) JOIN removals AS taker ON other_id = taker.id
    WHERE mover.source IS NOT NULL AND taker.source IS NULL AND mover.take_lo < taker.take_hi AND mover.take_hi > taker.take_lo
) AS found(id, verdict, other_ns, other_id, space, lo, hi, other, tid, enter_ns, other_call_ns)
-- a fork's instant is no probe's
WHERE other = 'fork' OR id NOT IN (SELECT id FROM hooked) OR (other_id IS NOT NULL AND other_id NOT IN (SELECT id FROM hooked));
DROP TABLE met;
