-- What was mapped where, from when to when, who did it, who ended it, and how sure is that?
-- Rectangles of address and time; within one address space they never overlap.
CREATE VIEW timeline (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made; others can use it too (see spaces)
    pid,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null where it still stood at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- as in /proc/PID/maps: r, w, x and p (private) or s (shared); null where they are not known
    perms,
    -- whether what is written reaches others
    shared,
    -- device of the file system, as the kernel's dev_t: major << 20 | minor
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
    -- what made it: a call, exec, fork, stack growth, baseline or resync (a reading of /proc/PID/maps), or not seen
    cause,
    -- table that holds the event that made it
    cause_table,
    -- time of that event: vmas.ts_ns, syscalls.ts_enter_ns, tasks.ts_ns or maps.ts_begin_ns [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event; of a fork or a reading, the process
    cause_tid,
    -- what asked for it: syscalls.ts_enter_ns of the call; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- what ended it: a call, exec, exit or resync; null where it still stood at the end
    end_cause,
    -- table that holds the event that ended it
    end_table,
    -- time of that event [ns, CLOCK_MONOTONIC]
    end_ns,
    -- thread of that event
    end_tid,
    -- what asked for the end: syscalls.ts_enter_ns of the call; null if no call did [ns, CLOCK_MONOTONIC]
    end_call_ns,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
SELECT
    capture, host, space, pid, start, "end", from_ns, to_ns, perms, perms[4] = 's', dev, inode, generation,
    text_of(path_bytes), path_bytes, offset_bytes,
    cause_of(actor), cause_table_of(actor), cause_ns, tid_of(actor), call_ns,
    cause_of(end_actor), cause_table_of(end_actor), end_ns, tid_of(end_actor), end_call_ns,
    if(reason IS NULL, 'certain', 'possible'), reason
FROM stored_timeline;
