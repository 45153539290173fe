-- Which process used which address space, from when on?
CREATE TABLE users (
    -- process
    pid,
    -- first instant of use [ns, CLOCK_MONOTONIC]
    from_ns,
    -- number of the address space
    space
) AS
SELECT each.pid, each.from_ns, space FROM (SELECT unnest(users) AS each, space FROM spaces);
