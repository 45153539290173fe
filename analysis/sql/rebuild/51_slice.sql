-- What is written in this slice of time?
CREATE OR REPLACE TABLE slice (
    -- copies deep of the address space, 0 for what was there before the slice
    level,
    -- the others are those of writes
    plane, key, lo, hi, kind, soft, look, base, link, cause, source, event_ns, tid, call_ns
) AS
SELECT coalesce(level, 0), writes.*
FROM writes
JOIN lives ON plane // 4 = lives.space
LEFT JOIN levels ON plane // 4 = levels.space
WHERE key >= getvariable('slice_from') AND key < getvariable('slice_to') AND (to_ns IS NULL OR key < to_ns * 8);
