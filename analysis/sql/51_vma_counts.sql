-- How many VMAs did each address space have, from each change to the next?
-- It is what vm.max_map_count limits. See vma_changes for how VMAs are told from the parts that the timeline knows.
CREATE VIEW vma_counts (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- from this time on [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- VMAs, where neighbours of the same kind of which no record tells are taken for one
    vmas,
    -- VMAs, if each of those is one of its own
    vmas_at_most,
    -- of vmas, those that are only possible
    possible
) AS
WITH steps AS (
    SELECT
        capture, host, space, any_value(pid) AS pid, ts_ns,
        sum(change) AS change, sum(change_at_most) AS change_at_most, sum(possible) AS possible
    FROM vma_changes
    GROUP BY capture, host, space, ts_ns
)
SELECT
    capture, host, space, pid, ts_ns,
    sum(change) OVER passed::BIGINT, sum(change_at_most) OVER passed::BIGINT, sum(possible) OVER passed::BIGINT
FROM steps
WINDOW passed AS (PARTITION BY capture, space ORDER BY ts_ns);
