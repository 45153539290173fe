-- What is written in this slice of time at this level, and what stood there before?
CREATE OR REPLACE TABLE planes (
    -- plane that is written (see writes)
    plane,
    -- plane of which the writes and what stood there count; another one where a copy does what its original did once more
    source,
    -- a number among the planes of that source
    number,
    -- up to when, times eight: when its address space ends, or when they parted [ns / 8, CLOCK_MONOTONIC]
    until,
    -- when it began, if it is a copy that does so, else 0 [ns / 8, CLOCK_MONOTONIC]
    born_key,
    -- who made that copy (see writes)
    born_actor
) AS
WITH
here AS (
    SELECT lives.space, coalesce(to_ns * 8, 9223372036854775807) AS until
    FROM lives LEFT JOIN levels USING (space)
    WHERE coalesce(level, 0) = getvariable('level')
),
here_too AS (
    SELECT space, original, parted_key FROM heirs WHERE level = getvariable('level')
),
born AS (
    SELECT lives.space, lives.from_ns * 8 + 6 AS key, actor('fork'::cause, 'tasks'::source, pid) AS actor
    FROM (SELECT DISTINCT space FROM here_too) AS copies JOIN lives USING (space) JOIN users ON lives.space = users.seg
),
own AS (
    SELECT plane FROM writes WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to')
    UNION
    SELECT plane FROM left_out WHERE level = getvariable('level')
)
SELECT plane, plane AS source, 0 AS number, until, coalesce(born.key, 0) AS born_key, born.actor AS born_actor
FROM own JOIN here ON plane // 4 = here.space LEFT JOIN born ON here.space = born.space
UNION ALL
SELECT
    space * 4 + layer, original * 4 + layer, row_number() OVER (PARTITION BY original, layer), parted_key, born.key, born.actor
FROM here_too JOIN born USING (space), (VALUES (0), (2)) AS layers(layer);
SET VARIABLE numbers = (SELECT coalesce(max(number), 0) + 1 FROM planes);
CREATE OR REPLACE VIEW ranked (
    -- number of the write, which is its place in the order: the later wins. Writes lie in their order; what stood there
    -- before comes before them all, less what a fork leaves out. 0 is no write
    w,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, actor, call_ns
) AS
SELECT writes.rowid * getvariable('numbers') + number + 1, writes.* REPLACE (planes.plane AS plane)
FROM writes JOIN planes ON writes.plane = source AND key < until
WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND (kind <> 'fork' OR source = planes.plane)
UNION ALL
SELECT row_number() OVER () - (1::BIGINT << 60), planes.plane, key, lo, hi, 'clear'::kind, false, NULL, NULL, actor('fork'::cause, 'tasks'::source, pid), NULL
FROM left_out JOIN planes ON left_out.plane = source WHERE level = getvariable('level')
UNION ALL
SELECT row_number() OVER () - (1::BIGINT << 61), planes.plane, key, lo, hi, 'set'::kind, false, look, base, actor, call_ns
FROM live JOIN planes ON live.plane = source;
