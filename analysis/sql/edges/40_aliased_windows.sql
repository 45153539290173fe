-- Which pages of a file could be seen at two places at once, and written to?
-- Within a process: two shared mappings of the same pages of a file at different addresses, of which one can be written; one
-- finding for each file and address space, told of the first such moment. Between processes: shared mappings of the same pages
-- in two of them, of which one can be written; one finding for each stay of a file in each process but the first to have it
-- (see shared_memory). What is private, or only read by all, is not told of. low: within a process; info: between processes,
-- and a window mapped twice in a row, as ring buffers are. What a fork hands on is expected.
-- facts: shape (same process, ring, processes), pages (of which that holds: addresses, or between processes offsets in the file,
-- at most 8), bytes (of the file), perms and other_perms (of the two mappings; between processes all they had), other_start
-- (where the other is), memory (memfd, shm, sysv, anonymous, huge pages, file), others (most other processes at a time).
-- Cost: a hundredth of the rebuild without shared mappings; of 120,000 calls that did nothing but map and remap windows of one
-- file in three processes, 2.5 times the rebuild.
WITH
rectangles AS MATERIALIZED (
    SELECT
        capture, host, space, dev, inode, coalesce(generation, max(generation) OVER (PARTITION BY capture, dev, inode)) AS generation,
        path, path_bytes, perms, perms[2] = 'w' AS writes, start, "end", offset_bytes AS lo, offset_end(offset_bytes, "end" - start) AS hi,
        from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns, cause, cause_ns, cause_tid, call_ns, reason
    FROM timeline
    WHERE shared AND inode <> 0 AND has_pages(path)
),
-- those that stand together with another of the same file and address space, apart in neither
near AS MATERIALIZED (
    SELECT
        * EXCLUDE (crowd_from, crowd_to), dense_rank() OVER (ORDER BY capture, space, dev, inode, generation) AS file,
        row_number() OVER () AS one
    FROM (
        SELECT
            *, max(to_ns) OVER before AS crowd_to, lead(from_ns) OVER up AS crowd_from
        FROM rectangles
        WINDOW
            up AS (PARTITION BY capture, space, dev, inode, generation ORDER BY from_ns, start),
            before AS (PARTITION BY capture, space, dev, inode, generation ORDER BY from_ns, start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    WHERE crowd_to > from_ns OR crowd_from < to_ns
),
cells AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY file ORDER BY lo) AS cell
    FROM (
        SELECT file, lo, lead(lo) OVER (PARTITION BY file ORDER BY lo) AS hi
        FROM (SELECT file, lo FROM near UNION SELECT file, hi FROM near)
    )
    WHERE hi IS NOT NULL
),
parts AS (
    SELECT
        near.file, unnest(range(first.cell, past.cell + 1)) AS cell, near.from_ns, near.to_ns, writes, one
    FROM near
    JOIN cells AS first ON near.file = first.file AND near.lo = first.lo
    JOIN cells AS past ON near.file = past.file AND near.hi = past.hi
),
pairs AS MATERIALIZED (
    SELECT file, cell, min(from_ns) AS from_ns, arg_min(one, from_ns) AS one, arg_min(if(coalesce(writer_to_ns > from_ns, false), writer, other), from_ns) AS other
    FROM (
        SELECT
            *, arg_max(one, to_ns) OVER before AS other, max(to_ns) OVER before AS other_to_ns,
            arg_max(one, to_ns) FILTER (writes) OVER before AS writer, max(to_ns) FILTER (writes) OVER before AS writer_to_ns
        FROM parts
        WINDOW before AS (PARTITION BY file, cell ORDER BY from_ns, one ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    WHERE writer_to_ns > from_ns OR (writes AND other_to_ns > from_ns)
    GROUP BY file, cell
),
-- the pages of which it holds, each told once, joined where both places go on
ranges AS (
    SELECT file, min(start + lo - from_lo) AS here, min(other_start + lo - other_lo) AS there, sum(hi - lo)::UBIGINT AS bytes
    FROM (
        SELECT
            pairs.file, cell, cells.lo, cells.hi, here.start, here.lo AS from_lo, there.start AS other_start, there.lo AS other_lo,
            here.start::HUGEINT - from_lo AS shift, other_start::HUGEINT - other_lo AS other_shift,
            cell - row_number() OVER (PARTITION BY pairs.file, shift, other_shift ORDER BY cell) AS run
        FROM pairs
        JOIN cells USING (file, cell)
        JOIN near AS here ON pairs.one = here.one
        JOIN near AS there ON other = there.one
    )
    GROUP BY file, shift, other_shift, run
),
pages AS (
    SELECT
        file, sum(bytes)::UBIGINT AS bytes, count(*) AS ranges,
        list(range_text(here, here + bytes) || ' and ' || range_text(there, there + bytes) ORDER BY here) AS texts
    FROM ranges
    GROUP BY file
),
firsts AS (
    SELECT file, arg_min({'one': one, 'other': other, 'lo': lo}, (from_ns, lo)) AS pair
    FROM pairs JOIN cells USING (file, cell)
    GROUP BY file
),
within AS MATERIALIZED (
    SELECT
        here.*, pages.bytes, pages.ranges, pages.texts, pair.lo AS pair_lo, there AS other,
        here.cause = 'fork' AND there.cause = 'fork' AS inherited,
        ranges = 1 AND here.lo = there.lo AND here.hi = there.hi AND (here."end" = there.start OR there."end" = here.start) AS ring
    FROM firsts
    JOIN pages USING (file)
    JOIN near AS here ON pair.one = here.one
    JOIN near AS there ON pair.other = there.one
),
names AS (
    SELECT capture, pid, arg_max(comm, ts_ns) AS comm FROM tasks WHERE tid = pid AND comm IS NOT NULL GROUP BY capture, pid
),
stays AS MATERIALIZED (
    FROM shared_memory
),
between AS MATERIALIZED (
    SELECT
        mine.*, other.start AS other_start, other.perms AS other_perms, other.space AS other_space, other.pid AS other_space_pid,
        other.cause_tid AS other_cause_tid, other.call_ns AS other_call_ns, other.cause AS other_cause, other.from_ns AS other_from_ns,
        coalesce(mine.reason, other.reason) AS doubt
    FROM (FROM stays WHERE with_space IS NOT NULL) AS mine
    ASOF JOIN stays AS other ON mine.capture = other.capture AND mine.with_space = other.space AND mine.dev = other.dev AND mine.inode = other.inode
        AND coalesce(mine.generation, 0) = coalesce(other.generation, 0) AND mine.written_ns >= other.from_ns
),
calls AS (
    SELECT capture, ts_enter_ns AS call_ns, tid, pid, comm, stack_id
    FROM syscalls
    WHERE (capture, ts_enter_ns) IN (
        SELECT (capture, call_ns) FROM within UNION SELECT (capture, other.call_ns) FROM within
        UNION SELECT (capture, call_ns) FROM between UNION SELECT (capture, other_call_ns) FROM between
    )
)
SELECT
    within.capture, within.host, if(ring, 'info', 'low') AS severity, if(inherited, 'inherited by a fork', NULL) AS expected,
    if(within.reason IS NULL AND other.reason IS NULL, 'certain', 'possible') AS certainty, coalesce(within.reason, other.reason) AS reason,
    within.from_ns AS ts_ns, within.space, coalesce(call.pid, spaces.pid) AS pid, if(inherited, spaces.pid, within.cause_tid) AS tid, coalesce(call.comm, name.comm) AS comm,
    call.stack_id, within.cause::VARCHAR AS call, within.call_ns,
    within.space AS other_space, coalesce(other_call.pid, spaces.pid) AS other_pid, if(inherited, spaces.pid, other.cause_tid) AS other_tid,
    coalesce(other_call.comm, name.comm) AS other_comm, other_call.stack_id AS other_stack_id, other.cause::VARCHAR AS other_call, other.cause_ns AS other_ns,
    within.start + pair_lo - within.lo AS start, least(within.start + pair_lo - within.lo + bytes, within."end") AS "end",
    within.dev, within.inode, within.generation, within.path, within.path_bytes, pair_lo AS offset_bytes,
    MAP {
        'shape': if(ring, 'ring', 'same process'),
        'pages': array_to_string(texts[:8], ', ') || if(ranges > 8, ' …', ''), 'bytes': bytes::VARCHAR,
        'perms': within.perms, 'other_perms': other.perms, 'other_start': address_text(other.start + pair_lo - other.lo)
    } AS facts,
    thread_text(coalesce(call.comm, name.comm), coalesce(call.pid, spaces.pid), coalesce(call.tid, spaces.pid)) || ' sees ' || pages_text(bytes) || ' of '
        || file_text(within.path, within.dev, within.inode) || ' at two addresses: ' || array_to_string(texts[:3], ', ')
        || if(ranges > 3, ' and ' || ranges - 3 || ' more', '') || ' (' || within.perms || ' and ' || other.perms || ')'
        || if(ring, ', one behind the other, as a ring buffer is', '. What is written at one changes the other') AS sentence
FROM within
JOIN spaces ON within.capture = spaces.capture AND within.space = spaces.space
LEFT JOIN names AS name ON spaces.capture = name.capture AND spaces.pid = name.pid
LEFT JOIN calls AS call ON within.capture = call.capture AND within.call_ns = call.call_ns AND within.cause_tid = call.tid
LEFT JOIN calls AS other_call ON within.capture = other_call.capture AND other.call_ns = other_call.call_ns AND other.cause_tid = other_call.tid
UNION ALL BY NAME
SELECT
    between.capture, between.host, 'info' AS severity, if(cause = 'fork', 'inherited by a fork', NULL) AS expected,
    if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason, written_ns AS ts_ns, space, coalesce(call.pid, between.pid) AS pid,
    cause_tid AS tid, coalesce(call.comm, name.comm) AS comm, call.stack_id, cause::VARCHAR AS call, between.call_ns,
    other_space, coalesce(other_call.pid, other_space_pid) AS other_pid, other_cause_tid AS other_tid, coalesce(other_call.comm, other_name.comm) AS other_comm,
    other_call.stack_id AS other_stack_id, other_cause::VARCHAR AS other_call, other_from_ns AS other_ns,
    start, "end", dev, inode, generation, path, path_bytes, written[1].lo AS offset_bytes,
    MAP {
        'shape': 'processes',
        'pages': array_to_string(list_transform(written[:8], lambda part: range_text(part.lo, part.hi)), ', ') || if(len(written) > 8, ' …', ''),
        'bytes': shared::VARCHAR, 'perms': perms, 'other_perms': other_perms, 'other_start': address_text(other_start),
        'memory': kind, 'others': others::VARCHAR
    } AS facts,
    thread_text(coalesce(call.comm, name.comm), coalesce(call.pid, between.pid), coalesce(call.tid, between.pid)) || ' shares ' || pages_text(shared) || ' of '
        || file_text(path, dev, inode) || ', mapped ' || perms || ' at ' || address_text(start) || ', with '
        || thread_text(coalesce(other_call.comm, other_name.comm), coalesce(other_call.pid, other_space_pid), coalesce(other_call.tid, other_space_pid)) || ', which has it ' || other_perms
        || ' at ' || address_text(other_start) || if(others > 1, ' (' || others || ' other processes had it at a time)', '') AS sentence
FROM (SELECT *, list_sum(list_transform(written, lambda part: part.hi - part.lo))::UBIGINT AS shared FROM between) AS between
LEFT JOIN calls AS call ON between.capture = call.capture AND between.call_ns = call.call_ns AND between.cause_tid = call.tid
LEFT JOIN calls AS other_call ON between.capture = other_call.capture AND other_call_ns = other_call.call_ns AND other_cause_tid = other_call.tid
LEFT JOIN names AS name ON between.capture = name.capture AND between.pid = name.pid
LEFT JOIN names AS other_name ON between.capture = other_name.capture AND other_space_pid = other_name.pid
