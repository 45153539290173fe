-- Which readings of /proc/PID/maps are told to the rebuild? Checkpoints and final ones are not: they judge it.
CREATE TABLE readings (
    -- number of the reading
    reading,
    -- number of the address space
    space,
    -- process read
    pid,
    -- before the first byte was read [ns, CLOCK_MONOTONIC]
    begin_ns,
    -- after the last byte was read [ns, CLOCK_MONOTONIC]
    end_ns,
    -- baseline or resync
    cause
) AS
SELECT
    reading, space, told.pid, begin_ns, end_ns, cause::cause
FROM (
    SELECT DISTINCT
        reading, pid, ts_begin_ns::BIGINT AS begin_ns, ts_end_ns::BIGINT AS end_ns,
        CASE WHEN reason = 'baseline' THEN 'baseline' ELSE 'resync' END AS cause
    FROM maps
    WHERE reason NOT IN ('checkpoint', 'final')
) AS told
ASOF JOIN users ON told.pid = users.pid AND told.begin_ns >= users.from_ns;
