-- Which memory was writable and then executable, or both at once, or executable at one address and writable at another?
-- That is how code comes to run that is in no file: a JIT compiler's, or an attacker's. One finding for each range of pages of
-- one mapping that became executable while or after it was writable, however often; what is only ever read and run, or only
-- written, or made writable and never executable again, is none. A file's pages that are writable (shared) at one address and
-- executable at another of the same process are one finding for each file. Known compilers are told by the files that a process
-- runs, and what they make of anonymous memory and memfds is expected: one finding for each process. medium: anything else; low:
-- text relocations, where the loader writes to a library's code right after it mapped it.
-- facts: how (executable after writable, writable and executable, executable stack, code of a file, text relocations, two
-- mappings), bytes (of the range, or of all that a compiler has), turns (how often it became so), history (permissions of the
-- first page in order, at most 8), last_ns (when it last became so), file_perms (two mappings: of the writable and of the
-- executable one), ranges (how many ranges of pages, or of a file pairs of mappings), other_start (two mappings: where it is
-- writable). A file's name is what tells a compiler, and a program can be called anything: --expected shows them all.
-- Cost: a hundredth of the rebuild without such memory; where a quarter of all calls make pages executable or writable, a
-- quarter of it.
WITH RECURSIVE
-- what is executable and can have been written to
hot AS MATERIALIZED (
    SELECT capture, space, start, "end"
    FROM timeline
    WHERE perms[3] = 'x' AND (cause IN ('mprotect', 'pkey_mprotect') OR (perms[2] = 'w' AND cause <> 'fork'))
),
islands AS MATERIALIZED (
    SELECT capture, space, min(start) AS start, max("end") AS "end"
    FROM (
        SELECT *, count_if(apart) OVER (PARTITION BY capture, space ORDER BY start, "end") AS island
        FROM (
            SELECT *, coalesce(start > max("end") OVER below, true) AS apart
            FROM (SELECT DISTINCT capture, space, start, "end" FROM hot)
            WINDOW below AS (PARTITION BY capture, space ORDER BY start, "end" ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
    )
    GROUP BY capture, space, island
),
near AS MATERIALIZED (
    SELECT there.*
    FROM (
        SELECT
            capture, host, space, start, "end", from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns, perms, dev, inode, generation, path, path_bytes,
            offset_bytes, cause, cause_ns, cause_tid, call_ns, reason
        FROM timeline
        WHERE (capture, space) IN (SELECT (capture, space) FROM islands)
    ) AS there
    ASOF JOIN islands ON there.capture = islands.capture AND there.space = islands.space AND there."end" > islands.start
    WHERE there.start < islands."end"
),
-- between two neighbouring boundaries there is at a time one mapping, or none; only those in an island matter
cells AS MATERIALIZED (
    SELECT bounds.*, row_number() OVER (PARTITION BY bounds.capture, bounds.space ORDER BY lo) AS cell
    FROM (
        SELECT *, lead(lo) OVER (PARTITION BY capture, space ORDER BY lo) AS hi
        FROM (
            SELECT capture, space, start AS lo FROM near UNION SELECT capture, space, "end" FROM near
            UNION SELECT capture, space, start FROM islands UNION SELECT capture, space, "end" FROM islands
        )
    ) AS bounds
    ASOF JOIN islands ON bounds.capture = islands.capture AND bounds.space = islands.space AND lo >= islands.start
    WHERE lo < islands."end"
),
lived AS (
    SELECT
        near.*, unnest(range(first.cell, last.cell + 1)) AS cell,
        {
            'start': near.start, 'end': near."end", 'from_ns': from_ns, 'perms': perms, 'cause': cause, 'cause_ns': cause_ns, 'cause_tid': cause_tid,
            'call_ns': call_ns, 'dev': dev, 'inode': inode, 'generation': generation, 'path': path, 'path_bytes': path_bytes, 'offset_bytes': offset_bytes
        } AS rectangle
    FROM near
    ASOF JOIN cells AS first ON near.capture = first.capture AND near.space = first.space AND near.start < first.hi
    ASOF JOIN cells AS last ON near.capture = last.capture AND near.space = last.space AND near."end" > last.lo
),
-- a mapping goes on while mprotect changes it; what is mapped anew has no history
followed AS (
    SELECT
        *, count_if(fresh) OVER (PARTITION BY capture, space, cell ORDER BY from_ns) AS mapping,
        perms[2] = 'w' AS writes, perms[3] = 'x' AS runs
    FROM (
        SELECT *, cause NOT IN ('mprotect', 'pkey_mprotect') OR coalesce(from_ns <> lag(to_ns) OVER up, true) AS fresh
        FROM lived
        WINDOW up AS (PARTITION BY capture, space, cell ORDER BY from_ns)
    )
),
turned AS (
    SELECT
        *,
        -- it became executable after it was writable, or either while it is the other
        runs AND if(writes, NOT coalesce(lag(runs AND writes) OVER up, false) AND cause <> 'fork',
            NOT coalesce(lag(runs) OVER up, false) AND coalesce(bool_or(writes) OVER before, false)) AS turn
    FROM followed
    WINDOW
        up AS (PARTITION BY capture, space, cell, mapping ORDER BY from_ns),
        before AS (PARTITION BY capture, space, cell, mapping ORDER BY from_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
histories AS MATERIALIZED (
    SELECT
        capture, any_value(host) AS host, space, cell, arg_min(rectangle, from_ns) AS base, arg_min(rectangle, from_ns) FILTER (turn) AS first,
        min(from_ns) FILTER (writes) AS writable_ns, max(from_ns) FILTER (turn) AS last_ns, count(DISTINCT (cause_ns, cause_tid)) FILTER (turn) AS turns,
        bool_or(writes AND runs) AS at_once, list(perms ORDER BY from_ns) AS perms, any_value(reason) AS reason
    FROM turned
    GROUP BY capture, space, cell, mapping
    HAVING bool_or(turn)
),
ranges AS MATERIALIZED (
    SELECT
        capture, any_value(host) AS host, space, min(lo) AS start, max(hi) AS "end", arg_min(base, lo) AS base, arg_min(first, (first.from_ns, lo)) AS first,
        min(writable_ns) AS writable_ns, max(last_ns) AS last_ns, max(turns) AS turns, bool_or(at_once) AS at_once, arg_min(perms, lo) AS perms, any_value(reason) AS reason
    FROM (
        SELECT *, cell - row_number() OVER (PARTITION BY capture, space, base.cause, base.cause_ns, base.cause_tid ORDER BY cell) AS run
        FROM histories
    )
    JOIN cells USING (capture, space, cell)
    GROUP BY capture, space, base.cause, base.cause_ns, base.cause_tid, run
),
-- writable at one address, executable at another. What mprotect made of one mapping is told above
doubles AS MATERIALIZED (
    SELECT
        runs.capture, any_value(runs.host) AS host, runs.space, runs.dev, runs.inode, any_value(runs.path) AS path, any_value(runs.path_bytes) AS path_bytes,
        any_value(runs.generation) AS generation, count(DISTINCT (runs.start, runs."end", writes.start, writes."end")) AS pairs,
        arg_min(runs, greatest(runs.from_ns, writes.from_ns)) AS first, arg_min(writes, greatest(runs.from_ns, writes.from_ns)) AS base,
        min(greatest(runs.from_ns, writes.from_ns)) AS ts_ns, max(greatest(runs.from_ns, writes.from_ns)) AS last_ns,
        count(DISTINCT (runs.cause_ns, runs.cause_tid)) AS turns, coalesce(any_value(runs.reason), any_value(writes.reason)) AS reason
    FROM (FROM timeline WHERE perms[3] = 'x' AND inode <> 0) AS runs
    JOIN (FROM timeline WHERE perms[2] = 'w' AND perms[4] = 's' AND inode <> 0) AS writes
        ON runs.capture = writes.capture AND runs.space = writes.space AND runs.dev = writes.dev AND runs.inode = writes.inode
        AND coalesce(runs.generation = writes.generation, true)
        AND runs.offset_bytes < offset_end(writes.offset_bytes, writes."end" - writes.start) AND writes.offset_bytes < offset_end(runs.offset_bytes, runs."end" - runs.start)
        AND (runs.to_ns IS NULL OR writes.from_ns < runs.to_ns) AND NOT (runs.cause = 'fork' AND writes.cause = 'fork')
        AND (NOT in_step(runs.offset_bytes, runs.start, writes.offset_bytes, writes.start)
            OR (runs.perms[2] <> 'w' AND runs.cause NOT IN ('mprotect', 'pkey_mprotect', 'fork') AND writes.from_ns < runs.from_ns))
    GROUP BY runs.capture, runs.space, runs.dev, runs.inode
),
-- the stack of a copy is where its original's is
copied AS (
    SELECT capture, space, space AS ancestor FROM (SELECT DISTINCT capture, space FROM ranges)
    UNION
    SELECT copied.capture, copied.space, parent
    FROM copied JOIN spaces ON copied.capture = spaces.capture AND ancestor = spaces.space
    WHERE parent IS NOT NULL
),
stacks AS (
    SELECT DISTINCT copied.capture, copied.space, address
    FROM copied JOIN marks ON copied.capture = marks.capture AND ancestor = marks.space
    WHERE mark = 'start_stack'
),
programs AS (
    SELECT DISTINCT capture, space, path
    FROM timeline
    WHERE inode <> 0 AND (perms[3] = 'x' OR regexp_matches(path, '/(v8_context_snapshot|snapshot_blob)')) AND (capture, space) IN (SELECT (capture, space) FROM ranges UNION SELECT (capture, space) FROM doubles)
),
-- whose code is in no file, by the file that makes it; a library of a program makes no more than so many bytes in a piece
compilers AS (
    SELECT capture, space, arg_min(maker, rank) FILTER (most IS NULL) AS runtime, list(DISTINCT {'maker': maker, 'most': most}) FILTER (most IS NOT NULL) AS libraries
    FROM programs
    JOIN (VALUES
        (1, '/libjvm\.so', 'HotSpot''s code cache', NULL),
        (1, '/libj9jit', 'OpenJ9''s compiled methods', NULL),
        (2, '/(node|nodejs|chrome|chromium|chromium-browser|electron|deno|d8|msedge|brave|code/code)( \(deleted\))?$|/libnode\.so|/libv8|/v8_context_snapshot|/snapshot_blob\.bin', 'V8''s compiled JavaScript', NULL),
        (3, '/(libxul|libmozjs)[^/]*\.so|/(firefox|firefox-bin|firefox-esr|gjs)$', 'SpiderMonkey''s compiled JavaScript', NULL),
        (4, '/libjavascriptcoregtk|/libJavaScriptCore|/libwebkit2gtk|/bun$', 'JavaScriptCore''s compiled JavaScript', NULL),
        (5, '/libluajit|/luajit', 'LuaJIT''s traces', NULL),
        (6, '/libpypy|/pypy', 'PyPy''s traces', NULL),
        (7, '/libcoreclr\.so|/libclrjit\.so', '.NET''s compiled methods', NULL),
        (8, '/libmono|/mono(-sgen)?$', 'Mono''s compiled methods', NULL),
        (9, '/libjulia', 'Julia''s compiled methods', NULL),
        (10, '/beam(\.[a-z.]+)?\.?smp$', 'the Erlang machine''s compiled modules', NULL),
        (11, '/qemu-[^/]*$', 'QEMU''s translated code', NULL),
        (12, '/opcache\.so', 'PHP''s JIT compiler', NULL),
        (13, '/libruby[^/]*\.so|/ruby[0-9.]*$', 'Ruby''s JIT compiler', NULL),
        (14, '/(libwasmtime|libwasmer|wasmtime|wasmer)', 'compiled WebAssembly', NULL),
        (15, '/libLLVM|/libllvmlite\.so|/llvmjit\.so', 'LLVM''s compiled code', NULL),
        (16, '/libQt[0-9]Qml', 'Qt''s compiled JavaScript', NULL),
        (17, '/libguile-[3-9]|/(sbcl|racket|chez|petite|dart)$', 'compiled Lisp, Scheme or Dart', NULL),
        (18, '/libdnnl|/libtorch_cpu|/libtensorflow', 'oneDNN''s generated kernels', NULL),
        (20, '/libffi\.so', 'libffi''s closures', 65536),
        (21, '/libpcre2?[^/]*\.so', 'PCRE''s compiled patterns', 65536),
        (22, '/liborc-', 'ORC''s compiled loops', 65536)
    ) AS known(rank, pattern, maker, most) ON regexp_matches(path, pattern)
    GROUP BY capture, space
),
found AS (
    SELECT
        capture, host, space, start, "end", "end" - start AS bytes, base.dev AS dev, base.inode AS inode, base.generation AS generation,
        base.path AS path, base.path_bytes AS path_bytes, if(base.inode = 0, 0, offset_plus(base.offset_bytes, start - base.start)) AS offset_bytes,
        first.from_ns AS ts_ns, last_ns, turns, 1 AS ranges, array_to_string(perms[:8], ' ') || if(len(perms) > 8, ' …', '') AS history,
        first.cause::VARCHAR AS cause, first.cause_tid AS tid, first.call_ns AS call_ns,
        base.cause::VARCHAR AS base_cause, base.cause_tid AS base_tid, base.cause_ns AS base_ns, base.call_ns AS base_call_ns, reason,
        CASE
            WHEN base.inode = 0 AND EXISTS (
                -- the kernel places nothing in the 128 MiB that it keeps free below (arch/x86/mm/mmap.c, mmap_base)
                FROM stacks WHERE stacks.capture = ranges.capture AND stacks.space = ranges.space
                    AND ranges.start <= address AND ranges."end" > address - (128 << 20)
            ) THEN 'executable stack'
            WHEN base.inode <> 0 AND base.perms[4] = 'p' AND base.path NOT LIKE '/memfd:%' THEN if(
                -- as ld.so does: the thread that mapped it, before it went on
                base.cause IN ('mmap', 'exec') AND base.perms[2] <> 'w' AND base.perms[3] = 'x' AND first.cause_tid = base.cause_tid
                    AND turns = 1 AND writable_ns - base.from_ns < 1000000000,
                'text relocations', 'code of a file')
            WHEN at_once THEN 'writable and executable'
            ELSE 'executable after writable'
        END AS how, NULL::VARCHAR AS file_perms, NULL::UBIGINT AS other_start
    FROM ranges
    UNION ALL
    SELECT
        capture, host, space, first.start, first."end", first."end" - first.start, dev, inode, generation, path, path_bytes, first.offset_bytes,
        ts_ns, last_ns, turns, pairs, NULL,
        if(first.from_ns >= base.from_ns, first.cause, base.cause)::VARCHAR, if(first.from_ns >= base.from_ns, first.cause_tid, base.cause_tid),
        if(first.from_ns >= base.from_ns, first.call_ns, base.call_ns),
        base.cause::VARCHAR, base.cause_tid, base.cause_ns, base.call_ns, reason, 'two mappings', base.perms || ' ' || first.perms, base.start
    FROM doubles
),
classed AS (
    SELECT
        found.*,
        if(how IN ('executable stack', 'code of a file', 'text relocations')
            OR NOT (inode = 0 OR starts_with(path, '/memfd:') OR ends_with(path, ' (deleted)')), NULL,
            coalesce(runtime, list_extract(list_filter(libraries, lambda each: found.bytes <= each.most), 1).maker)) AS known
    FROM found
    LEFT JOIN compilers USING (capture, space)
),
-- all that a compiler has is one
told AS (
    SELECT * EXCLUDE (known, nth, group_bytes, group_ranges, group_last_ns, group_turns) REPLACE (
            if(known IS NULL, bytes, group_bytes) AS bytes, if(known IS NULL, ranges, group_ranges) AS ranges, if(known IS NULL, last_ns, group_last_ns) AS last_ns,
            if(known IS NULL, turns, group_turns) AS turns
        ), known
    FROM (
        SELECT
            *, row_number() OVER (PARTITION BY capture, space, known ORDER BY ts_ns, start) AS nth, sum(bytes) OVER each AS group_bytes, sum(ranges) OVER each AS group_ranges,
            max(last_ns) OVER each AS group_last_ns, sum(turns) OVER each AS group_turns
        FROM classed
        WINDOW each AS (PARTITION BY capture, space, known)
    )
    WHERE known IS NULL OR nth = 1
),
calls AS (
    SELECT capture, ts_enter_ns AS call_ns, tid, pid, comm, stack_id
    FROM syscalls
    WHERE (capture, ts_enter_ns) IN (SELECT (capture, call_ns) FROM told UNION SELECT (capture, base_call_ns) FROM told)
)
SELECT
    told.capture, told.host, if(how = 'text relocations', 'low', 'medium') AS severity, known AS expected,
    if(told.reason IS NULL, 'certain', 'possible') AS certainty, told.reason, ts_ns, told.space, coalesce(call.pid, spaces.pid) AS pid,
    if(cause IN ('baseline', 'resync', 'not seen'), NULL, told.tid) AS tid, coalesce(call.comm, name.comm) AS comm, call.stack_id, cause AS call, told.call_ns,
    told.space AS other_space, coalesce(base.pid, spaces.pid) AS other_pid, if(base_cause IN ('baseline', 'resync', 'not seen'), NULL, base_tid) AS other_tid,
    base.comm AS other_comm, base.stack_id AS other_stack_id, base_cause AS other_call, base_ns AS other_ns,
    start, "end", dev, inode, generation, path, path_bytes, offset_bytes,
    MAP {
        'how': how, 'bytes': bytes::VARCHAR, 'turns': turns::VARCHAR, 'history': history, 'last_ns': last_ns::VARCHAR, 'file_perms': file_perms,
        'ranges': ranges::VARCHAR, 'other_start': address_text(other_start)
    } AS facts,
    thread_text(coalesce(call.comm, name.comm), coalesce(call.pid, spaces.pid), if(call.pid IS NULL, spaces.pid, told.tid)) || ' ' || CASE how
        WHEN 'executable stack' THEN 'has an executable stack, ' || range_text(start, "end") || ', writable at the same time'
        WHEN 'text relocations' THEN 'loaded ' || file_text(path, dev, inode) || ' with text relocations: its code at ' || range_text(start, "end")
            || ' was writable for them'
        WHEN 'code of a file' THEN 'could write to what it runs of ' || file_text(path, dev, inode) || ', ' || range_text(start, "end") || ' (' || history || ')'
        WHEN 'two mappings' THEN 'has ' || file_text(path, dev, inode) || ' executable at ' || range_text(start, "end") || ' and could write to the same pages at '
            || address_text(other_start) || ' (' || file_perms || ')'
        WHEN 'writable and executable' THEN 'mapped ' || size_text(bytes) || if(ranges > 1, ' in ' || ranges || ' ranges', '') || ' writable and executable at once, '
            || if(ranges > 1, 'the first at ', '') || range_text(start, "end") || if(inode = 0, '', ' of ' || file_text(path, dev, inode))
        ELSE 'made ' || size_text(bytes) || if(ranges > 1, ' in ' || ranges || ' ranges', '') || ' executable that it could write to before, '
            || if(ranges > 1, 'the first at ', '') || range_text(start, "end") || if(inode = 0, '', ' of ' || file_text(path, dev, inode))
            || ' (' || history || ')'
        END || if(turns > ranges AND how <> 'two mappings', '; ' || turns || ' times in ' || span_text(last_ns - ts_ns), '') AS sentence
FROM told
JOIN spaces ON told.capture = spaces.capture AND told.space = spaces.space
LEFT JOIN calls AS call ON told.capture = call.capture AND told.call_ns = call.call_ns AND told.tid = call.tid
LEFT JOIN calls AS base ON told.capture = base.capture AND base_call_ns = base.call_ns AND base_tid = base.tid
LEFT JOIN (
    SELECT capture, pid, arg_max(comm, ts_ns) AS comm FROM tasks WHERE tid = pid AND comm IS NOT NULL GROUP BY capture, pid
) AS name ON spaces.capture = name.capture AND spaces.pid = name.pid
