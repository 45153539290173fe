-- Which processes were seen, from when to when, how did they begin and end, and what did they do?
-- A process id that the kernel used again within the recording counts as one process.
CREATE VIEW processes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- process id in the initial pid namespace
    pid,
    -- last name known of its main thread, else of any; bytes that are not UTF-8 stand as \xNN
    comm,
    -- that name, as recorded [bytes]
    comm_bytes,
    -- how it began: alive (before the recording), fork, or null where that was not seen
    began,
    -- first sign of it [ns, CLOCK_MONOTONIC]
    first_ns,
    -- last sign of it [ns, CLOCK_MONOTONIC]
    last_ns,
    -- exit of its main thread, null while it lives or where that was not seen [ns, CLOCK_MONOTONIC]
    exit_ns,
    -- process of its parent
    parent_pid,
    -- file it executed last, as named by the caller; bytes that are not UTF-8 stand as \xNN
    executed,
    -- calls that can change mappings
    calls,
    -- of them, those that failed
    failed,
    -- calls that can change a file's size
    file_calls,
    -- SIGBUS and SIGSEGV
    faults,
    -- records of mappings
    vma_records
) AS
SELECT
    capture, host, pid,
    coalesce(arg_max(comm, ts_ns) FILTER (tid = pid), arg_max(comm, ts_ns)),
    coalesce(arg_max(comm_bytes, ts_ns) FILTER (tid = pid), arg_max(comm_bytes, ts_ns)),
    -- a flight recorder looks again and again at who is alive
    CASE arg_min(event, ts_ns) FILTER (event IN ('fork', 'clone', 'alive') AND tid = pid)
        WHEN 'alive' THEN 'alive' WHEN 'fork' THEN 'fork' WHEN 'clone' THEN 'fork'
    END,
    min(ts_ns), max(ts_ns), max(ts_ns) FILTER (event = 'exit' AND tid = pid),
    arg_min(parent_pid, ts_ns) FILTER (event IN ('fork', 'clone', 'alive') AND tid = pid),
    arg_max(path, ts_ns) FILTER (event = 'exec'),
    count(*) FILTER (kind = 'call'), count(*) FILTER (kind = 'call' AND errno <> 0),
    count(*) FILTER (kind = 'file'), count(*) FILTER (kind = 'fault'), count(*) FILTER (kind = 'vma')
FROM (
    SELECT 'call' AS kind, capture, host, pid, tid, comm, comm_bytes, ts_exit_ns AS ts_ns, errno,
        NULL AS event, NULL AS parent_pid, NULL AS path
    FROM syscalls
    UNION ALL
    SELECT 'file', capture, host, pid, tid, comm, comm_bytes, ts_exit_ns, errno, NULL, NULL, NULL FROM files
    UNION ALL
    SELECT 'fault', capture, host, pid, tid, comm, comm_bytes, ts_ns, NULL, NULL, NULL, NULL FROM faults
    UNION ALL
    SELECT 'vma', capture, host, pid, tid, NULL, NULL, ts_ns, NULL, NULL, NULL, NULL FROM vmas
    UNION ALL
    SELECT 'task', capture, host, pid, tid, comm, comm_bytes, ts_ns, NULL, event, parent_pid, path FROM tasks
)
GROUP BY capture, host, pid;
