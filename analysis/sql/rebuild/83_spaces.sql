-- Which address spaces were there, whose, from when to when, and how did they begin and end?
CREATE VIEW spaces_found (
    -- number of the address space
    space,
    -- process for which it was made
    pid,
    -- every process that used it, with the first instant of that and the first past it [ns, CLOCK_MONOTONIC]
    users,
    -- first instant; for what was there before the recording, its start [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it, null where it was there at the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- exec (empty), fork (a copy), alive (was there before), unknown (its beginning was not recorded)
    began,
    -- fork: the address space that was copied
    parent,
    -- how its last user left it: exec or exit; null where it was there at the end
    ended
) AS
SELECT
    lives.space, any_value(users.pid) FILTER (users.seg = lives.space),
    list({'pid': users.pid, 'from_ns': users.from_ns::UBIGINT, 'to_ns': users.to_ns::UBIGINT} ORDER BY users.from_ns, users.pid),
    lives.from_ns, lives.to_ns, began, parent, lives.ended
FROM lives JOIN users USING (space)
GROUP BY ALL;
