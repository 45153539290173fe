-- Which calls of two threads met in time and in address, so that their order decided what is mapped?
-- Both calls of one address space were under way at once, their ranges meet, and the outcome depends on which the kernel did
-- first: pid and tid made the one that began first, other_pid and other_tid the other. Not counted: calls that give the same in
-- either order (two munmaps, two mprotects to the same protection), and an mmap to which the kernel gave what a munmap had just
-- freed. Also counted: an mmap whose fd was made to name another file while the call was under way (facts: fd_file, the file
-- that it named at entry; the other party is not recorded). medium: the order, or a part of the outcome, was left to chance.
-- Certain where it is known which came first. facts: common_bytes (that both are about), overlap_ns (both were under way),
-- first (the call that came first, empty: not known), outcome (what came of it, empty: not known), otherwise (what the other
-- order gives), errors (of the calls, by name).
-- Cost: two passes over the calls, and a sort of those that met others in the same millisecond
-- about the same 256 KiB; 1.3 s for 1 million calls of two threads, 0.3 of the rebuild.
WITH
-- those whose range is large, or not in the arguments, are held against all others
wanted AS (
    SELECT
        capture, host, mm, pid, tid, ts_enter_ns, ts_exit_ns, syscall, errno, sane(addr) AS addr, page_up(sane(addr) + sane_size(size)) AS past, sane_size(size) AS size, prot, pkey, flags, fd_inode,
        offset_bytes, pgoff, sane_size(new_size) AS new_size, ret, op,
        ts_enter_ns >> 20 AS slice, ts_exit_ns >> 20 AS last_slice,
        syscall IN ('mremap', 'brk', 'shmat', 'shmdt') OR syscalls.size > 1 << 18 AS wide,
        if(syscall IN ('mmap', 'old_mmap'), try_cast(ret AS UBIGINT), sane(syscalls.addr)) AS low,
        if(wide, 0, low >> 18)::UBIGINT AS cell, if(wide, 0, (low + greatest(sane_size(syscalls.size), 1) - 1) >> 18)::UBIGINT AS last_cell
    FROM syscalls
    WHERE (syscall IN ('mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'mremap', 'remap_file_pages', 'old_mmap', 'brk', 'shmat', 'shmdt')
            OR (syscall = 'madvise' AND op IN (4, 8, 9, 24))) -- DONTNEED, FREE, REMOVE, DONTNEED_LOCKED
        -- failed for what another did to the pages
        AND (errno = 0 OR (errno IN (12, 14, 22) AND syscall IN ('mprotect', 'pkey_mprotect', 'mremap', 'remap_file_pages')))
),
-- who called in the same millisecond (2^20 ns) about the same 256 KiB?
counted AS MATERIALIZED (
    SELECT capture, mm, slice, cell, min(tid) AS low_tid, max(tid) AS high_tid, bool_or(wide) AS wide
    FROM (
        SELECT capture, mm, slice, cell, tid, wide FROM wanted
        UNION ALL
        SELECT capture, mm, slice, unnest([cell, last_cell]), tid, wide
        FROM (
            SELECT capture, mm, unnest(range(slice::BIGINT, last_slice::BIGINT + 1))::UBIGINT AS slice, cell, last_cell, tid, wide
            FROM wanted WHERE slice <> last_slice OR cell <> last_cell
        )
    )
    GROUP BY ALL
),
near AS (
    SELECT capture, mm, slice, cell FROM counted WHERE low_tid <> high_tid
),
crowded AS MATERIALIZED (
    SELECT capture, mm, slice, bool_or(wide) AS wide FROM counted GROUP BY ALL HAVING min(low_tid) <> max(high_tid)
),
calls AS MATERIALIZED (
    SELECT wanted.* EXCLUDE (mm, slice, last_slice, wide, low, cell, last_cell), uses.space, row_number() OVER () AS id
    FROM wanted
    JOIN uses ON wanted.capture = uses.capture AND wanted.pid = uses.pid AND ts_enter_ns >= uses.from_ns AND (uses.to_ns IS NULL OR ts_enter_ns < uses.to_ns)
    WHERE (wanted.capture, mm, slice, cell) IN (SELECT (capture, mm, slice, cell) FROM near)
        OR (wanted.capture, mm, slice) IN (SELECT (capture, mm, slice) FROM crowded WHERE wide)
        OR (slice <> last_slice OR cell <> last_cell OR wide) AND (
            last_slice - slice > 1 OR (wanted.capture, mm, slice) IN (SELECT (capture, mm, slice) FROM crowded)
            OR (wanted.capture, mm, last_slice) IN (SELECT (capture, mm, slice) FROM crowded)
        )
),
-- what these have as their range only the kernel knows
found AS MATERIALIZED (
    SELECT capture, space, call_ns, tid, min(start) AS lo, max("end") AS hi
    FROM (
        SELECT capture, space, call_ns, cause_tid AS tid, start, "end" FROM timeline WHERE cause IN ('brk', 'shmat')
        UNION ALL
        SELECT capture, space, end_call_ns, end_tid, start, "end" FROM timeline WHERE end_cause IN ('brk', 'shmdt')
    )
    WHERE (capture, space, call_ns, tid) IN (SELECT (capture, space, ts_enter_ns, tid) FROM calls WHERE syscall IN ('brk', 'shmat', 'shmdt'))
    GROUP BY ALL
),
-- each with what it does to its range: take, give (it replaces what is there), choose (the kernel places it where nothing is),
-- protect, permute, drop (contents), move (from here)
ranges AS (
    SELECT id, if(syscall = 'munmap', 'take', 'protect') AS does, page_down(addr) AS lo, past AS hi
    FROM calls WHERE syscall IN ('munmap', 'mprotect', 'pkey_mprotect')
    UNION ALL
    SELECT id, 'drop', page_down(addr), past FROM calls WHERE syscall = 'madvise'
    UNION ALL
    SELECT id, if(flags & 16 <> 0 AND flags & 1048576 = 0, 'give', 'choose'), try_cast(ret AS UBIGINT), try_cast(ret AS UBIGINT) + page_up(size)
    FROM calls WHERE syscall IN ('mmap', 'old_mmap')
    UNION ALL
    SELECT id, 'permute', page_down(addr), page_down(past) FROM calls WHERE syscall = 'remap_file_pages'
    UNION ALL
    SELECT id, 'move', addr, past FROM calls WHERE syscall = 'mremap' AND (errno <> 0 OR ret <> addr) AND past > addr
    UNION ALL
    SELECT id, 'take', addr + page_up(new_size), past FROM calls WHERE syscall = 'mremap' AND errno = 0 AND ret = addr AND addr + page_up(new_size) < past
    UNION ALL
    SELECT id, if(flags & 2 <> 0, 'give', 'choose'), try_cast(ret AS UBIGINT), try_cast(ret AS UBIGINT) + page_up(new_size)
    FROM calls WHERE syscall = 'mremap' AND errno = 0 AND ret <> addr
    UNION ALL
    SELECT id, CASE WHEN syscall = 'shmdt' OR (syscall = 'brk' AND hi > ret) THEN 'take' WHEN syscall = 'brk' OR flags & 16384 <> 0 THEN 'give' ELSE 'choose' END, lo, hi
    FROM calls JOIN found ON calls.capture = found.capture AND calls.space = found.space AND ts_enter_ns = call_ns AND calls.tid = found.tid
),
-- who meets whom in address: ranges are entered in the cells that they touch, large ones in large cells
sized AS MATERIALIZED (
    SELECT
        ranges.*, row_number() OVER () AS part, capture, space, tid, ts_enter_ns, ts_exit_ns,
        CASE WHEN hi - lo <= 1 << 18 THEN 18 WHEN hi - lo <= 1 << 26 THEN 26 ELSE 63 END AS bits
    FROM ranges JOIN calls USING (id)
    WHERE hi > lo
),
homes AS MATERIALIZED (
    SELECT part, true AS own, capture, space, tid, ts_enter_ns, ts_exit_ns, bits, unnest(range((lo >> bits)::BIGINT, ((hi - 1) >> bits)::BIGINT + 1)) AS cell
    FROM sized
),
hosted AS MATERIALIZED (
    SELECT DISTINCT (capture, space, bits, cell, unnest(range((ts_enter_ns >> 20)::BIGINT, (ts_exit_ns >> 20)::BIGINT + 1))::UBIGINT)
    FROM homes WHERE bits > 18
),
spots AS (
    FROM homes
    UNION ALL
    -- and those of smaller ranges, where there are larger ones
    SELECT * FROM (
        SELECT part, false, capture, space, tid, ts_enter_ns, ts_exit_ns, larger.bits, unnest(range((lo >> larger.bits)::BIGINT, ((hi - 1) >> larger.bits)::BIGINT + 1)) AS cell
        FROM sized, (VALUES (26), (63)) AS larger(bits)
        WHERE sized.bits < larger.bits
    ) AS guests
    WHERE (capture, space, bits, cell, ts_enter_ns >> 20) IN (FROM hosted) OR (capture, space, bits, cell, ts_exit_ns >> 20) IN (FROM hosted)
        OR (ts_exit_ns >> 20) - (ts_enter_ns >> 20) > 1
),
-- in order of entry, those that met another in time
lined AS MATERIALIZED (
    SELECT
        *, row_number() OVER within_cell AS place, (count_if(own) OVER (within_cell ROWS UNBOUNDED PRECEDING))::BIGINT AS own_place
    FROM (
        FROM spots
        WINDOW within_cell AS (PARTITION BY capture, space, bits, cell ORDER BY ts_enter_ns)
        QUALIFY ts_enter_ns < max(ts_exit_ns) OVER (within_cell ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
            OR ts_exit_ns > lead(ts_enter_ns) OVER within_cell
    )
    WINDOW within_cell AS (PARTITION BY capture, space, bits, cell ORDER BY ts_enter_ns)
),
-- and the last that began while it was under way: all between began within it too
spanned AS (
    SELECT one.*, last.place AS last_place, last.own_place AS last_own_place
    FROM lined AS one
    ASOF JOIN (SELECT capture, space, bits, cell, ts_enter_ns, place, own_place FROM lined) AS last
        ON one.capture = last.capture AND one.space = last.space AND one.bits = last.bits AND one.cell = last.cell AND one.ts_exit_ns >= last.ts_enter_ns
),
meetings AS (
    SELECT one.part AS one, two.part AS two
    FROM (SELECT *, unnest(range(place + 1, last_place + 1)) AS next FROM spanned WHERE own AND last_place > place) AS one
    JOIN lined AS two ON one.capture = two.capture AND one.space = two.space AND one.bits = two.bits AND one.cell = two.cell AND one.next = two.place
    UNION
    SELECT one.part, two.part
    FROM (SELECT *, unnest(range(own_place + 1, last_own_place + 1)) AS next FROM spanned WHERE NOT own AND last_own_place > own_place) AS one
    JOIN lined AS two ON one.capture = two.capture AND one.space = two.space AND one.bits = two.bits AND one.cell = two.cell AND one.next = two.own_place AND two.own
),
pairs AS MATERIALIZED (
    SELECT
        one.capture, one.space, one.id AS one_id, two.id AS two_id, one.does AS one_does, two.does AS two_does,
        greatest(one.lo, two.lo) AS lo, least(one.hi, two.hi) AS hi,
        least(one.ts_exit_ns, two.ts_exit_ns) - greatest(one.ts_enter_ns, two.ts_enter_ns) AS overlap_ns,
        [one.does, two.does] AS deeds
    FROM meetings
    JOIN sized AS one ON meetings.one = one.part
    JOIN sized AS two ON meetings.two = two.part
    WHERE one.tid <> two.tid AND one.lo < two.hi AND two.lo < one.hi AND one.ts_exit_ns > two.ts_enter_ns AND one.ts_enter_ns <= two.ts_exit_ns
        AND NOT (one.does = two.does AND one.does IN ('take', 'drop', 'choose')) -- either order gives the same
),
-- pages that were mapped and that the call took: the kernel gives a place only once they are gone
taken AS (
    SELECT pairs.one_id, pairs.two_id, sum(least("end", hi) - greatest(start, lo)) AS taken_bytes
    FROM pairs
    JOIN calls AS taker ON taker.id = if(one_does = 'take', one_id, two_id)
    JOIN timeline ON pairs.capture = timeline.capture AND pairs.space = timeline.space AND end_call_ns = taker.ts_enter_ns AND end_tid = taker.tid
    WHERE list_contains(deeds, 'take') AND list_contains(deeds, 'choose') AND start < hi AND "end" > lo
    GROUP BY ALL
),
open AS MATERIALIZED (
    SELECT pairs.*, one, two
    FROM pairs
    JOIN calls AS one ON one_id = one.id
    JOIN calls AS two ON two_id = two.id
    LEFT JOIN taken USING (one_id, two_id)
    WHERE CASE
            WHEN one_does = two_does THEN CASE one_does
                WHEN 'protect' THEN (one.prot, coalesce(one.pkey, -1)) <> (two.prot, coalesce(two.pkey, -1))
                WHEN 'permute' THEN one.pgoff - (one.addr >> 12)::BIGINT <> two.pgoff - (two.addr >> 12)::BIGINT
                WHEN 'give' THEN (one.syscall, one.addr, one.past, one.prot, one.flags, coalesce(one.fd_inode, 0), coalesce(one.offset_bytes, 0))
                    <> (two.syscall, two.addr, two.past, two.prot, two.flags, coalesce(two.fd_inode, 0), coalesce(two.offset_bytes, 0))
                ELSE one_does = 'move'
            END
            WHEN list_contains(deeds, 'take') AND list_contains(deeds, 'choose') THEN coalesce(taken_bytes, 0) < hi - lo
            WHEN list_contains(deeds, 'protect') THEN NOT list_has_any(deeds, ['permute', 'drop'])
            WHEN list_contains(deeds, 'drop') THEN NOT list_has_any(deeds, ['take', 'permute'])
            ELSE true
        END
    QUALIFY row_number() OVER (PARTITION BY one_id, two_id ORDER BY hi - lo DESC) = 1
),
parties AS MATERIALIZED (
    SELECT capture, space, one.tid AS tid, one.ts_enter_ns AS call_ns, one.ts_exit_ns AS exit_ns, one_does IN ('take', 'move') AS takes FROM open
    UNION
    SELECT capture, space, two.tid, two.ts_enter_ns, two.ts_exit_ns, two_does IN ('take', 'move') FROM open
),
-- records of what was mapped or protected are in the order in which it was done, and so is what a probe saw taken away
instants AS MATERIALIZED (
    SELECT parties.capture, tid, parties.call_ns, takes, min(cause_ns) AS ns
    FROM parties
    JOIN timeline ON parties.capture = timeline.capture AND parties.space = timeline.space AND parties.call_ns = timeline.call_ns AND tid = cause_tid
    WHERE NOT takes AND cause_table = 'vmas'
    GROUP BY ALL
    UNION ALL
    SELECT parties.capture, parties.tid, call_ns, takes, min(ts_ns)
    FROM (FROM hooks WHERE hook = 'unmap' AND errno IS NULL) AS hooks
    ASOF JOIN (FROM parties WHERE takes) AS parties ON parties.capture = hooks.capture AND parties.tid = hooks.tid AND ts_ns >= call_ns
    WHERE ts_ns <= exit_ns
    GROUP BY ALL
),
-- the rest was done somewhere between entry and return
placed AS (
    SELECT
        open.*, coalesce(one_instant.ns, one.ts_enter_ns) AS one_from, coalesce(one_instant.ns, one.ts_exit_ns) AS one_to,
        coalesce(two_instant.ns, two.ts_enter_ns) AS two_from, coalesce(two_instant.ns, two.ts_exit_ns) AS two_to
    FROM open
    LEFT JOIN instants AS one_instant ON open.capture = one_instant.capture AND one.tid = one_instant.tid AND one.ts_enter_ns = one_instant.call_ns
        AND (one_does IN ('take', 'move')) = one_instant.takes
    LEFT JOIN instants AS two_instant ON open.capture = two_instant.capture AND two.tid = two_instant.tid AND two.ts_enter_ns = two_instant.call_ns
        AND (two_does IN ('take', 'move')) = two_instant.takes
),
ordered AS (
    SELECT
        *,
        CASE
            WHEN list_has_any(deeds, ['take', 'move']) AND list_has_any(deeds, ['protect', 'permute']) OR (list_contains(deeds, 'take') AND list_contains(deeds, 'move')) THEN
                -- these need their pages, and fail where they are gone
                CASE
                    WHEN one_does IN ('protect', 'permute') OR (one_does = 'move' AND two_does = 'take') THEN if(one.errno = 0, 'one', 'two')
                    ELSE if(two.errno = 0, 'two', 'one')
                END
            WHEN one.errno <> 0 OR two.errno <> 0 THEN NULL
            WHEN one_to < two_from THEN 'one'
            WHEN two_to < one_from THEN 'two'
        END AS first
    FROM placed
),
-- what the earlier of two leaves if the later one is the second
effects(does, last) AS (
    VALUES ('take', 'nothing is mapped there'), ('give', 'its mapping stands there'), ('choose', 'its mapping stands there'), ('protect', 'its protection holds'),
        ('permute', 'its order of pages holds'), ('drop', 'the contents are gone'), ('move', 'what is there then is moved away')
),
told AS MATERIALIZED (
    SELECT
        ordered.*, one_error.error AS one_error, two_error.error AS two_error,
        CASE
            -- an order in which one of them fails
            WHEN list_has_any(deeds, ['take', 'move']) AND list_has_any(deeds, ['protect', 'permute']) OR (list_contains(deeds, 'take') AND list_contains(deeds, 'move'))
                THEN if(one_does IN ('protect', 'permute') OR (one_does = 'move' AND two_does = 'take'), one.syscall, two.syscall)
        END AS needy
    FROM ordered
    LEFT JOIN error_names AS one_error ON one.errno = one_error.errno
    LEFT JOIN error_names AS two_error ON two.errno = two_error.errno
),
spoken AS (
    SELECT
        told.*, CASE first WHEN 'one' THEN one.syscall WHEN 'two' THEN two.syscall END AS first_call,
        if(one.syscall = two.syscall, 'the first ' || one.syscall, one.syscall) AS one_name,
        if(one.syscall = two.syscall, 'the other ' || two.syscall, two.syscall) AS two_name,
        if(needy IS NOT NULL AND needy = two.syscall, needy || ' fails', two_name || ' is last: ' || two_effect.last) AS one_then_two,
        if(needy IS NOT NULL AND needy = one.syscall, needy || ' fails', one_name || ' is last: ' || one_effect.last) AS two_then_one
    FROM told
    JOIN effects AS one_effect ON one_does = one_effect.does
    JOIN effects AS two_effect ON two_does = two_effect.does
),
-- one look for both parties: two joins with the calls are ordered badly
who AS MATERIALIZED (
    SELECT capture, ts_enter_ns, tid, comm, stack_id
    FROM syscalls
    WHERE (capture, ts_enter_ns, tid) IN (
        SELECT (capture, one.ts_enter_ns, one.tid) FROM open UNION ALL SELECT (capture, two.ts_enter_ns, two.tid) FROM open
    )
),
-- the file that an fd named at entry, and the one that was mapped
mapped AS MATERIALIZED (
    SELECT
        calls.*, timeline.space, timeline.dev, timeline.inode, timeline.generation, timeline.path, timeline.path_bytes, timeline.offset_bytes AS mapped_offset,
        timeline.start, timeline."end", timeline.cause_ns, timeline.reason
    FROM (
        SELECT capture, host, pid, tid, ts_enter_ns, ts_exit_ns, fd, fd_dev, fd_inode, fd_generation, fd_size_bytes
        FROM syscalls WHERE syscall = 'mmap' AND flags & 32 = 0 AND fd_inode IS NOT NULL AND errno = 0
    ) AS calls
    JOIN timeline ON calls.capture = timeline.capture AND calls.ts_enter_ns = timeline.call_ns AND calls.tid = timeline.cause_tid
    WHERE timeline.cause = 'mmap' AND timeline.cause_table = 'vmas'
    QUALIFY row_number() OVER (PARTITION BY calls.capture, ts_enter_ns, calls.tid ORDER BY timeline.start, timeline.from_ns) = 1
),
-- file systems whose files are mapped as themselves; overlays and devices map another
straight AS (
    SELECT DISTINCT capture, dev FROM mapped WHERE dev = fd_dev AND inode = fd_inode
),
swapped AS (
    SELECT mapped.*
    FROM mapped
    WHERE inode <> fd_inode AND inode <> 0 AND (dev = fd_dev OR (
        (capture, fd_dev) IN (SELECT (capture, dev) FROM straight) AND fd_size_bytes > 0 AND (path NOT LIKE '/dev/%' OR path LIKE '/dev/shm/%')
    ))
)
SELECT
    spoken.capture, one.host AS host, 'medium' AS severity, NULL::VARCHAR AS expected,
    if(first IS NOT NULL, 'certain', 'possible') AS certainty,
    if(first IS NOT NULL, NULL, 'the order of ' || one.syscall || ' and ' || two.syscall || ' by two threads at once is not known') AS reason,
    two.ts_enter_ns AS ts_ns, spoken.space AS space, one.pid AS pid, one.tid AS tid, one_call.comm AS comm, one_call.stack_id AS stack_id, one.syscall AS call,
    one.ts_enter_ns AS call_ns, spoken.space AS other_space, two.pid AS other_pid, two.tid AS other_tid, two_call.comm AS other_comm, two_call.stack_id AS other_stack_id,
    two.syscall AS other_call, two.ts_enter_ns AS other_ns, lo AS start, hi AS "end", NULL::UINTEGER AS dev, NULL::UBIGINT AS inode, NULL::UINTEGER AS generation,
    NULL::VARCHAR AS path, NULL::BLOB AS path_bytes, NULL::UBIGINT AS offset_bytes,
    MAP {
        'common_bytes': (hi - lo)::VARCHAR, 'overlap_ns': overlap_ns::VARCHAR, 'first': coalesce(first_call, ''),
        'outcome': coalesce(if(first = 'one', one_then_two, if(first = 'two', two_then_one, NULL)), ''),
        'otherwise': if(first = 'two', one_then_two, two_then_one), 'errors': concat_ws(', ', one_error, two_error), 'fd_file': ''
    } AS facts,
    one.syscall || coalesce(' (failed, ' || one_error || ')', '') || ' by ' || thread_text(one_call.comm, one.pid, one.tid) || ' and ' || two.syscall
        || coalesce(' (failed, ' || two_error || ')', '') || ' by ' || thread_text(two_call.comm, two.pid, two.tid) || ' were under way at once for '
        || span_text(overlap_ns) || ', both on ' || size_text(hi - lo) || ' at ' || range_text(lo, hi) || '; '
        || CASE first
            WHEN 'one' THEN one_name || ' came first, so ' || one_then_two || '; the other way round ' || two_then_one
            WHEN 'two' THEN two_name || ' came first, so ' || two_then_one || '; the other way round ' || one_then_two
            ELSE 'which came first is not known: ' || one_then_two || ', or ' || two_then_one
        END AS sentence
FROM spoken
JOIN who AS one_call ON spoken.capture = one_call.capture AND one.ts_enter_ns = one_call.ts_enter_ns AND one.tid = one_call.tid
JOIN who AS two_call ON spoken.capture = two_call.capture AND two.ts_enter_ns = two_call.ts_enter_ns AND two.tid = two_call.tid
UNION ALL BY NAME
SELECT
    swapped.capture, swapped.host, 'medium' AS severity, if(reason IS NULL, 'certain', 'possible') AS certainty, reason, cause_ns AS ts_ns, space, swapped.pid, swapped.tid,
    comm, stack_id, 'mmap' AS call, swapped.ts_enter_ns AS call_ns, start, "end", swapped.dev, swapped.inode, swapped.generation, swapped.path, swapped.path_bytes,
    mapped_offset AS offset_bytes,
    MAP {
        'common_bytes': ("end" - start)::VARCHAR, 'overlap_ns': (cause_ns - swapped.ts_enter_ns)::VARCHAR, 'first': '',
        'outcome': 'what the fd named when the kernel looked it up is mapped', 'otherwise': 'what it named at entry is mapped', 'errors': '',
        'fd_file': file_text(NULL, swapped.fd_dev, swapped.fd_inode)
    } AS facts,
    'fd ' || swapped.fd || ' was replaced while ' || thread_text(comm, swapped.pid, swapped.tid) || ' mapped it: it named '
        || file_text(NULL, swapped.fd_dev, swapped.fd_inode) || ' at entry of mmap, and ' || file_text(swapped.path, swapped.dev, swapped.inode) || ' was mapped at '
        || range_text(start, "end") AS sentence
FROM swapped
JOIN syscalls ON swapped.capture = syscalls.capture AND swapped.ts_enter_ns = syscalls.ts_enter_ns AND swapped.tid = syscalls.tid
