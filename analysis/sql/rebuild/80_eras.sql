-- Of address spaces that are not certain all the time: which stretches of time are, and which are not?
-- (The writes have all been followed; what comes now can have their memory.)
DROP TABLE writes;
CREATE TABLE eras (
    -- number of the address space
    space,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it [ns, CLOCK_MONOTONIC]
    to_ns,
    -- why it is not certain, null where it is
    reason
) AS
SELECT space, from_ns, to_ns, reason FROM gaps
UNION ALL
SELECT space, to_ns, coalesce(lead(from_ns) OVER (PARTITION BY space ORDER BY from_ns), 9223372036854775807), NULL FROM gaps
UNION ALL
SELECT space, 0, min(from_ns), NULL FROM gaps GROUP BY space;
