-- Where can one VMA end and the next begin, although both are of the same kind?
-- Where rectangles of the timeline meet, where a reading of /proc/PID/maps showed a boundary, and at the ends of what
-- a silent call changed.
CREATE OR REPLACE TABLE candidates (
    -- number, in the order of addresses
    n,
    -- the address between the two [address]
    page,
    -- whether it is private anonymous memory
    anonymous,
    -- whether it is shared
    shared,
    -- whether a file was opened for it that others can have opened too: not for shared memory without a name, which the
    -- kernel makes a file of its own for (mm/shmem.c, shmem_zero_setup)
    opened,
    -- mapped_ns (see standing) of what is below it [ns, CLOCK_MONOTONIC]
    below_ns,
    -- the same of what is above it [ns, CLOCK_MONOTONIC]
    above_ns
) AS
WITH
met AS (
    SELECT start AS page, perms, dev, inode, path_bytes, goes_on, lag(mapped_ns) OVER (ORDER BY start) AS below_ns, mapped_ns AS above_ns FROM standing
),
edges AS (
    SELECT start AS page
    FROM maps JOIN tellers ON maps.pid = tellers.pid AND ts_begin_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture') AND reason NOT IN ('checkpoint', 'final', 'trigger')
    UNION SELECT lo FROM silent
    UNION SELECT hi FROM silent
),
inside AS (
    SELECT page, perms, dev, inode, path_bytes, true, mapped_ns, mapped_ns
    FROM edges ASOF JOIN standing ON page > start
    WHERE page < "end"
)
SELECT row_number() OVER (ORDER BY page), page, dev = 0 AND inode = 0 AND perms[4] = 'p', perms[4] = 's', NOT (dev = 0 AND inode = 0) AND path_bytes <> '/dev/zero (deleted)'::BLOB, below_ns, above_ns
FROM (FROM met UNION ALL FROM inside)
WHERE goes_on;
SET VARIABLE lowest = (SELECT min(page) FROM candidates);
SET VARIABLE highest = (SELECT max(page) FROM candidates);
