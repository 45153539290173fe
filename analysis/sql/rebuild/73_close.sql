-- What ended in this slice is done; what stands is carried to the next.
INSERT INTO pieces
SELECT plane, lo, hi, key >> 3, end_key >> 3, look, base, actor, call_ns, end_actor, end_call_ns
FROM made
WHERE key >> 3 < end_key >> 3;
DELETE FROM live WHERE plane IN (SELECT plane FROM planes);
INSERT INTO live SELECT * EXCLUDE (end_key, end_actor, end_call_ns) FROM made WHERE end_key IS NULL;
