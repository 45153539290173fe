-- Which files shrank, or lost pages, while they were mapped?
-- Every truncation (truncate, ftruncate, O_TRUNC), and every hole punched or range collapsed or zeroed by fallocate, that took
-- pages from a mapping that stood then: pid did it, other_pid lost them. One finding for each mapping, with the part of it that
-- was lost. The mapping is there after it; touching it raises SIGBUS beyond the end of the file, and reads zeros in a hole.
-- high: a SIGBUS came of it; medium: nobody touched it as far as faults tell, but the mapping stayed; low: contents went, no
-- SIGBUS can come of it. facts: old_size_bytes, new_size_bytes (of the file), lost_bytes (of the mapping), stayed_ns (how long
-- the mapping was there after it, empty: to the end), faults (SIGBUS in the lost part), first_fault_ns (from the truncation on),
-- fault_pids, perms (of the mapping), how (shrank, hole, collapsed, zeroed).
-- Cost: one range join of calls that shrink files with mappings of the same file; nothing for captures without truncations.
WITH
shrinks AS MATERIALIZED (
    SELECT
        capture, host, pid, tid, comm, stack_id, operation AS call, ts_enter_ns, ts_exit_ns, dev, inode, generation, identity,
        old_size_bytes, new_size_bytes,
        CASE
            WHEN operation <> 'fallocate' THEN 'shrank'
            WHEN flags & 2 <> 0 THEN 'hole' -- FALLOC_FL_PUNCH_HOLE, include/uapi/linux/falloc.h
            WHEN flags & 8 <> 0 THEN 'collapsed' -- FALLOC_FL_COLLAPSE_RANGE
            WHEN flags & 16 <> 0 THEN 'zeroed' -- FALLOC_FL_ZERO_RANGE
        END AS how,
        -- whole pages only: the rest of the last page stays, and reads zeros
        if(how = 'shrank', page_up(coalesce(new_size_bytes, 0)), if(how = 'hole', page_up(offset_bytes), page_down(offset_bytes))) AS lost_from,
        CASE how
            WHEN 'shrank' THEN page_up(old_size_bytes)
            WHEN 'hole' THEN page_down(offset_bytes + length_bytes)
            WHEN 'zeroed' THEN page_down(offset_bytes + length_bytes)
            -- what follows moves down, and what was last is no more
            ELSE page_up(old_size_bytes)
        END AS lost_to
    FROM files
    WHERE errno = 0 AND inode IS NOT NULL
),
-- where the size before is not recorded, the largest of which a call told before is a lower bound
sized AS MATERIALIZED (
    SELECT shrinks.*, if(lost_to IS NULL, page_up(max(size_bytes)), any_value(lost_to)) AS lost_until, max(size_bytes) AS seen_size_bytes
    FROM (SELECT *, row_number() OVER () AS shrink FROM shrinks WHERE how IS NOT NULL) AS shrinks
    LEFT JOIN file_sizes ON lost_to IS NULL AND file_sizes.capture = shrinks.capture AND file_sizes.dev = shrinks.dev
        AND file_sizes.inode = shrinks.inode AND file_sizes.generation IS NOT DISTINCT FROM shrinks.generation
        AND file_sizes.ts_ns < shrinks.ts_enter_ns
    GROUP BY ALL
)
SELECT 1::UBIGINT AS ts_ns WHERE false
