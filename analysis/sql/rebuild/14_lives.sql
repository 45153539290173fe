-- When did each address space live, and what did it begin with?
CREATE TABLE lives (
    -- number of the address space
    space,
    -- first instant; for what was there before the recording, its start [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null while it lasts [ns, CLOCK_MONOTONIC]
    to_ns,
    -- how it began: exec (empty), fork (a copy), alive (was there before), unknown
    began,
    -- how its last user left it: exec, exit, or null
    ended,
    -- last user's process id
    end_pid,
    -- fork: address space that was copied, null where it is not known
    parent,
    -- fork: thread that made the copy
    parent_tid,
    -- exec: return of the call [ns, CLOCK_MONOTONIC]
    exec_end_ns,
    -- fork: the copy was made after this; null where that is not known [ns, CLOCK_MONOTONIC]
    fork_enter_ns
) AS
WITH used AS (
    SELECT
        space, CASE WHEN bool_or(to_ns IS NULL) THEN NULL ELSE max(to_ns) END AS to_ns,
        arg_max(ended, to_ns) AS ended, arg_max(pid, to_ns) AS end_pid
    FROM users
    GROUP BY space
)
SELECT
    used.space, segments.from_ns, used.to_ns, segments.began,
    CASE WHEN used.to_ns IS NOT NULL THEN used.ended END, used.end_pid, parents.space, segments.parent_tid, segments.exec_end_ns, segments.fork_enter_ns
FROM used
JOIN segments ON used.space = segments.seg
LEFT JOIN users AS parents ON segments.parent_seg = parents.seg;
