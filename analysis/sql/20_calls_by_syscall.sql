-- How often was each system call made, how often did it fail, and how long did it take?
-- Calls that can change mappings and calls that can change a file's size, together.
CREATE VIEW calls_by_syscall (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- name of the call
    syscall,
    -- x86_64, or i386 for calls by a 32-bit entry
    abi,
    -- calls that returned
    calls,
    -- of them, those that returned an error
    failed,
    -- processes that made them
    processes,
    -- entry of the first [ns, CLOCK_MONOTONIC]
    first_ns,
    -- return of the last [ns, CLOCK_MONOTONIC]
    last_ns,
    -- time between entry and return, all calls together [ns]
    total_ns,
    -- the same, of the longest call [ns]
    longest_ns
) AS
SELECT
    capture, host, syscall, abi, count(*), count(*) FILTER (errno <> 0), count(DISTINCT pid),
    min(ts_enter_ns), max(ts_exit_ns),
    sum(ts_exit_ns::BIGINT - ts_enter_ns::BIGINT)::BIGINT, max(ts_exit_ns::BIGINT - ts_enter_ns::BIGINT)
FROM (
    SELECT capture, host, syscall, abi, pid, errno, ts_enter_ns, ts_exit_ns FROM syscalls
    UNION ALL
    SELECT capture, host, operation, abi, pid, errno, ts_enter_ns, ts_exit_ns FROM files
)
GROUP BY ALL;
