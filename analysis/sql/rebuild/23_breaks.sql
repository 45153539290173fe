-- Where was the program break before each change of it?
-- A copy begins with its original's; what /proc/PID/maps calls [heap] ends at the break.
CREATE TABLE breaks (
    -- number of the address space
    space,
    -- time of the change: of a growing heap's record, else the return of the call [ns, CLOCK_MONOTONIC]
    at_ns,
    -- return of the call, null where none did it [ns, CLOCK_MONOTONIC]
    exit_ns,
    -- first page past the break, from then on [pages]
    top,
    -- the same until then, null where it is not known [pages]
    old_top
) AS
WITH RECURSIVE
told AS (
    SELECT space, if(record_ns >= enter_ns, record_ns, exit_ns) AS at_ns, exit_ns, result AS top
    FROM (FROM calls WHERE call = 'brk' AND result > 0) AS calls
    ASOF LEFT JOIN (SELECT tid, ts_ns::BIGINT AS record_ns FROM vmas WHERE tid IN (SELECT tid FROM calls WHERE call = 'brk')) AS records ON calls.tid = records.tid AND exit_ns >= record_ns
    UNION ALL
    SELECT space, exit_ns, NULL, page FROM calls WHERE call = 'prctl'
    UNION ALL
    SELECT space, begin_ns, NULL, max(hi) FROM lines WHERE heap GROUP BY space, begin_ns
),
copies(space, above, at_ns) AS (
    SELECT space, parent, from_ns FROM lives WHERE began = 'fork' AND parent IS NOT NULL AND space IN (SELECT space FROM told)
    UNION ALL
    SELECT copies.space, lives.parent, lives.from_ns
    FROM copies JOIN lives ON copies.above = lives.space
    WHERE lives.began = 'fork' AND lives.parent IS NOT NULL
        AND NOT EXISTS (FROM told WHERE told.space = copies.above AND told.at_ns < copies.at_ns)
),
inherited AS (
    SELECT copies.space, told.top
    FROM copies ASOF JOIN told ON copies.above = told.space AND copies.at_ns > told.at_ns
)
SELECT space, at_ns, exit_ns, top, lag(top) OVER (PARTITION BY space ORDER BY at_ns)
FROM (
    FROM told
    UNION ALL
    SELECT inherited.space, lives.from_ns, NULL, inherited.top FROM inherited JOIN lives USING (space)
);
