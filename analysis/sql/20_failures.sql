-- Which calls failed, with which error, how often and in how many processes?
-- A failed call can still have changed mappings: mprotect over a hole changes the pages before it.
CREATE VIEW failures (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- name of the call
    syscall,
    -- name of the error, or its number where it has none
    error,
    -- error number
    errno,
    -- calls that failed so
    calls,
    -- processes that made them
    processes,
    -- entry of the first [ns, CLOCK_MONOTONIC]
    first_ns,
    -- entry of the last [ns, CLOCK_MONOTONIC]
    last_ns
) AS
SELECT
    capture, host, syscall, coalesce(any_value(error), 'errno ' || errno), errno,
    count(*), count(DISTINCT pid), min(ts_enter_ns), max(ts_enter_ns)
FROM (
    SELECT capture, host, syscall, pid, errno, ts_enter_ns FROM syscalls WHERE errno <> 0
    UNION ALL
    SELECT capture, host, operation, pid, errno, ts_enter_ns FROM files WHERE errno <> 0
)
LEFT JOIN error_names USING (errno)
GROUP BY capture, host, syscall, errno;
