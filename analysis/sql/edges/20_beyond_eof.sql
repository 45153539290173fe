-- Which calls mapped pages past the end of their file?
-- mmap and remap_file_pages both succeed there; touching such a page raises SIGBUS until the file grows. One finding for each
-- call and mapping. For mmap the file's size is the one that the fd's file had at entry, if the file mapped is the fd's; for
-- remap_file_pages it is the largest that calls told before, or the smallest told after, as files only grow by writes.
-- high: SIGBUS came of it; medium: remap_file_pages, which asked for pages that are not there; low: mmap, as programs do that
-- let the file grow into the mapping; expected: the loader reserves a library's range, longer than its file.
-- facts: file_size_bytes (then), past_bytes (mapped past the end), grew (the file did reach the end of the mapping later),
-- faults (SIGBUS there), first_fault_ns (from the call on).
-- Cost: one pass over the calls; only mmaps longer than their file, and remap_file_pages, are joined with what they made.
WITH
asked AS MATERIALIZED (
    SELECT
        capture, pid, tid, comm, stack_id, syscall AS call, ts_enter_ns, ts_exit_ns, ret AS low, fd_dev, fd_inode, fd_generation, fd_size_bytes
    FROM syscalls
    WHERE errno = 0 AND syscall IN ('mmap', 'old_mmap') AND fd_inode IS NOT NULL AND offset_end(offset_bytes, page_up(size)) > page_up(fd_size_bytes)
    UNION ALL
    SELECT capture, pid, tid, comm, stack_id, syscall, ts_enter_ns, ts_exit_ns, page_down(addr), NULL, NULL, NULL, NULL
    FROM syscalls
    WHERE errno = 0 AND syscall = 'remap_file_pages'
),
-- what a call mapped can have ended in parts
made AS MATERIALIZED (
    SELECT
        row_number() OVER () AS made, asked.*, any_value(host) AS host, space, min(start) AS start, max("end") AS "end",
        min(from_ns) AS from_ns, if(bool_or(to_ns IS NULL), NULL, max(to_ns)) AS to_ns, timeline.dev, timeline.inode, timeline.generation,
        any_value(path) AS path, path_bytes, min(timeline.offset_bytes) AS offset_bytes, any_value(timeline.reason) AS reason,
        bool_or(end_cause = 'mmap' AND end_tid = asked.tid AND end_ns - from_ns < 1000000000 AND contains(perms, 'p')) AS overlaid
    FROM asked
    JOIN timeline ON timeline.capture = asked.capture AND call_ns = ts_enter_ns AND cause_tid = asked.tid
        AND timeline.cause IN ('mmap', 'remap_file_pages')
    WHERE timeline.inode <> 0 AND (fd_inode IS NULL OR (fd_dev = timeline.dev AND fd_inode = timeline.inode))
        -- devices have a size of their own, or none
        AND (NOT starts_with(path, '/dev/') OR starts_with(path, '/dev/shm/') OR call = 'remap_file_pages')
    GROUP BY ALL
),
-- of remap_file_pages: what calls told of the file's size before and after
told AS (
    SELECT made, arg_max(size_bytes, ts_ns) FILTER (ts_ns <= ts_enter_ns) AS before_bytes, min(ts_ns) FILTER (ts_ns > ts_enter_ns AND source <> 'after')
        AS next_ns, arg_min(size_bytes, ts_ns) FILTER (ts_ns > ts_enter_ns AND source <> 'after') AS next_bytes,
        max(size_bytes) FILTER (ts_ns > ts_enter_ns) AS later_bytes
    FROM made
    JOIN file_sizes ON file_sizes.capture = made.capture AND file_sizes.dev = made.dev AND file_sizes.inode = made.inode
        AND coalesce(file_sizes.generation = made.generation, true)
    GROUP BY made
),
sized AS MATERIALIZED (
    SELECT
        made.*, coalesce(fd_size_bytes, before_bytes) AS file_bytes,
        coalesce(later_bytes >= offset_end(made.offset_bytes, "end" - start), false) AS grew,
        -- it cannot have been longer then than when it was seen next
        fd_size_bytes IS NOT NULL OR coalesce(page_up(next_bytes) < offset_end(made.offset_bytes, "end" - start), false) AS sure,
        least("end", start + greatest(page_up(file_bytes)::HUGEINT - made.offset_bytes, 0)::UBIGINT) AS past
    FROM made
    LEFT JOIN told USING (made)
    WHERE file_bytes IS NOT NULL AND offset_end(made.offset_bytes, "end" - start) > page_up(file_bytes)
),
hit AS (
    SELECT made, count(*) AS faults, min(fault_causes.ts_ns - ts_enter_ns) AS first_fault_ns, any_value(fault_causes.reason) AS fault_reason
    FROM sized
    JOIN fault_causes ON fault_causes.capture = sized.capture AND fault_causes.space = sized.space AND cause = 'beyond end'
        AND by_tid = sized.tid AND by_ns = ts_enter_ns AND address >= past AND address < sized."end"
    GROUP BY made
),
-- a file that was shortened in between is to blame itself: see truncated_under_mapping
whole AS (
    SELECT
        sized.*, coalesce(faults, 0) AS hits, first_fault_ns,
        CASE
            WHEN reason IS NOT NULL THEN reason
            WHEN hits > 0 THEN fault_reason
            WHEN NOT sure THEN 'writes can have made the file longer since its size was last seen'
        END AS doubt
    FROM sized
    LEFT JOIN hit USING (made)
)
SELECT
    capture, host,
    CASE WHEN hits > 0 THEN 'high' WHEN call = 'remap_file_pages' THEN 'medium' ELSE 'low' END AS severity,
    if(hits = 0 AND overlaid, 'a loader reserves the range, then maps over it', NULL) AS expected,
    if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason,
    ts_enter_ns AS ts_ns, space, pid, tid, comm, stack_id, call, ts_enter_ns AS call_ns, past AS start, "end", dev, inode, generation, path, path_bytes,
    offset_plus(offset_bytes, past - start) AS offset_bytes,
    MAP {
        'file_size_bytes': file_bytes::VARCHAR, 'past_bytes': ("end" - past)::VARCHAR, 'grew': grew::VARCHAR, 'faults': hits::VARCHAR,
        'first_fault_ns': first_fault_ns::VARCHAR
    } AS facts,
    thread_text(comm, pid, tid) || ' mapped ' || pages_text("end" - past) || ' past the end of ' || file_text(path, dev, inode) || ' at '
    || range_text(past, "end") || ' (' || call || '; the file had ' || size_text(file_bytes) || ')' || CASE
        WHEN hits > 0 THEN '; SIGBUS came of it ' || if(hits = 1, 'once', hits || ' times') || ', ' || span_text(first_fault_ns) || ' later'
        WHEN grew THEN '; the file grew to hold them later'
        ELSE '; touching them would have raised SIGBUS'
    END || '.' AS sentence
FROM whole
