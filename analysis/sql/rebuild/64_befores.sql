-- What stood in a cell before a write that depends on it?
CREATE OR REPLACE TABLE befores (
    -- cell
    c,
    -- rank of the write that depends on it
    w,
    -- rank of the write before it, null if there was none
    before
) AS
WITH asking AS (
    SELECT DISTINCT c FROM cells JOIN spans USING (w) WHERE soft OR kind IN ('probe', 'clear attach')
)
SELECT c, w, before
FROM (
    SELECT
        c, w, soft OR kind IN ('probe', 'clear attach') AS asks,
        last_value(CASE WHEN kind IN ('set', 'copy', 'clear') THEN w END IGNORE NULLS)
            OVER (PARTITION BY c ORDER BY w ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM cells SEMI JOIN asking USING (c)
    JOIN spans USING (w)
)
WHERE asks;
