-- Where in address and time is what the timeline says, or does not say, only possible?
CREATE VIEW doubts (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- first instant [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null: to the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- why
    reason
) AS
SELECT capture, host, space, start, "end", from_ns, to_ns, reason FROM stored_doubts;
