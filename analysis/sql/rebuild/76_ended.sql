-- What stood in an address space until its end goes with it.
CREATE OR REPLACE TABLE over (
    -- number of the address space
    space,
    -- first instant past it [ns, CLOCK_MONOTONIC]
    to_ns,
    -- how its last user left it
    ended,
    -- that user's process id
    end_pid
) AS
SELECT space, to_ns, ended::cause, end_pid
FROM lives LEFT JOIN levels USING (space)
-- those of the levels to come begin with what is there now
WHERE to_ns * 8 <= getvariable('slice_to') AND coalesce(level, 0) <= getvariable('level');
INSERT INTO pieces
SELECT plane, lo, hi, key >> 3, to_ns, look, base, actor, call_ns, actor(ended, 'tasks'::source, end_pid), NULL
FROM live JOIN over ON live.plane // 4 = over.space
WHERE key >> 3 < to_ns;
DELETE FROM live WHERE plane // 4 IN (SELECT space FROM over);
