-- What is written in this slice of time at this level, and what stood there before?
CREATE OR REPLACE TABLE ranked (
    -- number of the write, which is its place in the order: the later wins. Writes lie in their order; what stood there
    -- before comes before them all, less what a fork leaves out. 0 is no write
    w,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, link, cause, source, tid, call_ns
) AS
WITH current AS NOT MATERIALIZED (
    SELECT writes.rowid + 1 AS w, writes.*
    FROM writes
    JOIN (
        SELECT lives.space, to_ns * 8 AS until
        FROM lives LEFT JOIN levels USING (space)
        WHERE coalesce(level, 0) = getvariable('level')
    ) AS here ON plane // 4 = here.space
    WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND (until IS NULL OR key < until)
    UNION ALL
    SELECT row_number() OVER () - (1::BIGINT << 60), plane, key, lo, hi, 'clear'::kind, false, NULL, NULL, NULL, 'fork'::cause, 'tasks'::source, pid, NULL
    FROM left_out WHERE level = getvariable('level')
)
FROM current
UNION ALL
SELECT row_number() OVER () - (1::BIGINT << 61), plane, key, lo, hi, 'set'::kind, false, look, base, NULL, cause, source, tid, call_ns
FROM live SEMI JOIN current USING (plane);
