-- What do the writes of this level come to? Clearings leave nothing.
CREATE OR REPLACE TABLE made (
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
    cause, source, event_ns, tid, call_ns,
    -- rank of the write that ended it, null if it stands at the end of the slice
    ended_by
) AS
SELECT ranked.plane, ranked.key, low.page, high.page, coalesce(joined.look, ranked.look), coalesce(joined.base, ranked.base), cause, source, event_ns, tid, call_ns, ended_by
FROM joined
JOIN ranked USING (w)
JOIN edges AS low ON joined.first = low.c
JOIN edges AS high ON joined.past = high.c
WHERE kind IN ('set', 'copy') AND coalesce(there, true);
