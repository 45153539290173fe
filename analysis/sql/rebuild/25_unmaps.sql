-- Which removals did the kernel make, where probes are on the functions that make them?
-- Empty without those probes (recorder/hooks.py). The time is taken under the mmap lock, so it is the true order. What an
-- mmap(MAP_FIXED) replaced is told by the hook unmap until Linux 6.11, and by replace from 6.12 on: then after its record.
CREATE TABLE unmaps (
    -- number of the address space
    space,
    -- thread that did it
    tid,
    -- time of the removal [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- first page removed [pages]
    lo,
    -- first page past them; there can be holes between [pages]
    hi,
    -- entry of the call that did it, null if none did that can change mappings, as in exec [ns, CLOCK_MONOTONIC]
    call_ns,
    -- that call
    call,
    -- its error number, 0 for success
    errno
) AS
WITH
hits AS (
    SELECT space, tid, ts_ns, (addr >> 12)::BIGINT AS lo, (addr >> 12)::BIGINT + pages_up(size) AS hi
    FROM (
        -- a removal that failed has a second row
        SELECT
            pid, tid, ts_ns::BIGINT AS ts_ns, addr, size, errno IS NULL AND lead(errno) OVER (PARTITION BY tid, hook ORDER BY ts_ns, errno NULLS FIRST) IS NULL AS done
        FROM hooks
        WHERE hook IN ('unmap', 'replace')
    ) AS told
    JOIN users ON told.pid = users.pid AND ts_ns >= from_ns AND ts_ns < next_ns
    WHERE done
)
SELECT
    hits.*, if(ts_ns <= exit_ns, enter_ns, NULL), if(ts_ns <= exit_ns, call, NULL), if(ts_ns <= exit_ns, errno, NULL)
FROM hits
ASOF LEFT JOIN (SELECT tid, enter_ns, exit_ns, call, errno FROM every_call SEMI JOIN hits USING (tid)) AS calls
    ON hits.tid = calls.tid AND hits.ts_ns >= calls.enter_ns;
