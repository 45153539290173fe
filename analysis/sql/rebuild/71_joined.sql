-- What do neighbouring cells of one write that end alike amount to?
CREATE OR REPLACE TABLE joined (
    -- rank of the write
    w,
    -- rank of the write that ended it, null if there is none in this slice
    ended_by,
    -- first cell
    first,
    -- first cell past them
    past,
    -- what a move of several mappings brought (see carried), else null
    look, base,
    -- whether it brought anything
    there
) AS
SELECT w, ended_by, min(c), max(c) + 1, look, base, there
FROM (
    SELECT
        lasting.c, lasting.w, ended_by, look, base, there,
        lasting.c - row_number() OVER (PARTITION BY lasting.w, ended_by, look, base, there ORDER BY lasting.c) AS run
    FROM (FROM lasting SEMI JOIN (FROM spans WHERE past > first + 1) AS wide USING (w)) AS lasting
    LEFT JOIN carried ON lasting.c = carried.c AND lasting.w = carried.w
)
GROUP BY w, ended_by, look, base, there, run
UNION ALL
SELECT lasting.w, ended_by, lasting.c, lasting.c + 1, look, base, there
FROM (FROM lasting SEMI JOIN (FROM spans WHERE past = first + 1) AS narrow USING (w)) AS lasting
LEFT JOIN carried ON lasting.c = carried.c AND lasting.w = carried.w;
