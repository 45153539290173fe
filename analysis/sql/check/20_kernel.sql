-- What did those readings say, with neighbours joined that differ in nothing but being apart?
-- Where two mappings of the same kind meet, the kernel's boundary depends on what no event tells (anon_vma, policy).
CREATE TABLE kernel (
    -- number of the reading
    reading,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- permissions as in /proc/PID/maps
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- name of a special mapping, such as [vdso]; empty for files, and for anonymous memory whatever it is called [bytes]
    label,
    -- lines of the reading that it is made of
    lines
) AS
WITH lines AS (
    SELECT
        reading, start, "end", perms, dev, inode, if(dev = 0 AND inode = 0, 0, offset_bytes)::UBIGINT AS offset_bytes,
        special(dev, inode, path_bytes) AS label
    FROM maps SEMI JOIN judges USING (reading)
    WHERE path_bytes <> '[vsyscall]'::BLOB -- a page of the kernel's, and no mapping of the process
),
marked AS (
    SELECT
        *,
        coalesce(
            start = lag("end") OVER line AND perms = lag(perms) OVER line AND dev = lag(dev) OVER line AND inode = lag(inode) OVER line
                AND label = lag(label) OVER line
                AND (inode = 0 AND dev = 0 OR in_step(offset_bytes, start, lag(offset_bytes) OVER line, lag(start) OVER line)),
            false
        ) AS goes_on
    FROM lines
    WINDOW line AS (PARTITION BY reading ORDER BY start)
),
numbered AS (
    SELECT *, count_if(NOT goes_on) OVER (PARTITION BY reading ORDER BY start) AS run FROM marked
)
SELECT
    reading, min(start), max("end"), any_value(perms), any_value(dev), any_value(inode), min(offset_bytes), any_value(label), count(*)
FROM numbered
GROUP BY reading, run;
