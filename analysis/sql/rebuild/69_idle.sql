-- Which writes change nothing in which cell?
CREATE OR REPLACE TABLE idle (
    -- cell
    c,
    -- number of the write
    w
) AS
SELECT befores.c, befores.w
FROM befores
JOIN ranked ON befores.w = ranked.w
LEFT JOIN (
    SELECT befores.c, befores.w, if(coalesce(there, stood.kind IN ('set', 'copy')), 'set', 'clear') AS kind, coalesce(carried.look, stood.look) AS look, coalesce(carried.base, stood.base) AS base
    FROM befores JOIN ranked AS stood ON befores.before = stood.w
    LEFT JOIN carried ON carried.c = befores.c AND carried.w = befores.before
) AS stood ON befores.c = stood.c AND befores.w = stood.w
LEFT JOIN looks AS new ON ranked.look = new.look
LEFT JOIN looks AS old ON stood.look = old.look
WHERE CASE
    WHEN ranked.kind = 'probe' THEN true
    WHEN ranked.kind IN ('copy', 'clear attach') THEN false -- see carried
    WHEN ranked.kind = 'clear' THEN NOT coalesce(stood.kind = 'set', false)
    ELSE coalesce(stood.kind = 'set' AND old.alike = new.alike AND stood.base = ranked.base, false)
END
UNION ALL
SELECT c, w FROM carried WHERE NOT moved;
