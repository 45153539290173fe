-- Between which pages does anything change? From each edge to the next lies a cell: every write covers whole cells.
CREATE OR REPLACE TABLE edges (
    -- number of the cell that begins here
    c,
    -- plane (see writes)
    plane,
    -- page [pages]
    page
) AS
SELECT row_number() OVER (ORDER BY plane, page), plane, page
FROM (
    SELECT plane, lo AS page FROM ranked WHERE kind <> 'fork'
    UNION
    SELECT plane, hi FROM ranked WHERE hi IS NOT NULL
);
