-- Where can one VMA end and the next begin, although both are of the same kind?
-- Where rectangles of the timeline meet, and where a reading of /proc/PID/maps showed a boundary.
CREATE OR REPLACE TABLE candidates (
    -- number, in the order of addresses
    n,
    -- the address between the two [address]
    page,
    -- whether it is private anonymous memory
    anonymous
) AS
WITH
met AS (
    SELECT start AS page, dev = 0 AND inode = 0 AND perms[4] = 'p' AS anonymous FROM standing WHERE goes_on
),
edges AS (
    SELECT DISTINCT start AS page
    FROM maps JOIN tellers ON maps.pid = tellers.pid AND ts_begin_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture') AND reason NOT IN ('checkpoint', 'final')
),
inside AS (
    SELECT page, dev = 0 AND inode = 0 AND perms[4] = 'p'
    FROM edges ASOF JOIN standing ON page > start
    WHERE page < "end"
)
SELECT row_number() OVER (ORDER BY page), page, anonymous FROM (FROM met UNION ALL FROM inside);
SET VARIABLE lowest = (SELECT min(page) FROM candidates);
SET VARIABLE highest = (SELECT max(page) FROM candidates);
