-- Which processes were there, those that came to harm first?
-- The table involved says which took part in findings: pid, their number, and the rank of the gravest (1 is high).
CREATE OR REPLACE TABLE listed AS
WITH
faulted AS (
    SELECT pid, arg_max(address, ts_ns) AS fault_address, max(ts_ns) AS fault_ns FROM faults GROUP BY pid
),
ended AS (
    SELECT pid, arg_max(exit_status, ts_ns) & 127 AS killed_by FROM tasks WHERE event = 'ended' GROUP BY pid
)
SELECT
    -- place in the list, from 0
    row_number() OVER (
        ORDER BY rank NULLS LAST, killed_by IS NULL OR killed_by = 0, faults DESC, calls + file_calls DESC, vma_records DESC, pid
    ) - 1 AS n,
    pid, comm, began, first_ns, last_ns, exit_ns, parent_pid, executed, calls, failed, faults, vma_records,
    -- findings that it took part in, and how grave the gravest is: 1 high, 2 medium, 3 low
    coalesce(findings, 0) AS findings, rank,
    -- signal that ended it, 0 for an exit; null where its parent was not told within the recording
    killed_by,
    -- its last fault [address; ns, CLOCK_MONOTONIC]
    fault_address, fault_ns,
    -- what a search looks through
    lower(concat_ws(' ', pid, comm, executed)) AS words
FROM processes
LEFT JOIN involved USING (pid)
LEFT JOIN faulted USING (pid)
LEFT JOIN ended USING (pid);
