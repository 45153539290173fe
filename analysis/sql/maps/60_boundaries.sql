-- At which of those places does one VMA end and the next begin?
-- The last that told of the place decides: a VMA that lay on both sides, or one that ended there. After an mremap
-- the kernel's own rules do (mm/vma.c, vma_merge and can_vma_merge_before/after): neighbours merge that have the same
-- flags and file and a continuing vm_pgoff. For a file or shared memory that is all. Private anonymous memory keeps,
-- once a page of it was written, the vm_pgoff of the address where it was made, and its anon_vma (copy_vma,
-- is_mergeable_anon_vma); whether it was written no event tells. What is moved mostly was.
CREATE OR REPLACE TABLE boundaries (
    -- the place [address]
    page,
    -- why that is only possible, null where it is certain
    reason
) AS
SELECT page, if(moved_last, 'whether moved memory is one mapping with its neighbour is not known', NULL)
FROM (
    SELECT
        page, anonymous, together, grew,
        moves.ts_ns IS NOT NULL AND moves.ts_ns > coalesce(told.ts_ns, 0) AS moved_last
    FROM candidates
    LEFT JOIN told USING (page)
    LEFT JOIN (SELECT page, max(ts_ns) AS ts_ns, arg_max(grew, ts_ns) AS grew FROM moved GROUP BY page) AS moves USING (page)
)
WHERE CASE WHEN moved_last THEN anonymous AND NOT grew ELSE NOT coalesce(together, true) END;
