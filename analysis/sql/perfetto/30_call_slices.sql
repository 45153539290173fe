-- The calls of the trace, by thread; a thread makes one call at a time.
CREATE TABLE call_slices AS
SELECT
    pid, tid, comm, call, ts_enter_ns AS from_ns, greatest(ts_exit_ns, ts_enter_ns + 1) AS to_ns,
    coalesce(addr, 0) AS addr, coalesce(size_bytes, 0) AS size_bytes, coalesce(offset_bytes, 0) AS offset_bytes, ret,
    coalesce(error_names.error, if(errno = 0, 'none', errno::VARCHAR)) AS error
FROM (
    SELECT pid, tid, comm, syscall AS call, ts_enter_ns, ts_exit_ns, addr, size AS size_bytes, offset_bytes, ret, errno
    FROM syscalls
    UNION ALL
    SELECT pid, tid, comm, operation, ts_enter_ns, ts_exit_ns, NULL, length_bytes, offset_bytes, ret, errno FROM files
)
LEFT JOIN error_names USING (errno);
