-- Which mappings are these, counted as they were made: what one call made is one mapping, however much of it is left and in
-- how many pieces. What no call made (exec, fork, a reading) is one for each range.
CREATE TABLE made AS
WITH calls AS (
    SELECT capture, ts_enter_ns AS call_ns, tid AS cause_tid, stack_id FROM syscalls
)
SELECT
    capture, host, space,
    -- process for which the address space was made
    any_value(pid) AS pid,
    class,
    -- first byte of what is left [address]
    min(start) AS start,
    -- first byte past it [address]
    max("end") AS "end",
    -- pages of it [bytes]
    sum("end" - start)::UBIGINT AS size_bytes,
    -- ranges that it is in
    count(*) AS ranges,
    -- when it was created; null: before the recording [ns, CLOCK_MONOTONIC]
    min(created_ns) AS created_ns,
    -- when the last of it was freed, null where it is there at the end [ns, CLOCK_MONOTONIC]
    if(bool_or(to_ns IS NULL), NULL, max(to_ns)) AS to_ns,
    arg_min(perms, start) AS perms, any_value(dev) AS dev, any_value(inode) AS inode, any_value(path) AS path,
    any_value(path_bytes) AS path_bytes, arg_min(offset_bytes, start) AS offset_bytes,
    cause, cause_tid, any_value(call_ns) AS call_ns,
    -- what freed the last of it
    arg_max(end_cause, to_ns) AS end_cause,
    -- key of table stacks, null where no call or no stack was recorded, negative where it could not be taken
    any_value(stack_id) AS stack_id,
    if(bool_or(certainty = 'possible'), 'possible', 'certain') AS certainty, min(reason) AS reason
FROM classed LEFT JOIN calls USING (capture, call_ns, cause_tid)
GROUP BY capture, host, space, class, cause, cause_ns, cause_tid, if(call_ns IS NULL, start, NULL);
