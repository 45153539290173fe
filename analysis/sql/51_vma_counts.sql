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
WITH changes AS (FROM vma_changes)
FROM vma_totals('changes');
