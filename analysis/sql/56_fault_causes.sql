-- Why did each fault happen: what was mapped at the address then, or had been, and who changed that or the file under it?
-- The timeline is asked for the page that faulted, the record of file sizes for the file behind it. A fault is itself
-- evidence: it tells on which side of a call that was under way the change had come, and how long the file was then. So where
-- no call is known to have cut the file, those that can have are the calls by a path that tells no file any more and that set
-- exactly the size that the kernel saw at the fault, since the file was last known to be longer; the nearest is named first.
-- Cost: reads the timeline once, of address spaces with faults, and what touches pages that faulted. 0.4 s of CPU where nothing
-- faulted, 1 % of the rebuild of 10 million events; 22 us a fault, twice the rebuild where every third record is a fault;
-- 0.1 ms more for a SIGBUS that has suspects, however many they are.
CREATE VIEW fault_causes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- the fault [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- number of the address space (see spaces)
    space,
    -- process that faulted
    pid,
    -- thread that faulted
    tid,
    -- name of that thread; bytes that are not UTF-8 stand as \xNN
    comm,
    -- user stack at the fault (see stacks)
    stack_id,
    -- SIGBUS or SIGSEGV
    signal,
    -- si_code
    code,
    -- the address that faulted; 0 where the kernel does not tell [address]
    address,
    -- truncated, beyond end, within file, no file, hardware, alignment; null pointer, no address, never mapped, unmapped,
    -- moved, replaced, protected, not permitted, not inherited, stack limit, guard, other
    cause,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason,
    -- what was done to the page: write, execute or access
    access,
    -- first byte of the mapping that the page lies in, or lay in last; null where there was none [address]
    start,
    -- first byte past it [address]
    "end",
    -- its permissions
    perms,
    -- when it was mapped [ns, CLOCK_MONOTONIC]
    mapped_ns,
    -- its device, major << 20 | minor
    dev,
    -- its inode number, 0 for memory without a file
    inode,
    -- its inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- its path; bytes that are not UTF-8 stand as \xNN
    path,
    -- its path, newlines as \012 [bytes]
    path_bytes,
    -- offset in the file of the address [bytes]
    offset_bytes,
    -- SIGBUS: size of the file at the fault, or, where that was not recorded, when it was last seen before [bytes]
    size_bytes,
    -- when that was [ns, CLOCK_MONOTONIC]
    size_ns,
    -- process that caused it; null where nobody did, or it is not known
    by_pid,
    -- its thread
    by_tid,
    -- name of that thread; bytes that are not UTF-8 stand as \xNN
    by_comm,
    -- user stack of its call (see stacks)
    by_stack_id,
    -- its call, or what else it was
    by_call,
    -- entry of its call; without a call the time of the event [ns, CLOCK_MONOTONIC]
    by_ns,
    -- its truncation: size before [bytes]
    old_size_bytes,
    -- its truncation: size after [bytes]
    new_size_bytes,
    -- its truncation: path as its caller gave it, null for a call by fd
    by_path,
    -- its truncation: whether only the size that it set tells that it can have been this file
    by_size,
    -- calls by a path that tells no file for certain, and that set the size that the kernel saw at the fault, nearest first, at
    -- most eight: each with pid, tid, comm, stack_id, call, ns (its entry), path, doubt and more. The first is that of by_pid
    -- where by_size, else they came after that
    suspects,
    -- how many they are
    suspect_count,
    -- what became of the process: killed, ended, handled or open (see fault_outcomes)
    outcome,
    -- when it ended [ns, CLOCK_MONOTONIC]
    ended_ns,
    -- how, as wait(2) tells it
    exit_status,
    -- all of that in a sentence
    sentence
) AS
WITH RECURSIVE
hits AS MATERIALIZED (
    SELECT
        row_number() OVER () AS hit, faults.capture, faults.host, ts_ns, faults.pid, tid, comm, stack_id, signal, code, address, ip,
        file_size_bytes AS exact_size, file_generation,
        if(ts_ns < coalesce(uses.to_ns, 18446744073709551615), space, NULL) AS space,
        -- general protection, and what comes without an address
        if(code = 128, NULL, address >> 12) AS page
    FROM faults
    ASOF LEFT JOIN uses ON faults.capture = uses.capture AND faults.pid = uses.pid AND faults.ts_ns >= uses.from_ns
),
missing AS MATERIALIZED (
    SELECT DISTINCT hits.capture, hits.space, page, parent, began, from_ns
    FROM hits JOIN spaces ON hits.capture = spaces.capture AND hits.space = spaces.space
    WHERE signal = 'SIGSEGV' AND code = 1
),
-- beside the pages that faulted: the same in the parent, from which a fork leaves out what MADV_DONTFORK says, and the stack's
wanted AS MATERIALIZED (
    SELECT *, row_number() OVER (ORDER BY capture, space, page) AS number
    FROM (
        SELECT capture, space, page FROM hits WHERE space IS NOT NULL AND page IS NOT NULL
        UNION SELECT capture, parent, page FROM missing WHERE began = 'fork' AND parent IS NOT NULL
        UNION SELECT capture, space, address >> 12 FROM marks SEMI JOIN missing USING (capture, space) WHERE mark = 'start_stack'
    )
),
-- every rectangle that ever lay over such a page. Two ASOF joins find the first and the last page in it
spread AS (
    SELECT timeline.*, unnest(range(low.number, high.number + 1)) AS number
    FROM (
        SELECT
            capture, space, start, "end", from_ns, to_ns, perms, dev, inode, offset_bytes, cause, cause_ns, cause_tid, call_ns, end_call_ns
        FROM timeline SEMI JOIN wanted USING (capture, space)
    ) AS timeline
    ASOF JOIN wanted AS low ON timeline.capture = low.capture AND timeline.space = low.space AND timeline.start >> 12 <= low.page
    ASOF JOIN wanted AS high ON timeline.capture = high.capture AND timeline.space = high.space AND (timeline."end" - 1) >> 12 >= high.page
    WHERE low.number <= high.number
),
turns AS (
    SELECT
        *, row_number() OVER passed AS turn, lag(to_ns) OVER passed AS before_to,
        -- only its permissions changed, or only how certain it is
        coalesce(
            from_ns = lag(to_ns) OVER passed AND dev = lag(dev) OVER passed AND inode = lag(inode) OVER passed
                AND (inode = 0 OR in_step(offset_bytes, start, lag(offset_bytes) OVER passed, lag(start) OVER passed))
                AND (
                    (cause = lag(cause) OVER passed AND cause_ns = lag(cause_ns) OVER passed AND cause_tid = lag(cause_tid) OVER passed)
                    OR cause NOT IN ('mmap', 'mremap', 'remap_file_pages', 'shmat', 'fork', 'exec', 'io_setup')
                ),
            false
        ) AS goes_on
    FROM spread
    WINDOW passed AS (PARTITION BY number ORDER BY from_ns)
),
-- what stood on a page in turn: with the turn in which it was mapped, and the last ones before it that permitted something
history AS MATERIALIZED (
    SELECT
        turns.*, max(if(goes_on, NULL, turn)) OVER upto AS mapped_turn,
        max(if(perms[1] = 'r', turn, NULL)) OVER upto AS read_turn,
        max(if(perms[2] = 'w', turn, NULL)) OVER upto AS write_turn,
        max(if(perms[3] = 'x', turn, NULL)) OVER upto AS execute_turn
    FROM turns
    WINDOW upto AS (PARTITION BY number ORDER BY from_ns)
),
-- the mapping at the fault: what began last before it, and what came after that
met AS (
    SELECT
        hits.*, h.turn, coalesce(h.to_ns > ts_ns OR (h.turn IS NOT NULL AND h.to_ns IS NULL), false) AS stands,
        h.perms, ip + 15 >= address AND ip <= address AND ip <> 0 AND h.perms[3] = '-' AS executes,
        h.end_call_ns <= ts_ns AS ending
    FROM (FROM hits LEFT JOIN wanted USING (capture, space, page)) AS hits
    ASOF LEFT JOIN history AS h ON hits.number = h.number AND hits.ts_ns >= h.from_ns
),
-- by the fault's code the mapping was there (2) or was not (1): a change under way had come already, or had not yet
judged AS (
    SELECT
        * EXCLUDE (turn, perms),
        CASE
            WHEN signal = 'SIGSEGV' AND code = 1 AND stands AND NOT coalesce(ending, false) THEN turn - 1
            WHEN signal = 'SIGSEGV' AND code = 2 AND stands AND ending AND NOT executes AND perms[1] = 'r' AND perms[2] = 'w' THEN turn + 1
            ELSE turn
        END AS turn,
        CASE
            WHEN NOT stands THEN NULL
            WHEN signal = 'SIGSEGV' AND code = 1 AND NOT coalesce(ending, false) THEN 'by the timeline something was mapped there'
            WHEN signal = 'SIGSEGV' AND code = 2 AND NOT coalesce(ending, false) AND NOT executes AND perms[1] = 'r' AND perms[2] = 'w'
                THEN 'by the timeline this was permitted'
        END AS against
    FROM met
),
placed AS MATERIALIZED (
    SELECT
        judged.*, h.start, h."end", h.from_ns, h.to_ns, h.perms, h.dev, h.inode, coalesce(file_generation, generation) AS generation, path, path_bytes,
        offset_plus(h.offset_bytes, if(h.inode = 0, 0, address - h.start)) AS offset_bytes,
        h.cause, h.cause_ns, h.cause_tid, h.call_ns, end_cause, end_ns, end_tid, h.end_call_ns, timeline.reason AS why,
        h.mapped_turn,
        CASE WHEN signal = 'SIGBUS' OR code <> 2 THEN 'access' WHEN executes THEN 'execute' WHEN h.perms[1] = 'r' THEN 'write' ELSE 'access' END AS access,
        -- since then it is not permitted
        1 + CASE WHEN executes THEN h.execute_turn WHEN h.perms[1] = 'r' THEN h.write_turn ELSE h.read_turn END AS denied_turn
    FROM judged
    LEFT JOIN history AS h ON judged.number = h.number AND judged.turn = h.turn
    LEFT JOIN timeline ON h.capture = timeline.capture AND h.space = timeline.space AND h.start = timeline.start AND h.from_ns = timeline.from_ns
),
-- who mapped it, and who took the permission
found AS (
    SELECT
        placed.*, m.from_ns AS mapped_ns, m.cause AS mapped_cause, m.cause_ns AS mapped_cause_ns, m.cause_tid AS mapped_tid, m.call_ns AS mapped_call_ns,
        -- nothing lay between it and what it took the place of
        m.from_ns = m.before_to AS put_over,
        d.from_ns AS denied_from_ns, d.cause AS denied_cause, d.cause_ns AS denied_ns, d.cause_tid AS denied_tid, d.call_ns AS denied_call_ns
    FROM placed
    LEFT JOIN history AS m ON placed.number = m.number AND placed.mapped_turn = m.turn
    LEFT JOIN history AS d ON placed.number = d.number AND placed.denied_turn = d.turn
),
-- what a fork gave was mapped by a process before it; the file may have been cut in between
inherited AS (
    SELECT hit, capture, space, address, mapped_ns, mapped_cause, mapped_cause_ns, mapped_tid, mapped_call_ns
    FROM found WHERE signal = 'SIGBUS' AND mapped_cause = 'fork'
    UNION ALL
    SELECT hit, child.capture, parent, address, timeline.from_ns, cause, cause_ns, cause_tid, call_ns
    FROM inherited AS child
    JOIN spaces ON child.capture = spaces.capture AND child.space = spaces.space
    JOIN timeline ON child.capture = timeline.capture AND parent = timeline.space AND start <= address AND "end" > address
        AND timeline.from_ns <= mapped_ns AND coalesce(timeline.to_ns > mapped_ns, true)
    WHERE mapped_cause = 'fork'
),
made AS MATERIALIZED (
    SELECT
        found.* REPLACE (
            coalesce(first.mapped_ns, found.mapped_ns) AS mapped_ns, coalesce(first.mapped_cause, found.mapped_cause) AS mapped_cause,
            coalesce(first.mapped_cause_ns, found.mapped_cause_ns) AS mapped_cause_ns, coalesce(first.mapped_tid, found.mapped_tid) AS mapped_tid,
            if(first.hit IS NULL, found.mapped_call_ns, first.mapped_call_ns) AS mapped_call_ns
        )
    FROM found LEFT JOIN (FROM inherited WHERE mapped_cause <> 'fork') AS first USING (hit)
),
-- a guard lies just below what it guards; who maps a stack for a thread says so
guards AS (
    SELECT hit, bool_or(flags & 131072 <> 0) AS of_stack -- MAP_STACK
    FROM made
    JOIN timeline AS above ON made.capture = above.capture AND made.space = above.space AND made."end" = above.start
        AND above.from_ns <= ts_ns AND ts_ns < coalesce(above.to_ns, 18446744073709551615)
    LEFT JOIN syscalls ON made.capture = syscalls.capture AND mapped_call_ns = ts_enter_ns AND mapped_tid = syscalls.tid
    WHERE signal = 'SIGSEGV' AND code = 2 AND starts_with(made.perms, '---') AND made.inode = 0 AND denied_turn IS NULL
        AND starts_with(above.perms, 'rw') AND above.inode = 0
    GROUP BY hit
),
-- where nothing ever was mapped: what the parent had there at the fork
nowhere AS (
    SELECT
        placed.*, missing.from_ns AS fork_ns,
        if(coalesce(before.to_ns > missing.from_ns, true), before.space, NULL) AS parent_space, before.from_ns AS parent_from, before.start AS parent_start
    FROM (FROM placed WHERE signal = 'SIGSEGV' AND code = 1 AND start IS NULL) AS placed
    JOIN missing ON placed.capture = missing.capture AND placed.space = missing.space AND placed.page = missing.page
    LEFT JOIN wanted ON placed.capture = wanted.capture AND missing.parent = wanted.space AND placed.page = wanted.page
    ASOF LEFT JOIN history AS before ON wanted.number = before.number AND missing.from_ns >= before.from_ns
),
-- and the stack, where it lies above without a gap: stacks grow to 8 MiB by default
stacks_above AS (
    SELECT hit, min(parts.start) AS stack_start, any_value(top."end") AS stack_end
    FROM nowhere
    JOIN marks ON nowhere.capture = marks.capture AND nowhere.space = marks.space AND mark = 'start_stack'
        AND nowhere.address < marks.address AND marks.address - nowhere.address < 1073741824
    JOIN wanted ON nowhere.capture = wanted.capture AND nowhere.space = wanted.space AND marks.address >> 12 = wanted.page
    JOIN history AS top ON wanted.number = top.number AND top.from_ns <= ts_ns AND ts_ns < coalesce(top.to_ns, 18446744073709551615)
    JOIN timeline AS parts ON nowhere.capture = parts.capture AND nowhere.space = parts.space
        AND parts.start > nowhere.address AND parts."end" <= top."end"
        AND parts.from_ns <= ts_ns AND ts_ns < coalesce(parts.to_ns, 18446744073709551615)
    GROUP BY hit
    HAVING sum(parts."end" - parts.start) = any_value(top."end") - min(parts.start) AND bool_and(parts.inode = 0)
),
left_out AS (
    SELECT
        hit, max(ts_enter_ns) AS call_ns, arg_max(syscalls.tid, ts_enter_ns) AS tid, any_value(kept.start) AS start,
        any_value(kept."end") AS "end", any_value(kept.perms) AS perms, any_value(kept.dev) AS dev,
        any_value(kept.inode) AS inode, any_value(kept.path) AS path, any_value(kept.from_ns) AS mapped_ns
    FROM nowhere
    JOIN timeline AS kept ON nowhere.capture = kept.capture AND parent_space = kept.space AND parent_start = kept.start AND parent_from = kept.from_ns
    JOIN spaces ON nowhere.capture = spaces.capture AND parent_space = spaces.space
    LEFT JOIN syscalls ON nowhere.capture = syscalls.capture AND spaces.pid = syscalls.pid AND syscall = 'madvise' AND op = 10 AND errno = 0
        AND nowhere.address >= addr AND nowhere.address - addr < page_up(size) AND ts_exit_ns <= fork_ns
    GROUP BY hit
),
-- files that did not have the page, or could not give it
sizes AS MATERIALIZED (
    SELECT capture, dev, inode, generation, ts_ns AS ns, size_bytes AS size, source, certainty
    FROM file_sizes SEMI JOIN (FROM placed WHERE signal = 'SIGBUS' AND code = 2 AND inode <> 0) AS bad USING (capture, dev, inode)
),
bad AS (
    SELECT
        made.*, made.offset_bytes & ~4095::UBIGINT AS page_bytes
    FROM made WHERE signal = 'SIGBUS' AND code = 2 AND inode <> 0
),
seen AS (
    SELECT
        bad.hit, any_value(bad.capture) AS capture, any_value(bad.dev) AS dev, any_value(bad.inode) AS inode, any_value(bad.generation) AS generation,
        any_value(page_bytes) AS page_bytes, any_value(ts_ns) AS ts_ns, any_value(exact_size) AS exact_size,
        any_value(mapped_ns) AS mapped_ns, any_value(mapped_call_ns) AS mapped_call_ns, any_value(path) AS path,
        arg_max(size, ns) FILTER (ns <= ts_ns) AS size_bytes, max(ns) FILTER (ns <= ts_ns) AS size_ns,
        arg_max(sizes.certainty, ns) FILTER (ns <= ts_ns) AS size_certainty,
        max(ns) FILTER (ns <= ts_ns AND size > page_bytes) AS enough_ns,
        arg_min(size, ns) FILTER (ns > ts_ns AND source <> 'after') AS later_size, min(ns) FILTER (ns > ts_ns AND source <> 'after') AS later_ns
    FROM bad
    LEFT JOIN sizes ON bad.capture = sizes.capture AND bad.dev = sizes.dev AND bad.inode = sizes.inode
        AND coalesce(bad.generation = sizes.generation, true)
    GROUP BY bad.hit
),
-- the first call after which the file was too short, and stayed so as far as calls tell
cuts AS (
    SELECT
        hit, any_value(seen.capture) AS capture, any_value(ts_ns) AS ts_ns, any_value(exact_size) AS exact_size, any_value(path) AS path,
        any_value(mapped_ns) AS mapped_ns, any_value(mapped_call_ns) AS mapped_call_ns,
        coalesce(any_value(exact_size), any_value(size_bytes)) AS size_bytes, if(any_value(exact_size) IS NULL, any_value(size_ns), any_value(ts_ns)) AS size_ns,
        any_value(size_bytes) AS seen_size, any_value(size_certainty) AS size_certainty, any_value(page_bytes) AS page_bytes,
        any_value(enough_ns) AS enough_ns, any_value(later_size) AS later_size, count(files.tid) AS candidates,
        -- the page was there since the file was mapped
        coalesce(any_value(enough_ns) >= any_value(mapped_ns) OR any_value(enough_ns) >= any_value(mapped_call_ns), false) AS was_long,
        bool_or(new_size_bytes = exact_size) AS explained,
        arg_min({'pid': files.pid, 'tid': files.tid, 'comm': files.comm, 'stack_id': files.stack_id, 'call': operation, 'ns': ts_enter_ns, 'to_ns': ts_exit_ns,
            'old': old_size_bytes, 'new': new_size_bytes, 'path': path_given, 'identity': identity, 'doubt': doubt}, ts_exit_ns) AS cut,
        -- another file can have had that path
        coalesce(arg_min(identity = 'mapping' AND NOT sole, ts_exit_ns), false) AS weak
    FROM seen
    LEFT JOIN (
        -- a file that only its mappings tell is taken where no call is known to have cut it
        SELECT seen.hit, changes.*, bool_or(identity <> 'mapping') OVER (PARTITION BY seen.hit) AS known
        FROM seen
        JOIN file_changes AS changes ON seen.capture = changes.capture AND seen.dev = changes.dev AND seen.inode = changes.inode
            AND coalesce(seen.generation = changes.generation, true)
            AND new_size_bytes <= page_bytes AND coalesce(old_size_bytes > page_bytes, true)
            AND (identity <> 'mapping' OR coalesce(new_size_bytes = exact_size, true))
            AND ts_enter_ns <= ts_ns AND ts_exit_ns > coalesce(enough_ns, 0)
        QUALIFY identity <> 'mapping' OR NOT known
    ) AS files USING (hit)
    GROUP BY hit
),
valid AS (
    SELECT
        * REPLACE (
            if(
                -- a truncation before the file was mapped did not take the page from the mapping; one under way at the fault can have
                cut.to_ns > mapped_ns AND (size_bytes <= page_bytes OR size_bytes IS NULL OR (exact_size IS NULL AND cut.to_ns > ts_ns))
                    -- what was too short when it was mapped needs nobody who cut it: a guess at the file makes none
                    AND (cut.identity <> 'mapping' OR was_long OR seen_size IS NULL),
                cut, NULL
            ) AS cut
        )
    FROM cuts
),
decided AS MATERIALIZED (
    SELECT
        * REPLACE (weak AND cut IS NOT NULL AND exact_size IS NOT NULL AS weak),
        -- what a call must have set to be a suspect. One that is known to have set what the kernel saw leaves no room for others
        CASE
            WHEN cut IS NULL OR NOT explained THEN exact_size
            WHEN cut.doubt IS NOT NULL THEN cut.new
        END AS suspect_size,
        -- and when it must have returned later than
        greatest(coalesce(enough_ns, 0), mapped_ns, if(weak AND exact_size IS NOT NULL, 0, coalesce(cut.to_ns, 0))) AS suspect_after
    FROM valid
),
-- calls whose path tells no file, or told it only afterwards, in the order of their entries; and how many of that size had
-- entered, and had returned, by then
untold AS MATERIALIZED (
    SELECT
        *, row_number() OVER entered AS number, count(*) OVER entered_by AS entered, count(*) OVER returned_by AS returned
    FROM file_calls
    WHERE errno = 0 AND coalesce(identity = 'path', true) AND new_size_bytes IN (SELECT suspect_size FROM decided)
    WINDOW
        entered AS (PARTITION BY capture, new_size_bytes ORDER BY ts_enter_ns, ts_exit_ns, tid),
        entered_by AS (PARTITION BY capture, new_size_bytes ORDER BY ts_enter_ns),
        returned_by AS (PARTITION BY capture, new_size_bytes ORDER BY ts_exit_ns)
),
-- how many entered before the fault and had not returned too early: two lookups, however many there are
between_them AS (
    SELECT
        hit, decided.capture, suspect_size, suspect_after, path, upto.entered, upto.entered - coalesce(before.returned, 0) AS number
    FROM (FROM decided WHERE suspect_size <= page_bytes) AS decided
    ASOF JOIN untold AS upto ON decided.capture = upto.capture AND suspect_size = upto.new_size_bytes AND ts_ns >= upto.ts_enter_ns
    ASOF LEFT JOIN untold AS before
        ON decided.capture = before.capture AND suspect_size = before.new_size_bytes AND suspect_after >= before.ts_exit_ns
),
suspected AS (
    SELECT
        hit, any_value(near.number) AS number,
        list({
            'pid': calls.pid, 'tid': calls.tid, 'comm': calls.comm, 'stack_id': calls.stack_id, 'call': operation, 'ns': ts_enter_ns,
            'to_ns': ts_exit_ns, 'old': old_size_bytes, 'new': new_size_bytes, 'path': path_given, 'identity': identity,
            'doubt': CASE
                WHEN path_given IS NULL THEN 'the file of the call is not recorded'
                WHEN identity = 'path' THEN 'the path of the call led to another file afterwards'
                ELSE 'the file of the call could not be told by its path afterwards'
            END || if(NOT starts_with(path_given, '/') AND suffix(path, '/' || plain_path(path_given)), ', though the path of this one ends in it', '')
                || if(plain_path(path_given) = path, ', though this one was mapped by it', '')
        } ORDER BY calls.number DESC) AS suspects
    FROM (
        SELECT *, unnest(range(greatest(entered - 8, 0) + 1, entered + 1)) AS nth FROM between_them WHERE number > 0
    ) AS near
    JOIN untold AS calls ON near.capture = calls.capture AND suspect_size = new_size_bytes AND nth = calls.number AND ts_exit_ns > suspect_after
    GROUP BY hit
),
counted AS (
    SELECT
        decided.*, suspects,
        -- what only a path tells that another file can have had is one of those of its size
        if(weak AND number = 1, 0, coalesce(number, 0)) AS suspect_count,
        coalesce(if(weak, number > 1, cut IS NULL AND number > 0 AND (was_long OR seen_size IS NULL)), false) AS by_size
    FROM decided LEFT JOIN suspected USING (hit)
),
weighed AS (
    SELECT
        hit, size_bytes, size_ns, seen_size, size_certainty, page_bytes, enough_ns, later_size, candidates, was_long, suspects, suspect_count, by_size,
        CASE
            WHEN suspect_count = 0 OR (cut IS NULL AND NOT by_size) THEN cut
            WHEN by_size THEN struct_update(suspects[1], doubt := suspects[1].doubt || '; it ' || if(suspect_count > 1,
                'is one of ' || suspect_count || ' calls that set', 'set') || ' the size that the kernel saw at the fault')
            WHEN explained OR exact_size IS NULL
                THEN struct_update(cut, doubt := cut.doubt || '; it is one of ' || (suspect_count + 1) || ' calls that set that size')
            ELSE struct_update(cut, doubt := coalesce(cut.doubt || '; ', '') || if(suspect_count = 1, 'a later call', suspect_count || ' later calls')
                || ' by path, whose file is not certain, set the size that the kernel saw at the fault')
        END AS cut
    FROM counted
),
told AS (
    SELECT
        made.*, guards.hit IS NOT NULL AS guarded, of_stack, stack_start, stack_end,
        left_out.hit IS NOT NULL AS not_copied, left_out.call_ns AS kept_call_ns, left_out.tid AS kept_tid,
        left_out.start AS kept_start, left_out."end" AS kept_end, left_out.perms AS kept_perms, left_out.path AS kept_path,
        left_out.dev AS kept_dev, left_out.inode AS kept_inode, left_out.mapped_ns AS kept_mapped_ns,
        weighed.* EXCLUDE (hit)
    FROM made LEFT JOIN guards USING (hit) LEFT JOIN stacks_above USING (hit) LEFT JOIN left_out USING (hit) LEFT JOIN weighed USING (hit)
),
named AS (
    SELECT
        *,
        CASE
            WHEN signal = 'SIGBUS' THEN CASE
                WHEN code IN (4, 5) THEN 'hardware'
                WHEN code = 1 THEN 'alignment'
                WHEN code <> 2 OR start IS NULL OR NOT stands THEN 'other'
                WHEN inode = 0 THEN 'no file'
                WHEN cut IS NOT NULL OR (was_long AND size_bytes <= page_bytes) THEN 'truncated'
                WHEN size_bytes <= page_bytes THEN 'beyond end'
                ELSE 'within file'
            END
            WHEN code = 128 THEN 'no address'
            WHEN code = 1 THEN CASE
                -- vm.mmap_min_addr is 64 KiB wherever it was not changed
                WHEN address < 65536 AND start IS NULL THEN 'null pointer'
                WHEN start IS NOT NULL AND end_cause = 'mremap' THEN 'moved'
                WHEN start IS NOT NULL THEN 'unmapped'
                -- the kernel grows a stack when what lies next above is one: here it refused
                WHEN stack_start - address <= 1048576 THEN 'stack limit'
                WHEN not_copied THEN 'not inherited'
                ELSE 'never mapped'
            END
            WHEN code = 2 AND start IS NOT NULL THEN CASE
                WHEN guarded THEN 'guard'
                WHEN denied_turn > mapped_turn AND denied_from_ns IS NOT NULL THEN 'protected'
                WHEN denied_turn = mapped_turn AND put_over THEN 'replaced'
                ELSE 'not permitted'
            END
            ELSE 'other'
        END AS what
    FROM told
),
-- whose call it was
blamed AS (
    SELECT
        *,
        CASE what
            WHEN 'beyond end' THEN mapped_call_ns WHEN 'not permitted' THEN mapped_call_ns WHEN 'replaced' THEN mapped_call_ns
            WHEN 'unmapped' THEN end_call_ns WHEN 'moved' THEN end_call_ns WHEN 'protected' THEN denied_call_ns WHEN 'not inherited' THEN kept_call_ns
        END AS culprit_call_ns,
        CASE what
            WHEN 'beyond end' THEN mapped_tid WHEN 'not permitted' THEN mapped_tid WHEN 'replaced' THEN mapped_tid
            WHEN 'unmapped' THEN end_tid WHEN 'moved' THEN end_tid WHEN 'protected' THEN denied_tid WHEN 'not inherited' THEN kept_tid
        END AS culprit_tid,
        CASE what
            WHEN 'beyond end' THEN mapped_cause WHEN 'not permitted' THEN mapped_cause WHEN 'replaced' THEN mapped_cause
            WHEN 'unmapped' THEN end_cause WHEN 'moved' THEN end_cause WHEN 'protected' THEN denied_cause WHEN 'not inherited' THEN 'madvise'
        END AS culprit_cause,
        CASE what
            WHEN 'beyond end' THEN mapped_cause_ns WHEN 'not permitted' THEN mapped_cause_ns WHEN 'replaced' THEN mapped_cause_ns
            WHEN 'unmapped' THEN end_ns WHEN 'moved' THEN end_ns WHEN 'protected' THEN denied_ns
        END AS culprit_ns,
        -- when it took effect, which is the time that the timeline shows
        CASE what
            WHEN 'beyond end' THEN mapped_ns WHEN 'not permitted' THEN mapped_ns WHEN 'replaced' THEN mapped_ns
            WHEN 'unmapped' THEN to_ns WHEN 'moved' THEN to_ns WHEN 'protected' THEN denied_from_ns
        END AS effect_ns
    FROM named
),
-- where nothing is mapped there is no rectangle to say what is only possible
doubted AS (
    SELECT hit, any_value(doubts.reason) AS reason
    FROM named JOIN doubts ON named.capture = doubts.capture AND named.space = doubts.space
        AND address >= doubts.start AND address < doubts."end" AND ts_ns >= coalesce(named.to_ns, doubts.from_ns)
        AND doubts.from_ns <= ts_ns AND coalesce(doubts.to_ns, 18446744073709551615) > coalesce(named.to_ns, 0)
        AND (named.to_ns IS NOT NULL OR coalesce(doubts.to_ns, 18446744073709551615) > ts_ns)
    WHERE signal = 'SIGSEGV' AND code = 1
    GROUP BY hit
),
lost AS (
    SELECT hit, any_value(format('{} records of files were lost ({})', coalesce(count::VARCHAR, 'some'), losses.cause)) AS reason
    FROM named JOIN losses ON named.capture = losses.capture AND losses.source IN ('files', 'writer')
        AND losses.from_ns <= ts_ns AND losses.to_ns >= coalesce(enough_ns, mapped_ns)
    WHERE signal = 'SIGBUS' AND (exact_size IS NULL OR what <> 'within file')
    GROUP BY hit
),
reasoned AS (
    SELECT
        blamed.* REPLACE (
            -- what a call of mremap cut off, or cleared for something else, is nowhere now
            if(what = 'moved' AND mremap_did(page_down(address), addr, size, new_size) IS DISTINCT FROM 'moved', 'unmapped', what) AS what
        ),
        if(what = 'moved' AND mremap_did(page_down(address), addr, size, new_size) = 'cut off', mremap_cut_text(addr, size, new_size, ret, errno), NULL)
            AS cut_off,
        syscalls.pid AS call_pid, syscalls.comm AS call_comm, syscalls.stack_id AS call_stack, syscalls.syscall AS call_name,
        CASE
            WHEN blamed.space IS NULL THEN 'the address space of the process is not known then'
            WHEN against IS NOT NULL THEN against
            WHEN what IN ('hardware', 'alignment', 'null pointer', 'no address') THEN NULL
            WHEN why IS NOT NULL THEN why
            WHEN doubted.reason IS NOT NULL THEN doubted.reason
            WHEN lost.reason IS NOT NULL THEN lost.reason
            WHEN what = 'other' THEN 'what the kernel means by it is not known'
            WHEN what = 'guard' AND NOT coalesce(of_stack, false) THEN 'what the mapping above is used for is not recorded'
            WHEN what = 'not inherited' AND kept_call_ns IS NULL THEN 'why the fork left it out was not recorded'
            WHEN what = 'within file' AND size_bytes IS NULL THEN 'how long the file was is not recorded'
            WHEN what = 'truncated' AND cut IS NULL THEN 'the call that truncated it was not recorded, or its file could not be looked up by path'
            WHEN what = 'truncated' AND cut.doubt IS NOT NULL THEN cut.doubt
            WHEN what = 'truncated' AND candidates > 1 THEN 'several calls truncated it, and how long it was before each is not recorded'
            WHEN what = 'beyond end' AND suspect_count > 0 AND cut IS NULL
                THEN 'the file can have grown since it was mapped: a call by path, whose file is not certain, set the size that the kernel saw'
            WHEN what = 'beyond end' AND seen_size IS NULL THEN 'how long the file was when it was mapped is not recorded'
            WHEN exact_size IS NOT NULL THEN NULL
            WHEN what IN ('truncated', 'beyond end', 'within file') AND size_certainty <> 'certain' THEN 'the file was looked up by its path, after the call'
            -- between calls that shorten it a file only grows: what is too short later was too short at the fault
            WHEN what IN ('truncated', 'beyond end') AND later_size > page_bytes THEN 'the file was long enough again later, and writes are not recorded'
            WHEN what IN ('truncated', 'beyond end') AND later_size IS NULL
                THEN 'writes are not recorded, and one could have lengthened the file before the fault'
        END AS doubt
    FROM blamed
    LEFT JOIN doubted USING (hit)
    LEFT JOIN lost USING (hit)
    LEFT JOIN syscalls ON blamed.capture = syscalls.capture AND culprit_call_ns = ts_enter_ns AND culprit_tid = syscalls.tid
),
answers AS (
    SELECT
        capture, reasoned.host, ts_ns, space, pid, tid, comm, stack_id, signal, code, address,
        what AS cause, if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason, access,
        coalesce(start, kept_start) AS start, coalesce("end", kept_end) AS "end", coalesce(perms, kept_perms) AS perms,
        coalesce(mapped_ns, kept_mapped_ns) AS mapped_ns, coalesce(dev, kept_dev) AS dev, coalesce(inode, kept_inode) AS inode, generation,
        coalesce(path, kept_path) AS path, path_bytes, offset_bytes, size_bytes, size_ns, seen_size,
        -- what stood before the recording, or came of no call, nobody is blamed for
        CASE WHEN what = 'truncated' THEN cut.pid ELSE coalesce(call_pid, if(culprit_call_ns IS NOT NULL, pid, NULL)) END AS by_pid,
        if(what = 'truncated', cut.tid, if(culprit_call_ns IS NOT NULL, culprit_tid, NULL)) AS by_tid,
        if(what = 'truncated', cut.comm, call_comm) AS by_comm, if(what = 'truncated', cut.stack_id, call_stack) AS by_stack_id,
        if(what = 'truncated', cut.call, coalesce(call_name, culprit_cause)) AS by_call,
        if(what = 'truncated', cut.ns, coalesce(culprit_call_ns, culprit_ns)) AS by_ns,
        if(what = 'truncated', cut.old, NULL) AS old_size_bytes, if(what = 'truncated', cut.new, NULL) AS new_size_bytes,
        if(what = 'truncated', cut.path, NULL) AS by_path, coalesce(what = 'truncated' AND by_size, false) AS by_size, was_long,
        if(what = 'truncated' AND suspect_count > 0, suspects, []) AS suspects, if(what = 'truncated', suspect_count, 0) AS suspect_count,
        if(effect_ns <= ts_ns, effect_ns, NULL) AS effect_ns, outcome, ended_ns, exit_status, stack_start, stack_end, page_bytes, cut_off
    FROM reasoned JOIN fault_outcomes USING (capture, ts_ns, pid, tid)
),
worded AS (
    SELECT
        *,
        if(coalesce(inode, 0) <> 0 OR coalesce(path, '') <> '', file_text(path, dev, inode), 'memory') AS thing,
        CASE
            WHEN by_pid IS NULL THEN NULL
            WHEN by_pid = pid AND by_tid = tid THEN 'the same thread'
            ELSE thread_text(by_comm, by_pid, by_tid)
        END AS by_whom,
        span_text(ts_ns - coalesce(effect_ns, least(by_ns, ts_ns))) || ' before' AS ago,
        CASE access WHEN 'write' THEN 'is not to be written' WHEN 'execute' THEN 'is not to be executed' ELSE 'is not accessible' END AS refusal,
        -- a reading of the maps shows what calls that were not recorded had done until then
        if(by_call IN ('not seen', 'resync'), 'a call that was not recorded', coalesce(by_whom, 'it')) AS actor,
        -- others that can have set that size: two are told
        array_to_string(list_transform(suspects[if(by_size, 2, 1):if(by_size, 3, 2)], lambda s: format('; {} had cut {} to {} by {} {} before',
            thread_text(s.comm, s.pid, s.tid), coalesce(s.path, 'a file'), size_text(s.new), s.call, span_text(ts_ns - s.ns))), '')
            || if(suspect_count > if(by_size, 3, 2), format('; so had {} more', suspect_count - if(by_size, 3, 2)), '') AS others,
        CASE by_call WHEN 'not seen' THEN ago WHEN 'resync' THEN 'at least ' || ago ELSE format('by {} {}', by_call, ago) END AS deed
    FROM answers
)
SELECT
    capture, host, ts_ns, space, pid, tid, comm, stack_id, signal, code, address, cause, certainty, reason, access, start, "end", perms,
    mapped_ns, dev, inode, generation, path, path_bytes, offset_bytes, size_bytes, size_ns, by_pid, by_tid, by_comm, by_stack_id, by_call, by_ns,
    old_size_bytes, new_size_bytes, by_path, by_size, suspects, suspect_count, outcome, ended_ns, exit_status,
    thread_text(comm, pid, tid) || CASE
        WHEN outcome = 'killed' THEN format(' was killed by {} at {}', signal, address_text(address))
        ELSE format(' took {} at {}', signal, address_text(address)) || CASE
            WHEN outcome = 'handled' THEN ' and went on'
            WHEN outcome = 'open' THEN ', and what became of it is not recorded'
            ELSE format(', and its process {} {} later', CASE
                WHEN exit_status IS NULL THEN 'ended'
                WHEN exit_status & 127 <> 0 THEN 'was killed by signal ' || (exit_status & 127)
                ELSE 'exited with status ' || (exit_status >> 8)
            END, span_text(ended_ns - ts_ns))
        END
    END || ': ' || CASE cause
        WHEN 'truncated' THEN if(by_ns IS NULL OR by_size,
            format('offset {} of {} lies beyond its end, at {}', address_text(offset_bytes), thing, size_text(size_bytes))
                || if(was_long, ', and it was longer once mapped', '')
                || if(by_size, format('; {} had cut {} to that size by {} {}', by_whom, coalesce(by_path, 'a file'), by_call, ago), ''),
            format('offset {} of {} was beyond its end; {} had cut the file{} to {} by {} {}', address_text(offset_bytes), thing, by_whom,
                coalesce(' from ' || size_text(old_size_bytes), ''), size_text(new_size_bytes), by_call, ago)) || others
        WHEN 'beyond end' THEN format(if(seen_size IS NULL, 'offset {} of {} lies beyond its end, at {}; {}', 'offset {} of {} was never in the file, {} long; {}'),
            address_text(offset_bytes), thing, size_text(size_bytes), CASE
                WHEN by_whom IS NOT NULL THEN format('{} had mapped {} of it by {} {}', by_whom, size_text("end" - start), by_call, ago)
                WHEN by_call IN ('not seen', 'resync') THEN 'the call that mapped it was not recorded'
                WHEN by_call = 'baseline' THEN 'it was mapped before the recording'
                ELSE 'it was mapped by ' || by_call
            END)
        WHEN 'within file' THEN if(size_bytes IS NULL,
            format('offset {} of {} could not be had: it is beyond the end of the file, or its page could not be read or found no room',
                address_text(offset_bytes), thing),
            format('offset {} of {} lies within the file, {} long, so this is no truncation: its page found no room ({}), or could not be read',
                address_text(offset_bytes), thing, size_text(size_bytes),
                if(contains(path, 'hugepage'), 'no huge page was free', 'the file system is full, or a quota is reached')))
        WHEN 'no file' THEN 'the memory there has no file: no huge page was free, userfaultfd raised it, or a driver did'
        WHEN 'hardware' THEN 'the memory there is broken, as the machine reported'
        WHEN 'alignment' THEN 'the access was not aligned'
        WHEN 'null pointer' THEN 'a null pointer, as nothing is mapped so low'
        WHEN 'no address' THEN 'the processor refused it without telling an address: a pointer that is no address at all, or an instruction not allowed'
        WHEN 'never mapped' THEN 'nothing was ever mapped there, as far as recorded'
        WHEN 'unmapped' THEN format('{} lay at {} there until {} {}', thing, range_text(start, "end"), actor, if(cut_off IS NULL,
            'took it away ' || deed, format('cut it off by {}, which {}, {}', by_call, cut_off, ago)))
        WHEN 'moved' THEN format('{} lay at {} there until {} moved it elsewhere {}', thing, range_text(start, "end"), actor, deed)
        WHEN 'replaced' THEN format('what lies at {} now {}; {} had put it ({}, {}) over what was there {}', range_text(start, "end"), refusal,
            actor, thing, perms, deed)
        WHEN 'protected' THEN format('{} at {} {}; {} had made it {} {}', thing, range_text(start, "end"), refusal, actor, perms, deed)
        WHEN 'not permitted' THEN format('{} at {} {}; {}', thing, range_text(start, "end"), refusal,
            coalesce(format('{} had mapped it {} by {} {}', by_whom, perms, by_call, ago), format('it was mapped {}', perms)))
        WHEN 'not inherited' THEN format('{} at {} is mapped in the parent only; {}', thing, range_text(start, "end"),
            coalesce(by_whom || ' had kept it from children by MADV_DONTFORK ' || ago, 'the fork left it out'))
        WHEN 'stack limit' THEN format('the stack is full; it had grown to {} and was not let grow {} further', size_text(stack_end - stack_start),
            size_text(stack_start - page_down(address)))
        WHEN 'guard' THEN format(if(reason IS NULL, 'the stack of a thread is full, as the guard {} below it was touched',
            'memory {} that nobody may access, just below what can be written, was touched; if that is the stack of a thread, it is full'),
            range_text(start, "end"))
        ELSE format('si_code {} is not explained', code)
    END
FROM worded;
