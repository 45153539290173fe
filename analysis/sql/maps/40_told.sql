-- What was the last that told of a whole VMA at each of those places?
-- An MMAP2 record gives the VMA after merging; a line of a reading is one. Checkpoints and final readings are not
-- used: they judge.
CREATE OR REPLACE TABLE told (
    -- the place [address]
    page,
    -- when it was told [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether the VMA lay on both sides of the place
    together
) AS
WITH
-- a place that is used again and again is told of in the same words
distinct_vmas AS (
    SELECT start, "end", max(ts_ns) AS ts_ns
    FROM (
        SELECT start, "end", ts_ns
        FROM vmas JOIN tellers ON vmas.pid = tellers.pid AND ts_ns BETWEEN from_ns AND until_ns
        WHERE capture = getvariable('capture') AND start <= getvariable('highest') AND "end" >= getvariable('lowest')
        UNION ALL
        SELECT start, "end", ts_begin_ns
        FROM maps JOIN tellers ON maps.pid = tellers.pid AND ts_begin_ns BETWEEN from_ns AND until_ns
        WHERE capture = getvariable('capture') AND reason NOT IN ('checkpoint', 'final', 'trigger')
            AND start <= getvariable('highest') AND "end" >= getvariable('lowest')
    )
    GROUP BY ALL
),
spans AS (
    SELECT vmas.*, low.n AS first, high.n AS last
    FROM distinct_vmas AS vmas
    ASOF JOIN candidates AS low ON vmas.start <= low.page
    ASOF JOIN candidates AS high ON vmas."end" >= high.page
    WHERE low.n <= high.n
),
-- of a heap that grew there are as many records as places: those that a later one covers decide nothing
from_below AS (
    SELECT * FROM spans
    QUALIFY last > coalesce(max(last) OVER (PARTITION BY first ORDER BY ts_ns DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), 0)
),
from_above AS (
    SELECT * FROM from_below
    QUALIFY first < coalesce(min(first) OVER (PARTITION BY last ORDER BY ts_ns DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING), first + 1)
),
latest AS (
    SELECT n, arg_max({'start': start, 'end': "end", 'ts_ns': ts_ns}, ts_ns) AS vma
    FROM (SELECT *, unnest(range(first, last + 1)) AS n FROM from_above)
    GROUP BY n
)
SELECT page, vma.ts_ns, vma.start < page AND vma."end" > page
FROM latest JOIN candidates USING (n);
