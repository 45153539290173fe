-- Which ranges of pages were mapped, by what, and when were they unmapped, wherever mremap moved them meanwhile?
-- A mapping is created where pages become mapped, and freed where they become unmapped: see placements for what only changes.
-- What mremap moves goes on, created when it was mapped at first; what mremap adds is created by it, what it cuts off is
-- freed by it, and the copy that old_size 0 or MREMAP_DONTUNMAP makes is new. Each place is a row of its own.
CREATE VIEW mappings (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant at this place [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null where it still stood at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- whether the pages were unmapped then; false: mremap moved them on, null: they still stood at the end
    freed,
    -- when the pages became mapped, here or where mremap took them from; null: before the recording [ns, CLOCK_MONOTONIC]
    created_ns,
    -- permissions they were mapped with
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- path as the kernel gave it; empty for anonymous memory, heap and stack; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- what mapped the pages at first (see timeline)
    cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event
    cause_tid,
    -- entry of the call that asked for it; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- what ended the stay at this place; null where it still stood at the end
    end_cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    end_ns,
    -- thread of that event
    end_tid,
    -- entry of the call that asked for the end; null if no call did [ns, CLOCK_MONOTONIC]
    end_call_ns,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
WITH RECURSIVE
calls AS MATERIALIZED (
    SELECT
        capture, ts_enter_ns AS call_ns, tid, addr, (ret::HUGEINT - addr)::BIGINT AS delta,
        addr + page_up(size) AS old_end, addr + page_up(new_size) AS kept_end
    FROM syscalls
    WHERE syscall = 'mremap' AND errno = 0 AND addr IS NOT NULL AND page_up(size) < 1::UBIGINT << 57
),
-- of what mremap takes away from its old place, the part up to the new length is moved, if the place changed
taken AS (
    SELECT
        placements.*, coalesce(placements.start >= addr AND placements.start < old_end AND delta <> 0, false) AS moves,
        if(moves, least(kept_end, "end"), start) AS moved_end
    FROM placements
    LEFT JOIN calls ON placements.capture = calls.capture AND end_cause = 'mremap' AND end_call_ns = calls.call_ns AND end_tid = calls.tid
),
parted AS MATERIALIZED (
    SELECT * EXCLUDE (moves, moved_end) REPLACE (least("end", moved_end) AS "end"), moves AS moved
    FROM taken WHERE moves AND start < moved_end
    UNION ALL
    SELECT
        * EXCLUDE (moves, moved_end) REPLACE (
            greatest(start, moved_end) AS start, offset_plus(offset_bytes, if(inode = 0, 0, greatest(start, moved_end) - start)) AS offset_bytes
        ), false
    FROM taken WHERE NOT moves OR "end" > moved_end
),
puts AS MATERIALIZED (
    SELECT parted.capture, space, parted.call_ns, cause_tid AS tid, start, "end", from_ns, delta
    FROM parted JOIN calls ON parted.capture = calls.capture AND cause = 'mremap' AND parted.call_ns = calls.call_ns AND cause_tid = calls.tid
),
-- in the addresses of the new place
takes AS MATERIALIZED (
    SELECT
        parted.capture, space, calls.call_ns, calls.tid, start, from_ns, (start::BIGINT + delta)::UBIGINT AS lo, ("end"::BIGINT + delta)::UBIGINT AS hi
    FROM parted JOIN calls ON moved AND parted.capture = calls.capture AND end_call_ns = calls.call_ns AND end_tid = calls.tid
),
cuts AS (
    SELECT capture, space, call_ns, tid, start AS lo FROM puts
    UNION SELECT capture, space, call_ns, tid, "end" FROM puts
    UNION SELECT capture, space, call_ns, tid, lo FROM takes
    UNION SELECT capture, space, call_ns, tid, hi FROM takes
),
-- a part of what came to a new place, and where it was before; null if it was nowhere
hops AS (
    SELECT
        cells.capture, cells.space, puts.start, puts.from_ns, cells.lo, cells.hi, puts.delta AS shift,
        if(cells.lo < takes.hi, takes.start, NULL) AS old_start, if(cells.lo < takes.hi, takes.from_ns, NULL) AS old_from
    FROM (SELECT *, lead(lo) OVER (PARTITION BY capture, space, call_ns, tid ORDER BY lo) AS hi FROM cuts) AS cells
    ASOF JOIN puts ON cells.capture = puts.capture AND cells.space = puts.space AND cells.call_ns = puts.call_ns AND cells.tid = puts.tid
        AND cells.lo >= puts.start
    ASOF LEFT JOIN takes ON cells.capture = takes.capture AND cells.space = takes.space AND cells.call_ns = takes.call_ns AND cells.tid = takes.tid
        AND cells.lo >= takes.lo
    WHERE cells.hi IS NOT NULL AND cells.lo < puts."end"
),
-- and where it was at first. Each step goes twice as far as the one before
origins(capture, space, start, from_ns, lo, hi, shift, old_start, old_from, more) USING KEY (capture, space, start, from_ns, lo) AS (
    SELECT *, old_start IS NOT NULL FROM hops
    UNION
    SELECT
        here.capture, here.space, here.start, here.from_ns,
        greatest(here.lo::BIGINT, far.lo::BIGINT + here.shift)::UBIGINT, least(here.hi::BIGINT, far.hi::BIGINT + here.shift)::UBIGINT,
        here.shift + if(far.old_start IS NULL, 0, far.shift), coalesce(far.old_start, here.old_start), coalesce(far.old_from, here.old_from),
        far.more
    FROM origins AS here
    JOIN recurring.origins AS far ON here.more AND here.capture = far.capture AND here.space = far.space
        AND here.old_start = far.start AND here.old_from = far.from_ns
        AND far.lo::BIGINT + here.shift < here.hi AND far.hi::BIGINT + here.shift > here.lo
)
SELECT
    here.capture, here.host, here.space, here.pid, coalesce(lo, here.start), coalesce(hi, here."end"), here.from_ns, here.to_ns,
    if(here.to_ns IS NULL, NULL, NOT here.moved),
    if(made.cause = 'baseline', NULL, made.from_ns), made.perms, made.dev, made.inode, made.generation,
    text_of(made.path_bytes), made.path_bytes,
    offset_plus(here.offset_bytes, if(here.inode = 0 OR lo IS NULL, 0, lo - here.start)),
    made.cause, made.cause_ns, made.cause_tid, made.call_ns, here.end_cause, here.end_ns, here.end_tid, here.end_call_ns,
    if(coalesce(here.reason, made.reason) IS NULL, 'certain', 'possible'), coalesce(here.reason, made.reason)
FROM parted AS here
LEFT JOIN origins USING (capture, space, start, from_ns)
JOIN parted AS made ON here.capture = made.capture AND here.space = made.space
    AND coalesce(old_start, here.start) = made.start AND coalesce(old_from, here.from_ns) = made.from_ns;
