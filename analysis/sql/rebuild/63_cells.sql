-- Which write touches which cell?
CREATE OR REPLACE VIEW cells (
    -- cell
    c,
    -- number of the write, its place in the order
    w,
    -- whether it leaves something mapped
    makes,
    -- whether it touches others too
    wide,
    -- these are those of writes
    plane, key, lo, hi, look, base, actor, call_ns
) AS
SELECT first, w, kind IN ('set', 'copy'), false, plane, key, lo, hi, look, base, actor, call_ns FROM spans WHERE kind <> 'fork' AND past = first + 1
UNION ALL
SELECT unnest(range(first, past))::INTEGER, w, kind IN ('set', 'copy'), true, plane, key, lo, hi, look, base, actor, call_ns
FROM spans WHERE kind <> 'fork' AND past > first + 1;
-- Empty where nothing depends on what was there (64_befores.sql, 65_nodes.sql fill them).
CREATE OR REPLACE TABLE befores (
    -- cell
    c INTEGER,
    -- number of the write that depends on it
    w BIGINT,
    -- number of the write before it, null if there was none
    before BIGINT
);
CREATE OR REPLACE TABLE carried (
    -- cell of a copy of several mappings, or of a shmdt; 0 for a copy of one
    c INTEGER,
    -- number of the write, or of what it is a copy of
    w BIGINT,
    -- whether anything stands there now
    there BOOLEAN,
    -- number of its look (see writes)
    look INTEGER,
    -- what to take from a page's number to get its offset in the file; 0 without a file [pages]
    base BIGINT,
    -- whether it is of a file
    file BOOLEAN,
    -- whether the write changed the cell
    moved BOOLEAN
);
