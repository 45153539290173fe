-- Which write touches which cell?
CREATE OR REPLACE TABLE cells (
    -- cell
    c,
    -- rank of the write
    w
) AS
SELECT unnest(range(first, past)), w FROM spans WHERE kind <> 'fork';
