-- The same, with neighbours joined as in kernel.
CREATE TABLE rebuilt (
    -- the columns are those of kernel
    reading, start, "end", perms, dev, inode, offset_bytes, label, pieces
) AS
WITH marked AS (
    SELECT
        *,
        coalesce(
            start = lag("end") OVER line AND perms = lag(perms) OVER line AND dev = lag(dev) OVER line AND inode = lag(inode) OVER line
                AND label = lag(label) OVER line
                AND (inode = 0 AND dev = 0 OR in_step(offset_bytes, start, lag(offset_bytes) OVER line, lag(start) OVER line)),
            false
        ) AS goes_on
    FROM standing
    WINDOW line AS (PARTITION BY reading ORDER BY start)
),
numbered AS (
    SELECT *, count_if(NOT goes_on) OVER (PARTITION BY reading ORDER BY start) AS run FROM marked
)
SELECT
    reading, min(start), max("end"), any_value(perms), any_value(dev), any_value(inode), min(offset_bytes), any_value(label), count(*)
FROM numbered
GROUP BY reading, run;
