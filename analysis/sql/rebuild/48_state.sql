-- What is carried from slice to slice, and what is done. What writes were made of is not needed any more, but its memory.
DROP TABLE records;
DROP VIEW moments;
DROP TABLE ordered;
DROP VIEW removals;
DROP TABLE removing;
CREATE TABLE live (
    -- plane (see writes)
    plane INTEGER,
    -- when it was made, times eight [ns / 8, CLOCK_MONOTONIC]
    key BIGINT,
    -- first page [pages]
    lo BIGINT,
    -- first page past it [pages]
    hi BIGINT,
    -- number of the look
    look INTEGER,
    -- what to take from a page's number to get its offset in the file [pages]
    base BIGINT,
    -- who made it (see writes)
    actor BIGINT, call_ns BIGINT
);
CREATE TABLE pieces (
    -- plane (see writes)
    plane INTEGER,
    -- first page [pages]
    lo BIGINT,
    -- first page past it [pages]
    hi BIGINT,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns BIGINT,
    -- first instant past it, null where it still stands at the end [ns, CLOCK_MONOTONIC]
    to_ns BIGINT,
    -- number of the look
    look INTEGER,
    -- what to take from a page's number to get its offset in the file [pages]
    base BIGINT,
    -- who made it (see writes)
    actor BIGINT, call_ns BIGINT,
    -- who ended it
    end_actor BIGINT, end_call_ns BIGINT
);
