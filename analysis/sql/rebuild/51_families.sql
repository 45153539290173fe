-- Where there are copies of copies of copies, many deep: which are followed together? Each level is a round of its own, however
-- little is in it. Copies that follow one another share one instead, where few writes lie between them: then a copy does once
-- more all that was done to what it is a copy of, in this slice and before they parted.
CREATE OR REPLACE TABLE parted (
    -- number of the address space, a copy
    space,
    -- number of the copy that it is a copy of, null if that is none of this slice
    original,
    -- order of the fork (see writes) [ns / 8, CLOCK_MONOTONIC]
    key,
    -- whether it has a round of its own: something was advised to be left out of copies, which is known after a round only,
    -- or the original had ended before
    apart,
    -- writes that it would do once more if all copies above it were followed together
    again
) AS
WITH RECURSIVE
copies AS (
    SELECT space, parent, from_ns * 8 + 7 AS key, to_ns * 8 AS until FROM levels JOIN lives USING (space)
),
written AS (
    SELECT plane // 4 AS space, key, count(*) OVER (PARTITION BY plane // 4 ORDER BY key) AS writes
    FROM writes
    WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND plane // 4 IN (SELECT parent FROM copies)
),
each AS (
    SELECT
        copies.space, originals.space AS original, copies.key,
        copies.parent IN (SELECT plane // 4 FROM writes WHERE plane % 4 = 1) OR copies.key >= coalesce(originals.until, copies.key + 1) AS apart,
        if(originals.space IS NULL, 0, 1 + coalesce(written.writes, 0)) AS again
    FROM copies
    ASOF LEFT JOIN written ON copies.parent = written.space AND copies.key > written.key
    LEFT JOIN copies AS originals ON copies.parent = originals.space
),
summed(space, above, again) USING KEY (space) AS (
    SELECT space, original, again FROM each
    UNION ALL
    SELECT summed.space, further.above, summed.again + further.again
    FROM summed JOIN recurring.summed AS further ON summed.above = further.space
)
SELECT each.* REPLACE (summed.again AS again) FROM each JOIN summed USING (space);
-- What a round costs, in writes, against what doing them again does: the sum is least where both are alike.
SET VARIABLE together = (SELECT greatest(sqrt(2 * 50_000 * max(again) / count(*)), 1)::BIGINT FROM parted);
CREATE OR REPLACE TABLE levels (
    -- these are those of levels
    space, level
) AS
WITH RECURSIVE counted(space, above, level) USING KEY (space) AS (
    SELECT
        copy.space, copy.original,
        if(NOT copy.apart AND copy.again // getvariable('together') = original.again // getvariable('together'), 0, 1)
    FROM parted AS copy LEFT JOIN parted AS original ON copy.original = original.space
    UNION ALL
    SELECT counted.space, further.above, counted.level + further.level
    FROM counted JOIN recurring.counted AS further ON counted.above = further.space
)
SELECT space, level FROM counted;
CREATE OR REPLACE TABLE heirs (
    -- these are those of heirs
    level, space, original, parted_key
) AS
WITH RECURSIVE
together AS (
    SELECT levels.level, parted.space, original, key
    FROM parted JOIN levels USING (space) JOIN levels AS above ON original = above.space
    WHERE levels.level = above.level
),
up(level, space, original, parted_key) AS (
    FROM together
    UNION ALL
    SELECT up.level, up.space, together.original, together.key
    FROM up JOIN together ON up.original = together.space
)
FROM up ORDER BY level;
