-- Which address space did each stretch of a process's life use?
-- An address space is numbered by the first stretch that had it.
CREATE TABLE users (
    -- number of the address space
    space,
    -- number of the stretch
    seg,
    -- process id in the initial pid namespace
    pid,
    -- first instant of use [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null while it lasts [ns, CLOCK_MONOTONIC]
    to_ns,
    -- how the use ended: exec, exit, or null
    ended,
    -- when the process's next use begins, the end of time if there is none: what it did until then belongs here
    next_ns
) AS
WITH RECURSIVE
-- processes that were there before the recording share what their calls say they share
first_mm AS (
    SELECT seg, arg_min(mm_seen.mm, first_ns) AS mm
    FROM segments JOIN mm_seen USING (pid)
    WHERE began IN ('alive', 'unknown') AND first_ns >= from_ns AND (to_ns IS NULL OR first_ns < to_ns)
    GROUP BY seg
),
same AS (
    SELECT seg, min(seg) OVER (PARTITION BY mm) AS root FROM first_mm
),
up AS (
    SELECT seg, CASE WHEN shares THEN parent_seg ELSE coalesce(root, seg) END AS root, shares
    FROM segments LEFT JOIN same USING (seg)
),
-- each time twice as far as before: one vfork out of another can go on for hundreds of thousands
climb(seg, root, more) USING KEY (seg) AS (
    SELECT seg, root, shares FROM up
    UNION ALL
    SELECT climb.seg, above.root, above.more FROM climb JOIN recurring.climb AS above ON climb.root = above.seg WHERE climb.more
)
SELECT
    root, seg, pid, from_ns, to_ns, ended,
    coalesce(lead(from_ns) OVER (PARTITION BY pid ORDER BY from_ns), 9223372036854775807)
FROM climb JOIN segments USING (seg) WHERE NOT more;
