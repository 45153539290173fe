-- Which calls failed with ENOMEM, and was it for too many VMAs (vm.max_map_count)?
-- One finding for each thread, call and reason, at the first failure. high: the address space had as many VMAs as it may; info:
-- it had fewer, and another reason is likely: a hole in the range (mprotect, madvise, mlock, msync), RLIMIT_MEMLOCK (mlock),
-- RLIMIT_AS, RLIMIT_DATA or overcommit. Certain if even without the VMAs that may be one with a neighbour of the same kind the
-- limit is reached, or if the call can fail for nothing else. VMAs are counted as in vma_counts. facts: failures (calls),
-- last_ns (entry of the last), vmas, vmas_at_most, limit_vmas, likely (limit, hole, locked memory, raced or accounted, size),
-- asked (range of the first), makers (what made most).
-- Cost: nothing without such failures; else a range join of two failures a second with the VMAs of their address spaces.
WITH
failures AS MATERIALIZED (
    SELECT
        calls.capture, calls.host, space, calls.pid, tid, comm, stack_id, syscall, prot, ts_enter_ns, sane_size(size) AS size,
        page_down(coalesce(sane(addr), 0)) AS low, page_up(coalesce(sane(addr), 0) + coalesce(sane_size(size), 0)) AS high, row_number() OVER () AS failure
    FROM syscalls AS calls
    JOIN uses ON calls.capture = uses.capture AND calls.pid = uses.pid AND ts_enter_ns >= uses.from_ns AND (uses.to_ns IS NULL OR ts_enter_ns < uses.to_ns)
    WHERE errno = 12
),
-- of each second the first and the last
probes AS MATERIALIZED (
    FROM failures
    WINDOW second AS (PARTITION BY capture, space, tid, syscall, ts_enter_ns >> 30)
    QUALIFY ts_enter_ns = min(ts_enter_ns) OVER second OR ts_enter_ns = max(ts_enter_ns) OVER second
),
families AS (FROM spaces),
rectangles AS MATERIALIZED (FROM timeline SEMI JOIN with_parents('probes', 'families') AS concerned USING (capture, space)),
records AS (FROM vmas),
readings AS (FROM maps),
parts AS (FROM vma_parts('rectangles', 'records', 'readings', 'families')),
standing AS MATERIALIZED (
    SELECT failure, start, "end", low, high, change, change_at_most, cause, path, inode, parts.possible, parts.reason
    FROM probes
    JOIN parts ON probes.capture = parts.capture AND probes.space = parts.space AND from_ns <= ts_enter_ns AND to_ns > ts_enter_ns
),
counted AS (
    SELECT
        failure, sum(change)::BIGINT AS vmas, sum(change_at_most)::BIGINT AS vmas_at_most, sum(possible)::BIGINT AS possible,
        any_value(reason) AS reason, any_value(reason) FILTER (start < high AND "end" > low) AS range_reason,
        coalesce(sum(least("end", high)::BIGINT - greatest(start, low)::BIGINT) FILTER (start < high AND "end" > low), 0) AS mapped_bytes
    FROM standing
    GROUP BY failure
),
makers AS (
    SELECT failure, string_agg(maker || ': ' || made, ', ' ORDER BY made DESC, maker) AS makers
    FROM (
        SELECT failure, cause || ' ' || if(path = '' AND inode = 0, '(anonymous memory)', path) AS maker, sum(change)::BIGINT AS made
        FROM standing
        GROUP BY failure, maker
        HAVING made > 0
        QUALIFY row_number() OVER (PARTITION BY failure ORDER BY made DESC, maker) <= 3
    )
    GROUP BY failure
),
judged AS (
    SELECT
        probes.*, coalesce(vmas, 0) AS vmas, coalesce(vmas_at_most, 0) AS vmas_at_most, possible, reason, range_reason, max_map_count, makers,
        CASE
            WHEN syscall NOT IN ('mmap', 'old_mmap', 'mremap', 'brk', 'shmat', 'munmap') AND size > 0 AND mapped_bytes < high - low THEN 'hole'
            -- some calls need room for as many more
            WHEN vmas_at_most >= max_map_count - 4 THEN 'limit'
            WHEN syscall IN ('mlock', 'mlock2', 'mlockall') THEN 'locked memory'
            WHEN syscall IN ('mprotect', 'pkey_mprotect') THEN 'raced or accounted'
            ELSE 'size'
        END AS likely
    FROM probes
    JOIN captures USING (capture)
    LEFT JOIN counted USING (failure)
    LEFT JOIN makers USING (failure)
),
firsts AS (
    FROM judged QUALIFY row_number() OVER (PARTITION BY capture, space, tid, syscall, likely ORDER BY ts_enter_ns) = 1
),
-- a failure counts for the reason of the last one before it that was looked at
totals AS (
    SELECT failures.capture, failures.space, failures.tid, failures.syscall, likely, count(*) AS failures, max(failures.ts_enter_ns) AS last_ns
    FROM failures
    ASOF JOIN (SELECT capture, space, tid, syscall, ts_enter_ns, likely FROM judged) AS judged ON failures.capture = judged.capture
        AND failures.space = judged.space AND failures.tid = judged.tid AND failures.syscall = judged.syscall AND failures.ts_enter_ns >= judged.ts_enter_ns
    GROUP BY ALL
)
SELECT
    capture, host, if(likely = 'limit', 'high', 'info') AS severity, if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason,
    ts_enter_ns AS ts_ns, space, pid, tid, comm, stack_id, syscall AS call, ts_enter_ns AS call_ns, low AS start, high AS "end",
    MAP {
        'failures': failures::VARCHAR, 'last_ns': last_ns::VARCHAR, 'vmas': vmas::VARCHAR, 'vmas_at_most': vmas_at_most::VARCHAR,
        'limit_vmas': coalesce(max_map_count::VARCHAR, ''), 'likely': likely, 'asked': range_text(low, high), 'makers': coalesce(makers, '')
    } AS facts,
    syscall || ' by ' || thread_text(comm, pid, tid) || ' failed with ENOMEM'
        || if(failures > 1, ', ' || failures || ' times in ' || span_text(last_ns - ts_enter_ns), '') || ': '
        || CASE likely
            WHEN 'limit' THEN 'its address space had ' || if(vmas = vmas_at_most, '', vmas || ' to ') || vmas_at_most || ' VMAs, and vm.max_map_count is '
                || max_map_count || '; most were made by ' || makers
            WHEN 'hole' THEN 'a part of its range ' || range_text(low, high) || ' was not mapped'
            WHEN 'locked memory' THEN 'the likely reason is RLIMIT_MEMLOCK'
            WHEN 'raced or accounted' THEN 'its range was mapped, so another thread unmapped it at the same time, or overcommit refused it'
            ELSE 'it asked for ' || size_text(coalesce(size, 0)) || ' with ' || vmas_at_most || ' VMAs; likely reasons are RLIMIT_AS, RLIMIT_DATA or overcommit'
        END AS sentence
FROM (
    SELECT *, CASE
            WHEN likely = 'hole' THEN if(vmas_at_most = 0, 'what was mapped is not known', range_reason)
            WHEN vmas_at_most - possible < max_map_count - 4 AND likely = 'limit' THEN reason
            -- without write access nothing is accounted: splitting is all that can be refused
            WHEN likely = 'limit' AND vmas < max_map_count - 4 AND NOT (syscall = 'munmap' OR (syscall = 'mprotect' AND prot & 2 = 0)) THEN 'neighbours of the same kind can be one VMA'
            WHEN likely <> 'limit' THEN 'no event tells which limit refused it'
        END AS doubt
    FROM firsts
    JOIN totals USING (capture, space, tid, syscall, likely)
)
