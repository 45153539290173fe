-- Which address spaces were copied in this slice of time, and how many copies deep is each?
CREATE OR REPLACE TABLE levels (
    -- number of the address space
    space,
    -- 1 for a copy of one that was there before the slice, 2 for a copy of such a copy; lower for those followed together
    level
) AS
WITH RECURSIVE
copies AS (
    SELECT space, parent FROM lives
    WHERE began = 'fork' AND parent IS NOT NULL AND from_ns * 8 + 7 >= getvariable('slice_from') AND from_ns * 8 + 7 < getvariable('slice_to')
),
-- each time twice as far up
counted(space, above, level) USING KEY (space) AS (
    SELECT space, parent, 1 FROM copies
    UNION ALL
    SELECT counted.space, further.above, counted.level + further.level
    FROM counted JOIN recurring.counted AS further ON counted.above = further.space
)
SELECT space, level FROM counted;
-- Which of them are followed together with what they are copies of? (51_families.sql fills it)
CREATE OR REPLACE TABLE heirs (
    -- its level
    level INTEGER,
    -- number of the address space
    space INTEGER,
    -- number of one that it is a copy of, or a copy of a copy
    original INTEGER,
    -- order of the fork by which it, or what it is a copy of, parted from that one (see writes) [ns / 8, CLOCK_MONOTONIC]
    parted_key BIGINT
);
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
