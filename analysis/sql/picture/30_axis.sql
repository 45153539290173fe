-- How is the axis of addresses drawn, so that pages can be seen beside terabytes of nothing?
-- From one boundary of mappings to the next an address space is a cell, as high as the logarithm of its pages, and straight
-- inside; where nothing was ever mapped it is squeezed to the height of one. Of more boundaries than the variable
-- edges_most allows, those at empty stretches and of long-lived mappings make cells.
CREATE OR REPLACE TABLE axis (
    -- band of the address space (see shown); its first cell is the lowest
    band,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- where they are in the picture, upwards; 0 is the bottom of the lowest band [units]
    y0, y1,
    -- false: nothing was ever mapped there
    mapped
) AS
WITH
ranges AS MATERIALIZED (
    SELECT band, start, "end", sum(coalesce(x1, (SELECT max(x1) FROM pieces)) - x0) AS stood FROM pieces GROUP BY band, start, "end"
),
ends AS (
    SELECT band, start, "end", stood, max("end") OVER (PARTITION BY band ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM ranges
),
islands AS MATERIALIZED (
    SELECT band, lo, coalesce(lead(before) OVER (PARTITION BY band ORDER BY lo), top) AS hi
    FROM (
        SELECT band, start AS lo, before, max("end") OVER (PARTITION BY band ORDER BY start ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS top
        FROM ends
        QUALIFY before IS NULL OR start > before
    )
),
tops AS MATERIALIZED (SELECT band, max("end") AS top FROM ranges GROUP BY band),
-- lengths of the empty stretches on either side of an island
shores AS (
    SELECT band, lo AS edge, lo - lag(hi) OVER (PARTITION BY band ORDER BY lo) AS empty FROM islands
    UNION ALL SELECT band, hi, lead(lo) OVER (PARTITION BY band ORDER BY lo) - hi FROM islands
),
scored AS (
    SELECT band, edge, max(empty) AS empty, sum(stood) AS stood
    FROM (
        SELECT band, start AS edge, stood, NULL AS empty FROM ranges
        UNION ALL SELECT band, "end", stood, NULL FROM ranges
        UNION ALL SELECT band, edge, NULL, coalesce(empty, 140737488355328) FROM shores
    )
    GROUP BY band, edge
),
edges AS (
    SELECT band, edge FROM scored
    QUALIFY row_number() OVER (PARTITION BY band ORDER BY coalesce(empty, 0) >= 1 << 20 DESC, stood DESC, edge)
        <= greatest(getvariable('edges_most') // (SELECT count(*) FROM shown), 32)
),
cells AS (
    SELECT * FROM (SELECT band, edge AS start, lead(edge) OVER (PARTITION BY band ORDER BY edge) AS "end" FROM edges) WHERE "end" IS NOT NULL
),
told AS (
    -- islands do not overlap: the last that begins before the end of the cell is the one that can reach into it
    SELECT cells.*, coalesce(hi > cells.start, false) AS mapped,
        if(coalesce(hi > cells.start, false), 2 + log2(greatest((cells."end" - cells.start) / 4096, 1)), 1) AS height
    FROM cells ASOF LEFT JOIN islands ON cells.band = islands.band AND cells."end" > islands.lo
)
SELECT
    band, start, "end",
    -- between two bands there is room
    sum(height) OVER passed - height + 6 * band, sum(height) OVER passed + 6 * band, mapped
FROM told
WINDOW passed AS (ORDER BY band, start);
