-- Which cells does each write cover?
CREATE OR REPLACE TABLE spans (
    -- these are those of ranked
    w, plane, key, lo, hi, kind, soft, look, base, actor, call_ns,
    -- first cell
    first,
    -- first cell past them
    past
) AS
SELECT ranked.*, low.c, coalesce(high.c, low.c + 1)
FROM ranked
JOIN edges AS low ON ranked.plane = low.plane AND ranked.lo = low.page
LEFT JOIN edges AS high ON ranked.plane = high.plane AND ranked.hi = high.page
WHERE kind <> 'fork'
UNION ALL
SELECT ranked.*, first, past
FROM ranked JOIN (SELECT plane, min(c) AS first, max(c) AS past FROM edges GROUP BY plane) USING (plane)
-- those followed together with their original do all themselves
WHERE kind = 'fork' AND base IN (SELECT space FROM levels WHERE level > getvariable('level'));
