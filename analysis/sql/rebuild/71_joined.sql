-- What do neighbouring cells of one write that end alike amount to?
CREATE OR REPLACE TABLE joined (
    -- number of the write
    w,
    -- number of the write that ended it, null if there is none in this slice
    ended_by,
    -- first cell
    first,
    -- last cell
    last,
    -- what a move of several mappings brought (see carried), else null
    look, base,
    -- whether it brought anything
    there
) AS
SELECT w, ended_by, min(c), max(c), look, base, there
FROM (
    SELECT
        lasting.c, lasting.w, ended_by, look, base, there,
        lasting.c - row_number() OVER (PARTITION BY lasting.w, ended_by, look, base, there ORDER BY lasting.c) AS run
    FROM (FROM lasting WHERE makes AND wide) AS lasting
    LEFT JOIN carried ON lasting.c = carried.c AND lasting.w = carried.w
)
GROUP BY w, ended_by, look, base, there, run;
