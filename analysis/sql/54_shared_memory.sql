-- Which process shared which memory, from when to when, and with whom?
-- A row for each stay of a file, memfd, shared memory segment or piece of anonymous shared memory in an address space: from
-- when on the first page of it was mapped shared until none was. Private mappings share nothing that is written, and are not
-- here; nor are devices and anon_inode: files, whose offsets mean what their driver likes.
CREATE VIEW shared_memory (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number
    inode,
    -- inode generation; null where it was not recorded
    generation,
    -- path as the kernel gave it; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- memfd, shm (/dev/shm), sysv, anonymous (MAP_SHARED | MAP_ANONYMOUS), huge pages, or file
    kind,
    -- every permission that any mapping of it had
    perms,
    -- lowest address [address]
    start,
    -- first byte past the highest [address]
    "end",
    -- first byte of the file that was mapped [bytes]
    offset_bytes,
    -- first byte of the file past the last that was mapped [bytes]
    offset_end_bytes,
    -- most that was mapped of it at a time [bytes]
    size_bytes,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null where it was still mapped at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- what mapped it first; fork: it was inherited (see timeline)
    cause,
    -- thread of that event; of a fork the process
    cause_tid,
    -- entry of the call that asked for it; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- most other address spaces that had one of its pages mapped at the same time
    others,
    -- bytes of the file that another had mapped at the same time [bytes]
    shared_bytes,
    -- since when what one of them writes others see, where this one was not the first to have it [ns, CLOCK_MONOTONIC]
    written_ns,
    -- address space that had it before, and still has it then
    with_space,
    -- parts of the file of which that holds: first byte of each, and first past it [bytes]
    written,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
WITH
rectangles AS MATERIALIZED (
    SELECT
        capture, host, space, pid, dev, inode, coalesce(generation, max(generation) OVER (PARTITION BY capture, dev, inode)) AS generation,
        path, path_bytes, perms, perms[2] = 'w' AS writes, start, "end", offset_bytes AS lo, offset_end(offset_bytes, "end" - start) AS hi,
        from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns, cause, cause_tid, call_ns, reason
    FROM timeline
    WHERE shared AND inode <> 0 AND has_pages(path)
),
files AS (
    SELECT DISTINCT capture, dev, inode, generation FROM rectangles
),
numbered AS MATERIALIZED (
    SELECT rectangles.*, file
    FROM rectangles
    JOIN (SELECT *, row_number() OVER () AS file FROM files) AS files ON rectangles.capture = files.capture AND rectangles.dev = files.dev
        AND rectangles.inode = files.inode AND rectangles.generation IS NOT DISTINCT FROM files.generation
),
stayed AS MATERIALIZED (
    SELECT *, count_if(later) OVER (PARTITION BY file, space ORDER BY from_ns, start) AS stay
    FROM (
        SELECT *, coalesce(from_ns > max(to_ns) OVER before, true) AS later
        FROM numbered
        WINDOW before AS (PARTITION BY file, space ORDER BY from_ns, start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
),
sizes AS (
    SELECT file, space, stay, max(size) AS size_bytes
    FROM (
        SELECT file, space, stay, sum(sum(change)) OVER (PARTITION BY file, space, stay ORDER BY ts_ns) AS size
        FROM (
            SELECT file, space, stay, from_ns AS ts_ns, (hi - lo)::BIGINT AS change FROM stayed
            UNION ALL
            SELECT file, space, stay, to_ns, -(hi - lo)::BIGINT FROM stayed
        )
        GROUP BY file, space, stay, ts_ns
    )
    GROUP BY file, space, stay
),
stays AS MATERIALIZED (
    SELECT
        file, space, stay, any_value(capture) AS capture, any_value(host) AS host, any_value(pid) AS pid, any_value(dev) AS dev,
        any_value(inode) AS inode, any_value(generation) AS generation, arg_max(path, from_ns) AS path, arg_max(path_bytes, from_ns) AS path_bytes,
        if(bool_or(perms[1] = 'r'), 'r', '-') || if(bool_or(writes), 'w', '-') || if(bool_or(perms[3] = 'x'), 'x', '-') || 's' AS perms,
        min(start) AS start, max("end") AS "end", min(lo) AS lo, max(hi) AS hi, min(from_ns) AS from_ns, max(to_ns) AS to_ns,
        arg_min(cause, (from_ns, start)) AS cause, arg_min(cause_tid, (from_ns, start)) AS cause_tid, arg_min(call_ns, (from_ns, start)) AS call_ns,
        any_value(reason) AS reason
    FROM stayed
    GROUP BY file, space, stay
),
-- stays that meet another's in time and in the file: a sieve, for what follows is dear
met AS MATERIALIZED (
    SELECT file, space, stay
    FROM (
        SELECT
            *, coalesce(max(to_ns) OVER before, 0) > from_ns OR coalesce(lead(from_ns) OVER up, 18446744073709551615) < to_ns AS meets
        FROM stays
        WINDOW
            up AS (PARTITION BY file ORDER BY from_ns, space),
            before AS (PARTITION BY file ORDER BY from_ns, space ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    )
    WHERE meets
),
common AS MATERIALIZED (
    SELECT file, space, stay, lo, hi, from_ns, to_ns, writes FROM stayed SEMI JOIN met USING (file, space, stay)
),
cells AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY file ORDER BY lo) AS cell
    FROM (
        SELECT file, lo, lead(lo) OVER (PARTITION BY file ORDER BY lo) AS hi
        FROM (SELECT file, lo FROM common UNION SELECT file, hi FROM common)
    )
    WHERE hi IS NOT NULL
),
parts AS MATERIALIZED (
    SELECT common.file, space, stay, writes, from_ns, to_ns, unnest(range(first.cell, past.cell + 1)) AS cell
    FROM common
    JOIN cells AS first ON common.file = first.file AND common.lo = first.lo
    JOIN cells AS past ON common.file = past.file AND common.hi = past.hi
),
-- from when to when each address space had a page, however often, and could write to it
held AS MATERIALIZED (
    SELECT file, cell, space, stay, writing, min(from_ns) AS from_ns, max(to_ns) AS to_ns
    FROM (
        SELECT *, count_if(later) OVER (PARTITION BY file, cell, space, writing ORDER BY from_ns, to_ns) AS turn
        FROM (
            SELECT *, coalesce(from_ns > max(to_ns) OVER before, true) AS later
            FROM (SELECT *, false AS writing FROM parts UNION ALL SELECT *, true FROM parts WHERE writes)
            WINDOW before AS (
                PARTITION BY file, cell, space, writing ORDER BY from_ns, to_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            )
        )
    )
    GROUP BY file, cell, space, stay, writing, turn
),
-- how many had it then
steps AS MATERIALIZED (
    SELECT
        file, cell, ts_ns, sum(sum(had)) OVER up AS holders, sum(sum(wrote)) OVER up AS writing
    FROM (
        SELECT file, cell, from_ns AS ts_ns, if(writing, 0, 1) AS had, if(writing, 1, 0) AS wrote FROM held
        UNION ALL
        SELECT file, cell, to_ns, if(writing, 0, -1), if(writing, -1, 0) FROM held
    )
    GROUP BY file, cell, ts_ns
    WINDOW up AS (PARTITION BY file, cell ORDER BY ts_ns)
),
-- when several had it, and when one of them could write to it
times AS MATERIALIZED (
    SELECT file, cell, visible, min(ts_ns) AS from_ns, max(next_ns) AS to_ns, max(holders)::BIGINT AS holders
    FROM (
        SELECT *, count_if(NOT holds) OVER (PARTITION BY file, cell, visible ORDER BY ts_ns) AS run
        FROM (
            SELECT *, lead(ts_ns) OVER (PARTITION BY file, cell, visible ORDER BY ts_ns) AS next_ns, holders >= 2 AND (NOT visible OR writing >= 1) AS holds
            FROM (SELECT *, false AS visible FROM steps UNION ALL SELECT *, true FROM steps)
        )
    )
    WHERE holds
    GROUP BY file, cell, visible, run
),
shares AS MATERIALIZED (
    SELECT
        mine.*, visible, greatest(mine.from_ns, times.from_ns) AS since_ns, holders
    FROM (
        SELECT
            *, max(to_ns) OVER before AS before_to_ns, arg_max(space, to_ns) OVER before AS before_space
        FROM held
        WHERE NOT writing
        WINDOW before AS (PARTITION BY file, cell ORDER BY from_ns, space ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
    ) AS mine
    CROSS JOIN (VALUES (false), (true)) AS kinds(sought)
    ASOF JOIN times ON mine.file = times.file AND mine.cell = times.cell AND sought = visible AND mine.from_ns < times.to_ns
    WHERE times.from_ns < mine.to_ns
),
joint AS (
    SELECT file, space, stay, max(holders) - 1 AS others, sum(hi - lo) AS shared_bytes
    FROM (SELECT file, space, stay, cell, max(holders) AS holders FROM shares WHERE NOT visible GROUP BY ALL)
    JOIN cells USING (file, cell)
    GROUP BY file, space, stay
),
seen AS (
    SELECT
        file, space, stay, min(since_ns) AS written_ns, arg_min(before_space, since_ns) AS with_space,
        list({'lo': lo, 'hi': hi} ORDER BY lo) AS written
    FROM (
        SELECT file, space, stay, min(since_ns) AS since_ns, arg_min(before_space, since_ns) AS before_space, min(lo) AS lo, max(hi) AS hi
        FROM (
            SELECT *, cell - row_number() OVER (PARTITION BY file, space, stay ORDER BY cell) AS run
            FROM (
                SELECT file, space, stay, cell, min(since_ns) AS since_ns, arg_min(before_space, since_ns) AS before_space
                FROM shares
                WHERE visible AND before_to_ns > since_ns
                GROUP BY file, space, stay, cell
            )
        )
        JOIN cells USING (file, cell)
        GROUP BY file, space, stay, run
    )
    GROUP BY file, space, stay
)
SELECT
    capture, host, stays.space, pid, dev, inode, generation, path, path_bytes,
    CASE
        WHEN starts_with(path, '/memfd:') THEN 'memfd'
        WHEN starts_with(path, '/dev/shm/') THEN 'shm'
        WHEN regexp_matches(path, '^/SYSV[0-9a-f]{8}') THEN 'sysv'
        WHEN path = '/dev/zero (deleted)' THEN 'anonymous'
        WHEN starts_with(path, '/anon_hugepage') OR starts_with(path, '/dev/hugepages/') THEN 'huge pages'
        ELSE 'file'
    END,
    perms, start, "end", lo, hi, size_bytes::UBIGINT, from_ns, nullif(to_ns, 18446744073709551615), cause, cause_tid, call_ns,
    coalesce(others, 0), coalesce(shared_bytes, 0)::UBIGINT, written_ns, with_space, written,
    if(reason IS NULL, 'certain', 'possible'), reason
FROM stays
JOIN sizes USING (file, space, stay)
LEFT JOIN joint USING (file, space, stay)
LEFT JOIN seen USING (file, space, stay);
