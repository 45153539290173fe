-- What do the writes of this level come to? Clearings leave nothing.
CREATE OR REPLACE VIEW made (
    -- plane (see writes)
    plane,
    -- when it was made, times eight [ns / 8, CLOCK_MONOTONIC]
    key,
    -- first page [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- number of the look
    look,
    -- what to take from a page's number to get its offset in the file [pages]
    base,
    -- who made it (see writes)
    actor, call_ns,
    -- time and actor of the write that ended it, null if it stands at the end of the slice
    end_key, end_actor, end_call_ns
) AS
SELECT
    plane, greatest(key, coalesce(born_key, 0)), lo, hi, look, base,
    -- what a copy did once more from before it began is its original's
    if(key <= born_key, born_actor, actor), if(key <= born_key, NULL, call_ns), end_key, end_actor, end_call_ns
FROM (
    -- of one cell: as wide as the write
    SELECT
        plane, key, lo, hi, coalesce(carried.look, lasting.look) AS look, coalesce(carried.base, lasting.base) AS base,
        actor, call_ns, end_key, end_actor, end_call_ns
    FROM lasting LEFT JOIN carried USING (c, w)
    WHERE NOT wide AND coalesce(there, true)
    UNION ALL
    SELECT
        spans.plane, key, low.page, high.page, coalesce(joined.look, spans.look), coalesce(joined.base, spans.base),
        actor, call_ns, end_key, end_actor, end_call_ns
    FROM joined
    JOIN spans USING (w)
    JOIN edges AS low ON joined.first = low.c
    JOIN edges AS high ON joined.last + 1 = high.c
    WHERE coalesce(there, true)
)
LEFT JOIN (SELECT DISTINCT plane, born_key, born_actor FROM planes WHERE born_key > 0) AS copies USING (plane);
