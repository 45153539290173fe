-- Where do heap and stack begin and end? What the kernel calls [heap] and [stack] it names by these places.
-- A copy has its original's until it tells of its own.
CREATE VIEW marks_found (
    -- number of the address space
    space,
    -- from when on [ns, CLOCK_MONOTONIC]
    from_ns,
    -- start_brk, brk or start_stack, as in the kernel's struct mm_struct; brk is rounded up to a page
    mark,
    -- where it is [address]
    address
) AS
WITH
-- a C library asks where the break is before it moves it, and nothing has moved it since the exec, nor before a reading
-- without a heap
asked AS (
    SELECT space, arg_min(if(page <> result, result, NULL), exit_ns) AS page
    FROM calls SEMI JOIN (
        FROM lives WHERE began = 'exec' OR (began = 'alive' AND space NOT IN (SELECT space FROM lines WHERE heap))
    ) AS heapless USING (space)
    WHERE call = 'brk' AND result > 0
    GROUP BY space
    HAVING arg_min(page <> result, exit_ns)
),
heaps AS (
    SELECT space, min(lo) AS page FROM lines WHERE heap GROUP BY space
),
-- the initial stack pointer lies in all that was ever called [stack]
stacks AS (
    SELECT space, min("end") - 1 AS address
    FROM (
        SELECT space, "end"
        FROM (FROM vmas WHERE path_bytes = '[stack]'::BLOB) AS vmas ASOF JOIN users ON vmas.pid = users.pid AND vmas.ts_ns >= users.from_ns
        UNION ALL
        SELECT space, "end" FROM (FROM maps WHERE path_bytes = '[stack]'::BLOB) AS maps JOIN readings USING (reading, pid)
    )
    GROUP BY space
)
SELECT space, from_ns, 'start_brk', coalesce(asked.page, heaps.page) << 12
FROM lives LEFT JOIN asked USING (space) LEFT JOIN heaps USING (space)
WHERE coalesce(asked.page, heaps.page) IS NOT NULL
UNION ALL
SELECT space, at_ns, 'brk', top << 12 FROM breaks
UNION ALL
SELECT space, from_ns, 'start_stack', address FROM lives JOIN stacks USING (space)
UNION ALL
SELECT users.space, ts_exit_ns, if(subop = 5, 'start_stack', 'start_brk'), addr
FROM (FROM syscalls WHERE syscall = 'prctl' AND op = 35 AND subop IN (5, 6) AND errno = 0) AS calls -- PR_SET_MM
ASOF JOIN users ON calls.pid = users.pid AND calls.ts_enter_ns >= users.from_ns;
