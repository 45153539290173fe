-- Which writes change nothing in which cell?
CREATE OR REPLACE TABLE idle (
    -- cell
    c,
    -- rank of the write
    w
) AS
SELECT befores.c, befores.w
FROM befores
JOIN ranked ON befores.w = ranked.w
LEFT JOIN ranked AS stood ON befores.before = stood.w
LEFT JOIN looks AS new ON ranked.look = new.look
LEFT JOIN looks AS old ON stood.look = old.look
WHERE CASE
    WHEN ranked.kind = 'probe' THEN true
    WHEN ranked.kind = 'clear attach' THEN
        NOT coalesce(stood.kind IN ('set', 'copy') AND old.inode = new.inode AND old.dev = new.dev AND stood.base = ranked.base, false)
    WHEN ranked.kind = 'clear' THEN NOT coalesce(stood.kind IN ('set', 'copy'), false)
    ELSE coalesce(stood.kind IN ('set', 'copy') AND old.alike = new.alike AND stood.base = ranked.base, false)
END;
