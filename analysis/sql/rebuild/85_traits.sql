-- Which calls gave memory traits that part mappings from their neighbours, or make them alike?
-- No record tells of the VMAs that come of it (mm/vma.c, vma_modify_flags, vma_modify_name, vma_modify_policy).
CREATE VIEW traits_found (
    -- number of the address space
    space,
    -- return of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- what was given: read, fork, merge, huge, dump, wipe, lock, seal, policy or name
    trait,
    -- what it is then; empty for what mappings begin with; ? where the call failed and can have changed a part
    value
) AS
WITH given AS (
    SELECT
        pid, ts_enter_ns, ts_exit_ns,
        if(syscall IN ('mlockall', 'munlockall'), 0, (addr >> 12) << 12) AS start,
        if(syscall IN ('mlockall', 'munlockall'), 1::UBIGINT << 63, (((addr >> 12) + pages_up(offset_plus(size, addr & 4095))::UBIGINT) & 4503599627370495) << 12) AS "end",
        CASE syscall
            WHEN 'madvise' THEN CASE WHEN op <= 2 THEN 'read' ELSE ['fork', 'merge', 'huge', 'dump', 'wipe'][(op - 8) // 2] END
            WHEN 'mseal' THEN 'seal' WHEN 'mbind' THEN 'policy' WHEN 'prctl' THEN 'name' ELSE 'lock'
        END AS trait,
        CASE
            -- advice goes on after a hole, locks do not, and need not begin
            WHEN errno <> 0 AND syscall <> 'madvise' THEN '?'
            -- MADV_NORMAL, DOFORK, UNMERGEABLE, DODUMP and KEEPONFORK restore; NOHUGEPAGE is a flag of its own
            WHEN syscall = 'madvise' THEN if(op IN (0, 11, 13, 17, 19), '', op::VARCHAR)
            WHEN syscall = 'mlock' THEN 'locked'
            WHEN syscall = 'mlock2' THEN if(flags & 1 <> 0, 'on fault', 'locked')
            WHEN syscall = 'mlockall' THEN if(flags & 4 <> 0, 'on fault', 'locked')
            WHEN syscall = 'mseal' THEN 'sealed'
            WHEN syscall = 'mbind' THEN if(op = 0, '', op::VARCHAR)
            WHEN syscall = 'prctl' THEN if(coalesce(ptr, 0) = 0, '', ptr::VARCHAR)
            ELSE ''
        END AS value
    FROM syscalls
    WHERE
        -- over a hole they fail with ENOMEM, after they have changed what is mapped
        errno IN (0, 12)
        AND (
            (syscall = 'madvise' AND (op BETWEEN 0 AND 2 OR op BETWEEN 10 AND 19))
            OR syscall IN ('mseal', 'mbind', 'mlock', 'mlock2', 'munlock', 'munlockall')
            OR (syscall = 'mlockall' AND flags & 1 <> 0) -- MCL_CURRENT
            OR (syscall = 'prctl' AND op = 1398164801) -- PR_SET_VMA
        )
)
SELECT space, ts_exit_ns, start, "end", trait, value
FROM given ASOF JOIN users ON given.pid = users.pid AND given.ts_enter_ns >= users.from_ns
WHERE start < "end";
