-- Where did the frames of those stacks lie, as module+offset in its file? The table asked names the stacks, and a time at
-- which each was taken in which address space; what was mapped executable there at that time is the module.
CREATE OR REPLACE TABLE frames AS
WITH
wanted AS (
    SELECT capture, space, stack_id, at_ns, unnest(frames) AS address, unnest(range(1, len(frames) + 1)) AS depth
    FROM asked JOIN stacks USING (capture, stack_id)
),
code AS (
    SELECT capture, space, start, "end", from_ns, to_ns, path, offset_bytes, inode
    FROM timeline
    WHERE perms[3] = 'x' AND (capture, space) IN (SELECT (capture, space) FROM asked)
)
SELECT
    wanted.capture, wanted.space, stack_id, depth,
    any_value(coalesce(
        if(inode = 0, nullif(path, ''), regexp_extract(path, '[^/]*$')) || format('+{:#x}', address - start + offset_bytes),
        format('{:#x}', address)
    )) AS frame
FROM wanted
LEFT JOIN code ON wanted.capture = code.capture AND wanted.space = code.space AND address >= start AND address < "end"
    AND at_ns >= from_ns AND (to_ns IS NULL OR at_ns < to_ns)
GROUP BY wanted.capture, wanted.space, stack_id, depth;
