-- What stood in a cell before a write that depends on it?
CREATE OR REPLACE TABLE befores (
    -- cell
    c,
    -- number of the write that depends on it
    w,
    -- number of the write before it, null if there was none
    before
) AS
WITH touching AS (
    SELECT unnest(range(first, past))::INTEGER AS c, w, kind, soft OR kind IN ('probe', 'clear attach') AS asks
    FROM spans WHERE kind <> 'fork'
)
SELECT c, w, before
FROM (
    SELECT
        c, w, asks,
        last_value(CASE WHEN kind IN ('set', 'copy', 'clear', 'clear attach') THEN w END IGNORE NULLS)
            OVER (PARTITION BY c ORDER BY w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM touching SEMI JOIN (FROM touching WHERE asks) AS asking USING (c)
)
WHERE asks;
