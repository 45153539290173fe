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
-- a place that the kernel chose was free: either what was there had been taken, and then it is known what, or nothing was
-- there, and the removal can have come second, and taken what the kernel had just placed
SELECT
    chosen.space, greatest(chosen.lo, mapped.lo), least(chosen.hi, mapped.hi), from_ns, to_ns,
    format('a removal by another thread named pages that were free: the {} can have come before it', other)
FROM (
    SELECT chosen.*, coalesce(sum(least(chosen.hi, taken.hi) - greatest(chosen.lo, taken.lo)) FILTER (taken.lo IS NOT NULL), 0) AS taken_pages
    FROM (
        SELECT space, lo, hi, other_ns, other, tid, enter_ns
        FROM races
        WHERE verdict = 'before' AND other_ns IS NOT NULL AND lo < hi AND other IN ('mmap', 'shmat', 'io_setup', 'map_shadow_stack')
    ) AS chosen
    LEFT JOIN (SELECT plane // 4 AS space, lo, hi, end_call_ns, end_actor FROM pieces WHERE plane % 4 = 0 AND end_call_ns IS NOT NULL) AS taken
        ON chosen.space = taken.space AND enter_ns = end_call_ns AND tid = end_actor >> 7 AND chosen.lo < taken.hi AND chosen.hi > taken.lo
    GROUP BY ALL
) AS chosen
JOIN (
    SELECT plane // 4 AS space, lo, hi, from_ns, to_ns FROM pieces WHERE plane % 4 = 0
    UNION ALL
    SELECT plane // 4, lo, hi, key >> 3, NULL FROM live WHERE plane % 4 = 0
) AS mapped ON chosen.space = mapped.space
WHERE taken_pages < chosen.hi - chosen.lo AND mapped.from_ns = other_ns AND mapped.lo < chosen.hi AND mapped.hi > chosen.lo;
