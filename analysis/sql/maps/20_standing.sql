-- What does the timeline say was mapped at that instant?
CREATE OR REPLACE TABLE standing (
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- permissions as in /proc/PID/maps, null where they are not known
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation, null where it is not known
    generation,
    -- path as /proc/PID/maps prints it; empty for anonymous memory, heap and stack [bytes]
    path_bytes,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- what made it, where that is recorded, and who asked for it: see the view timeline
    cause, cause_table, cause_ns, cause_tid, call_ns, from_ns,
    -- why it is only possible, null where it is certain
    reason,
    -- since when at least it is mapped, under whatever protection; 0 where it can always have been, null where it was moved [ns, CLOCK_MONOTONIC]
    mapped_ns,
    -- whether it goes on where another of the same kind ends
    goes_on
) AS
SELECT
    start, "end", perms, dev, inode, generation, path_bytes, offset_bytes,
    cause, cause_table, cause_ns, cause_tid, call_ns, from_ns, reason,
    CASE WHEN cause IN ('mmap', 'brk', 'shmat', 'io_setup', 'map_shadow_stack') THEN cause_ns WHEN cause <> 'mremap' THEN 0 END,
    coalesce(
        start = lag("end") OVER address AND perms = lag(perms) OVER address AND dev = lag(dev) OVER address AND inode = lag(inode) OVER address
            AND coalesce(generation = lag(generation) OVER address, true)
            AND if(dev = 0 AND inode = 0,
                path_bytes = lag(path_bytes) OVER address,
                in_step(offset_bytes, start, lag(offset_bytes) OVER address, lag(start) OVER address)),
        false
    )
FROM (
    -- in two parts, each of which reads few row groups: the timeline is sorted by the time when rectangles begin
    FROM timeline
    WHERE capture = getvariable('capture') AND space = getvariable('space') AND from_ns <= getvariable('at_ns') AND to_ns > getvariable('at_ns')
    UNION ALL
    FROM timeline
    WHERE capture = getvariable('capture') AND space = getvariable('space') AND from_ns <= getvariable('at_ns') AND to_ns IS NULL
)
WINDOW address AS (ORDER BY start);
