-- Have both sides of a place the same traits, since the last silent call there?
CREATE OR REPLACE TABLE traits (
    -- the place [address]
    page,
    -- return of that call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether the traits differ
    differ,
    -- whether all that differ are a name or a memory policy, which are recorded by address only
    guessed
) AS
WITH each AS (
    SELECT
        page, trait, max(ts_ns) AS ts_ns,
        coalesce(arg_max(value, ts_ns) FILTER (lo < page AND ts_ns >= below_ns), '')
            <> coalesce(arg_max(value, ts_ns) FILTER (hi > page AND ts_ns >= above_ns), '') AS differs
    FROM candidates JOIN silent ON lo <= page AND hi >= page
    GROUP BY page, trait
)
SELECT page, max(ts_ns), bool_or(differs), NOT bool_or(differs AND trait NOT IN ('name', 'policy'))
FROM each GROUP BY page;
