-- What does each reading say of the rebuild?
CREATE TABLE verdicts (
    -- number of the reading
    reading,
    -- checkpoint, final or trigger
    reason,
    -- process read
    pid,
    -- number of its address space, null where nothing else is known of the process
    space,
    -- before the first byte was read [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- exact: every page is as the rebuild says; possible: all that differ are where it says possible; wrong: some certain
    -- answer is not true; changed: mappings changed while they were read; unknown: no event told of the process
    verdict,
    -- lines of the reading
    lines,
    -- lines with neighbours of the same kind joined, which is what is compared
    runs,
    -- pages that differ
    pages,
    -- differences, of which neighbours with the same difference are one
    differences
) AS
WITH
sizes AS (SELECT reading, sum(lines) AS lines, count(*) AS runs FROM kernel GROUP BY reading),
faults AS (
    SELECT reading, sum(("end" - start) >> 12) AS pages, count(*) AS differences, bool_or(reason IS NULL) AS wrong
    FROM differences GROUP BY reading
)
SELECT
    reading, reason, pid, space, begin_ns,
    CASE
        WHEN space IS NULL THEN 'unknown'
        WHEN disturbed THEN 'changed'
        WHEN differences IS NULL THEN 'exact'
        WHEN wrong THEN 'wrong'
        ELSE 'possible'
    END,
    coalesce(lines, 0)::BIGINT, coalesce(runs, 0)::BIGINT, coalesce(pages, 0)::BIGINT, coalesce(differences, 0)::BIGINT
FROM judges LEFT JOIN sizes USING (reading) LEFT JOIN faults USING (reading);
