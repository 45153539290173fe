-- Which processes used those address spaces, and so told of them?
CREATE OR REPLACE TABLE tellers (
    -- process
    pid,
    -- first instant of that [ns, CLOCK_MONOTONIC]
    from_ns,
    -- last instant that counts [ns, CLOCK_MONOTONIC]
    until_ns
) AS
SELECT each.pid, each.from_ns, least(until_ns, coalesce(each.to_ns - 1, until_ns))
FROM (
    SELECT unnest(users) AS each, until_ns
    FROM spaces JOIN lineage USING (space)
    WHERE capture = getvariable('capture')
)
WHERE each.from_ns <= until_ns;
