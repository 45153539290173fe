-- Which calls gave mappings traits that part them from their neighbours, or made them alike?
-- No record tells of the VMAs that come of it (mm/vma.c, vma_modify_flags, vma_modify_name, vma_modify_policy).
CREATE OR REPLACE TABLE silent (
    -- first byte [address]
    lo,
    -- first byte past it [address]
    hi,
    -- what was given: read, fork, merge, huge, dump, wipe, lock, seal, policy or name
    trait,
    -- return of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- what it is then; empty for what mappings begin with
    value
) AS
WITH calls AS (
    SELECT
        ts_exit_ns, syscall, (addr >> 12) << 12 AS lo, ((addr + size + 4095) >> 12) << 12 AS hi,
        syscalls.flags, op, coalesce(ptr, 0) AS ptr
    FROM syscalls JOIN tellers ON syscalls.pid = tellers.pid AND ts_exit_ns BETWEEN from_ns AND until_ns
    WHERE capture = getvariable('capture')
        -- over a hole they fail, after they have changed what is mapped
        AND (errno = 0 OR errno = 12)
        AND (
            (syscall = 'madvise' AND (op BETWEEN 0 AND 2 OR op BETWEEN 10 AND 19))
            OR syscall IN ('mseal', 'mbind')
            -- a fork does not lock the copy
            OR (syscall IN ('mlock', 'mlock2', 'munlock', 'mlockall', 'munlockall') AND depth = 0)
            OR (syscall = 'prctl' AND op = 1398164801) -- PR_SET_VMA
        )
),
given AS (
    SELECT
        if(syscall IN ('mlockall', 'munlockall'), 0, lo) AS lo, if(syscall IN ('mlockall', 'munlockall'), 1::UBIGINT << 63, hi) AS hi,
        CASE syscall
            WHEN 'madvise' THEN CASE WHEN op <= 2 THEN 'read' ELSE ['fork', 'merge', 'huge', 'dump', 'wipe'][(op - 8) // 2] END
            WHEN 'mseal' THEN 'seal' WHEN 'mbind' THEN 'policy' WHEN 'prctl' THEN 'name' ELSE 'lock'
        END AS trait,
        ts_exit_ns,
        CASE syscall
            -- MADV_NORMAL, DOFORK, UNMERGEABLE, DODUMP and KEEPONFORK restore; NOHUGEPAGE is a flag of its own
            WHEN 'madvise' THEN if(op IN (0, 11, 13, 17, 19), '', op::VARCHAR)
            WHEN 'mlock' THEN 'locked'
            WHEN 'mlock2' THEN if(flags & 1 <> 0, 'on fault', 'locked')
            WHEN 'mlockall' THEN if(flags & 4 <> 0, 'on fault', 'locked')
            WHEN 'mseal' THEN 'sealed'
            WHEN 'mbind' THEN if(op = 0, '', op::VARCHAR)
            WHEN 'prctl' THEN if(ptr = 0, '', ptr::VARCHAR)
            ELSE ''
        END AS value
    FROM calls
    WHERE syscall <> 'mlockall' OR flags & 1 <> 0 -- MCL_CURRENT
)
FROM given WHERE lo < hi;
