-- The address space of the demo's workload at its last event: for every stretch of addresses, the last thing that
-- happened to it. address, perms, file_offset [bytes] and path are as in /proc/PID/maps.
WITH
-- the workload is who called remap_file_pages; what came before its exec belonged to another program
workload AS (
    SELECT pid, max(ts_ns) AS exec_ns
    FROM tasks
    WHERE event = 'exec' AND source = 'perf'
        AND pid = (SELECT any_value(pid) FROM syscalls WHERE syscall = 'remap_file_pages')
    GROUP BY pid
),
calls AS (
    SELECT
        ts_enter_ns, ts_exit_ns, syscall, addr, ret::UBIGINT AS ret,
        (size + 4095) // 4096 * 4096 AS size, (new_size + 4095) // 4096 * 4096 AS new_size
    FROM syscalls JOIN workload USING (pid)
    WHERE errno = 0 AND ts_enter_ns > exec_ns
),
breaks AS (
    SELECT ts_exit_ns, (ret + 4095) // 4096 * 4096 AS top, lag(top) OVER (ORDER BY ts_enter_ns) AS old_top
    FROM calls
    WHERE syscall = 'brk'
),
mapped AS (
    SELECT ts_ns, start, "end", perms, if(inode = 0, NULL, pgoff * 4096) AS file_offset, if(inode = 0 AND path = '//anon', '', path) AS path
    FROM vmas JOIN workload USING (pid)
    WHERE ts_ns >= exec_ns
),
-- MMAP2 records tell of every new mapping and of none that goes or moves: that is taken from the calls
writes AS (
    FROM mapped
    UNION ALL
    SELECT ts_exit_ns, addr, addr + size, NULL, NULL, NULL FROM calls WHERE syscall IN ('munmap', 'mremap')
    UNION ALL
    SELECT ts_exit_ns, top, old_top, NULL, NULL, NULL FROM breaks WHERE top < old_top
    UNION ALL -- a nanosecond later: what left the old range stands at the new one
    SELECT ts_exit_ns + 1, ret, ret + new_size, perms, file_offset + (addr - start), path
    FROM calls JOIN mapped ON addr >= start AND addr < "end" AND ts_ns < ts_enter_ns
    WHERE syscall = 'mremap'
    QUALIFY row_number() OVER (PARTITION BY ts_enter_ns ORDER BY ts_ns DESC) = 1
),
edges AS (SELECT DISTINCT unnest([start, "end"]) AS low FROM writes),
cells AS (SELECT low, lead(low) OVER (ORDER BY low) AS high FROM edges),
standing AS (
    SELECT low, high, perms, file_offset + (low - start) AS file_offset, path
    FROM cells JOIN writes ON start <= low AND "end" >= high
    QUALIFY row_number() OVER (PARTITION BY low ORDER BY ts_ns DESC) = 1
),
-- neighbours that continue one another are one line
lines AS (
    SELECT *, count_if(breaks_off) OVER (ORDER BY low) AS line
    FROM (
        SELECT *, (lag((high, perms, path, file_offset + (high - low))) OVER (ORDER BY low)
            IS DISTINCT FROM (low, perms, path, file_offset)) AS breaks_off
        FROM standing
        WHERE perms IS NOT NULL
    )
)
SELECT
    format('{:x}-{:x}', min(low), max(high)) AS address, any_value(perms) AS perms,
    coalesce(min(file_offset), 0) AS file_offset, any_value(path) AS path
FROM lines
GROUP BY line
ORDER BY min(low);
