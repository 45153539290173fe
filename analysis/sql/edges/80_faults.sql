-- Which processes took SIGBUS or SIGSEGV, and who is to blame?
-- Every fault that the kernel sent a signal for, explained by what was mapped there then (view fault_causes): pid is who
-- truncated, unmapped, protected or replaced what other_pid then touched; where nobody did, both are the process that faulted.
-- high: the process died of it; medium: it exited within a second, or the recording ends before it is known; low, and
-- expected: it handled the fault and went on, as JVMs and garbage collectors do by the thousand. Those that are alike are one.
-- facts: signal, code (si_code), cause (see fault_causes), access (write, execute, access), perms (of the mapping), outcome
-- (killed, ended, handled, open), exit_status (as wait tells it), size_bytes (of the file at the fault), old_size_bytes and
-- new_size_bytes (of the truncation), suspects (how many calls by a path that tells no file can have set that size), faults
-- (how many are alike), last_ns (the last of them).
-- Cost: that of fault_causes.
WITH
alike AS (
    SELECT
        capture, any_value(host) AS host, space, pid, signal, code, cause, access, certainty, outcome, dev, inode, path, by_pid, by_call,
        count(*) AS faults, min(ts_ns) AS ts_ns, max(ts_ns) AS last_ns, min(page_down(address)) AS start, max(page_down(address)) + 4096 AS "end",
        unnest(arg_min({
            'reason': reason, 'by_tid': by_tid, 'by_comm': by_comm, 'by_stack_id': by_stack_id, 'by_ns': by_ns, 'tid': tid, 'comm': comm,
            'stack_id': stack_id, 'generation': generation, 'path_bytes': path_bytes, 'offset_bytes': page_down(offset_bytes), 'perms': perms,
            'ended_ns': ended_ns, 'exit_status': exit_status, 'size_bytes': size_bytes, 'old_size_bytes': old_size_bytes,
            'new_size_bytes': new_size_bytes, 'suspects': nullif(suspect_count, 0), 'sentence': sentence
        }, ts_ns))
    FROM fault_causes
    GROUP BY
        capture, space, pid, signal, code, cause, access, certainty, outcome, dev, inode, path, by_pid, by_call,
        if(outcome = 'handled', NULL, (ts_ns, tid))
)
SELECT
    capture, host,
    CASE
        WHEN outcome = 'handled' THEN 'low'
        WHEN outcome = 'killed' THEN 'high'
        WHEN outcome = 'ended' AND (exit_status & 127 <> 0 OR (exit_status IS NULL AND ended_ns - ts_ns < 100000000)) THEN 'high'
        ELSE 'medium'
    END AS severity,
    if(outcome = 'handled', 'the process handled it and went on', NULL) AS expected, certainty, reason, ts_ns,
    space, coalesce(by_pid, pid) AS pid, if(by_pid IS NULL, tid, by_tid) AS tid, if(by_pid IS NULL, comm, by_comm) AS comm,
    by_stack_id AS stack_id, coalesce(by_call, 'fault') AS call, by_ns AS call_ns,
    space AS other_space, pid AS other_pid, tid AS other_tid, comm AS other_comm, stack_id AS other_stack_id, 'fault' AS other_call, ts_ns AS other_ns,
    start, "end", dev, inode, generation, path, path_bytes, offset_bytes,
    MAP {
        'signal': signal, 'code': code::VARCHAR, 'cause': cause, 'access': access, 'perms': perms, 'outcome': outcome,
        'exit_status': exit_status::VARCHAR, 'size_bytes': size_bytes::VARCHAR, 'old_size_bytes': old_size_bytes::VARCHAR,
        'new_size_bytes': new_size_bytes::VARCHAR, 'suspects': suspects::VARCHAR, 'faults': faults::VARCHAR, 'last_ns': last_ns::VARCHAR
    } AS facts,
    sentence || if(faults > 1, format('; {} more like it followed within {}', faults - 1, span_text(last_ns - ts_ns)), '') AS sentence
FROM alike
