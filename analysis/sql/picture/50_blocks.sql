-- What stands for the rectangles that a level of detail does not show?
-- One row for all of a kind whose middle is in a cell of a grid: at level 0 it has 512 columns and 128 rows, and a level
-- further eight times the columns and a quarter of the rows. At level 3 blocks stand for what is not kept at all.
CREATE OR REPLACE TABLE blocks (
    -- level at which it is drawn, 0 to 3
    level,
    -- its edges: picture's time [ns], and height [units]
    x0, x1, y0, y1,
    -- band of the rectangles, and their kind
    band, kind,
    -- how many they are, and how many of them are only possible
    count, possible,
    -- of the area of the block, how much is mapped [0 to 1]
    cover
) AS
WITH
grid AS (
    SELECT level, 512 * 8 ** least(level, 2) AS columns, 128 / 4 ** least(level, 2) AS rows FROM range(4) AS levels(level)
),
bounds AS (
    SELECT (SELECT max(y1) FROM axis) AS height, greatest((SELECT max(until_ns::BIGINT - zero_ns) FROM asked), 1)::DOUBLE AS width_ns
),
-- what of a rectangle is in the window of its capture
seen AS (
    SELECT
        rectangles.* EXCLUDE (x0, x1), greatest(x0, since_ns::BIGINT - zero_ns) AS x0,
        least(coalesce(x1, until_ns::BIGINT - zero_ns), until_ns::BIGINT - zero_ns) AS x1
    FROM rectangles JOIN (SELECT band, since_ns, until_ns, zero_ns FROM shown) USING (band)
)
SELECT
    grid.level::UTINYINT, min(x0), max(x1)::BIGINT, min(y0), max(y1), band, kind, count(*), count(reason),
    least(sum((x1 - x0) * (y1 - y0)) / greatest((max(x1) - min(x0)) * (max(y1) - min(y0)), 1e-9), 1)
FROM seen
JOIN grid ON if(grid.level = 3, NOT kept, seen.level > grid.level OR NOT kept), bounds
GROUP BY
    grid.level, band, kind, floor((x0 / 2 + x1 / 2) / width_ns * columns), floor((y0 + y1) / 2 / height * rows);
