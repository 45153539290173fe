-- Which write ends what another wrote, cell by cell?
CREATE OR REPLACE TABLE lasting (
    -- cell
    c,
    -- rank of the write
    w,
    -- rank of the next write there, null if there is none in this slice
    ended_by
) AS
SELECT c, w, lead(w) OVER (PARTITION BY c ORDER BY w)
FROM cells ANTI JOIN idle ON cells.c = idle.c AND cells.w = idle.w;
