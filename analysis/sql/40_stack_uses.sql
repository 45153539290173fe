-- Which user stacks were recorded in which address space, how often, and from when to when?
-- A stack is told by its addresses alone: two address spaces can have the same one and mean other functions by it.
CREATE VIEW stack_uses (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- key of table stacks
    stack_id,
    -- calls, faults and hooks that have it
    events,
    -- the first of them: entry of a call, or time of a fault or hook [ns, CLOCK_MONOTONIC]
    first_ns,
    -- the last of them [ns, CLOCK_MONOTONIC]
    last_ns
) AS
SELECT events.capture, any_value(events.host), space, stack_id, count(*), min(ts_ns), max(ts_ns)
FROM (
    SELECT capture, host, pid, stack_id, ts_enter_ns AS ts_ns FROM syscalls WHERE stack_id >= 0
    UNION ALL
    SELECT capture, host, pid, stack_id, ts_enter_ns FROM files WHERE stack_id >= 0
    UNION ALL
    SELECT capture, host, pid, stack_id, ts_ns FROM faults WHERE stack_id >= 0
    UNION ALL
    SELECT capture, host, pid, stack_id, ts_ns FROM hooks WHERE stack_id >= 0
) AS events
JOIN (SELECT capture, space, unnest(users) AS life FROM spaces) AS users
    ON events.capture = users.capture AND pid = life.pid AND ts_ns >= life.from_ns AND (life.to_ns IS NULL OR ts_ns < life.to_ns)
GROUP BY events.capture, space, stack_id;
