-- Which captures are open, from when to when do they reach, and what was the limit of VMAs?
CREATE VIEW captures (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- start of the recording [ns, CLOCK_MONOTONIC]
    from_ns,
    -- to when it reaches [ns, CLOCK_MONOTONIC]
    to_ns,
    -- vm.max_map_count at the start: the VMAs a process may have; null where it was not recorded
    max_map_count
) AS
SELECT capture, host, from_ns, to_ns, max_map_count FROM opened_captures;
