-- Which writes change nothing in which cell?
CREATE OR REPLACE TABLE idle (
    -- cell
    c,
    -- number of the write
    w
) AS
SELECT befores.c, befores.w
FROM befores
JOIN spans ON befores.w = spans.w
LEFT JOIN (
    SELECT befores.c, befores.w, if(coalesce(there, stood.kind IN ('set', 'copy')), 'set', 'clear') AS kind, coalesce(carried.look, stood.look) AS look, coalesce(carried.base, stood.base) AS base
    FROM befores JOIN spans AS stood ON befores.before = stood.w
    LEFT JOIN carried ON carried.c = befores.c AND carried.w = befores.before
) AS stood ON befores.c = stood.c AND befores.w = stood.w
LEFT JOIN looks AS new ON spans.look = new.look
LEFT JOIN looks AS old ON stood.look = old.look
WHERE CASE
    WHEN spans.kind = 'probe' THEN true
    WHEN spans.kind IN ('copy', 'clear attach') THEN false -- see carried
    WHEN spans.kind = 'clear' THEN NOT coalesce(stood.kind = 'set', false)
    ELSE coalesce(stood.kind = 'set' AND old.alike = new.alike AND stood.base = spans.base, false)
END
UNION ALL
SELECT c, w FROM carried WHERE NOT moved;
