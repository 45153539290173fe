-- What did /proc/PID/maps say at that instant, line by line?
CREATE OR REPLACE TABLE lines (
    -- directory name of the capture
    capture,
    -- number of the address space (see spaces)
    space,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- as in /proc/PID/maps: r, w, x and p (private) or s (shared); null where they are not known
    perms,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- device of the file system, as the kernel's dev_t: major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- path or name as the kernel gave it; empty for anonymous memory; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason,
    -- since when it looks like this [ns, CLOCK_MONOTONIC]
    from_ns,
    -- what made the youngest part of it (see timeline)
    cause,
    -- table that holds that event
    cause_table,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event; of a fork or a reading, the process
    cause_tid,
    -- what asked for it: syscalls.ts_enter_ns of the call; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- rectangles of the timeline that it is made of
    rectangles
) AS
WITH
marked AS (
    SELECT mark, arg_min(address, (depth, -from_ns::BIGINT)) AS address
    FROM marks JOIN lineage ON marks.space = lineage.space AND from_ns <= until_ns
    WHERE capture = getvariable('capture')
    GROUP BY mark
),
places AS (
    SELECT
        max(address) FILTER (mark = 'start_brk') AS start_brk, max(address) FILTER (mark = 'brk') AS brk,
        max(address) FILTER (mark = 'start_stack') AS start_stack
    FROM marked
),
pages AS (
    SELECT start AS page, NOT goes_on AS opens FROM standing
    UNION ALL
    SELECT page, true FROM boundaries WHERE apart
),
-- a boundary that a reading showed can lie inside a rectangle
starts AS (
    SELECT page, bool_or(opens) AS opens FROM pages GROUP BY page
),
pieces AS (
    SELECT
        standing.* REPLACE (
            page AS start, least("end", coalesce(lead(page) OVER (ORDER BY page), "end")) AS "end",
            if(dev = 0 AND inode = 0, 0, offset_plus(offset_bytes, page - start)) AS offset_bytes
        ), opens, count_if(opens) OVER (ORDER BY page) AS line
    FROM starts ASOF JOIN standing ON page >= start
),
vmas AS (
    SELECT
        min(start) AS start, max("end") AS "end", any_value(perms) AS perms, min(offset_bytes) AS offset_bytes,
        any_value(dev) AS dev, any_value(inode) AS inode, max(generation) AS generation, arg_max(path_bytes, from_ns) AS path_bytes,
        min(reason) AS reason, max(from_ns) AS from_ns, arg_max_null(cause, from_ns) AS cause, arg_max_null(cause_table, from_ns) AS cause_table,
        max(mapped_ns) AS mapped_ns, arg_max_null(cause_ns, from_ns) AS cause_ns, arg_max_null(cause_tid, from_ns) AS cause_tid,
        arg_max_null(call_ns, from_ns) AS call_ns, count(*) AS rectangles
    FROM pieces GROUP BY line
),
-- what prctl(PR_SET_VMA) did after the last reading: the name is not recorded
renamed AS (
    SELECT start, bool_or(value <> '') AS has_name
    FROM vmas JOIN silent ON lo < "end" AND hi > start AND ts_ns >= mapped_ns AND ts_ns > coalesce((SELECT max(names.ts_ns) FROM names), 0)
    WHERE trait = 'name' AND dev = 0 AND inode = 0
    GROUP BY start
),
-- fs/proc/task_mmu.c, get_vma_name; vma_is_initial_heap as it is since Linux 6.7
named AS (
    SELECT
        vmas.* REPLACE (CASE
            WHEN path_bytes <> ''::BLOB OR dev <> 0 OR inode <> 0 THEN path_bytes
            WHEN start < brk AND "end" > start_brk THEN '[heap]'::BLOB
            WHEN start <= start_stack AND "end" >= start_stack THEN '[stack]'::BLOB
            WHEN has_name IS NULL THEN coalesce(
                (SELECT any_value(name) FROM names WHERE names.start <= vmas.start AND names."end" >= vmas."end" AND names.ts_ns >= mapped_ns), ''::BLOB)
            ELSE ''::BLOB
        END AS path_bytes), has_name
    FROM vmas LEFT JOIN renamed USING (start), places
),
doubted AS (
    SELECT
        named.*, coalesce(
            named.reason,
            (SELECT min(boundaries.reason) FROM boundaries WHERE page >= start AND page <= "end"),
            if(has_name AND path_bytes = ''::BLOB, 'the name that prctl(PR_SET_VMA) gave it is not recorded', NULL)
        ) AS doubt
    FROM named
)
SELECT
    getvariable('capture'), getvariable('space')::UBIGINT, start, "end", perms, offset_bytes, dev, inode, generation,
    text_of(path_bytes), path_bytes, if(doubt IS NULL, 'certain', 'possible'), doubt, from_ns,
    cause, cause_table, cause_ns, cause_tid, call_ns, rectangles
FROM doubted
UNION ALL
-- a page of the kernel's, the same in every 64-bit process, or in none (arch/x86/entry/vsyscall, get_gate_vma): no event
-- tells of it. It is there if any reading of the capture shows it. A process with nothing above 4 GiB is a 32-bit one.
SELECT
    getvariable('capture'), getvariable('space')::UBIGINT, any_value(start), any_value("end"), any_value(perms), 0::UBIGINT, 0::UINTEGER, 0::UBIGINT, NULL,
    any_value(path), any_value(path_bytes), 'certain', NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0
FROM maps
WHERE capture = getvariable('capture') AND path = '[vsyscall]' AND (SELECT max("end") FROM standing) > 1::UBIGINT << 32
HAVING count(*) > 0;
