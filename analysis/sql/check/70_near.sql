-- Which events touched the pages of the first differences, the last ones before the reading?
CREATE TABLE near (
    -- number of the reading
    reading,
    -- first byte of the difference [address]
    start,
    -- return of the call, or time of the record [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- thread
    tid,
    -- the call with its arguments and result, or the mapping that the kernel recorded
    event
) AS
WITH
shown AS (
    SELECT differences.*, space, ts_ns AS read_ns
    FROM differences JOIN verdicts USING (reading)
    WHERE verdict IN ('wrong', 'possible')
    ORDER BY verdict = 'possible', ts_ns, reading, start
    LIMIT getvariable('shown')
),
calls AS (
    SELECT space, ts_exit_ns AS ts_ns, tid, addr AS lo, sane(addr) + coalesce(sane_size(size), 0) AS hi, if(errno = 0, ret::UBIGINT, NULL) AS result,
        coalesce(if(syscall = 'mremap', new_size, size), 1) AS result_size,
        format('{}({:#x}{}{}) = {}', syscall, coalesce(addr, 0), coalesce(', ' || size, ''),
            coalesce(', ' || new_size, ''),
            coalesce(if(errno = 0, if(ret > 65535, format('{:#x}', ret), ret::VARCHAR), error), format('error {}', errno))) AS event
    FROM syscalls
    ASOF JOIN users ON syscalls.pid = users.pid AND syscalls.ts_enter_ns >= users.from_ns
    LEFT JOIN error_names USING (errno)
    WHERE space IN (SELECT space FROM shown)
),
records AS (
    SELECT space, ts_ns, tid, start AS lo, "end" AS hi,
        format('mapped {:#x}-{:#x} {} {}', start, "end", perms, coalesce(path, '')) AS event
    FROM vmas ASOF JOIN users ON vmas.pid = users.pid AND vmas.ts_ns >= users.from_ns
    WHERE space IN (SELECT space FROM shown)
)
SELECT reading, start, ts_ns, tid, event
FROM (
    SELECT reading, start, calls.ts_ns, tid, event
    FROM shown JOIN calls ON shown.space = calls.space AND calls.ts_ns <= read_ns
        AND ((lo < shown."end" AND hi > shown.start) OR (result < shown."end" AND result + sane_size(result_size) > shown.start))
    UNION ALL
    SELECT reading, start, records.ts_ns, tid, event
    FROM shown JOIN records ON shown.space = records.space AND records.ts_ns <= read_ns AND lo < shown."end" AND hi > shown.start
)
QUALIFY row_number() OVER (PARTITION BY reading, start ORDER BY ts_ns DESC) <= 5;
