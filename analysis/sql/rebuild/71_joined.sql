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
    there,
    -- time and actor of the write that ended it (see writes)
    end_key, end_actor, end_call_ns
) AS
SELECT w, ended_by, min(c), max(c), look, base, there, any_value(end_key), any_value(end_actor), any_value(end_call_ns)
FROM (
    SELECT
        lasting.c, lasting.w, ended_by, carried.look, carried.base, there, end_key, end_actor, end_call_ns,
        lasting.c - row_number() OVER (PARTITION BY lasting.w, ended_by, carried.look, carried.base, there ORDER BY lasting.c) AS run
    FROM (FROM lasting WHERE wide) AS lasting
    LEFT JOIN carried ON lasting.c = carried.c AND lasting.w = carried.w
)
GROUP BY w, ended_by, look, base, there, run;
