-- What was written at this level, and what stood there before?
CREATE OR REPLACE TABLE ranked (
    -- number of the write
    w,
    -- its place in the order: the later wins [ns / 64, CLOCK_MONOTONIC]
    turn,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, link, cause, source, event_ns, tid, call_ns
) AS
WITH current AS (
    SELECT * EXCLUDE (level) FROM slice WHERE level = getvariable('level')
)
-- numbering without an order costs next to nothing, sorting whole writes as much as all the rest
SELECT row_number() OVER (), key * 8 + enum_code(kind), *
FROM (
    FROM current
    UNION ALL
    SELECT plane, key, lo, hi, 'set'::kind, false, look, base, NULL, cause, source, event_ns, tid, call_ns
    FROM live SEMI JOIN current USING (plane)
);
