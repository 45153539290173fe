-- What was written onto the pages of each address space, by what, in which order? The last writer of a page wins.
-- An address space has three layers: 0 what is mapped, 1 what a fork leaves out (MADV_DONTFORK), 2 what is doubtful.
CREATE TABLE writes (
    -- four times the number of the address space, plus the layer
    plane,
    -- order: time times eight, and eight places in a nanosecond [ns / 8, CLOCK_MONOTONIC]. The event's own time is
    -- this one, but a call's is its entry
    key,
    -- first page [pages]
    lo,
    -- first page past them; probe: null for one place [pages]
    hi,
    -- clear; set; copy: what its probe found, moved; probe: a look at what stands there; clear attach:
    -- clear what is still where shmat put it; fork: a look at everything, for the address space that copies it
    kind,
    -- whether it counts only where it changes something; copy: whether it can be of several mappings, with gaps left as they are
    soft,
    -- layer 0: number of the look; layer 2: of the suspicion
    look,
    -- set: what to take from a page's number to get its offset in the file; copy, probe: pages between the two, which have
    -- the actor and call in common [pages]; fork: number of the address space that is the copy
    base,
    -- thread (maps: process) and event that did it (see 00_types.sql)
    actor,
    -- entry of the call that asked for it, null if none did [ns, CLOCK_MONOTONIC]
    call_ns
) AS
WITH
mapped AS NOT MATERIALIZED (
    -- the kernel's own order: the time was taken under the mmap lock
    SELECT space, ts_ns * 8 + 4 AS key, from_page AS lo, to_page AS hi, 'set'::kind AS kind, false AS soft, look, base,
        cause, 'vmas'::source AS source, tid, call_ns
    FROM records WHERE from_page IS NOT NULL
    UNION ALL
    SELECT space, ts_ns * 8 + 4, lo, hi, 'set'::kind, true, look, base, cause, 'vmas'::source, tid, call_ns
    FROM records WHERE from_page IS NULL
),
removed AS NOT MATERIALIZED (
    SELECT space, key, take_lo, take_hi, if(attach_look IS NULL, 'clear'::kind, 'clear attach'::kind), false, attach_look,
        if(attach_look IS NULL, NULL, take_lo), cause, 'syscalls'::source, tid, enter_ns
    FROM moments WHERE take_lo IS NOT NULL
),
moved AS (
    SELECT space, key, put_lo, put_hi, 'copy'::kind, several_hi IS NOT NULL, NULL::INTEGER, delta, cause, 'syscalls'::source, tid, enter_ns
    FROM moments WHERE source IS NOT NULL
    UNION ALL
    SELECT space, key - 1, source, several_hi, 'probe'::kind, false, NULL, delta, cause, 'syscalls'::source, tid, enter_ns
    FROM moments WHERE source IS NOT NULL
),
executed AS (
    SELECT space, ts_ns * 8 + 5, from_page, to_page, 'clear'::kind, false, NULL::INTEGER, NULL::BIGINT, 'exec'::cause, 'vmas'::source, tid, NULL::BIGINT
    FROM images_at_exec WHERE known
    UNION ALL
    -- before the file is mapped there is only the stack, first where it was built and then where it stays
    SELECT space, ts_ns * 8 + 3, lo_before, hi_before, 'clear'::kind, false, NULL, NULL, 'exec'::cause, 'vmas'::source, tid, NULL
    FROM (
        SELECT *, lag(lo) OVER told AS lo_before, lag(hi) OVER told AS hi_before,
            count_if(inode <> 0) OVER (told ROWS UNBOUNDED PRECEDING) AS files
        FROM records JOIN looks USING (look)
        WHERE cause = 'exec'
        WINDOW told AS (PARTITION BY space ORDER BY ts_ns)
    )
    WHERE files = 0 AND lo_before IS NOT NULL
),
read AS (
    -- after the last line comes a gap too
    SELECT space, begin_ns * 8, lo, hi, 'set'::kind, true, look, base, cause, 'maps'::source, pid, NULL::BIGINT FROM lines
    UNION ALL
    SELECT space, begin_ns * 8, hi, coalesce(lead(lo) OVER (PARTITION BY reading ORDER BY lo), 1::BIGINT << 51), 'clear'::kind, true,
        NULL, NULL, cause, 'maps'::source, pid, NULL
    FROM lines
    UNION ALL
    SELECT space, begin_ns * 8, 0, min(lo), 'clear'::kind, true, NULL, NULL, any_value(cause), 'maps'::source, any_value(pid), NULL
    FROM lines GROUP BY space, reading, begin_ns
),
forked AS (
    SELECT parent, lives.from_ns * 8 + 7, 0::BIGINT, NULL::BIGINT, 'fork'::kind, false, NULL::INTEGER, lives.space, 'fork'::cause, 'tasks'::source, pid, NULL::BIGINT
    FROM lives JOIN users ON lives.space = users.seg
    WHERE began = 'fork' AND parent IS NOT NULL
),
layer0 AS NOT MATERIALIZED (
    FROM (FROM mapped UNION ALL FROM removed UNION ALL FROM moved UNION ALL FROM executed UNION ALL FROM read UNION ALL FROM forked)
    WHERE lo < hi OR hi IS NULL
),
advised AS (
    SELECT space, exit_ns * 8 + 4 AS key, page AS lo, page + pages AS hi, if(op = 10, 'set'::kind, 'clear'::kind) AS kind, enter_ns, tid
    FROM calls WHERE call = 'madvise' AND pages > 0 AND errno IN (0, 12) -- ENOMEM: all that is mapped there is advised
),
-- doubts go along with a fork; what a fork leaves out does not
doubted(space) AS (
    WITH RECURSIVE heirs(space) AS (
        SELECT DISTINCT space FROM suspects
        UNION
        SELECT lives.space FROM heirs JOIN lives ON lives.parent = heirs.space
    )
    FROM heirs
),
-- what is written onto layer 0 is written onto the others where there are any
layers AS (
    SELECT DISTINCT space, 1 AS layer FROM advised
    UNION ALL
    SELECT space, 2 FROM doubted
)
SELECT space * 4, key, lo, hi, kind, soft, look, base, actor(cause, source, tid), call_ns FROM layer0
UNION ALL
SELECT
    space * 4 + layer, key, lo, hi, if(kind IN ('set', 'clear attach'), 'clear'::kind, kind), soft, NULL, base,
    actor(cause, source, tid), call_ns
FROM layer0 JOIN layers USING (space)
WHERE (NOT soft OR kind = 'copy') AND CASE layer
    -- a change of protection leaves the advice as it was
    WHEN 1 THEN NOT (kind = 'set' AND cause IN ('mprotect', 'pkey_mprotect'))
    -- a shmdt clears only what is known to be the segment
    ELSE kind <> 'clear attach'
END
UNION ALL
SELECT space * 4 + 1, key, lo, hi, kind, false, 0, 0, actor('madvise'::cause, 'syscalls'::source, tid), enter_ns FROM advised
UNION ALL
SELECT readings.space * 4 + 2, end_ns * 8 + 7, 0, 1::BIGINT << 51, 'clear'::kind, false, NULL, NULL, actor(cause, 'maps'::source, pid), NULL
FROM readings SEMI JOIN doubted USING (space)
UNION ALL
SELECT space::INTEGER * 4 + 2, key, lo, hi, 'set'::kind, false, reason_number, 0, actor('mmap'::cause, 'syscalls'::source, tid), NULL
FROM suspects JOIN reasons USING (reason)
-- in the order in which they count, so that a slice reads the row groups of its time only
ORDER BY key, kind;
