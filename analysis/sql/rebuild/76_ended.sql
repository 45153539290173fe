-- What stood in an address space until its end goes with it.
INSERT INTO pieces
SELECT
    plane, lo, hi, key >> 3, to_ns, look, base, actor, call_ns,
    actor(ended::cause, 'tasks'::source, end_pid), NULL
FROM live JOIN lives ON live.plane // 4 = lives.space
WHERE to_ns * 8 <= getvariable('slice_to') AND key >> 3 < to_ns;
DELETE FROM live WHERE plane // 4 IN (SELECT space FROM lives WHERE to_ns * 8 <= getvariable('slice_to'));
