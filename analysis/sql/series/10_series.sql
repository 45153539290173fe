-- How many VMAs did each address space have at evenly spaced instants, and how many at most since the instant before?
-- The variable every is the distance [ns]; the first instant is the start of the capture (since_ns).
CREATE TABLE series AS
WITH
every AS (SELECT getvariable('every')::BIGINT AS ns),
steps AS (
    SELECT capture, host, space, pid, since_ns::BIGINT AS since_ns, end_ns, ns,
        (from_ns::BIGINT - since_ns::BIGINT) // ns AS from_step, (end_ns::BIGINT - since_ns::BIGINT) // ns AS end_step,
        unnest(range(from_step, end_step + 1)) AS step
    FROM chosen JOIN targets USING (capture, space), every
),
-- a step goes from its instant to the next one
within AS (
    SELECT capture, space, (ts_ns::BIGINT - since_ns::BIGINT) // ns AS step, max(vmas) AS peak
    FROM counted JOIN chosen USING (capture, space) JOIN targets USING (capture, space), every
    WHERE ts_ns <= end_ns
    GROUP BY ALL
)
SELECT
    steps.capture, steps.host, steps.space, steps.pid,
    -- end of the step, or of what is known [ns, CLOCK_MONOTONIC]
    least(since_ns + (steps.step + 1) * ns - 1, end_ns)::UBIGINT AS ts_ns,
    -- VMAs at that instant
    vmas, vmas_at_most, possible,
    -- most VMAs in the step
    greatest(coalesce(within.peak, 0), vmas, coalesce(lag(vmas) OVER (PARTITION BY steps.capture, steps.space ORDER BY steps.step), 0)) AS peak
FROM steps
ASOF JOIN counted ON steps.capture = counted.capture AND steps.space = counted.space
    AND least(since_ns + (steps.step + 1) * ns - 1, end_ns) >= counted.ts_ns
LEFT JOIN within ON steps.capture = within.capture AND steps.space = within.space AND steps.step = within.step;
