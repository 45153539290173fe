-- Which files shrank, or lost pages, while they were mapped?
-- One finding for each call (ftruncate, truncate, an open with O_TRUNC, fallocate) and each address space that had pages mapped
-- which it took away, or was forked later and died of it: pid did it, other_pid lost them. A mapping stays when its file shrinks,
-- and touching what is past the end raises SIGBUS; a hole or a zeroed range reads zeros. A file replaced by another one, renamed
-- over it, is no truncation: the mapping keeps the old file, and the finding says so (info).
-- high: SIGBUS came of it (see fault_causes); medium: nobody was killed yet, but pages of
-- another process, or of mappings that stayed, are gone; low: a hole, mappings of the process itself that it then unmapped, or
-- a truncation by a path that led nowhere after it, so that the file is a guess (see file_changes). Of a SIGBUS that only the
-- size tells the suspects of, the nearest is a finding (see fault_causes).
-- facts: how (shrank, hole, zeroed, collapsed, shifted, replaced), old_size_bytes and new_size_bytes (of the file; the old one at
-- least so much where a call by path took it), lost_bytes (mapped and gone), ranges (of the addresses lost, at most eight),
-- perms, faults (SIGBUS there), first_fault_ns and stayed_ns (from the call on; the latter null: to the end), fault_pids,
-- new_inode (replaced).
-- Cost: calls that take away file pages are joined with mappings of the same file, by inode; replaced files are found by
-- grouping the records of mappings by path.
WITH
blamed AS MATERIALIZED (
    SELECT capture, space, pid, ts_ns, address, reason, by_tid, by_ns, by_size, dev, inode, generation
    FROM fault_causes WHERE cause = 'truncated'
),
calls AS (
    SELECT *, false AS by_size FROM file_changes WHERE inode IS NOT NULL
    UNION ALL BY NAME
    SELECT DISTINCT ON (capture, tid, ts_enter_ns, dev, inode, generation)
        file_calls.* EXCLUDE (errno) REPLACE (blamed.dev AS dev, blamed.inode AS inode, blamed.generation AS generation, 'mapping' AS identity),
        reason AS doubt, false AS sole, by_size
    FROM file_calls
    JOIN blamed ON file_calls.capture = blamed.capture AND tid = by_tid AND ts_enter_ns = by_ns
    WHERE by_size
),
shrinks AS MATERIALIZED (
    SELECT
        row_number() OVER () AS shrink, capture, host, pid, tid, comm, stack_id, operation AS call, ts_enter_ns, ts_exit_ns,
        dev, inode, generation, doubt AS file_doubt, identity = 'mapping' AS by_mapping, by_mapping AND NOT sole AS one_of_several, by_size,
        old_size_bytes, new_size_bytes,
        CASE
            WHEN operation <> 'fallocate' THEN 'shrank'
            -- include/uapi/linux/falloc.h
            WHEN flags & 2 <> 0 THEN 'hole'
            WHEN flags & 8 <> 0 THEN 'collapsed'
            WHEN flags & 16 <> 0 THEN 'zeroed'
            WHEN flags & 32 <> 0 THEN 'shifted'
        END AS how,
        -- of a page that is gone in part, the rest stays, and reads zeros past it
        CASE WHEN how = 'shrank' THEN page_up(new_size_bytes) WHEN how IN ('hole', 'zeroed') THEN page_up(offset_bytes) ELSE page_down(offset_bytes) END
            AS lost_from,
        CASE WHEN how IN ('hole', 'zeroed') THEN page_down(offset_end(offset_bytes, length_bytes)) ELSE page_up(old_size_bytes) END AS lost_to
    FROM calls
    WHERE (operation <> 'fallocate' OR flags & 58 <> 0)
        AND coalesce(new_size_bytes < old_size_bytes, true) = (operation <> 'fallocate' OR (flags & 8 <> 0))
),
-- where the size before is not recorded: a file is never shorter than it was last seen
seen AS (
    SELECT shrink, arg_max(size_bytes, file_sizes.ts_ns) AS size_bytes
    FROM shrinks
    JOIN file_sizes USING (capture, dev, inode)
    WHERE old_size_bytes IS NULL AND file_sizes.ts_ns < ts_enter_ns
    GROUP BY shrink
),
lost AS MATERIALIZED (
    SELECT
        shrinks.* REPLACE (coalesce(old_size_bytes, seen.size_bytes) AS old_size_bytes), old_size_bytes IS NULL AS at_least,
        space, timeline.pid AS space_pid, perms, path, path_bytes, from_ns, to_ns, end_tid, timeline.reason AS doubt,
        start + (greatest(lost_from, timeline.offset_bytes) - timeline.offset_bytes) AS lost_start,
        least("end", start + (coalesce(lost_to, page_up(seen.size_bytes), offset_end(timeline.offset_bytes, "end" - start))::HUGEINT - timeline.offset_bytes))::UBIGINT
            AS lost_end,
        greatest(lost_from, timeline.offset_bytes) AS lost_offset
    FROM shrinks
    LEFT JOIN seen USING (shrink)
    JOIN timeline ON timeline.capture = shrinks.capture AND timeline.dev = shrinks.dev AND timeline.inode = shrinks.inode
        AND coalesce(timeline.generation = shrinks.generation, true)
        AND (from_ns <= ts_exit_ns AND coalesce(to_ns > ts_enter_ns, true)
            -- or later, by a fork, and it got SIGBUS
            OR from_ns > ts_exit_ns AND cause = 'fork' AND (timeline.capture, space) IN (SELECT (capture, space) FROM blamed))
    WHERE offset_end(timeline.offset_bytes, "end" - start) > lost_from
        AND timeline.offset_bytes < coalesce(lost_to, page_up(seen.size_bytes), 1::UBIGINT << 63)
),
hit AS (
    SELECT
        shrink, lost.space, count(DISTINCT (ts_ns, blamed.pid)) AS faults, min(ts_ns - ts_enter_ns) AS first_fault_ns,
        list(DISTINCT blamed.pid ORDER BY blamed.pid) AS fault_pids, any_value(reason) AS fault_reason
    FROM lost
    JOIN blamed ON lost.capture = blamed.capture AND lost.space = blamed.space AND by_tid = tid AND by_ns = ts_enter_ns
        AND address >= lost_start AND address < lost_end
    GROUP BY shrink, lost.space
),
party AS (
    SELECT
        shrink, space, any_value(COLUMNS([
            'capture', 'host', 'pid', 'tid', 'comm', 'stack_id', 'call', 'ts_enter_ns', 'ts_exit_ns', 'dev', 'inode', 'generation', 'file_doubt',
            'by_mapping', 'one_of_several', 'by_size', 'old_size_bytes', 'new_size_bytes', 'how', 'at_least', 'space_pid'
        ])),
        any_value(path) AS path, any_value(path_bytes) AS path_bytes, min(lost_start) AS start, max(lost_end) AS "end",
        min(lost_offset) AS offset_bytes, sum(lost_end - lost_start) AS lost_bytes,
        array_to_string(list(range_text(lost_start, lost_end) ORDER BY lost_start)[:8], ' ') AS ranges,
        string_agg(DISTINCT perms, ' ' ORDER BY perms) AS perms,
        if(bool_or(to_ns IS NULL), NULL, max(to_ns)) AS to_ns,
        bool_and(to_ns IS NOT NULL) AS gone, bool_and(from_ns > ts_exit_ns) AS inherited,
        coalesce(
            any_value(doubt),
            any_value(file_doubt),
            if(any_value(at_least) AND any_value(old_size_bytes) IS NULL, 'how large the file was before is not recorded', NULL),
            if(bool_or(from_ns BETWEEN ts_enter_ns AND ts_exit_ns OR to_ns < ts_exit_ns), 'it was mapped or unmapped while the call ran', NULL)
        ) AS reason
    FROM lost
    WHERE lost_end > lost_start
    GROUP BY shrink, space
),
names AS MATERIALIZED (
    SELECT capture, pid, comm FROM processes
),
truncated AS (
    SELECT
        party.* EXCLUDE (reason), faults, first_fault_ns, fault_pids, names.comm AS other_comm, party.pid <> space_pid AS others,
        -- a process that got SIGBUS there had it mapped, and lost it
        if(faults > 0, coalesce(if(reason LIKE 'it was mapped%' OR reason = file_doubt, NULL, reason), fault_reason, file_doubt), reason) AS reason
    FROM party
    LEFT JOIN hit USING (shrink, space)
    LEFT JOIN names ON names.capture = party.capture AND names.pid = space_pid
    WHERE faults > 0 OR NOT (inherited OR one_of_several)
),
-- the same path with another inode, while the first one was still mapped
inodes AS MATERIALIZED (
    SELECT capture, dev, path_bytes, inode, min(ts_ns) AS first_ns, any_value(path) AS path
    FROM vmas
    WHERE inode <> 0 AND starts_with(path, '/') AND NOT starts_with(path, '/memfd:') AND NOT starts_with(path, '/dev/')
        AND NOT starts_with(path, '/SYSV') AND NOT suffix(path, ' (deleted)')
    GROUP BY ALL
),
successors AS (
    SELECT *, lead(inode) OVER later AS new_inode, lead(first_ns) OVER later AS replaced_ns
    FROM inodes
    WINDOW later AS (PARTITION BY capture, dev, path_bytes ORDER BY first_ns)
),
replaced AS (
    SELECT
        timeline.capture, any_value(host) AS host, space, any_value(timeline.pid) AS pid, successors.dev, successors.inode,
        any_value(generation) AS generation, any_value(successors.path) AS path, successors.path_bytes, new_inode, replaced_ns,
        min(start) AS start, max("end") AS "end", min(offset_bytes) AS offset_bytes, any_value(reason) AS reason
    FROM successors
    JOIN timeline ON timeline.capture = successors.capture AND timeline.dev = successors.dev AND timeline.inode = successors.inode
        AND from_ns <= replaced_ns AND coalesce(to_ns > replaced_ns, true)
    WHERE new_inode IS NOT NULL
    GROUP BY timeline.capture, space, successors.dev, successors.inode, successors.path_bytes, new_inode, replaced_ns
)
SELECT
    capture, host,
    CASE
        WHEN faults > 0 THEN 'high'
        WHEN how NOT IN ('shrank', 'collapsed') OR by_mapping THEN 'low'
        WHEN others OR NOT gone THEN 'medium'
        ELSE 'low'
    END AS severity,
    if(reason IS NULL, 'certain', 'possible') AS certainty, reason, ts_enter_ns AS ts_ns, space, pid, tid, comm, stack_id, call,
    ts_enter_ns AS call_ns, space AS other_space, space_pid AS other_pid, other_comm, start, "end", dev, inode, generation, path, path_bytes,
    offset_bytes,
    MAP {
        'how': how, 'old_size_bytes': old_size_bytes::VARCHAR, 'new_size_bytes': new_size_bytes::VARCHAR, 'lost_bytes': lost_bytes::VARCHAR,
        'ranges': ranges, 'perms': perms, 'faults': coalesce(faults, 0)::VARCHAR, 'first_fault_ns': first_fault_ns::VARCHAR,
        'fault_pids': array_to_string(fault_pids, ' '), 'stayed_ns': (to_ns - ts_enter_ns)::VARCHAR
    } AS facts,
    thread_text(comm, pid, tid) || CASE how
        WHEN 'shrank' THEN if(by_size, ' can have truncated ', ' truncated ')
        WHEN 'hole' THEN ' punched a hole into ' WHEN 'zeroed' THEN ' zeroed a part of '
        WHEN 'collapsed' THEN ' cut a range out of ' ELSE ' inserted a range into '
    END || file_text(path, dev, inode)
    || if(how IN ('shrank', 'collapsed'),
        ' from ' || coalesce(if(at_least, 'at least ', '') || size_text(old_size_bytes), 'an unknown size') || ' to ' || size_text(new_size_bytes)
            || ' (' || call || ')', '')
    || if(inherited, '; by a later fork ', ' while ') || if(others, thread_text(other_comm, space_pid, space_pid), 'it') || ' had ' || pages_text(lost_bytes)
    || CASE how WHEN 'shifted' THEN ' of what moved' WHEN 'zeroed' THEN ' of it' WHEN 'hole' THEN ' of the hole' ELSE ' of what was lost' END
    || ' mapped at ' || ranges || ' (' || perms || ')' || CASE
        WHEN faults > 0 THEN
            '; SIGBUS came of it ' || if(faults = 1, 'once', faults || ' times') || ', ' || span_text(first_fault_ns) || ' later, in '
            || if(len(fault_pids) = 1, 'pid ', 'pids ') || array_to_string(fault_pids, ', ')
        WHEN how NOT IN ('shrank', 'collapsed') THEN ''
        WHEN gone THEN '; it was unmapped ' || span_text(to_ns - ts_enter_ns) || ' later, and no SIGBUS was seen'
        ELSE '; it stayed mapped, and no SIGBUS was seen until the recording ended'
    END || '.' AS sentence
FROM truncated
UNION ALL BY NAME
SELECT
    replaced.capture, host, 'info' AS severity, if(reason IS NULL, 'certain', 'possible') AS certainty, reason, replaced_ns AS ts_ns, space,
    replaced.pid, comm, space AS other_space, replaced.pid AS other_pid, comm AS other_comm, start, "end", dev, inode, generation, path, path_bytes,
    offset_bytes, MAP {'how': 'replaced', 'new_inode': new_inode::VARCHAR} AS facts,
    path || ' was replaced by another file (inode ' || inode || ', now ' || new_inode || ') while ' || thread_text(comm, replaced.pid, replaced.pid)
    || ' had the old one mapped: that is no truncation, and its mapping keeps the old contents.' AS sentence
FROM replaced
LEFT JOIN names ON names.capture = replaced.capture AND names.pid = replaced.pid
