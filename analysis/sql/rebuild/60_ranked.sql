-- What is written in this slice of time at this level, and what stood there before?
CREATE OR REPLACE TABLE planes (
    -- plane that is written (see writes)
    plane,
    -- when its address space ends, times eight [ns / 8, CLOCK_MONOTONIC]
    until
) AS
SELECT DISTINCT plane, until
FROM writes
JOIN (
    SELECT lives.space, coalesce(to_ns * 8, 9223372036854775807) AS until
    FROM lives LEFT JOIN levels USING (space)
    WHERE coalesce(level, 0) = getvariable('level')
) AS here ON plane // 4 = here.space
WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND key < until
UNION
SELECT plane, 9223372036854775807 FROM left_out WHERE level = getvariable('level');
CREATE OR REPLACE VIEW ranked (
    -- number of the write, which is its place in the order: the later wins. Writes lie in their order; what stood there
    -- before comes before them all, less what a fork leaves out. 0 is no write
    w,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, actor, call_ns
) AS
SELECT writes.rowid + 1, writes.*
FROM writes SEMI JOIN planes ON writes.plane = planes.plane AND key < until
WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to')
UNION ALL
SELECT row_number() OVER () - (1::BIGINT << 60), plane, key, lo, hi, 'clear'::kind, false, NULL, NULL, actor('fork'::cause, 'tasks'::source, pid), NULL
FROM left_out WHERE level = getvariable('level')
UNION ALL
SELECT row_number() OVER () - (1::BIGINT << 61), plane, key, lo, hi, 'set'::kind, false, look, base, actor, call_ns
FROM live SEMI JOIN planes USING (plane);
