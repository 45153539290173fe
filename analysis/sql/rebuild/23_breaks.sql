-- Where was the program break before each change of it?
-- A copy begins with its original's; what /proc/PID/maps calls [heap] ends at the break.
CREATE TABLE breaks (
    -- number of the address space
    space,
    -- return of the call [ns, CLOCK_MONOTONIC]
    at_ns,
    -- first page past the break, from then on [pages]
    top,
    -- the same until then, null where it is not known [pages]
    old_top
) AS
WITH RECURSIVE
told AS (
    SELECT space, exit_ns AS at_ns, result AS top FROM calls WHERE call = 'brk' AND result > 0
    UNION ALL
    SELECT space, exit_ns, page FROM calls WHERE call = 'prctl'
    UNION ALL
    SELECT space, begin_ns, max(hi) FROM lines WHERE heap GROUP BY space, begin_ns
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
SELECT space, at_ns, top, lag(top) OVER (PARTITION BY space ORDER BY at_ns)
FROM (
    FROM told
    UNION ALL
    SELECT inherited.space, lives.from_ns, inherited.top FROM inherited JOIN lives USING (space)
);
