-- Which rectangles of the timeline touch the window, in the picture's time?
CREATE OR REPLACE TABLE pieces (
    -- band of its address space (see shown)
    band,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant, and first past it; the latter is null where it stood to the end; not cut off at the window [ns]
    x0, x1,
    -- what it is (see looks), and of which kind: heap and stack too
    look, kind,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- what made it, which thread, and the entry of the call that asked for it; null if none did [ns, CLOCK_MONOTONIC]
    cause, cause_tid, call_ns,
    -- what ended it, which thread; null where it still stood at the end
    end_cause, end_tid,
    -- why it is only possible, null where it is certain
    reason
) AS
WITH window_of AS (
    SELECT band, timeline.* EXCLUDE (path, host), since_ns, until_ns, zero_ns
    FROM timeline JOIN shown USING (capture, space)
    WHERE timeline.from_ns <= until_ns AND coalesce(timeline.to_ns, 18446744073709551615) > since_ns
)
SELECT
    band::USMALLINT, start, "end", from_ns::BIGINT - zero_ns::BIGINT, to_ns::BIGINT - zero_ns::BIGINT, look::UINTEGER,
    CASE
        -- fs/proc/task_mmu.c, get_vma_name: what has no path is called by its place
        WHEN kind IN ('anonymous', 'jit') AND start < brk AND "end" > start_brk THEN 'heap'
        WHEN kind IN ('anonymous', 'jit') AND start <= start_stack AND "end" > start_stack THEN 'stack'
        ELSE kind
    END,
    offset_bytes, cause, cause_tid, call_ns, end_cause, end_tid, reason
FROM window_of
JOIN looks ON window_of.dev = looks.dev AND window_of.inode = looks.inode AND window_of.path_bytes = looks.path_bytes
    AND window_of.generation IS NOT DISTINCT FROM looks.generation AND window_of.perms IS NOT DISTINCT FROM looks.perms
ASOF LEFT JOIN places ON places.capture = window_of.capture AND places.space = window_of.space AND known_ns <= from_ns;
