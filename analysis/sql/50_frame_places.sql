-- Where did the frames of each stack lie: in which file, and where in it?
-- Of each stack in each address space, as it was mapped while the stack was in use; if that changed, once for each time.
-- A return address lies behind its call, maybe in the next function already, so the byte before it is what is looked up;
-- the innermost frame is where the thread was.
CREATE VIEW frame_places (
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
    -- file or other code mapped there; null where no code is known, empty for memory without a file; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- device, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- place in the file, null without one [bytes]
    offset_bytes,
    -- the same as an ELF virtual address, which addr2line takes; null where the file's headers were not recorded [address]
    virtual_address,
    -- build id of the file, null where it has none [bytes]
    build_id,
    -- generation by which images and symbols know the file; 0 without one, null where its headers were not recorded
    image_generation,
    -- whether it is a caller that frame pointers do not lead to, found on the stack
    recovered,
    -- whether it is one that was found at the top of the stack
    on_top,
    -- whether it is the last of those, and the stack between it and the next frame was looked through
    joined,
    -- of the place: certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
WITH
wanted AS (
    SELECT * EXCLUDE (on_top, joined), address - (depth > 1)::UBIGINT AS inside, depth BETWEEN 2 AND 1 + coalesce(recovered_frames, 0) AS recovered,
        coalesce(on_top = 1, false) AND depth = 2 AS on_top,
        coalesce(joined = 1, false) AND depth = 1 + recovered_frames AS joined
    FROM (
        SELECT
            capture, space, stack_id, first_ns, last_ns, recovered_frames, on_top, joined, unnest(frames) AS address,
            unnest(range(1, len(frames) + 1)) AS depth
        -- a flight recorder stores a stack again in each of its segments
        FROM stack_uses
        JOIN (
            SELECT capture, stack_id, any_value(frames) AS frames, any_value(recovered) AS recovered_frames,
                any_value(on_top) AS on_top, any_value(joined) AS joined
            FROM stacks
            GROUP BY capture, stack_id
        ) USING (capture, stack_id)
    )
),
-- few, though many stacks pass through them
places AS (
    SELECT capture, space, inside, min(first_ns) AS first_ns, max(last_ns) AS last_ns FROM wanted GROUP BY capture, space, inside
),
code AS (
    SELECT
        places.capture, places.space, timeline.pid, inside, from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns,
        -- what is the same before and after a time at which it could not be executed is the same in it: runtimes turn
        -- code writable for a moment, while threads are on their way back to it
        {
            'dev': dev, 'inode': inode, 'generation': generation, 'path_bytes': path_bytes,
            'at': if(inode = 0, inside - start, offset_plus(offset_bytes, inside - start)), 'reason': reason
        } AS what
    FROM places
    JOIN timeline ON places.capture = timeline.capture AND places.space = timeline.space
        AND inside >= start AND inside < "end" AND from_ns <= last_ns AND (to_ns IS NULL OR to_ns > first_ns)
    WHERE perms[3] = 'x'
),
islands AS (
    SELECT capture, space, pid, inside, min(from_ns) AS from_ns, max(to_ns) AS to_ns, what
    FROM (
        SELECT *, count_if(new) OVER (PARTITION BY capture, space, inside ORDER BY from_ns) AS island
        FROM (
            SELECT *, what IS DISTINCT FROM lag(what) OVER (PARTITION BY capture, space, inside ORDER BY from_ns) AS new FROM code
        )
    )
    GROUP BY capture, space, pid, inside, island, what
),
eras AS (
    SELECT *, lead(from_ns) OVER (PARTITION BY capture, space, stack_id ORDER BY from_ns) AS to_ns
    FROM (
        SELECT capture, space, stack_id, first_ns AS from_ns FROM stack_uses
        UNION
        SELECT capture, space, stack_id, cut
        FROM wanted
        JOIN (SELECT capture, space, inside, unnest([from_ns, to_ns]) AS cut FROM islands) USING (capture, space, inside)
        WHERE cut > first_ns AND cut <= last_ns
    )
),
-- it must be one and the same build that was ever seen under that number; a generation of 0 is one that is not known
candidates AS (
    SELECT
        wanted.*, images.generation AS image_generation, build_id, segments,
        images.generation > 0 AND images.generation IS NOT DISTINCT FROM wanted.generation AS exact
    FROM (SELECT DISTINCT capture, what.dev, what.inode, what.generation FROM islands WHERE what.inode > 0) AS wanted
    JOIN images ON wanted.capture = images.capture AND wanted.dev = images.dev AND wanted.inode = images.inode
        AND (images.generation IN (wanted.generation, 0) OR coalesce(wanted.generation, 0) = 0)
    QUALIFY exact OR NOT bool_or(exact) OVER (PARTITION BY wanted.capture, wanted.dev, wanted.inode, wanted.generation)
),
builds AS (
    SELECT
        capture, dev, inode, generation, max(image_generation) AS image_generation, any_value(build_id) AS build_id,
        any_value(segments) AS segments
    FROM candidates
    GROUP BY capture, dev, inode, generation
    HAVING count(DISTINCT coalesce(hex(build_id), segments::VARCHAR)) = 1
),
segments AS (
    SELECT capture, dev, inode, generation, image_generation, build_id, unnest(segments) AS segment FROM builds
),
-- what a file's headers claim can overlap, and their sums can be past 64 bits
located AS (
    SELECT
        islands.*, image_generation, build_id,
        try_cast(what.at::HUGEINT - segment.offset + segment.vaddr AS BIGINT)::UBIGINT AS inside_file
    FROM islands
    LEFT JOIN segments ON islands.capture = segments.capture AND what.dev = segments.dev AND what.inode = segments.inode
        AND what.generation IS NOT DISTINCT FROM segments.generation
        AND segment.type = 1 AND segment.flags & 1 = 1
        AND what.at >= segment.offset AND what.at::HUGEINT - segment.offset < segment.filesz
    QUALIFY row_number() OVER (PARTITION BY islands.capture, space, inside, from_ns ORDER BY segment.vaddr) = 1
)
SELECT
    wanted.capture, spaces.host, wanted.space, spaces.pid, wanted.stack_id, eras.from_ns, eras.to_ns, depth, wanted.address,
    text_of(what.path_bytes) AS path, what.path_bytes, what.dev, what.inode, what.generation,
    if(what.inode > 0, what.at + (wanted.address - wanted.inside), NULL),
    inside_file + (wanted.address - wanted.inside), build_id, if(what.inode = 0, 0, image_generation),
    recovered, wanted.on_top, joined, if(path IS NULL OR what.reason IS NOT NULL, 'possible', 'certain'),
    if(path IS NULL, 'no code is known there', what.reason)
FROM wanted
JOIN spaces ON wanted.capture = spaces.capture AND wanted.space = spaces.space
JOIN eras ON wanted.capture = eras.capture AND wanted.space = eras.space AND wanted.stack_id = eras.stack_id
LEFT JOIN located ON wanted.capture = located.capture AND wanted.space = located.space AND wanted.inside = located.inside
    AND located.from_ns <= eras.from_ns AND located.to_ns > eras.from_ns;
