-- Which stacks are to be named, and in which address space were they taken? For the files of analysis/sql/stacks.
CREATE OR REPLACE TABLE asked AS
SELECT life.capture, uses.space, stack_id, min(ts_ns) AS at_ns
FROM life
JOIN uses ON life.capture = uses.capture AND life.pid = uses.pid AND coalesce(call_ns, ts_ns) >= uses.from_ns
    AND coalesce(call_ns, ts_ns) < coalesce(uses.to_ns, 18446744073709551615)
WHERE stack_id >= 0
GROUP BY life.capture, uses.space, stack_id;
