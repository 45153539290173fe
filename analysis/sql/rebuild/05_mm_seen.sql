-- Under which opaque names of an address space did each process make calls?
CREATE TABLE mm_seen (
    -- process id in the initial pid namespace
    pid,
    -- opaque name of the address space (see syscalls.mm)
    mm,
    -- entry of the first such call [ns, CLOCK_MONOTONIC]
    first_ns
) AS
SELECT pid, mm, min(ts_enter_ns)::BIGINT FROM syscalls WHERE mm <> 0 GROUP BY pid, mm;
