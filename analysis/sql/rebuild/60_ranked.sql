-- What was written at this level, and what stood there before, in order? A later number wins.
CREATE OR REPLACE TABLE ranked (
    -- rank
    w,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, link, cause, source, event_ns, tid, call_ns
) AS
WITH current AS (
    SELECT * EXCLUDE (level) FROM slice WHERE level = getvariable('level')
)
SELECT row_number() OVER (ORDER BY key, kind, tid, lo, hi), *
FROM (
    FROM current
    UNION ALL
    SELECT plane, key, lo, hi, 'set'::kind, false, look, base, NULL, cause, source, event_ns, tid, call_ns
    FROM live SEMI JOIN current USING (plane)
);
