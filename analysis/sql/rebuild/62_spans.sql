-- Which cells does each write cover?
CREATE OR REPLACE TABLE spans (
    -- number of the write, its place in the order
    w,
    -- what it does (see writes)
    kind,
    -- whether it counts only where it changes something
    soft,
    -- first cell
    first,
    -- first cell past them
    past
) AS
SELECT w, kind, soft, low.c, coalesce(high.c, low.c + 1)
FROM ranked
JOIN edges AS low ON ranked.plane = low.plane AND ranked.lo = low.page
LEFT JOIN edges AS high ON ranked.plane = high.plane AND ranked.hi = high.page
WHERE kind <> 'fork'
UNION ALL
SELECT w, kind, soft, min(c), max(c)
FROM ranked JOIN edges USING (plane)
WHERE kind = 'fork'
GROUP BY w, kind, soft;
