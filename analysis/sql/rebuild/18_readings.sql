-- Which readings of /proc/PID/maps are told to the rebuild? Checkpoints, final ones and those at a trigger are not: they
-- judge it. Nor is one made during an exec, all of which is recorded: the tail of an image, which is trimmed without a
-- record, may still have been there.
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
    -- baseline: what was mapped before the recording; resync: any later one
    cause
) AS
SELECT
    reading, users.space, told.pid, begin_ns, end_ns, CASE
        -- a flight recorder makes a baseline again from time to time, and the window can begin with any
        WHEN reason = 'baseline' AND began IN ('alive', 'unknown') AND row_number() OVER (PARTITION BY users.space ORDER BY begin_ns, reading) = 1
            THEN 'baseline'
        ELSE 'resync'
    END::cause
FROM (
    SELECT DISTINCT reading, pid, reason, ts_begin_ns::BIGINT AS begin_ns, ts_end_ns::BIGINT AS end_ns
    FROM maps
    WHERE reason NOT IN ('checkpoint', 'final', 'trigger')
) AS told
ASOF JOIN users ON told.pid = users.pid AND told.begin_ns >= users.from_ns
JOIN lives ON users.space = lives.space
WHERE exec_end_ns IS NULL OR begin_ns >= exec_end_ns;
