-- Which address spaces were there, whose, from when to when, and how did they begin and end?
-- Threads and CLONE_VM children (vfork) share one; a fork copies it, an exec begins an empty one.
CREATE VIEW spaces (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space, within the capture
    space,
    -- process for which it was made
    pid,
    -- every process that used it, with the first instant of that and the first past it [ns, CLOCK_MONOTONIC]
    users,
    -- first instant; for what was there before the recording, its start [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null where it was there at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- exec (empty), fork (a copy), alive (was there before the recording), unknown (its beginning was not recorded)
    began,
    -- fork: the address space that was copied
    parent,
    -- how its last user left it: exec or exit; null where it was there at the end
    ended
) AS
SELECT capture, host, space, pid, users, from_ns, to_ns, began, parent, ended FROM stored_spaces;
