-- When did an address space gain or lose a VMA, and what made that VMA?
-- A rectangle is a VMA or a part of one. Neighbours of the same kind can be one VMA: a record of a mapping tells the whole
-- VMA as it then was, and a line of /proc/PID/maps does too, so the later of two neighbours tells whether they are one. Where
-- it does not (after mremap, and in the child of a child) they are taken for one, and change_at_most counts them as two. Not
-- seen are VMAs that madvise, mlock, mbind or prctl split without any record.
CREATE VIEW vma_changes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- when [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- VMAs more, or, negative, less
    change,
    -- the same, if neighbours of which no record tells are VMAs of their own
    change_at_most,
    -- of change, what is only possible
    possible,
    -- what made the mapping that came, went, or met its neighbour (see timeline)
    cause,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- thread of that event
    cause_tid,
    -- entry of the call that asked for it; null if no call did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- path; empty for anonymous memory
    path,
    -- device, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode
) AS
WITH
rectangles AS (FROM timeline),
records AS (FROM vmas),
readings AS (FROM maps),
families AS (FROM spaces),
parts AS MATERIALIZED (FROM vma_parts('rectangles', 'records', 'readings', 'families'))
FROM vma_comings('parts');
