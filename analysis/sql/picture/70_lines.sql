-- How many VMAs did each address space of the picture have over time, and how many may it have?
-- The window has 1,024 steps, or fewer with many address spaces; a row says what the count was at the end of a step, and
-- the most in it. A step without a change has no row.
CREATE OR REPLACE TABLE lines_over_time (
    -- band of the address space (see shown)
    band,
    -- end of the step, in the picture's time [ns]
    x,
    -- VMAs then
    vmas,
    -- most VMAs within the step
    most,
    -- vm.max_map_count, null where it was not recorded
    limit_vmas
) AS
WITH
steps AS (
    SELECT band, shown.capture, space, since_ns, until_ns, zero_ns, max_map_count,
        greatest((until_ns - since_ns) // greatest(least(1024, 65536 // (SELECT count(*) FROM shown)), 16), 1)::UBIGINT AS step_ns
    FROM shown JOIN captures ON shown.capture = captures.capture
)
SELECT
    band,
    -- the last count before the window stands at its beginning
    least(if(ts_ns < since_ns, since_ns, since_ns + ((ts_ns - since_ns) // step_ns + 1) * step_ns), until_ns)::BIGINT - zero_ns::BIGINT AS x,
    arg_max(vmas, ts_ns), if(any_value(ts_ns < since_ns), arg_max(vmas, ts_ns), max(vmas)), any_value(max_map_count)
FROM vma_counts JOIN steps ON vma_counts.capture = steps.capture AND vma_counts.space = steps.space AND ts_ns <= until_ns
GROUP BY band, x, ts_ns < since_ns;
