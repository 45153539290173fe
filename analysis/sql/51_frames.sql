-- Which function did each frame of each stack lie in?
-- Of each stack in each address space; frame_places says how that is found. Names are those of table symbols, and
-- `--symbols DIR` adds to them in the commands that show stacks. The kernel follows frame pointers: a frame is only
-- certain if each function before it is known to keep one, or its caller was found on the stack.
CREATE VIEW frames (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- number of the address space (see spaces)
    space,
    -- process for which the address space was made
    pid,
    -- key of table stacks
    stack_id,
    -- from this time on the frames lay so [ns, CLOCK_MONOTONIC]
    from_ns,
    -- first instant past it; null: to the end [ns, CLOCK_MONOTONIC]
    to_ns,
    -- place in the stack, 1 for the innermost
    depth,
    -- return address; of the innermost frame, where the thread was [address]
    address,
    -- as text: malloc+0x1d (libc.so.6), libfoo.so+0x1234 (place in the file), or the address alone where no code is known
    frame,
    -- function, as the compiler named it; null where that is not known; bytes that are not UTF-8 stand as \xNN
    function,
    -- function, as recorded [bytes]
    function_bytes,
    -- distance from the beginning of the function [bytes]
    function_offset,
    -- file or other code mapped there; null where no code is known, empty for memory without a file
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- place in the file, null without one [bytes]
    offset_bytes,
    -- the same as an ELF virtual address, which addr2line takes; null where the file's headers were not recorded [address]
    virtual_address,
    -- build id of the file, null where it has none [bytes]
    build_id,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
WITH
sought AS (
    SELECT *, if(inode = 0, address, virtual_address) - (depth > 1)::UBIGINT AS inside, if(inode = 0, pid, 0) AS maker
    FROM frame_places
),
-- sums of what a file claims can be past 64 bits
hits AS (
    SELECT capture, dev, inode, image_generation, maker, inside, name, name_bytes, inside - address AS distance, source, framed, level_bytes
    FROM (SELECT DISTINCT capture, dev, inode, image_generation, maker, inside FROM sought) AS places
    JOIN (SELECT *, coalesce(pid, 0) AS maker, generation AS image_generation FROM symbols) AS named
        USING (capture, dev, inode, image_generation, maker)
    WHERE inside >= address AND inside::HUGEINT - address < size_bytes
    -- of functions inside others, the innermost
    QUALIFY row_number() OVER (
        PARTITION BY capture, dev, inode, image_generation, maker, inside ORDER BY address DESC, size_bytes, len(name), name
    ) = 1
),
met AS (
    SELECT
        *, distance + (depth > 1)::UBIGINT AS function_offset,
        CASE
            -- the return address of code that has not moved the top of the stack is there
            WHEN lead(recovered) OVER stack THEN depth = 1 AND coalesce(distance <= level_bytes, false) AND lead(on_top) OVER stack
            WHEN recovered THEN coalesce(framed = 1, false) AND joined
            ELSE coalesce(framed = 1, false)
        END AS leads_on
    FROM sought LEFT JOIN hits USING (capture, dev, inode, image_generation, maker, inside)
    WINDOW stack AS (PARTITION BY capture, space, stack_id, from_ns ORDER BY depth)
),
walked AS (
    SELECT
        *, CASE
            WHEN reason IS NOT NULL THEN reason
            WHEN coalesce(bool_and(leads_on) OVER before, true) THEN if(source = 'perf map', 'the function is the one that was there at the end', NULL)
            WHEN recovered THEN 'found on the stack, since frame pointers do not lead to it'
            ELSE 'frame pointers lead to it, and a function before it may keep none'
        END AS doubt
    FROM met
    WINDOW before AS (
        PARTITION BY capture, space, stack_id, from_ns ORDER BY depth ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
    )
)
SELECT
    capture, host, space, pid, stack_id, from_ns, to_ns, depth, address,
    CASE
        WHEN name IS NOT NULL AND path = '' THEN format('{}+{:#x}', name, function_offset)
        WHEN name IS NOT NULL THEN format('{}+{:#x} ({})', name, function_offset, regexp_extract(path, '[^/]*$'))
        WHEN inode > 0 THEN format('{}+{:#x}', regexp_extract(path, '[^/]*$'), offset_bytes)
        WHEN path <> '' THEN format('{:#x} ({})', address, path)
        ELSE format('{:#x}', address)
    END,
    name, name_bytes, function_offset, path, path_bytes, offset_bytes, virtual_address, build_id,
    if(doubt IS NULL, 'certain', 'possible'), doubt
FROM walked;
