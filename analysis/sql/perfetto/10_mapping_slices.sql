-- The mappings of the trace: those of one file in one address space are a group, which lanes are made of.
CREATE TABLE mapping_slices AS
WITH named AS (
    SELECT
        timeline.space, pid, start, "end", from_ns,
        greatest(coalesce(to_ns, getvariable('covered_to_ns')::UBIGINT + 1), from_ns + 1) AS to_ns,
        coalesce(perms, '????') AS perms, coalesce(offset_bytes, 0) AS offset_bytes, coalesce(inode, 0) AS inode,
        cause, coalesce(cause_tid, 0) AS cause_tid, coalesce(end_cause, 'still there') AS end_cause,
        certainty || coalesce(': ' || reason, '') AS certainty,
        coalesce(nullif(place_name(path, inode, start, "end", start_brk, brk, start_stack), ''), '(anonymous memory)') AS label
    FROM timeline
    ASOF LEFT JOIN places ON places.capture = timeline.capture AND places.space = timeline.space AND known_ns <= from_ns
)
SELECT
    row_number() OVER (ORDER BY from_ns, space, start) - 1 AS id, dense_rank() OVER (ORDER BY space, label) AS group_id, *
FROM named;
