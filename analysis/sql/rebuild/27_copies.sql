-- What did other threads change while a fork was under way, before it was told of? The copy was made somewhere in that time
-- (kernel/fork.c: dup_mm, and only then perf_event_fork), so it can have what was there before or after.
CREATE TABLE changed_meanwhile (
    -- number of the address space that is the copy
    copy,
    -- when the fork was told of [ns, CLOCK_MONOTONIC]
    fork_ns,
    -- thread that made the copy
    tid,
    -- first page changed [pages]
    lo,
    -- first page past those [pages]
    hi,
    -- what changed them
    cause
) AS
WITH
forks AS (
    SELECT space AS copy, parent, parent_tid, fork_enter_ns AS enter_ns, from_ns FROM lives WHERE began = 'fork' AND parent IS NOT NULL AND fork_enter_ns < from_ns
),
changes AS (
    SELECT space, tid, ts_ns AS at_ns, coalesce(from_page, lo) AS lo, coalesce(to_page, hi) AS hi, cause FROM records
    UNION ALL
    -- what has not returned before a fork is told of is under way then, see met
    SELECT space, tid, exit_ns, take_lo, take_hi, cause FROM removals WHERE take_lo IS NOT NULL
    UNION ALL
    SELECT space, tid, exit_ns, put_lo, put_hi, cause FROM removals WHERE put_lo IS NOT NULL
    UNION ALL
    -- what a copy leaves out
    SELECT space, tid, exit_ns, page, page + pages, call FROM calls WHERE call = 'madvise' AND pages > 0
),
-- most who fork have one thread
many AS (
    SELECT space FROM (SELECT space, tid FROM changes UNION ALL SELECT parent, parent_tid FROM forks) SEMI JOIN forks ON space = parent
    GROUP BY space HAVING min(tid) <> max(tid)
),
sized AS (
    SELECT *, span_bits(from_ns - enter_ns) AS bits FROM forks WHERE parent IN (FROM many)
),
under_way AS (
    SELECT *, (enter_ns >> bits) * 64 + bits AS span FROM sized
    UNION ALL
    SELECT *, (from_ns >> bits) * 64 + bits FROM sized WHERE from_ns >> bits <> enter_ns >> bits
)
SELECT copy, from_ns, parent_tid, lo, hi, cause
FROM (FROM changes SEMI JOIN many USING (space), (SELECT DISTINCT bits FROM sized)) AS changes
JOIN under_way
    ON changes.space = parent AND (at_ns >> changes.bits) * 64 + changes.bits = span
    AND tid <> parent_tid AND at_ns >= enter_ns AND at_ns <= from_ns;
