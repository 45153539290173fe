-- Which files were mapped out of order with remap_file_pages, and what does it cost?
-- A region is a range of addresses where a file was mapped without a gap, for as long as any of it was; one finding for each
-- region in which neighbouring pages were not neighbours in the file, told of the last instant at which most of them were not.
-- Each window of it is a VMA of its own: since Linux 4.0 the kernel does no more than mmap(MAP_FIXED) does. low: it costs
-- VMAs; medium: and the process had half of what vm.max_map_count allows. Where order was restored in the end it is expected.
-- facts: order (windows as they lay: pages from the start of the region, and the pages of the file; at most 16), windows,
-- more_vmas (over a mapping in order), calls, took_ns (from the first call to the last), in_calls_ns, order_ns (when it lay so),
-- lasted_ns (from the first disorder to the last), vmas (of the process, where it had most windows), vmas_at_most, limit_vmas.
-- Cost: a hundredth of the rebuild without remap_file_pages; where a quarter of all calls are it, a fifth of it.
WITH
there AS MATERIALIZED (
    SELECT
        capture, host, space, pid, start, "end", from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns, dev, inode, generation,
        path, path_bytes, offset_bytes, offset_bytes::HUGEINT - start AS shift, cause, cause_ns, cause_tid, call_ns, reason
    FROM timeline
    WHERE shared AND (capture, space, dev, inode) IN (SELECT (capture, space, dev, inode) FROM timeline WHERE cause = 'remap_file_pages')
),
-- first by address, then by time
placed AS MATERIALIZED (
    SELECT * EXCLUDE (apart, later), dense_rank() OVER (ORDER BY capture, space, dev, inode, place, stay) AS region
    FROM (
        SELECT *, count_if(later) OVER (PARTITION BY capture, space, dev, inode, place ORDER BY from_ns, start) AS stay
        FROM (
            SELECT *, coalesce(from_ns > max(to_ns) OVER before, true) AS later
            FROM (
                SELECT *, count_if(apart) OVER (PARTITION BY capture, space, dev, inode ORDER BY start, from_ns) AS place
                FROM (
                    SELECT *, coalesce(start > max("end") OVER below, true) AS apart
                    FROM there
                    WINDOW below AS (
                        PARTITION BY capture, space, dev, inode ORDER BY start, from_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
                    )
                )
            )
            WINDOW before AS (
                PARTITION BY capture, space, dev, inode, place ORDER BY from_ns, start ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            )
        )
    )
),
lows AS (
    SELECT region, "end" AS page, from_ns, to_ns, shift FROM placed
),
highs AS (
    SELECT region, start AS page, from_ns, to_ns, shift FROM placed
),
-- below a boundary stands one rectangle at a time, and above it too: who comes later finds the other
breaks AS MATERIALIZED (
    SELECT highs.region, highs.from_ns, least(highs.to_ns, lows.to_ns) AS to_ns
    FROM highs ASOF JOIN lows ON highs.region = lows.region AND highs.page = lows.page AND highs.from_ns >= lows.from_ns
    WHERE highs.from_ns < lows.to_ns AND highs.shift <> lows.shift
    UNION ALL
    SELECT lows.region, lows.from_ns, least(highs.to_ns, lows.to_ns)
    FROM lows ASOF JOIN highs ON highs.region = lows.region AND highs.page = lows.page AND lows.from_ns > highs.from_ns
    WHERE lows.from_ns < highs.to_ns AND highs.shift <> lows.shift
),
steps AS (
    SELECT region, ts_ns, sum(sum(change)) OVER (PARTITION BY region ORDER BY ts_ns) AS broken
    FROM (SELECT region, from_ns AS ts_ns, 1 AS change FROM breaks UNION ALL SELECT region, to_ns, -1 FROM breaks)
    GROUP BY region, ts_ns
),
worst AS MATERIALIZED (
    SELECT
        region, max(broken)::BIGINT AS broken, arg_max(ts_ns, (broken, ts_ns)) AS at_ns,
        min(ts_ns) AS first_ns, max(ts_ns) AS last_ns
    FROM steps GROUP BY region
),
-- something of the file came to lie there when the last disorder went
restored AS (
    SELECT DISTINCT region FROM placed JOIN worst USING (region) WHERE from_ns = last_ns
),
windows AS MATERIALIZED (
    SELECT
        region, row_number() OVER (PARTITION BY region ORDER BY min(start)) AS number, min(start) AS start, max("end") AS "end",
        min(offset_bytes) AS offset_bytes, any_value(reason) AS reason
    FROM (
        SELECT *, count_if(apart) OVER (PARTITION BY region ORDER BY start) AS part
        FROM (
            SELECT placed.*, coalesce(start <> lag("end") OVER up OR shift <> lag(shift) OVER up, true) AS apart
            FROM placed JOIN worst USING (region)
            WHERE from_ns <= at_ns AND to_ns > at_ns
            WINDOW up AS (PARTITION BY region ORDER BY start)
        )
    )
    GROUP BY region, part
),
orders AS (
    SELECT
        region, min(start) AS low, max("end") AS high, arg_min(offset_bytes, start) AS offset_bytes, count(*) AS windows,
        any_value(reason) AS reason,
        string_agg(
            if(last_page = 0, page || '→' || file_page, page || '-' || page + last_page || '→' || file_page || '-' || file_page + last_page),
            ' ' ORDER BY start
        ) FILTER (number <= 16) || if(count(*) > 16, ' …', '') AS "order"
    FROM (
        SELECT
            *, ((start - min(start) OVER (PARTITION BY region)) >> 12) AS page, offset_bytes >> 12 AS file_page,
            (("end" - start) >> 12) - 1 AS last_page
        FROM windows
    )
    GROUP BY region
),
made AS (
    SELECT
        region, any_value(placed.capture) AS capture, any_value(placed.host) AS host, any_value(space) AS space, any_value(dev) AS dev,
        any_value(inode) AS inode, any_value(generation) AS generation, any_value(path) AS path, any_value(path_bytes) AS path_bytes,
        count(DISTINCT (call.call_ns, call.tid)) FILTER (call.tid IS NOT NULL) AS calls, min(ts_enter_ns) AS first_call_ns, max(ts_exit_ns) - min(ts_enter_ns) AS took_ns,
        arg_min({'pid': call.pid, 'tid': call.tid, 'comm': comm, 'stack_id': stack_id}, ts_enter_ns) AS maker
    FROM placed
    LEFT JOIN (
        SELECT capture, ts_enter_ns AS call_ns, ts_enter_ns, ts_exit_ns, pid, tid, comm, stack_id FROM syscalls WHERE syscall = 'remap_file_pages'
    ) AS call ON placed.capture = call.capture AND cause = 'remap_file_pages' AND placed.call_ns = call.call_ns AND cause_tid = call.tid
    WHERE region IN (SELECT region FROM worst)
    GROUP BY region
),
-- one instant an address space, that of the most windows
instants AS (
    SELECT capture, space, arg_max(at_ns, broken) AS count_ns FROM worst JOIN made USING (region) GROUP BY capture, space
),
counted AS (
    SELECT capture, space, count_if(apart) AS vmas, count(*) AS vmas_at_most
    FROM (
        SELECT
            instants.*,
            coalesce(start <> lag("end") OVER up OR (perms, dev, inode) <> (lag((perms, dev, inode)) OVER up)
                OR (inode <> 0 AND start::HUGEINT - offset_bytes <> lag(start::HUGEINT - offset_bytes) OVER up), true) AS apart
        FROM timeline
        JOIN instants ON timeline.capture = instants.capture AND timeline.space = instants.space
            AND from_ns <= count_ns AND coalesce(to_ns, 18446744073709551615) > count_ns
        WINDOW up AS (PARTITION BY instants.capture, instants.space ORDER BY start)
    )
    GROUP BY capture, space
),
doubtful AS (
    SELECT region, any_value(doubts.reason) AS reason
    FROM made JOIN orders USING (region) JOIN worst USING (region)
    JOIN doubts ON made.capture = doubts.capture AND made.space = doubts.space AND doubts.start < high AND doubts."end" > low
        AND doubts.from_ns <= at_ns AND coalesce(doubts.to_ns, 18446744073709551615) > at_ns
    GROUP BY region
),
told AS (
    SELECT
        made.*, worst.* EXCLUDE (region), orders.* EXCLUDE (region), vmas, vmas_at_most, max_map_count AS most, coalesce(doubtful.reason, orders.reason) AS doubt,
        if(region IN (FROM restored), last_ns - first_ns, NULL) AS restored_after_ns
    FROM made JOIN worst USING (region) JOIN orders USING (region)
    LEFT JOIN captures ON captures.capture = made.capture
    LEFT JOIN counted ON counted.capture = made.capture AND counted.space = made.space
    LEFT JOIN doubtful USING (region)
)
SELECT
    capture, host, if(restored_after_ns IS NOT NULL, 'info', if(coalesce(vmas >= most / 2, false), 'medium', 'low')) AS severity,
    'the order of the file was restored after ' || span_text(restored_after_ns) AS expected,
    if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason, first_ns AS ts_ns, space,
    maker.pid AS pid, maker.tid AS tid, maker.comm AS comm, maker.stack_id AS stack_id, 'remap_file_pages' AS call, first_call_ns AS call_ns,
    low AS start, high AS "end", dev, inode, generation, path, path_bytes, offset_bytes,
    MAP {
        'order': "order", 'windows': windows::VARCHAR, 'more_vmas': broken::VARCHAR, 'calls': calls::VARCHAR, 'took_ns': took_ns::VARCHAR,
        'order_ns': at_ns::VARCHAR, 'lasted_ns': if(last_ns = 18446744073709551615, NULL, last_ns - first_ns)::VARCHAR,
        'vmas': vmas::VARCHAR, 'vmas_at_most': vmas_at_most::VARCHAR, 'limit_vmas': most::VARCHAR
    } AS facts,
    coalesce(thread_text(maker.comm, maker.pid, maker.tid), 'somebody') || ' mapped ' || file_text(path, dev, inode) || ' out of order at ' || range_text(low, high)
        || ' with remap_file_pages: pages ' || "order" || '. That takes ' || broken || if(broken = 1, ' VMA', ' VMAs') || ' more than in order'
        || coalesce(', of ' || most || ' that vm.max_map_count allows and ' || vmas || ' that the process had', '')
        || coalesce('; ' || calls || if(calls = 1, ' call took ', ' calls took ') || span_text(took_ns), '') || '. '
        || CASE
            WHEN calls > 4 * windows THEN 'One mapping in order and an index table need no calls; userfaultfd fills pages on demand'
            WHEN windows > 64 THEN 'One mapping in order and an index table need one VMA'
            ELSE 'mmap(MAP_FIXED) of each window does the same; one mapping in order and an index table need one VMA'
        END AS sentence
FROM told
