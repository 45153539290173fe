-- Which address spaces were copied in this slice of time, and how many copies deep is each?
CREATE OR REPLACE TABLE levels (
    -- number of the address space
    space,
    -- 1 for a copy of one that was there before the slice, 2 for a copy of such a copy
    level
) AS
WITH RECURSIVE copies AS (
    SELECT space, parent FROM lives
    WHERE began = 'fork' AND parent IS NOT NULL AND from_ns * 8 + 7 >= getvariable('slice_from') AND from_ns * 8 + 7 < getvariable('slice_to')
),
counted(space, level) AS (
    SELECT space, 1 FROM copies WHERE parent NOT IN (SELECT space FROM copies)
    UNION ALL
    SELECT copies.space, level + 1 FROM counted JOIN copies ON copies.parent = counted.space
)
FROM counted;
-- What do those copies not begin with? (75_copy.sql fills it)
CREATE OR REPLACE TABLE left_out (
    -- copies deep of the address space
    level INTEGER,
    -- plane (see writes)
    plane INTEGER,
    -- order of the fork (see writes) [ns / 8, CLOCK_MONOTONIC]
    key BIGINT,
    -- first page [pages]
    lo BIGINT,
    -- first page past it [pages]
    hi BIGINT,
    -- process that was born
    pid BIGINT
);
