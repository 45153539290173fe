-- Of which removals is the instant known, because a probe in the kernel saw it?
CREATE TABLE hooked (
    -- number of the removal
    id,
    -- when it was made, or its first part; the mmap lock is held until the last [ns, CLOCK_MONOTONIC]
    ts_ns
) AS
SELECT id, min(ts_ns)
FROM removals JOIN unmaps ON removals.tid = unmaps.tid AND enter_ns = call_ns
GROUP BY id;
