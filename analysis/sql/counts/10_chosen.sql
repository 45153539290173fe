-- Which address spaces are counted, and which time of theirs says how fast they grow? The last half of the time in which
-- something is known of them. The table targets names them, with the end of their capture (until_ns) and its limit.
CREATE TABLE chosen AS
WITH known AS (
    SELECT capture, space, min(ts_ns) AS from_ns FROM counted GROUP BY capture, space
)
SELECT
    targets.capture, host, targets.space, pid, limit_vmas, ended, to_ns, known.from_ns,
    -- last instant at which it was there, and something is known [ns, CLOCK_MONOTONIC]
    greatest(coalesce(to_ns - 1, until_ns), known.from_ns) AS end_ns,
    (known.from_ns // 2 + end_ns // 2)::UBIGINT AS half_ns
FROM targets JOIN spaces USING (capture, space) JOIN known USING (capture, space);
