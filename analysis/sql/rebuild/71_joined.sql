-- What do neighbouring cells of one write that end alike amount to?
CREATE OR REPLACE TABLE joined (
    -- rank of the write
    w,
    -- rank of the write that ended it, null if there is none in this slice
    ended_by,
    -- first cell
    first,
    -- first cell past them
    past
) AS
SELECT w, ended_by, min(c), max(c) + 1
FROM (
    SELECT c, w, ended_by, c - row_number() OVER (PARTITION BY w, ended_by ORDER BY c) AS run
    FROM lasting SEMI JOIN (FROM spans WHERE past > first + 1) AS wide USING (w)
)
GROUP BY w, ended_by, run
UNION ALL
SELECT w, ended_by, c, c + 1
FROM lasting SEMI JOIN (FROM spans WHERE past = first + 1) AS narrow USING (w);
