-- What was mapped, where, from when to when, who did it, who ended it, and how sure is that?
SET VARIABLE largest = (SELECT coalesce(mode(plane), -1) FROM pieces WHERE plane % 4 = 0);
CREATE VIEW rectangles (
    -- number of the address space
    space,
    -- process for which the address space was made
    pid,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null where it still stands at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- permissions as in /proc/PID/maps, null where they are not known
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation, null where only /proc/PID/maps told
    generation,
    -- path as /proc/PID/maps prints it; empty for anonymous memory, heap and stack [bytes]
    path_bytes,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- what made it: the event, its table, and its thread (maps, fork: process), see 00_types.sql
    actor,
    -- time of that event [ns, CLOCK_MONOTONIC]
    cause_ns,
    -- entry of the call that asked for it, null if none did [ns, CLOCK_MONOTONIC]
    call_ns,
    -- what ended it, null where it still stands at the end
    end_actor,
    -- time of that event [ns, CLOCK_MONOTONIC]
    end_ns,
    -- entry of the call that ended it, null if none did [ns, CLOCK_MONOTONIC]
    end_call_ns,
    -- why it is only possible, null where it is certain
    reason
) AS
WITH
standing AS NOT MATERIALIZED (
    SELECT *, from_ns AS made_ns, to_ns AS ended_ns
    FROM (
        FROM pieces
        UNION ALL
        SELECT plane, lo, hi, key >> 3, NULL, look, base, actor, call_ns, NULL, NULL FROM live
    )
    WHERE plane % 4 = 0
),
-- so that a question of one address space reads its own rows and few others; here, where rows are still short. Where one
-- space has most of the rows they are its own already, and lie slice by slice
mapped AS NOT MATERIALIZED (
    FROM standing WHERE plane = getvariable('largest')
    UNION ALL
    FROM (FROM standing WHERE plane <> getvariable('largest') ORDER BY plane, from_ns)
),
-- a rectangle is parted where certainty begins or ends
parted AS NOT MATERIALIZED (
    SELECT mapped.* REPLACE (
            greatest(mapped.from_ns, coalesce(eras.from_ns, 0)) AS from_ns,
            nullif(least(coalesce(mapped.to_ns, 9223372036854775807), coalesce(eras.to_ns, 9223372036854775807)), 9223372036854775807) AS to_ns
        ), eras.reason
    FROM mapped
    LEFT JOIN eras ON plane // 4 = eras.space
    WHERE eras.space IS NULL OR (eras.from_ns < coalesce(mapped.to_ns, 9223372036854775807) AND eras.to_ns > mapped.from_ns)
),
-- which pages of them are doubtful, and when; what is doubtful of a whole space is an era's
doubted AS (
    SELECT
        plane, parted.lo, parted.hi, parted.from_ns, coalesce(parted.to_ns, 9223372036854775807) AS until_ns,
        greatest(doubts_found.lo, parted.lo) AS low, least(doubts_found.hi, parted.hi) AS high,
        greatest(doubts_found.from_ns, parted.from_ns) AS since, least(coalesce(doubts_found.to_ns, 9223372036854775807), until_ns) AS until,
        doubts_found.reason
    FROM parted JOIN doubts_found ON plane // 4 = space
        AND doubts_found.lo < parted.hi AND doubts_found.hi > parted.lo AND (doubts_found.lo > 0 OR doubts_found.hi < 1::BIGINT << 51)
        AND doubts_found.from_ns < coalesce(parted.to_ns, 9223372036854775807) AND coalesce(doubts_found.to_ns, 9223372036854775807) > parted.from_ns
),
strips AS (
    SELECT *, coalesce(lead(low) OVER (PARTITION BY plane, lo, from_ns ORDER BY low), hi) AS high
    FROM (SELECT DISTINCT plane, lo, hi, from_ns, until_ns, unnest([lo, low, high]) AS low FROM doubted)
    WHERE low < hi
),
-- doubts of the same pages that follow each other, or overlap, are one
islands AS (
    SELECT plane, lo, from_ns, low, min(since) AS since, max(until) AS until, arg_min(reason, (since, reason)) AS reason
    FROM (
        SELECT *, count_if(first) OVER (PARTITION BY plane, lo, from_ns, low ORDER BY since, until, reason ROWS UNBOUNDED PRECEDING) AS island
        FROM (
            SELECT
                strips.plane, strips.lo, strips.from_ns, strips.low, since, until, reason,
                coalesce(since > max(until) OVER (
                    PARTITION BY strips.plane, strips.lo, strips.from_ns, strips.low ORDER BY since, until, reason
                    ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                ), true) AS first
            FROM strips JOIN doubted USING (plane, lo, from_ns)
            WHERE doubted.low < strips.high AND doubted.high > strips.low
        )
    )
    GROUP BY plane, lo, from_ns, low, island
),
spots AS (
    SELECT plane, lo, from_ns, strips.low, high, since, until, reason
    FROM strips JOIN islands USING (plane, lo, from_ns, low)
    UNION ALL
    -- and what is certain before each, and after the last
    SELECT plane, lo, from_ns, low, high, coalesce(lag(until) OVER strip, from_ns), since, NULL
    FROM strips JOIN islands USING (plane, lo, from_ns, low)
    WINDOW strip AS (PARTITION BY plane, lo, from_ns, low ORDER BY since)
    UNION ALL
    SELECT plane, lo, from_ns, low, any_value(high), coalesce(max(until), from_ns), any_value(until_ns), NULL
    FROM strips LEFT JOIN islands USING (plane, lo, from_ns, low)
    GROUP BY plane, lo, from_ns, low
),
suspected AS (
    SELECT *, NULL AS spot_reason FROM parted ANTI JOIN spots USING (plane, lo, from_ns)
    UNION ALL
    SELECT parted.* REPLACE (low AS lo, high AS hi, since AS from_ns, nullif(until, 9223372036854775807) AS to_ns), spots.reason
    FROM parted JOIN spots USING (plane, lo, from_ns)
    WHERE since < until
)
SELECT
    plane // 4, lives.pid, (lo::UBIGINT << 12), (hi::UBIGINT << 12), suspected.from_ns, suspected.to_ns,
    perms, dev, inode, generation, path, if(inode = 0 AND dev = 0, 0, ((lo - base) & 4503599627370495)::UBIGINT << 12),
    actor, if(actor & 3 = enum_code('syscalls'::source), call_ns, made_ns), call_ns,
    end_actor, if(end_actor & 3 = enum_code('syscalls'::source), end_call_ns, ended_ns), end_call_ns,
    coalesce(suspected.reason, spot_reason, if(suspected.look = 0, 'what was moved there is not known', NULL))
FROM suspected
JOIN looks USING (look)
JOIN (SELECT lives.space, users.pid FROM lives JOIN users ON lives.space = users.seg) AS lives ON plane // 4 = lives.space;
