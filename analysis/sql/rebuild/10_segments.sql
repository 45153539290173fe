-- Which stretches of a process's life had one and the same address space, and whose?
-- A stretch begins when the process is born or executes, and ends with the next one or when its last thread ends.
CREATE TABLE segments (
    -- number of the stretch, in order of time
    seg,
    -- process id in the initial pid namespace
    pid,
    -- first instant; for what was there before the recording, its start [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null while it lasts [ns, CLOCK_MONOTONIC]
    to_ns,
    -- how it began: fork, exec, alive (was there before), unknown (first seen by what it did)
    began,
    -- how it ended: exec, exit, or null
    ended,
    -- the parent's stretch at the fork, null where it is not known
    parent_seg,
    -- thread that forked
    parent_tid,
    -- whether the parent's address space is used, not a copy of it (CLONE_VM)
    shares,
    -- opaque name of the address space (see syscalls.mm), null where no record told
    mm,
    -- return of the exec, after which mappings are the program's own doing [ns, CLOCK_MONOTONIC]
    exec_end_ns,
    -- fork: the address space was copied after this; null where that is not known [ns, CLOCK_MONOTONIC]
    fork_enter_ns
) AS
WITH
-- perf tells of a fork, then a raw tracepoint of its flags: two records of one thing, and either can be lost
told AS (
    SELECT
        pid, tid, ts_ns::BIGINT AS ts_ns, event, source, parent_pid, parent_tid, clone_flags, mm, ts_enter_ns::BIGINT AS enter_ns,
        CASE WHEN event = 'exec' THEN 'exec' ELSE 'fork' END AS kind
    FROM tasks
    WHERE event IN ('fork', 'clone') OR event = 'exec'
),
paired AS (
    SELECT
        *,
        lag(source) OVER same AS source_before,
        lead(source) OVER same AS source_after, lead(clone_flags) OVER same AS flags_after, lead(enter_ns) OVER same AS enter_after,
        lead(mm) OVER same AS mm_after, lead(ts_ns) OVER same AS ts_after
    FROM told
    -- a thread that executes takes the number of its process's first thread, in the later record only
    WINDOW same AS (PARTITION BY kind, pid, if(kind = 'exec', 0, tid) ORDER BY ts_ns, source DESC)
),
happened AS (
    SELECT
        kind, pid, tid, ts_ns, parent_pid, parent_tid,
        CASE WHEN source = 'bpf' THEN clone_flags WHEN source_after = 'bpf' THEN flags_after END AS clone_flags,
        CASE WHEN source = 'bpf' THEN mm WHEN source_after = 'bpf' THEN mm_after END AS mm,
        CASE WHEN source = 'bpf' THEN ts_ns WHEN source_after = 'bpf' THEN ts_after END AS told_ns,
        CASE WHEN source = 'bpf' THEN enter_ns WHEN source_after = 'bpf' THEN enter_after END AS enter_ns
    FROM paired
    WHERE source = 'perf' OR source_before IS DISTINCT FROM 'perf'
),
-- a flight recorder looks again from time to time, at threads that are counted already
alive AS (
    SELECT pid, tid, min(ts_ns)::BIGINT AS ts_ns FROM tasks WHERE event = 'alive' GROUP BY pid, tid
),
sighted AS (
    SELECT pid, min(ts_ns) AS ts_ns
    FROM (
        SELECT pid, min(ts_ns)::BIGINT AS ts_ns FROM tasks WHERE event NOT IN ('alive', 'clone', 'fork') OR tid = pid GROUP BY pid
        UNION ALL SELECT pid, min(ts_ns)::BIGINT FROM vmas GROUP BY pid
        UNION ALL SELECT pid, min(first_ns) FROM mm_seen GROUP BY pid
        UNION ALL SELECT pid, min(ts_begin_ns)::BIGINT FROM maps WHERE reason NOT IN ('checkpoint', 'final', 'trigger') GROUP BY pid
    )
    GROUP BY pid
),
starts AS (
    SELECT pid, ts_ns, kind AS began, parent_pid, parent_tid, clone_flags, mm, told_ns, enter_ns
    FROM happened
    WHERE kind = 'exec' OR (tid = pid AND parent_pid <> pid)
),
begun AS (
    FROM starts
    UNION ALL
    SELECT
        pid, least(ts_ns, getvariable('started_ns')),
        CASE WHEN pid IN (SELECT pid FROM alive UNION ALL SELECT pid FROM maps WHERE reason = 'baseline') THEN 'alive' ELSE 'unknown' END,
        NULL, NULL, NULL, NULL, NULL, NULL
    FROM sighted
    WHERE NOT EXISTS (FROM starts WHERE starts.pid = sighted.pid AND starts.ts_ns <= sighted.ts_ns)
),
numbered AS (
    SELECT
        *, row_number() OVER (ORDER BY ts_ns, pid)::INTEGER AS seg,
        lead(ts_ns) OVER life AS next_ns, lead(began) OVER life AS next_began
    FROM begun
    WINDOW life AS (PARTITION BY pid ORDER BY ts_ns)
),
-- a process ends with its last thread, so threads are counted; an execution leaves one
counted AS (
    SELECT pid, ts_ns, 1 AS threads FROM happened WHERE kind = 'fork' AND tid <> pid
    UNION ALL
    SELECT pid, ts_ns, 1 FROM alive
    WHERE NOT EXISTS (FROM happened WHERE happened.pid = alive.pid AND happened.tid = alive.tid AND happened.kind = 'fork')
    UNION ALL
    SELECT pid, ts_ns, 1 FROM begun WHERE began IN ('fork', 'exec') OR pid NOT IN (SELECT pid FROM alive)
    UNION ALL
    SELECT DISTINCT ON (pid, tid, ts_ns) pid, ts_ns::BIGINT, -1 FROM tasks
    WHERE event = 'exit' AND (
        tid = pid OR EXISTS (FROM happened WHERE happened.pid = tasks.pid AND happened.tid = tasks.tid AND kind = 'fork')
        OR EXISTS (FROM alive WHERE alive.pid = tasks.pid AND alive.tid = tasks.tid)
    )
),
exits AS (
    SELECT seg, sum(threads) AS left_over, max(counted.ts_ns) FILTER (threads < 0) AS ts_ns
    FROM counted
    ASOF JOIN numbered ON counted.pid = numbered.pid AND counted.ts_ns >= numbered.ts_ns
    GROUP BY seg
),
ended AS (
    SELECT
        numbered.*, CASE WHEN left_over <= 0 THEN exits.ts_ns END AS exit_ns,
        least(CASE WHEN left_over <= 0 THEN exits.ts_ns END, next_ns) AS to_ns
    FROM numbered LEFT JOIN exits USING (seg)
)
SELECT
    child.seg, child.pid, child.ts_ns, child.to_ns, child.began,
    CASE
        WHEN child.to_ns IS NULL THEN NULL
        WHEN child.exit_ns IS NULL AND child.next_began = 'exec' THEN 'exec'
        ELSE 'exit'
    END,
    CASE WHEN child.began = 'fork' THEN parent.seg END, child.parent_tid,
    child.began = 'fork' AND parent.seg IS NOT NULL AND coalesce(child.clone_flags & 256 <> 0, false),
    child.mm, CASE WHEN child.began = 'exec' THEN child.told_ns END,
    CASE WHEN child.began = 'fork' THEN child.enter_ns END
FROM ended AS child
ASOF LEFT JOIN ended AS parent ON child.parent_pid = parent.pid AND child.ts_ns > parent.ts_ns;
