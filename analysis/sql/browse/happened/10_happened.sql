-- What happened to the memory of a process, in order of time? The variable pid names it.
-- Mappings that came, those that went and were not replaced, faults and other findings (the table found holds them), losses,
-- and where its address spaces began and ended.
CREATE OR REPLACE TABLE happened AS
WITH
used AS (
    SELECT uses.space, uses.from_ns AS since_ns, uses.to_ns AS until_ns, began, ended
    FROM uses JOIN spaces USING (capture, space)
    WHERE uses.pid = getvariable('pid')
),
-- fs/proc/task_mmu.c, get_vma_name: what has no path is called by its place
rectangles AS (
    SELECT
        timeline.* REPLACE (CASE
            WHEN inode <> 0 OR path <> '' THEN path
            WHEN start < brk AND "end" > start_brk THEN '[heap]'
            WHEN start <= start_stack AND "end" > start_stack THEN '[stack]'
            ELSE path
        END AS path), since_ns, until_ns,
        -- a rectangle is parted where certainty begins or ends: nothing happened to it there
        row_number() OVER parts = 1 AS begins, lead(timeline.from_ns) OVER parts IS NULL AS ends
    FROM timeline
    JOIN used ON timeline.space = used.space AND timeline.from_ns < coalesce(until_ns, 18446744073709551615)
        AND coalesce(timeline.to_ns, 18446744073709551615) > since_ns
    ASOF LEFT JOIN places ON places.capture = timeline.capture AND places.space = timeline.space AND known_ns <= timeline.from_ns
    WINDOW parts AS (PARTITION BY timeline.capture, timeline.space, since_ns, start, "end", cause, cause_ns, cause_tid ORDER BY timeline.from_ns)
),
events AS (
    SELECT since_ns AS ts_ns, 0 AS turn, '=' AS sign, coalesce(began, 'unknown') AS what, since_ns, until_ns FROM used
    UNION ALL BY NAME
    SELECT until_ns AS ts_ns, if(ended = 'exec', -1, 5) AS turn, '=' AS sign, coalesce(ended, 'gone') AS what, since_ns, until_ns
    FROM used WHERE until_ns IS NOT NULL
    UNION ALL BY NAME
    SELECT
        to_ns AS ts_ns, 1 AS turn, '-' AS sign, end_cause AS what, end_tid AS tid,
        start, "end", perms, dev, inode, path, offset_bytes, from_ns, to_ns, cause, end_cause, certainty, reason, since_ns, until_ns
    FROM rectangles
    -- what was mapped over or only protected shows as the mapping that came
    WHERE ends AND end_cause IN ('munmap', 'shmdt', 'brk', 'mremap', 'io_destroy', 'madvise', 'prctl', 'resync')
        AND to_ns < coalesce(until_ns, 18446744073709551615)
    UNION ALL BY NAME
    SELECT
        greatest(from_ns, since_ns) AS ts_ns, 2 AS turn, '+' AS sign, cause AS what, cause_tid AS tid,
        start, "end", perms, dev, inode, path, offset_bytes, from_ns, to_ns, cause, end_cause, certainty, reason, since_ns, until_ns
    FROM rectangles
    WHERE begins
    UNION ALL BY NAME
    SELECT
        ts_ns, 3 AS turn, '!' AS sign, kind AS what, severity, sentence, start, "end", path, certainty, reason,
        if(other_pid = getvariable('pid'), found.pid, other_pid) AS other_pid,
        if(other_pid = getvariable('pid'), other_tid, tid) AS tid, since_ns, until_ns
    FROM found
    LEFT JOIN used ON ts_ns >= since_ns AND ts_ns < coalesce(until_ns, 18446744073709551615)
    WHERE (kind = 'faults' OR expected IS NULL) AND getvariable('pid') IN (found.pid, other_pid)
    UNION ALL BY NAME
    SELECT
        from_ns AS ts_ns, 4 AS turn, '?' AS sign, 'lost' AS what,
        format(
            '{} records of {} were lost until {:.6f} s later{}: {}', coalesce(count::VARCHAR, 'unknown many'), source,
            (to_ns - from_ns) / 1e9, if(cpu < 0, '', format(' on CPU {}', cpu)), cause
        ) AS sentence
    FROM losses
    WHERE from_ns < (SELECT max(coalesce(until_ns, 18446744073709551615)) FROM used) AND to_ns > (SELECT min(since_ns) FROM used)
)
SELECT
    -- place in the list, from 0
    row_number() OVER (ORDER BY ts_ns, turn, start, what) - 1 AS n,
    *,
    -- what a search looks through
    lower(concat_ws(' ', what, format('{:x}', start), perms, path, sentence)) AS words
FROM events;
