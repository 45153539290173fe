-- Which write ends what another wrote, cell by cell?
CREATE OR REPLACE TABLE lasting (
    -- cell
    c,
    -- number of the write, its place in the order
    w,
    -- whether it leaves something mapped
    makes,
    -- whether it touches other cells too
    wide,
    -- number of the next write there, null if there is none in this slice
    ended_by
) AS
SELECT c, w, makes, wide, lead(w) OVER (PARTITION BY c ORDER BY w)
FROM cells ANTI JOIN idle ON cells.c = idle.c AND cells.w = idle.w;
