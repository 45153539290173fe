-- What does each copy of an address space begin with?
CREATE OR REPLACE TABLE inherited (
    -- plane that was copied (see writes)
    plane,
    -- number of the address space that is the copy
    copy,
    -- order of the fork (see writes) [ns / 8, CLOCK_MONOTONIC]
    key,
    -- first page [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- number of the look
    look,
    -- what to take from a page's number to get its offset in the file [pages]
    base,
    -- process that was born
    pid
) AS
WITH forked AS (
    SELECT unnest(range(first, past))::INTEGER AS c, w FROM spans WHERE kind = 'fork'
),
standing AS (
    SELECT forked.c, forked.w, lasting.w AS before
    FROM forked
    ASOF JOIN lasting ON forked.c = lasting.c AND forked.w > lasting.w
    WHERE ended_by IS NULL OR ended_by > forked.w
),
runs AS (
    SELECT w, before, look, base, min(c) AS first, max(c) + 1 AS past
    FROM (
        SELECT standing.w, before, standing.c, carried.look, carried.base,
            standing.c - row_number() OVER (PARTITION BY standing.w, before, look, base ORDER BY standing.c) AS run
        FROM standing LEFT JOIN carried ON standing.c = carried.c AND before = carried.w
        WHERE coalesce(there, true)
    )
    GROUP BY w, before, look, base, run
)
SELECT
    stood.plane, fork.base, fork.key, low.page, high.page, coalesce(runs.look, stood.look), coalesce(runs.base, stood.base),
    fork.actor >> 7
FROM runs
JOIN spans AS fork ON runs.w = fork.w
JOIN spans AS stood ON runs.before = stood.w AND stood.kind IN ('set', 'copy')
JOIN edges AS low ON runs.first = low.c
JOIN edges AS high ON runs.past = high.c;
