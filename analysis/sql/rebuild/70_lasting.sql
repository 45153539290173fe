-- What leaves something mapped in which cell, and which write ends that?
CREATE OR REPLACE TABLE lasting (
    -- cell
    c,
    -- number of the write, its place in the order
    w,
    -- whether it touches other cells too
    wide,
    -- these are those of writes
    plane, key, lo, hi, look, base, actor, call_ns,
    -- number of the next write there, null if there is none in this slice
    ended_by,
    -- its time and who did it (see writes)
    end_key, end_actor, end_call_ns
) AS
SELECT * EXCLUDE (makes)
FROM (
    SELECT cells.*, lead(w) OVER cell, lead(key) OVER cell, lead(actor) OVER cell, lead(call_ns) OVER cell
    FROM cells ANTI JOIN idle ON cells.c = idle.c AND cells.w = idle.w
    WINDOW cell AS (PARTITION BY c ORDER BY w)
)
WHERE makes;
