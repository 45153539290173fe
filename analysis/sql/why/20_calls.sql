-- Which calls mapped those, and took them away?
CREATE OR REPLACE TABLE calls_told AS
SELECT capture, ts_enter_ns AS call_ns, pid, tid, comm, stack_id, syscall, thread_text(comm, pid, tid) AS whom, addr, size, new_size, ret, errno, sane(ret) AS low, sane(ret) + page_up(sane_size(size)) AS high
FROM syscalls
SEMI JOIN (
    SELECT capture, call_ns, cause_tid AS tid FROM stood UNION SELECT capture, end_call_ns, end_tid FROM stood
) AS made ON syscalls.capture = made.capture AND ts_enter_ns = made.call_ns AND syscalls.tid = made.tid;
