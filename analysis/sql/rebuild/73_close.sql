-- What ended in this slice is done; what stands is carried to the next.
INSERT INTO pieces
SELECT
    made.plane, made.lo, made.hi, made.key >> 3, ender.key >> 3, made.look, made.base,
    made.cause, made.source, made.tid, made.call_ns,
    ender.cause, ender.source, ender.tid, ender.call_ns
FROM made JOIN ranked AS ender ON made.ended_by = ender.w
WHERE made.key >> 3 < ender.key >> 3;
DELETE FROM live WHERE plane IN (SELECT plane FROM ranked);
INSERT INTO live SELECT * EXCLUDE (ended_by) FROM made WHERE ended_by IS NULL;
