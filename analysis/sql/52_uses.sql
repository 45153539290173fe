-- Which process used which address space, from when to when?
-- The spaces of `spaces`, a row a user; what a process did at a time, it did to the address space that it then used.
CREATE VIEW uses (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process
    pid,
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null: it did to the end [ns, CLOCK_MONOTONIC]
    to_ns
) AS
SELECT capture, host, space, life.pid, life.from_ns, life.to_ns
FROM (SELECT capture, host, space, unnest(users) AS life FROM spaces);
