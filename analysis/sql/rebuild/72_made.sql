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
    cause, source, tid, call_ns,
    -- number of the write that ended it, null if it stands at the end of the slice
    ended_by
) AS
WITH found AS (
    -- of one cell: as wide as the write
    SELECT w, ended_by, NULL::BIGINT AS low, NULL::BIGINT AS high, look, base, there
    FROM (FROM lasting WHERE makes AND NOT wide) AS lasting
    LEFT JOIN carried USING (c, w)
    UNION ALL
    SELECT w, ended_by, low.page, high.page, look, base, there
    FROM joined
    JOIN edges AS low ON joined.first = low.c
    JOIN edges AS high ON joined.last + 1 = high.c
)
SELECT
    plane, key, coalesce(low, lo), coalesce(high, hi), coalesce(found.look, ranked.look), coalesce(found.base, ranked.base),
    cause, source, tid, call_ns, ended_by
FROM found JOIN ranked USING (w)
WHERE kind IN ('set', 'copy') AND coalesce(there, true);
