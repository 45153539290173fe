-- How fast does each grow? The slope of the straight line with the least squares through 65 evenly spaced instants of the
-- last half of its time.
CREATE TABLE rates AS
WITH instants AS (
    SELECT capture, space, half_ns, end_ns, (half_ns + (end_ns - half_ns)::HUGEINT * step // 64)::UBIGINT AS at_ns
    FROM chosen, range(65) AS steps(step)
)
SELECT
    instants.capture, instants.space, arg_max(vmas, at_ns) AS vmas, arg_max(vmas_at_most, at_ns) AS vmas_at_most,
    arg_max(possible, at_ns) AS possible,
    -- [VMAs a second], null for an address space that was there for an instant
    regr_slope(vmas, (at_ns - half_ns) / 1e9) AS rate,
    -- by this line, how many more in the half that was looked at [VMAs]
    rate * any_value(end_ns - half_ns) / 1e9 AS gained,
    -- the same where neighbours of the same kind are counted as two VMAs
    regr_slope(vmas_at_most, (at_ns - half_ns) / 1e9) AS rate_at_most,
    rate_at_most * any_value(end_ns - half_ns) / 1e9 AS gained_at_most
FROM instants
ASOF JOIN counted ON instants.capture = counted.capture AND instants.space = counted.space AND at_ns >= ts_ns
GROUP BY instants.capture, instants.space;
