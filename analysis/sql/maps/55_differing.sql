-- Have both sides of a place the same traits, since the last silent call there? And had they when the place was told of?
CREATE OR REPLACE TABLE differing (
    -- the place [address]
    page,
    -- return of that call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether the traits differ
    differ,
    -- whether they differed when the place was told of
    differed,
    -- whether that is all known: the calls were of what is mapped now, and say all there is to say
    known
) AS
WITH met AS (
    SELECT candidates.page, trait, value, silent.ts_ns, coalesce(told.ts_ns, 0) AS told_ns, coalesce(told.together, false) AS together,
        coalesce(lo < candidates.page AND silent.ts_ns >= below_ns, false) AS below,
        coalesce(hi > candidates.page AND silent.ts_ns >= above_ns, false) AS above,
        coalesce(below_ns > 0 AND above_ns > 0, false) AS fresh
    FROM candidates JOIN silent ON lo <= candidates.page AND hi >= candidates.page
    LEFT JOIN told ON candidates.page = told.page
    WHERE NOT (trait = 'merge' AND shared) -- mm/ksm.c, ksm_madvise: not for shared memory
),
-- one VMA has the same traits everywhere, whatever calls said of what was there before
each AS (
    SELECT
        page, trait, max(ts_ns) AS ts_ns,
        coalesce(arg_max(value, ts_ns) FILTER (below AND ts_ns <= told_ns AND (above OR NOT together)), '') AS below_then,
        coalesce(arg_max(value, ts_ns) FILTER (above AND ts_ns <= told_ns AND (below OR NOT together)), '') AS above_then,
        coalesce(arg_max(value, ts_ns) FILTER (below AND ts_ns > told_ns), below_then) AS below_now,
        coalesce(arg_max(value, ts_ns) FILTER (above AND ts_ns > told_ns), above_then) AS above_now,
        -- a name and a memory policy are recorded by their address only
        (bool_and(fresh) OR (bool_and(ts_ns > told_ns) AND max(told_ns) > 0)) AND NOT (trait IN ('name', 'policy') AND below_now <> above_now)
            AND NOT bool_or(value = '?') AS known
    FROM met
    GROUP BY page, trait
)
SELECT
    page, max(ts_ns), bool_or(below_now <> above_now), bool_or(below_then <> above_then),
    -- what only a lock of the original parted, any later call can have joined
    bool_and(known) AND NOT coalesce(max(ts_ns) > max(ts_ns) FILTER (trait = 'lock of original' AND below_now <> above_now), false)
FROM each GROUP BY page;
