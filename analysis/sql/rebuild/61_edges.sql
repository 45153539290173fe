-- Between which pages does anything change? From each edge to the next lies a cell: every write covers whole cells.
-- Where several mappings are moved at once, the edges between them move along.
CREATE OR REPLACE TABLE edges (
    -- number of the cell that begins here
    c,
    -- plane (see writes)
    plane,
    -- page [pages]
    page
) AS
WITH RECURSIVE
moves AS (
    SELECT DISTINCT plane, lo, hi, base AS delta FROM ranked WHERE kind = 'probe' AND hi IS NOT NULL
),
-- apart from the recursion, which one CPU does alone
given AS MATERIALIZED (
    SELECT plane, lo AS page FROM ranked WHERE kind <> 'fork'
    UNION
    SELECT plane, hi FROM ranked WHERE hi IS NOT NULL
),
moved(plane, page) AS (
    SELECT given.plane, page + delta
    FROM given JOIN moves ON given.plane = moves.plane AND page > lo AND page < hi
    UNION
    SELECT moved.plane, page + delta
    FROM moved JOIN moves ON moved.plane = moves.plane AND page > lo AND page < hi
)
SELECT row_number() OVER (ORDER BY plane, page)::INTEGER, plane, page
FROM (FROM given UNION FROM moved);
