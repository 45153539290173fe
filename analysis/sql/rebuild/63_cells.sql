-- Which write touches which cell?
CREATE OR REPLACE TABLE cells (
    -- cell
    c,
    -- number of the write
    w,
    -- its place in the order
    turn,
    -- whether it leaves something mapped
    makes,
    -- whether it touches others too
    wide
) AS
SELECT unnest(range(first, past)), w, turn, kind IN ('set', 'copy'), past > first + 1 FROM spans WHERE kind <> 'fork';
-- Empty where nothing depends on what was there (64_befores.sql, 65_nodes.sql fill them).
CREATE OR REPLACE TABLE befores (
    -- cell
    c BIGINT,
    -- number of the write that depends on it
    w BIGINT,
    -- number of the write before it, null if there was none
    before BIGINT
);
CREATE OR REPLACE TABLE carried (
    -- cell of a copy of several mappings, or of a shmdt; 0 for a copy of one
    c BIGINT,
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
