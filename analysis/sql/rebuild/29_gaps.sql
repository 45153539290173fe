-- In which stretches of time is nothing certain in an address space, and why?
-- From a loss until the maps were read again; a copy inherits its original's doubts.
CREATE TABLE gaps (
    -- number of the address space
    space,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it [ns, CLOCK_MONOTONIC]
    to_ns,
    -- why
    reason
) AS
WITH RECURSIVE
-- a call whose record was lost took effect before its return: as long before as calls took here
lost AS (
    SELECT from_ns::BIGINT - (SELECT coalesce(max(exit_ns - enter_ns), 0) FROM removals) AS from_ns, to_ns::BIGINT AS to_ns,
        format('{} records of {} were lost ({})', coalesce(count::VARCHAR, 'some'), source, cause) AS reason
    FROM losses
    WHERE source IN ('calls', 'threads', 'sideband', 'tasks', 'writer')
    UNION ALL
    SELECT from_ns, to_ns, format('a batch of {} cannot be read', source) FROM damages
),
-- a line is the truth at some instant of its reading: without a change meanwhile, at every instant
active AS (
    SELECT space, ts_ns AS first_ns, ts_ns AS last_ns FROM records
    UNION ALL SELECT space, enter_ns, exit_ns FROM removals
),
-- readings are few and often only the first: what was not meanwhile need not be sorted
meanwhile AS (
    SELECT space, last_ns, min(first_ns) OVER (PARTITION BY space ORDER BY last_ns DESC) AS first_ns
    FROM active JOIN (SELECT space, min(begin_ns) AS since, max(end_ns) AS until FROM readings GROUP BY space) USING (space)
    WHERE last_ns >= since AND first_ns <= until
),
disturbed AS (
    SELECT readings.space, begin_ns FROM readings
    ASOF JOIN meanwhile ON readings.space = meanwhile.space AND readings.begin_ns <= meanwhile.last_ns
    WHERE first_ns <= end_ns
),
raised AS (
    SELECT space, greatest(lost.from_ns, lives.from_ns) AS from_ns, lost.to_ns AS settled_ns, reason
    FROM lost JOIN lives ON lost.to_ns >= lives.from_ns AND (lives.to_ns IS NULL OR lost.from_ns < lives.to_ns)
    UNION ALL
    -- of what happened before the start, all or a part or nothing may be there
    SELECT space, from_ns, greatest(from_ns, getvariable('started_ns')),
        if(began = 'fork', 'the process that it is a copy of is not known', 'what was mapped before the recording is not known')
    FROM lives WHERE began IN ('alive', 'unknown') OR (began = 'fork' AND parent IS NULL) OR from_ns < getvariable('started_ns')
    UNION ALL
    -- perf tells of an exec before the new mappings, the raw tracepoint after them
    SELECT space, from_ns, from_ns, 'the beginning of its exec was lost'
    FROM lives
    ANTI JOIN (FROM tasks JOIN users USING (pid) WHERE event = 'exec' AND source = 'perf') AS told
        ON lives.space = told.seg AND lives.from_ns = told.ts_ns
    WHERE began = 'exec'
    UNION ALL
    SELECT space, begin_ns, begin_ns, 'mappings changed while they were read' FROM disturbed
),
closed AS (
    SELECT
        raised.space, raised.from_ns, raised.settled_ns, reason,
        coalesce(readings.end_ns, lives.to_ns, 9223372036854775807) AS to_ns
    FROM raised
    ASOF LEFT JOIN readings ON raised.space = readings.space AND raised.settled_ns <= readings.begin_ns
    JOIN lives ON raised.space = lives.space
),
inherited(space, from_ns, to_ns, reason) AS (
    SELECT space, from_ns, to_ns, reason FROM closed
    UNION ALL
    SELECT lives.space, lives.from_ns, coalesce((SELECT min(end_ns) FROM readings WHERE readings.space = lives.space), lives.to_ns, 9223372036854775807), reason
    FROM inherited JOIN lives ON lives.parent = inherited.space AND lives.from_ns >= inherited.from_ns AND lives.from_ns < inherited.to_ns
),
-- overlapping ones are one
marked AS (
    SELECT *, coalesce(from_ns > max(to_ns) OVER before, true) AS opens
    FROM inherited
    WHERE from_ns < to_ns
    WINDOW before AS (PARTITION BY space ORDER BY from_ns, to_ns ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
),
numbered AS (
    SELECT *, count_if(opens) OVER (PARTITION BY space ORDER BY from_ns, to_ns) AS stretch FROM marked
)
SELECT
    space, min(from_ns), max(to_ns),
    arg_min(reason, from_ns) || CASE WHEN count(DISTINCT reason) > 1 THEN format('; and {} more', count(DISTINCT reason) - 1) ELSE '' END
FROM numbered
GROUP BY space, stretch;
