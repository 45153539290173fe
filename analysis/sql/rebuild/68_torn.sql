-- Which move is the first that moved several things at once, so that the slice must end before it?
CREATE OR REPLACE TABLE torn (
    -- order of its probe (see writes) [ns / 8, CLOCK_MONOTONIC]
    key
) AS
SELECT min(probe.key)
FROM ranked AS copy
JOIN ranked AS probe ON copy.plane = probe.plane AND copy.link = probe.link AND probe.kind = 'probe' AND probe.hi IS NOT NULL
JOIN befores ON befores.w = probe.w
LEFT JOIN ranked AS stood ON befores.before = stood.w
LEFT JOIN looks ON stood.look = looks.look AND stood.plane % 4 = 0
WHERE copy.w IN (SELECT w FROM hops)
    AND (coalesce(stood.kind IN ('set', 'copy'), false), stood.look, if(inode <> 0 OR dev <> 0, stood.base + probe.base, 0))
        IS DISTINCT FROM (copy.kind = 'copy', copy.look, copy.base);
