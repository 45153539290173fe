-- Which calls gave memory traits that part mappings from their neighbours, or make them alike?
-- Advice, locks, seals, memory policies and names; no record tells of the mappings that come of it.
CREATE VIEW traits (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- return of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- what was given: read, fork, merge, huge, dump, wipe, lock, seal, policy or name
    trait,
    -- what it is then: the advice, mode or pointer, or a word; empty for what mappings begin with,
    -- ? where the call failed and can have changed a part
    value
) AS
SELECT capture, host, space, ts_ns, start, "end", trait, value FROM stored_traits;
