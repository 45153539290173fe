-- Which stacks are to be named: taken when, and in which address space?
CREATE OR REPLACE TABLE callers AS
SELECT DISTINCT life.capture, uses.space, life.pid, stack_id, coalesce(call_ns, ts_ns) AS ts_ns
FROM life
JOIN uses ON life.capture = uses.capture AND life.pid = uses.pid AND coalesce(call_ns, ts_ns) >= uses.from_ns
    AND coalesce(call_ns, ts_ns) < coalesce(uses.to_ns, 18446744073709551615)
WHERE stack_id >= 0;
