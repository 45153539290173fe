-- Which live mappings did a call replace by what it put at an address of its own choice?
-- mmap with MAP_FIXED, mremap with MREMAP_FIXED, remap_file_pages, shmat with SHM_REMAP, and a brk that shrinks over what others
-- mapped in the heap. pid did it, other_pid had mapped what is gone; one finding for each call and mapping that it replaced.
-- high: the process then got a SIGSEGV or SIGBUS there; medium: a library, heap, stack, another file, or memory of another
-- thread; low: its own memory, or memory of which it is not known who mapped it. Expected: what loaders, allocators and runtimes
-- do with ranges that they reserved. Where memory was made over a reservation, or over what lay over one, the range counts as
-- managed. facts: replaced_bytes (of the mapping), was (what was replaced: reservation, memory, heap, stack, thread stack,
-- library, file), perms (of it), by (path or kind of what is there now), stood_ns (how long what was replaced had stood there),
-- faults (SIGSEGV and SIGBUS in what is there now), first_fault_ns, fault_tid.
-- Cost: one pass over the timeline and two over the calls, for what such calls ended; 1 s of CPU for 10 million calls, 0.03 of
-- the rebuild. Memory that mprotect changed is followed back to the call that made it.
WITH RECURSIVE
ended AS MATERIALIZED (
    SELECT
        capture, host, space, pid, start, "end", from_ns, to_ns, perms, dev, inode, generation, path, path_bytes, offset_bytes,
        cause, cause_ns, cause_tid, call_ns, end_cause, end_ns, end_tid, end_call_ns, reason
    FROM timeline
    WHERE end_cause IN ('mmap', 'mremap', 'remap_file_pages', 'shmat', 'brk') AND end_call_ns IS NOT NULL
),
replaced AS MATERIALIZED (
    SELECT
        ended.*, calls.pid AS by_pid, calls.comm, calls.stack_id, calls.prot, calls.ts_exit_ns,
        coalesce(calls.syscall = 'mmap' AND calls.flags & 32 <> 0, false) AS by_anonymous, -- MAP_ANONYMOUS
        row_number() OVER () AS victim
    FROM ended
    JOIN syscalls AS calls ON ended.capture = calls.capture AND end_call_ns = calls.ts_enter_ns AND end_tid = calls.tid
    WHERE calls.errno = 0 AND CASE end_cause
        -- without the flags the kernel chose a free place, or refused (MAP_FIXED_NOREPLACE)
        WHEN 'mmap' THEN calls.flags & 16 <> 0 AND calls.flags & 1048576 = 0
        WHEN 'mremap' THEN calls.flags & 2 <> 0 AND start < calls.ret + sane_size(calls.new_size) AND "end" > calls.ret
        WHEN 'brk' THEN inode <> 0 OR cause IN ('mmap', 'mremap', 'shmat', 'io_setup')
        ELSE true
    END
),
-- mprotect makes a new rectangle: who mapped the pages is found further back
changed AS MATERIALIZED (
    SELECT capture, space, start, "end", from_ns, to_ns, perms, cause, cause_ns, cause_tid, call_ns
    FROM timeline
    WHERE end_cause IN ('mprotect', 'pkey_mprotect')
        AND (capture, space) IN (SELECT (capture, space) FROM replaced WHERE cause IN ('mprotect', 'pkey_mprotect'))
),
back(victim, capture, space, page, from_ns, perms, cause, cause_ns, cause_tid, call_ns, steps) AS (
    SELECT victim, capture, space, start, from_ns, perms, cause, cause_ns, cause_tid, call_ns, 0 FROM replaced
    UNION ALL
    SELECT
        victim, back.capture, back.space, page, changed.from_ns, changed.perms, changed.cause, changed.cause_ns, changed.cause_tid,
        changed.call_ns, steps + 1
    FROM back
    JOIN changed ON back.capture = changed.capture AND back.space = changed.space AND back.from_ns = changed.to_ns
        AND page >= changed.start AND page < changed."end"
    WHERE back.cause IN ('mprotect', 'pkey_mprotect') AND steps < 8
),
makers AS (
    SELECT
        victim, arg_max(cause, steps) AS maker, arg_max(perms, steps) AS made_perms, arg_max(cause_ns, steps) AS maker_ns,
        arg_max(cause_tid, steps) AS maker_tid, arg_max(call_ns, steps) AS maker_call_ns
    FROM back
    GROUP BY victim
),
-- what came in its place
placed AS MATERIALIZED (
    SELECT capture, space, call_ns, cause_tid AS tid, start, "end", from_ns, to_ns, perms, dev, inode, path, offset_bytes
    FROM timeline
    WHERE (capture, space, call_ns, cause_tid) IN (SELECT (capture, space, end_call_ns, end_tid) FROM replaced)
        AND cause IN ('mmap', 'mremap', 'remap_file_pages', 'shmat')
),
put AS (
    SELECT
        capture, space, call_ns, tid, any_value(dev) AS new_dev, any_value(inode) AS new_inode, any_value(path) AS new_path,
        any_value(offset_bytes::HUGEINT - start) AS new_shift
    FROM placed
    GROUP BY ALL
),
-- where heap and stack are, for what no call of its own mapped
places AS MATERIALIZED (
    SELECT
        victim, max(address) FILTER (mark = 'start_brk') AS start_brk, max(address) FILTER (mark = 'brk') AS brk,
        max(address) FILTER (mark = 'start_stack') AS start_stack
    FROM (
        SELECT victim, mark, address
        FROM (
            SELECT replaced.*, kinds.mark AS kind
            FROM replaced JOIN makers USING (victim), (VALUES ('start_brk'), ('brk'), ('start_stack')) AS kinds(mark)
            WHERE inode = 0 AND maker NOT IN ('mmap', 'mremap', 'shmat', 'brk', 'stack growth')
        ) AS old
        ASOF JOIN marks ON old.capture = marks.capture AND old.space = marks.space AND old.kind = marks.mark AND old.to_ns >= marks.from_ns
    )
    GROUP BY victim
),
libraries AS (SELECT DISTINCT capture, dev AS library_dev, inode AS library_inode FROM images),
known AS MATERIALIZED (
    SELECT
        replaced.*, makers.* EXCLUDE (victim), put.* EXCLUDE (capture, space, call_ns, tid),
        maker_call.pid AS maker_pid, maker_call.comm AS maker_comm, maker_call.stack_id AS maker_stack_id,
        maker IN ('mmap', 'mremap', 'shmat', 'remap_file_pages', 'io_setup', 'brk') AS maker_known,
        coalesce(maker_known AND maker_tid = end_tid, false) AS own,
        CASE
            WHEN maker = 'brk' OR (start >= start_brk AND start < brk) THEN 'heap'
            -- 8 MiB: the usual limit of its growth
            WHEN maker = 'stack growth' OR (start <= start_stack AND start_stack - start < 8 << 20) THEN 'stack'
            WHEN replaced.inode = 0 AND replaced.path = '' THEN CASE
                WHEN coalesce(maker_call.flags & 131072, 0) <> 0 THEN 'thread stack' -- MAP_STACK
                WHEN perms = '---p' THEN 'reservation'
                ELSE 'memory'
            END
            WHEN path = '[vdso]' OR (perms[4] = 'p' AND library_inode IS NOT NULL) THEN 'library'
            ELSE 'file'
        END AS was
    FROM replaced
    JOIN makers USING (victim)
    LEFT JOIN places USING (victim)
    LEFT JOIN put ON replaced.capture = put.capture AND replaced.space = put.space AND end_call_ns = put.call_ns AND end_tid = put.tid
    LEFT JOIN syscalls AS maker_call ON replaced.capture = maker_call.capture AND maker_call_ns = maker_call.ts_enter_ns AND maker_tid = maker_call.tid
    LEFT JOIN libraries ON replaced.capture = libraries.capture AND dev = library_dev AND inode = library_inode
),
-- a loader maps memory for .bss over the tail of the file that it mapped last
tails AS MATERIALIZED (
    SELECT victim
    FROM (FROM known WHERE own AND by_anonymous AND inode <> 0 AND perms[4] = 'p') AS tail
    ASOF JOIN (
        SELECT capture, tid, ts_enter_ns, fd_inode FROM syscalls WHERE syscall = 'mmap' AND flags & 32 = 0 AND errno = 0
    ) AS last ON tail.capture = last.capture AND tail.end_tid = last.tid AND tail.end_call_ns > last.ts_enter_ns
    WHERE coalesce(fd_inode, inode) = inode
),
-- programs that answer a SIGBUS by memory in the place of the file
answers AS MATERIALIZED (
    SELECT victim
    FROM (FROM known WHERE by_anonymous AND inode <> 0) AS page
    ASOF JOIN (SELECT capture, tid, ts_ns, address FROM faults WHERE signal = 'SIGBUS') AS fault
        ON page.capture = fault.capture AND page.end_tid = fault.tid AND page.end_call_ns > fault.ts_ns
    WHERE fault.address >= page.start AND fault.address < page."end" AND fault.ts_ns >= page.from_ns
),
-- the stack that a thread runs on is what its parent mapped last for one; the JVM makes guard pages in it
stacks AS MATERIALIZED (
    SELECT victim
    FROM (FROM known WHERE was = 'thread stack' AND by_anonymous) AS part
    ASOF JOIN (SELECT capture, tid, ts_ns, parent_tid FROM tasks WHERE event = 'clone') AS born
        ON part.capture = born.capture AND part.end_tid = born.tid AND part.end_call_ns > born.ts_ns
    ASOF JOIN (SELECT capture, tid, ts_enter_ns FROM syscalls WHERE syscall = 'mmap' AND flags & 131072 <> 0 AND errno = 0) AS mapped
        ON born.capture = mapped.capture AND born.parent_tid = mapped.tid AND born.ts_ns > mapped.ts_enter_ns
    WHERE mapped.ts_enter_ns = part.maker_call_ns
),
judged AS MATERIALIZED (
    SELECT *, CASE
            WHEN end_cause = 'remap_file_pages' THEN 'remap_file_pages gives the pages of one file another order'
            WHEN inode <> 0 AND new_inode = inode AND new_dev = dev AND new_shift = offset_bytes::HUGEINT - start
                THEN 'the same part of the same file was mapped again'
            WHEN was = 'reservation' OR (was = 'thread stack' AND own AND perms = '---p') THEN 'it was reserved, without access'
            WHEN was = 'memory' AND made_perms = '---p' AND by_anonymous THEN 'it was a part of a reservation'
            WHEN own AND inode <> 0 AND perms[4] = 'p' AND new_inode = inode AND new_dev = dev THEN 'a loader puts the parts of a file in their places'
            WHEN victim IN (FROM stacks) THEN 'a thread arranges its own stack'
            WHEN victim IN (FROM tails) THEN 'a loader puts .bss behind the file that it mapped last'
            WHEN victim IN (FROM answers) THEN 'memory in the place of a page of which a SIGBUS told'
            WHEN was = 'memory' AND by_anonymous AND prot = 0 THEN 'memory was given back, and its range reserved'
            WHEN was = 'memory' AND by_anonymous AND (own OR NOT maker_known) THEN 'fresh memory in the place of its own'
            WHEN was = 'file' AND by_anonymous AND prot = 0 AND own THEN 'a file was unmapped, and its range reserved'
        END AS normal
    FROM known
),
managed AS MATERIALIZED (
    SELECT capture, space, end_call_ns AS maker_call_ns, end_tid AS maker_tid
    FROM judged
    GROUP BY ALL
    HAVING bool_and(normal IS NOT NULL OR was IN ('memory', 'file')) AND bool_or(normal IS NOT NULL)
),
told AS MATERIALIZED (
    SELECT judged.* EXCLUDE (normal), coalesce(normal, if(
            was IN ('memory', 'file') AND managed.capture IS NOT NULL, 'the program manages this range by mapping over what is there', NULL
        )) AS normal
    FROM judged LEFT JOIN managed USING (capture, space, maker_call_ns, maker_tid)
),
findings AS MATERIALIZED (
    SELECT
        capture, any_value(host) AS host, space, end_cause AS call, end_call_ns AS call_ns, end_tid AS tid, any_value(by_pid) AS pid, any_value(comm) AS comm,
        any_value(stack_id) AS stack_id, max(end_ns) AS ts_ns, any_value(ts_exit_ns) AS ts_exit_ns, min(start) AS start, max("end") AS "end",
        sum("end" - start) AS replaced_bytes, dev, inode, any_value(generation) AS generation, any_value(path) AS path, any_value(path_bytes) AS path_bytes,
        min(offset_bytes) AS offset_bytes, arg_max(perms, to_ns) AS perms, was, normal AS expected, own, maker_known,
        maker AS other_call, maker_ns, maker_tid AS other_tid,
        any_value(coalesce(maker_pid, if(maker_known, by_pid, NULL))) AS other_pid, any_value(maker_comm) AS other_comm, any_value(maker_stack_id) AS other_stack_id,
        coalesce(maker_call_ns, maker_ns) AS other_ns, arg_max(reason, to_ns) AS reason, any_value(new_path) AS new_path, any_value(new_inode) AS new_inode,
        any_value(new_dev) AS new_dev, any_value(by_anonymous) AS by_anonymous, any_value(prot) AS prot
    -- of a rectangle that is parted where certainty begins or ends, the last part was replaced
    FROM (FROM told QUALIFY row_number() OVER (PARTITION BY capture, space, start, cause_ns, cause_tid, end_call_ns, end_tid ORDER BY to_ns DESC) = 1)
    GROUP BY capture, space, end_cause, end_call_ns, end_tid, dev, inode, was, normal, own, maker_known, maker, maker_ns, maker_tid, maker_call_ns
),
hurt AS (
    SELECT
        findings.capture, findings.space, findings.call_ns, findings.tid, findings.start, findings.maker_ns,
        count(*) AS faults, min(fault.ts_ns) AS first_fault_ns, arg_min(fault.tid, fault.ts_ns) AS fault_tid, arg_min(signal, fault.ts_ns) AS signal
    FROM (FROM findings WHERE expected IS NULL) AS findings
    JOIN placed ON findings.capture = placed.capture AND findings.space = placed.space AND findings.call_ns = placed.call_ns AND findings.tid = placed.tid
        AND findings.start < placed."end" AND findings."end" > placed.start
    JOIN uses ON findings.capture = uses.capture AND findings.space = uses.space
    JOIN (SELECT capture, pid, tid, ts_ns, signal, address FROM faults) AS fault ON findings.capture = fault.capture AND uses.pid = fault.pid
        AND fault.ts_ns >= uses.from_ns AND (uses.to_ns IS NULL OR fault.ts_ns <= uses.to_ns)
        AND fault.ts_ns >= placed.from_ns AND (placed.to_ns IS NULL OR fault.ts_ns <= placed.to_ns)
        AND fault.address >= greatest(findings.start, placed.start) AND fault.address < least(findings."end", placed."end")
    GROUP BY ALL
),
doubted AS (
    SELECT findings.capture, findings.space, findings.call_ns, findings.tid, findings.start, findings.maker_ns, any_value(doubts.reason) AS doubt
    FROM findings
    JOIN doubts ON findings.capture = doubts.capture AND findings.space = doubts.space AND findings.start < doubts."end" AND findings."end" > doubts.start
        AND doubts.from_ns <= findings.ts_exit_ns AND (doubts.to_ns IS NULL OR doubts.to_ns >= findings.call_ns)
    GROUP BY ALL
)
SELECT
    capture, host,
    CASE
        WHEN expected IS NOT NULL THEN 'info'
        WHEN faults > 0 THEN 'high'
        WHEN was = 'memory' AND (own OR NOT maker_known) THEN 'low'
        ELSE 'medium'
    END AS severity,
    expected, if(coalesce(reason, doubt) IS NULL, 'certain', 'possible') AS certainty, coalesce(reason, doubt) AS reason, ts_ns, space, pid, tid, comm,
    stack_id, call, call_ns, space AS other_space, other_pid, if(maker_known, other_tid, NULL)::UINTEGER AS other_tid, other_comm, other_stack_id, other_call,
    other_ns, start, "end", dev, inode, generation, path, path_bytes, offset_bytes,
    MAP {
        'replaced_bytes': replaced_bytes::VARCHAR, 'was': was, 'perms': perms, 'by': put_text, 'stood_ns': (ts_ns - other_ns)::VARCHAR,
        'faults': coalesce(faults, 0)::VARCHAR, 'first_fault_ns': coalesce(first_fault_ns::VARCHAR, ''), 'fault_tid': coalesce(fault_tid::VARCHAR, '')
    } AS facts,
    thread_text(comm, pid, tid) || if(call = 'brk', ' shrank its heap over ', ' put ' || put_text || ' by ' || call || ' over ')
        || size_text(replaced_bytes) || ' of ' || was_text || ' at ' || range_text(start, "end") || ', which '
        || CASE
            WHEN maker_known THEN
                if(own, 'the same thread', thread_text(other_comm, other_pid, other_tid)) || ' had made by ' || other_call || ' ' || span_text(ts_ns - other_ns) || ' before'
            WHEN other_call = 'fork' THEN 'it had from its parent'
            WHEN other_call = 'exec' THEN 'was there since its exec'
            ELSE 'was there before (' || other_call || ')'
        END
        || coalesce('; ' || signal || ' hit thread ' || fault_tid || ' there ' || span_text(first_fault_ns - ts_ns) || ' later', '') AS sentence
FROM (
    SELECT *,
        CASE
            WHEN call = 'brk' THEN 'nothing'
            WHEN by_anonymous OR coalesce(new_inode, 0) = 0 THEN if(by_anonymous AND prot = 0, 'a reservation', 'anonymous memory')
            ELSE file_text(new_path, new_dev, new_inode)
        END AS put_text,
        CASE WHEN inode <> 0 THEN if(was = 'library', 'the library ', '') || file_text(path, dev, inode) ELSE if(was = 'memory', '', 'a ') || was END AS was_text
    FROM findings
)
LEFT JOIN hurt USING (capture, space, call_ns, tid, start, maker_ns)
LEFT JOIN doubted USING (capture, space, call_ns, tid, start, maker_ns)
