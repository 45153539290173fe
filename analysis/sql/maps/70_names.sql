-- What was anonymous memory called (prctl(PR_SET_VMA), or the kernel's own names) when it was read last?
CREATE OR REPLACE TABLE names (
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- time of the reading [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- the name, such as [anon:stack] [bytes]
    name
) AS
WITH readings AS (
    SELECT maps.*
    FROM maps JOIN tellers ON maps.pid = tellers.pid AND ts_begin_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture') AND reason NOT IN ('checkpoint', 'final', 'trigger')
)
SELECT start, "end", ts_begin_ns, path_bytes
FROM readings
WHERE ts_begin_ns = (SELECT max(ts_begin_ns) FROM readings) AND starts_with(path, '[anon:');
