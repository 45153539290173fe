-- What became of the process after each fault?
-- A process that handles its faults goes on: JVMs, garbage collectors and sanitizers do so thousands of times. How it ended
-- is what wait(2) told its parent, where that was recorded; else what is known is when it ended.
CREATE VIEW fault_outcomes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- the fault [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- process
    pid,
    -- thread that faulted
    tid,
    -- killed: by the signal of this fault, its last; ended: soon after it, in another way or it is not known in which;
    -- handled: it went on; open: the recording ends before more is known
    outcome,
    -- end of the process; null while it lives [ns, CLOCK_MONOTONIC]
    ended_ns,
    -- how the process ended: exit code << 8, or the signal that killed it, | 128 where it dumped core
    exit_status,
    -- the next sign of the thread: a call or fault [ns, CLOCK_MONOTONIC]
    next_ns
) AS
WITH
hits AS MATERIALIZED (
    SELECT
        capture, host, ts_ns, pid, tid, if(signal = 'SIGBUS', 7, 11) AS number,
        lead(ts_ns) OVER (PARTITION BY capture, pid, signal ORDER BY ts_ns) AS again_ns
    FROM faults
),
signs AS (
    SELECT capture, tid, ts_enter_ns AS ns FROM syscalls SEMI JOIN hits USING (capture, pid)
    UNION ALL SELECT capture, tid, ts_enter_ns FROM files SEMI JOIN hits USING (capture, pid)
    UNION ALL SELECT capture, tid, ts_ns FROM hits
    UNION ALL SELECT capture, parent_tid, ts_ns FROM tasks WHERE event IN ('fork', 'clone')
),
ends AS (
    SELECT capture, pid, min(ts_ns) AS ns, any_value(exit_status) AS status
    FROM (
        SELECT capture, pid, ts_ns, exit_status FROM tasks SEMI JOIN hits USING (capture, pid) WHERE event = 'ended'
        UNION ALL
        -- not every capture has the status: the exit of the main thread will do, unless others outlive it
        SELECT capture, pid, max(ts_ns), NULL FROM tasks SEMI JOIN hits USING (capture, pid)
        WHERE event = 'exit' AND (capture, pid) NOT IN (SELECT (capture, pid) FROM tasks WHERE event = 'ended')
        GROUP BY capture, pid
        HAVING bool_or(tid = pid)
    )
    GROUP BY capture, pid, ts_ns
),
known AS (
    SELECT hits.*, signs.ns AS next_ns, ends.ns AS ended_ns, status
    FROM hits
    ASOF LEFT JOIN signs ON hits.capture = signs.capture AND hits.tid = signs.tid AND hits.ts_ns < signs.ns
    ASOF LEFT JOIN ends ON hits.capture = ends.capture AND hits.pid = ends.pid AND hits.ts_ns < ends.ns
),
told AS (
    SELECT *, next_ns < coalesce(ended_ns, 18446744073709551615) AS went_on, again_ns < coalesce(ended_ns, 18446744073709551615) AS faults_again
    FROM known
)
SELECT
    capture, host, ts_ns, pid, tid,
    CASE
        WHEN status & 127 = number AND NOT coalesce(faults_again, false) THEN 'killed'
        -- a handler that gives up aborts (JVM), exits with a status (Go), or raises the signal again, all within moments
        WHEN status & 127 IN (4, 5, 6, 7, 8, 11) AND NOT coalesce(faults_again, false) AND ended_ns - ts_ns < 10000000000 THEN 'ended'
        WHEN coalesce(went_on, false) THEN 'handled'
        WHEN coalesce(status, 1) <> 0 AND ended_ns - ts_ns < 1000000000 THEN 'ended'
        WHEN ended_ns IS NOT NULL THEN 'handled'
        ELSE 'open'
    END,
    ended_ns, status, if(coalesce(went_on, false), next_ns, NULL)
FROM told;
