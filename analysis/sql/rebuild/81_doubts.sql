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
WHERE plane % 4 = 2;
