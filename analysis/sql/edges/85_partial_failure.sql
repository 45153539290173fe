-- Which calls failed, and changed mappings all the same?
-- mprotect over a hole has changed the pages before it; mmap(MAP_FIXED) refused by the file's own handler leaves a hole; mremap of
-- several mappings has moved some; madvise and mlock over a hole have done their work on the mappings that are there. Seen by
-- the records of the failed call, by a probe on the kernel's removals, or by the next reading of the maps. medium: the mappings are not as the caller believes; high:
-- it then got a SIGSEGV or SIGBUS there; low: only contents (madvise) or locks (mlock) changed. start and end: what changed.
-- facts: error (name of the errno), asked (range), changed (range), changed_bytes, how (protected, unmapped, moved, advised,
-- locked), known_by (records, reading, hooks), faults, first_fault_ns.
-- Cost: one pass over the timeline for what failed calls did; a range join only with address spaces in which such calls failed.
WITH
failed AS MATERIALIZED (
    SELECT
        calls.capture, calls.host, space, calls.pid, tid, comm, stack_id, syscall, ts_enter_ns, ts_exit_ns, error, page_down(sane(addr)) AS low,
        page_up(sane(addr) + sane_size(size)) AS high, sane(new_addr) AS new_addr, sane_size(new_size) AS new_size, row_number() OVER () AS failure
    FROM syscalls AS calls
    JOIN uses ON calls.capture = uses.capture AND calls.pid = uses.pid AND ts_enter_ns >= uses.from_ns AND (uses.to_ns IS NULL OR ts_enter_ns < uses.to_ns)
    LEFT JOIN error_names USING (errno)
    WHERE errno <> 0 AND size > 0 AND CASE
            WHEN syscall IN ('mprotect', 'pkey_mprotect') THEN true
            WHEN syscall = 'mmap' THEN flags & 16 <> 0 AND flags & 1048576 = 0
            WHEN syscall = 'mremap' THEN flags & 2 <> 0
            -- ENOMEM: there is a hole, or for mlock too much is locked; advice on contents only
            WHEN syscall = 'madvise' THEN errno = 12 AND op IN (4, 8, 9, 24)
            WHEN syscall IN ('mlock', 'mlock2') THEN errno = 12
            ELSE false
        END
),
-- the call's own records tell, and a probe saw what it took before it failed
told AS (
    SELECT
        failure, how, known_by, min(start) AS start, max("end") AS "end", sum("end" - start) AS changed_bytes, min(at_ns) AS ts_ns,
        any_value(dev) AS dev, any_value(inode) AS inode, any_value(generation) AS generation, any_value(path) AS path,
        any_value(path_bytes) AS path_bytes, min(offset_bytes) AS offset_bytes, any_value(reason) AS reason
    FROM (
        SELECT timeline.*, failure, 'protected' AS how, 'records' AS known_by, from_ns AS at_ns
        FROM timeline
        JOIN failed ON timeline.capture = failed.capture AND timeline.space = failed.space AND call_ns = ts_enter_ns AND cause_tid = tid
        WHERE cause IN ('mprotect', 'pkey_mprotect') AND from_ns = cause_ns -- not what is parted later where certainty ends
        UNION ALL
        SELECT timeline.*, failure, 'unmapped', 'hooks', to_ns
        FROM timeline
        JOIN failed ON timeline.capture = failed.capture AND timeline.space = failed.space AND end_call_ns = ts_enter_ns AND end_tid = tid
        WHERE end_cause IN ('mmap', 'mremap') AND to_ns BETWEEN ts_enter_ns AND ts_exit_ns
    )
    GROUP BY failure, how, known_by
),
-- what a reading found gone, where a doubt that the call raised ends with it
read AS (
    SELECT
        failure, if(syscall = 'mremap' AND start < high AND timeline."end" > low, 'moved', 'unmapped') AS how, 'reading' AS known_by,
        min(greatest(start, lo)) AS start, max(least(timeline."end", hi)) AS "end", sum(least(timeline."end", hi) - greatest(start, lo)) AS changed_bytes,
        any_value(ts_exit_ns) AS ts_ns, any_value(dev) AS dev, any_value(inode) AS inode, any_value(generation) AS generation, any_value(path) AS path,
        any_value(path_bytes) AS path_bytes, min(offset_plus(offset_bytes, if(inode = 0, 0, greatest(start, lo) - start))) AS offset_bytes, any_value(other_doubt) AS reason
    FROM (
        SELECT failed.*, doubts.start AS lo, doubts."end" AS hi, doubts.from_ns AS doubt_from, doubts.to_ns AS doubt_to
        FROM failed
        JOIN doubts ON failed.capture = doubts.capture AND failed.space = doubts.space AND doubts.to_ns IS NOT NULL
            AND doubts.from_ns BETWEEN ts_exit_ns AND ts_exit_ns + 1 AND contains(doubts.reason, 'a failed ' || syscall)
            AND doubts.start < greatest(high, coalesce(new_addr, 0) + page_up(coalesce(new_size, 0))) AND doubts."end" > least(low, coalesce(new_addr, low))
        WHERE syscall IN ('mmap', 'mremap')
    ) AS doubtful
    JOIN timeline ON doubtful.capture = timeline.capture AND doubtful.space = timeline.space AND end_cause = 'resync'
        AND start < hi AND timeline."end" > lo AND timeline.from_ns <= doubt_to AND timeline.to_ns BETWEEN doubt_from + 1 AND doubt_to + 1
    LEFT JOIN (
        SELECT failure AS doubted, any_value(doubts.reason) AS other_doubt
        FROM failed
        JOIN doubts ON failed.capture = doubts.capture AND failed.space = doubts.space AND NOT contains(doubts.reason, 'a failed ' || syscall)
            AND doubts.from_ns <= ts_exit_ns AND (doubts.to_ns IS NULL OR doubts.to_ns > ts_exit_ns) AND doubts.start < high AND doubts."end" > low
        GROUP BY failure
    ) ON failure = doubted
    GROUP BY ALL
),
-- what stood in the range of advice and locks: all of it, and there was no hole; they change what is there
standing AS (
    SELECT
        failure, if(syscall = 'madvise', 'advised', 'locked') AS how, 'records' AS known_by, least(timeline."end", high) AS "end", greatest(start, low) AS start,
        sum(least(timeline."end", high) - greatest(start, low)) OVER (PARTITION BY failure ORDER BY start) AS before_bytes,
        ts_exit_ns, dev, inode, generation, path, path_bytes, offset_bytes, reason, syscall, low, high
    FROM (FROM failed WHERE syscall IN ('madvise', 'mlock', 'mlock2')) AS failed
    JOIN timeline ON failed.capture = timeline.capture AND failed.space = timeline.space AND start < high AND timeline."end" > low
        AND from_ns <= ts_enter_ns AND (to_ns IS NULL OR to_ns > ts_enter_ns)
),
worked AS (
    SELECT
        failure, any_value(how) AS how, any_value(known_by) AS known_by, min(start) AS start, max("end") AS "end", sum("end" - start) AS changed_bytes, any_value(ts_exit_ns) AS ts_ns,
        arg_min(dev, start) AS dev, arg_min(inode, start) AS inode, arg_min(generation, start) AS generation, arg_min(path, start) AS path,
        arg_min(path_bytes, start) AS path_bytes, arg_min(offset_bytes, start) AS offset_bytes, any_value(reason) AS reason
    -- mlock ends at the hole
    FROM (FROM standing WHERE syscall = 'madvise' OR low + before_bytes = "end")
    WHERE failure IN (SELECT failure FROM standing GROUP BY failure, low, high HAVING sum("end" - start) < high - low)
    GROUP BY failure
),
changes AS MATERIALIZED (
    FROM told UNION ALL BY NAME FROM read UNION ALL BY NAME FROM worked
),
hurt AS (
    SELECT failure, changes.how, count(*) AS faults, min(fault.ts_ns) AS first_fault_ns, arg_min(signal, fault.ts_ns) AS signal, arg_min(fault.tid, fault.ts_ns) AS fault_tid
    FROM changes
    JOIN failed USING (failure)
    JOIN (SELECT capture, pid, tid, ts_ns, signal, address FROM faults) AS fault ON failed.capture = fault.capture AND failed.pid = fault.pid
        AND fault.ts_ns >= ts_exit_ns AND fault.address >= changes.start AND fault.address < changes."end"
    LEFT JOIN (
        -- what is there at the time of the fault must be what the failed call left
        SELECT capture, space, start, "end", from_ns, to_ns FROM timeline
        WHERE (capture, space) IN (SELECT (capture, space) FROM failed JOIN changes USING (failure) WHERE changes.how IN ('unmapped', 'moved'))
    ) AS later ON changes.how IN ('unmapped', 'moved') AND failed.capture = later.capture AND failed.space = later.space AND fault.address >= later.start
        AND fault.address < later."end" AND fault.ts_ns >= later.from_ns AND (later.to_ns IS NULL OR fault.ts_ns < later.to_ns)
    WHERE changes.how IN ('unmapped', 'moved', 'protected') AND later.capture IS NULL
    GROUP BY ALL
)
SELECT
    capture, host, CASE WHEN changes.how IN ('advised', 'locked') THEN 'low' WHEN faults > 0 THEN 'high' ELSE 'medium' END AS severity,
    if(changes.reason IS NULL, 'certain', 'possible') AS certainty, changes.reason AS reason, ts_ns, space, pid, tid, comm, stack_id, syscall AS call, ts_enter_ns AS call_ns,
    changes.start AS start, changes."end" AS "end", dev, inode, generation, path, path_bytes, offset_bytes,
    MAP {
        'error': error, 'asked': range_text(low, high), 'changed': range_text(changes.start, changes."end"), 'changed_bytes': changed_bytes::VARCHAR,
        'how': changes.how, 'known_by': known_by, 'faults': coalesce(faults, 0)::VARCHAR, 'first_fault_ns': coalesce(first_fault_ns::VARCHAR, '')
    } AS facts,
    syscall || ' of ' || size_text(high - low) || ' at ' || range_text(low, high) || ' by ' || thread_text(comm, pid, tid) || ' failed with ' || error || ', but '
        || CASE changes.how
            WHEN 'protected' THEN 'had changed the protection of ' || size_text(changed_bytes)
            WHEN 'unmapped' THEN 'left a hole of ' || size_text(changed_bytes)
            WHEN 'moved' THEN 'had moved ' || size_text(changed_bytes)
            WHEN 'advised' THEN 'followed the advice for the ' || size_text(changed_bytes) || ' that are mapped'
            ELSE 'had locked ' || size_text(changed_bytes) || ' before a hole'
        END || ' at ' || range_text(changes.start, changes."end")
        || coalesce('; ' || signal || ' hit thread ' || fault_tid || ' there ' || span_text(first_fault_ns - ts_exit_ns) || ' later', '') AS sentence
FROM changes
JOIN failed USING (failure)
LEFT JOIN hurt USING (failure, how)
