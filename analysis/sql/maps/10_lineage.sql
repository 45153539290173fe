-- Of which address spaces is the one asked for a copy, and until when does what is told of each count for it?
-- A fork copies every VMA as it is, boundaries included (kernel/fork.c, dup_mmap).
CREATE OR REPLACE TABLE lineage (
    -- number of the address space
    space,
    -- 0 for the one asked for, 1 for its original, 2 for the original of that
    depth,
    -- last instant that counts: the one asked for, or the fork [ns, CLOCK_MONOTONIC]
    until_ns
) AS
WITH RECURSIVE up(space, depth, until_ns) AS (
    SELECT getvariable('space')::UBIGINT, 0, getvariable('at_ns')::UBIGINT
    UNION ALL
    SELECT parent, depth + 1, from_ns
    FROM up JOIN spaces USING (space)
    WHERE capture = getvariable('capture') AND parent IS NOT NULL
)
FROM up;
