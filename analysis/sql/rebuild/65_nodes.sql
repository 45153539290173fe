-- Where does each copy come from? Of one mapping, moved or extended, the first page tells; where several can have been
-- moved at once each cell has an origin of its own, and a gap leaves what was there. What a shmdt clears depends on what
-- stands there too, so it is followed in the same way: as a copy of what was there, unless that is the segment.
CREATE OR REPLACE TABLE nodes (
    -- cell of a copy of several mappings, or of a shmdt; 0 for a copy of one
    c,
    -- number of the write
    w,
    -- the same of what it copies; 0, 0 if nothing stood there
    from_c, from_w,
    -- pages between copy and origin [pages]
    shift,
    -- the same of what is left where there is nothing to copy, null once that is known
    left_c, left_w,
    -- what is left there: whether anything, its look and base (see writes), whether it is of a file. A copy of one
    -- mapping leaves memory of which nothing is known: what was moved must have been there, its record was lost
    left_there, left_look, left_base, left_file,
    -- whether the cell is changed even where nothing is copied
    moved,
    -- a shmdt: look and base of what it clears; else null
    attach_look, attach_base
) AS
WITH
each_cell AS (
    SELECT w, (kind = 'copy' AND soft) OR kind = 'clear attach' AS several FROM spans
),
pairs AS (
    SELECT copy.w, probe.w AS probe, copy.plane, copy.soft AS several, copy.base AS delta
    FROM spans AS copy
    JOIN spans AS probe ON copy.plane = probe.plane AND copy.actor = probe.actor AND copy.call_ns = probe.call_ns AND copy.kind = 'copy' AND probe.kind = 'probe'
),
sources AS (
    SELECT 0 AS c, pairs.w, probe, pairs.plane, several, spans.first AS source, delta
    FROM pairs JOIN spans ON spans.w = pairs.probe
    WHERE NOT several
    UNION ALL
    SELECT cells.c, pairs.w, probe, pairs.plane, several, source.c, delta
    FROM pairs
    JOIN cells ON cells.w = pairs.w
    JOIN edges AS target ON target.c = cells.c
    ASOF JOIN edges AS source ON pairs.plane = source.plane AND target.page - delta >= source.page
    WHERE several
)
SELECT
    sources.c, sources.w, if(origin.several, source, 0), coalesce(origin.w, 0), delta,
    if(asks, if(stood.several, sources.c, 0), NULL), if(asks, coalesce(stood.w, 0), NULL),
    NOT sources.several AND plane % 4 = 0, 0, 0::BIGINT, false,
    NOT asks, NULL::INTEGER, NULL::BIGINT
-- a doubt about what stays where there is a gap stays too; about what it was moved onto as well, since nothing here tells them apart
FROM (SELECT *, several AND plane % 4 <> 1 AS asks FROM sources) AS sources
LEFT JOIN befores ON befores.w = probe AND befores.c = source
LEFT JOIN each_cell AS origin ON befores.before = origin.w
LEFT JOIN befores AS under ON under.w = sources.w AND under.c = sources.c
LEFT JOIN each_cell AS stood ON under.before = stood.w
UNION ALL
SELECT befores.c, befores.w, if(stood.several, befores.c, 0), coalesce(stood.w, 0), 0, NULL, NULL, false, 0, 0, false, false, look, base
FROM befores
JOIN (FROM spans WHERE kind = 'clear attach') AS spans ON befores.w = spans.w
LEFT JOIN each_cell AS stood ON befores.before = stood.w;
-- what is known from the start
INSERT INTO carried
SELECT 0, w, kind = 'set', look, base, plane % 4 = 0 AND (inode <> 0 OR dev <> 0), true
FROM spans LEFT JOIN looks USING (look)
WHERE kind IN ('set', 'clear') AND w IN (SELECT from_w FROM nodes UNION ALL SELECT left_w FROM nodes)
UNION ALL
SELECT 0, 0, false, 0, 0, false, true;
