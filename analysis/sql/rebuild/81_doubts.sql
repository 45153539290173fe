-- Where in address and time is what the timeline says, and what it does not say, only possible?
CREATE TABLE doubts_found (
    -- number of the address space
    space,
    -- first page [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null: to the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- why
    reason
) AS
WITH RECURSIVE
mapped AS NOT MATERIALIZED (
    SELECT plane // 4 AS space, lo, hi, from_ns, to_ns, actor, call_ns FROM pieces WHERE plane % 4 = 0
    UNION ALL
    SELECT plane // 4, lo, hi, key >> 3, NULL, actor, call_ns FROM live WHERE plane % 4 = 0
),
-- a place that the kernel chose was free: either what was there had been taken, and then it is known what, or nothing was
-- there, and the removal can have come second, and taken what the kernel had just placed
chosen AS (
    SELECT found.*, coalesce(sum(least(found.hi, taken.hi) - greatest(found.lo, taken.lo)) FILTER (taken.lo IS NOT NULL), 0) AS taken_pages
    FROM (
        SELECT space, lo, hi, other_ns, other_call_ns, other, tid, enter_ns
        FROM races
        WHERE verdict = 'before' AND lo < hi AND other IN ('mmap', 'shmat', 'io_setup', 'map_shadow_stack', 'mremap')
    ) AS found
    LEFT JOIN (SELECT plane // 4 AS space, lo, hi, end_call_ns, end_actor FROM pieces WHERE plane % 4 = 0 AND end_call_ns IS NOT NULL) AS taken
        ON found.space = taken.space AND enter_ns = end_call_ns AND tid = end_actor >> 7 AND found.lo < taken.hi AND found.hi > taken.lo
    GROUP BY ALL
    HAVING taken_pages < found.hi - found.lo
),
placed AS (
    SELECT chosen.space, chosen.lo, chosen.hi, other, mapped.lo AS first, mapped.hi AS past, from_ns, to_ns
    FROM chosen JOIN mapped ON chosen.space = mapped.space AND mapped.from_ns = other_ns
    UNION ALL
    SELECT chosen.space, chosen.lo, chosen.hi, other, mapped.lo, mapped.hi, from_ns, to_ns
    FROM chosen JOIN mapped ON chosen.space = mapped.space AND mapped.call_ns = other_call_ns
),
-- whoever copies what is doubtful has a doubtful copy; so has a move of several mappings, which keeps gaps. A move of one
-- mapping fails where there is none, and so does a change of protection: what they leave is certain
passed AS (
    SELECT parent AS space, space AS heir, from_ns AS since, from_ns AS until, NULL::BIGINT AS call_ns, 0::BIGINT AS lo, 1::BIGINT << 51 AS hi, 0::BIGINT AS delta
    FROM lives WHERE began = 'fork' AND parent IS NOT NULL
    UNION ALL
    SELECT space, space, enter_ns, exit_ns, enter_ns, page, page + pages, result - page
    FROM calls WHERE call = 'mremap' AND errno = 0 AND flags & 2 <> 0 AND pages = new_pages AND pages > 1 AND result <> page
),
doubtful(space, lo, hi, from_ns, to_ns, other) AS (
    SELECT space, greatest(lo, first), least(hi, past), from_ns, to_ns, other FROM placed WHERE lo < past AND hi > first
    UNION
    SELECT
        heir, greatest(mapped.lo, greatest(doubtful.lo, passed.lo) + delta), least(mapped.hi, least(doubtful.hi, passed.hi) + delta),
        mapped.from_ns, mapped.to_ns, other
    FROM doubtful
    JOIN passed ON doubtful.space = passed.space AND doubtful.lo < passed.hi AND doubtful.hi > passed.lo
        AND doubtful.from_ns <= until AND (doubtful.to_ns IS NULL OR doubtful.to_ns >= since)
    JOIN mapped ON heir = mapped.space AND if(passed.call_ns IS NULL, mapped.from_ns = since, mapped.call_ns = passed.call_ns)
        AND mapped.lo < least(doubtful.hi, passed.hi) + delta AND mapped.hi > greatest(doubtful.lo, passed.lo) + delta
)
SELECT space, 0::BIGINT, 1::BIGINT << 51, from_ns, nullif(to_ns, 9223372036854775807), reason FROM gaps
UNION ALL
SELECT plane // 4, lo, hi, from_ns, to_ns, reason
FROM (
    SELECT plane, lo, hi, from_ns, to_ns, look FROM pieces
    UNION ALL
    SELECT plane, lo, hi, key >> 3, NULL, look FROM live
) JOIN reasons ON look = reason_number
WHERE plane % 4 = 2
UNION ALL
SELECT space, lo, hi, from_ns, to_ns, format('a removal by another thread named pages that were free: the {} can have come before it', other)
FROM doubtful;
