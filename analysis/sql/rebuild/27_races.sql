-- Which removals overlapped another thread's change of the same pages, and can it be told which came first?
-- What the kernel placed itself was free, so it came after what was there was taken; if nothing was there, see 81_doubts.
-- A change of protection needs its pages, so it came before they were taken, which the removal's return says anyway.
-- Where a probe saw the removal (hooked), its order is known.
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
    enter_ns
) AS
WITH
many AS (
    SELECT space
    FROM (SELECT space, tid FROM removals UNION ALL SELECT space, tid FROM records)
    GROUP BY space
    HAVING min(tid) <> max(tid) AND space IN (SELECT space FROM removals)
),
events AS (
    SELECT space, tid, enter_ns AS since, exit_ns AS until, id, NULL::BIGINT AS record, NULL::BIGINT AS copy
    FROM removals SEMI JOIN many USING (space)
    UNION ALL
    SELECT space, tid, ts_ns, NULL, NULL, rowid, NULL
    FROM records SEMI JOIN many USING (space)
    WHERE from_page IS NOT NULL
        -- what stays in its place matters to moves only
        AND (cause NOT IN ('mprotect', 'pkey_mprotect', 'remap_file_pages', 'mremap') OR space IN (SELECT space FROM removals WHERE put_lo IS NOT NULL))
    UNION ALL
    SELECT parent, parent_tid, from_ns, NULL, NULL, NULL, space
    FROM lives
    WHERE began = 'fork' AND parent IN (FROM many)
),
-- most meet nothing: no change began within the call, nor did it begin within a call
ranked AS (
    SELECT *, row_number() OVER by_time AS rank
    FROM events
    WINDOW by_time AS (PARTITION BY space ORDER BY since, until NULLS FIRST)
    QUALIFY lead(since) OVER by_time <= until OR since <= max(until) OVER (by_time ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
-- the last change that began within the call: all between began within it too
spanned AS (
    SELECT call.id, call.tid, call.space, call.rank, last.rank AS last_rank
    FROM (FROM ranked WHERE id IS NOT NULL) AS call
    ASOF JOIN (SELECT space, since, rank FROM ranked) AS last ON call.space = last.space AND call.until >= last.since
),
pairs AS (
    SELECT id, tid, space, unnest(range(rank + 1, last_rank + 1)) AS other FROM spanned WHERE last_rank > rank
),
met AS (
    SELECT
        pairs.id, other.id AS other_id, other.since AS other_ns, other.copy,
        if(copy IS NULL, from_page, 0) AS from_page, if(copy IS NULL, to_page, 1::BIGINT << 51) AS to_page,
        CASE
            WHEN copy IS NOT NULL THEN 'copied'
            WHEN record IS NULL THEN ''
            WHEN (cause = 'mmap' AND flags & 16 <> 0 AND flags & 1048576 = 0) OR (cause = 'shmat' AND flags & 16384 <> 0) OR cause = 'brk' THEN 'given'
            WHEN cause IN ('mmap', 'shmat', 'io_setup', 'map_shadow_stack') THEN 'chosen'
            ELSE 'kept'
        END AS place,
        if(copy IS NULL, cause, 'fork') AS cause
    FROM pairs
    JOIN ranked AS other ON pairs.space = other.space AND pairs.other = other.rank AND pairs.tid <> other.tid
    LEFT JOIN (SELECT rowid AS record, cause, flags, from_page, to_page FROM records) AS records USING (record)
),
either_way AS (
    SELECT id, other_id FROM met WHERE other_id IS NOT NULL
    UNION
    SELECT other_id, id FROM met WHERE other_id IS NOT NULL
)
SELECT found.*, removals.tid, removals.enter_ns
FROM (
    SELECT
        id, CASE WHEN place = 'chosen' THEN 'before' ELSE 'unknown' END, other_ns, NULL, coalesce(copy, space),
        greatest(take_lo, from_page), least(take_hi, to_page), met.cause
    FROM met JOIN removals USING (id)
    WHERE place IN ('chosen', 'given', 'copied') AND take_lo < to_page AND take_hi > from_page
    UNION ALL
    SELECT
        id, CASE WHEN place = 'kept' THEN 'before' ELSE 'unknown' END, other_ns, NULL, coalesce(copy, space),
        greatest(put_lo, from_page), least(put_hi, to_page), met.cause
    FROM met JOIN removals USING (id)
    WHERE place IN ('kept', 'given', 'copied') AND put_lo < to_page AND put_hi > from_page
    UNION ALL
    -- what was put where a move came from can be what was moved; so can a protection, where the pages stay
    SELECT id, 'unknown', other_ns, NULL, space, put_lo, put_hi, met.cause
    FROM met JOIN removals USING (id)
    WHERE source IS NOT NULL AND (place = 'given' OR (place = 'kept' AND take_lo IS NULL))
        AND source < to_page AND source + (put_hi - put_lo) > from_page
    UNION ALL
    SELECT mover.id, 'unknown', NULL, other.id, mover.space, mover.put_lo, mover.put_hi, 'mremap'
    FROM either_way JOIN removals AS mover USING (id) JOIN (SELECT id AS other_id, * FROM removals) AS other USING (other_id)
    WHERE mover.source < other.put_hi AND mover.source + (mover.put_hi - mover.put_lo) > other.put_lo
    UNION ALL
    -- taken, then given to an mremap; with MREMAP_FIXED that is not known
    SELECT
        taker.id, CASE WHEN mover.flags & 2 = 0 THEN 'before' ELSE 'unknown' END, NULL, mover.id, taker.space,
        greatest(taker.take_lo, mover.put_lo), least(taker.take_hi, mover.put_hi), 'mremap'
    FROM either_way JOIN removals AS taker USING (id) JOIN (SELECT id AS other_id, * FROM removals) AS mover USING (other_id)
    WHERE taker.take_lo < mover.put_hi AND taker.take_hi > mover.put_lo
    UNION ALL
    -- moved away, then taken: moving needs the pages
    SELECT mover.id, 'before', NULL, taker.id, mover.space, NULL, NULL, 'munmap'
    FROM either_way JOIN removals AS mover USING (id) JOIN (SELECT id AS other_id, * FROM removals) AS taker USING (other_id)
    WHERE mover.source IS NOT NULL AND taker.source IS NULL AND mover.take_lo < taker.take_hi AND mover.take_hi > taker.take_lo
) AS found(id, verdict, other_ns, other_id, space, lo, hi, other)
JOIN removals USING (id)
-- a fork's instant is no probe's
WHERE other = 'fork' OR id NOT IN (SELECT id FROM hooked) OR (other_id IS NOT NULL AND other_id NOT IN (SELECT id FROM hooked));
