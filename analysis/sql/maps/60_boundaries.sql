-- At which of those places does one VMA end and the next begin?
-- The last that told of the place decides: a VMA that lay on both sides, or one that ended there. After an mremap or a
-- silent call the kernel's own rules do (mm/vma.c, can_vma_merge_before and can_vma_merge_after): neighbours merge that
-- have the same file, flags, policy and name and a continuing vm_pgoff. For a file or shared memory that is all; but a file
-- opened twice is two to the kernel (vma->vm_file), and no event tells which of them a mapping is of. Private
-- anonymous memory keeps, once a page of it was written, the vm_pgoff of the address where it was made, and its
-- anon_vma (copy_vma, is_mergeable_anon_vma); whether it was written no event tells. What is moved mostly was.
CREATE OR REPLACE TABLE boundaries (
    -- the place [address]
    page,
    -- whether it is a boundary
    apart,
    -- why that is only possible, null where it is certain
    reason
) AS
WITH latest AS (
    SELECT
        page, anonymous, opened, together, inside, differ, differed, known,
        greatest(coalesce(told.ts_ns, 0), coalesce(moved.ts_ns, 0), coalesce(differing.ts_ns, 0)) AS ts_ns,
        moved.ts_ns AS moved_ns, differing.ts_ns AS trait_ns
    FROM candidates
    LEFT JOIN told USING (page)
    LEFT JOIN moved USING (page)
    LEFT JOIN differing USING (page)
)
SELECT page, anonymous AND NOT inside, CASE
    WHEN anonymous AND NOT inside THEN 'whether moved memory is one mapping with its neighbour is not known'
    WHEN opened AND NOT inside THEN 'whether what was moved is of the same open file as its neighbour is not known'
END
FROM latest WHERE ts_ns = moved_ns
UNION ALL
-- what was one stays one while its traits do; what was two for their sake becomes one with them; else there is a reason
-- that no call tells of, such as another open file, or an anon_vma
SELECT
    page, differ OR NOT coalesce(together, true) AND NOT differed, CASE
        WHEN NOT known THEN 'whether neighbours have the same flags, memory policy and name is not known'
        WHEN NOT differ AND NOT coalesce(together, true) AND (anonymous OR differed) THEN 'whether neighbours became one mapping is not known'
    END
FROM latest WHERE ts_ns = trait_ns AND ts_ns IS DISTINCT FROM moved_ns
UNION ALL
SELECT page, NOT coalesce(together, true), NULL
FROM latest WHERE ts_ns IS DISTINCT FROM trait_ns AND ts_ns IS DISTINCT FROM moved_ns
UNION ALL
-- one place stands for all within
SELECT lo + 4096, false, 'whether what was moved is one mapping is not known'
FROM moves ASOF JOIN standing ON lo >= start
WHERE several AND lo < "end" AND cause IN ('mremap', 'fork');
