-- Have both sides of a place the same traits, since the last silent call there? And had they when the place was told of?
CREATE OR REPLACE TABLE traits (
    -- the place [address]
    page,
    -- return of that call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether the traits differ
    differ,
    -- whether all that differ are a name or a memory policy, which are recorded by address only
    guessed,
    -- whether they differed when the place was told of
    differed
) AS
WITH met AS (
    SELECT candidates.page, trait, value, silent.ts_ns, coalesce(told.ts_ns, 0) AS told_ns, coalesce(told.together, false) AS together,
        lo < candidates.page AND silent.ts_ns >= below_ns AS below, hi > candidates.page AND silent.ts_ns >= above_ns AS above
    FROM candidates JOIN silent ON lo <= candidates.page AND hi >= candidates.page
    LEFT JOIN told ON candidates.page = told.page
),
-- one VMA has the same traits everywhere, whatever calls said of what was there before
each AS (
    SELECT
        page, trait, max(ts_ns) AS ts_ns,
        coalesce(arg_max(value, ts_ns) FILTER (below AND ts_ns <= told_ns AND (above OR NOT together)), '') AS below_then,
        coalesce(arg_max(value, ts_ns) FILTER (above AND ts_ns <= told_ns AND (below OR NOT together)), '') AS above_then,
        coalesce(arg_max(value, ts_ns) FILTER (below AND ts_ns > told_ns), below_then) AS below_now,
        coalesce(arg_max(value, ts_ns) FILTER (above AND ts_ns > told_ns), above_then) AS above_now
    FROM met
    GROUP BY page, trait
)
SELECT
    page, max(ts_ns), bool_or(below_now <> above_now), NOT bool_or(below_now <> above_now AND trait NOT IN ('name', 'policy')),
    bool_or(below_then <> above_then)
FROM each GROUP BY page;
