-- What rests on something known becomes known; what rests on another copy rests on what that one, and the one before it, began
-- with, as far back as can be told now, each time twice as far. A copy is "the origin if it is there, else what is left", and so
-- are two in a row.
CREATE OR REPLACE TABLE nodes AS
SELECT nodes.* REPLACE (
    if(carried.w IS NULL, left_c, NULL) AS left_c, if(carried.w IS NULL, left_w, NULL) AS left_w,
    if(carried.w IS NULL, left_there, carried.there) AS left_there, if(carried.w IS NULL, left_look, carried.look) AS left_look,
    if(carried.w IS NULL, left_base, carried.base) AS left_base, if(carried.w IS NULL, left_file, carried.file) AS left_file
)
FROM nodes LEFT JOIN carried ON left_c = carried.c AND left_w = carried.w;
INSERT INTO carried
WITH known AS (
    SELECT
        nodes.*, origin.there, origin.look, origin.base, origin.file,
        origin.there AND origin.base = attach_base
            AND if(attach_look = 0, starts_with(looks.path::VARCHAR, '/SYSV'), segment.inode = looks.inode AND segment.dev = looks.dev) AS detached
    FROM nodes
    JOIN carried AS origin ON from_c = origin.c AND from_w = origin.w
    LEFT JOIN looks ON origin.look = looks.look
    LEFT JOIN looks AS segment ON attach_look = segment.look
)
SELECT c, w, there AND NOT coalesce(detached, false), look, base, file, coalesce(detached, false)
FROM known WHERE attach_look IS NOT NULL
UNION ALL
SELECT
    c, w, there OR left_there, if(there, look, left_look), if(there, base + if(file, shift, 0), left_base), if(there, file, left_file),
    there OR moved
FROM known WHERE attach_look IS NULL AND (there OR left_w IS NULL);
CREATE OR REPLACE TABLE nodes AS
WITH RECURSIVE
open AS (
    FROM nodes ANTI JOIN carried ON nodes.c = carried.c AND nodes.w = carried.w
),
back(c, w, from_c, from_w, shift, left_there, left_look, left_base, left_file, moved) USING KEY (c, w) AS (
    SELECT c, w, from_c, from_w, shift, left_there, left_look, left_base, left_file, moved
    FROM open WHERE left_w IS NULL AND attach_look IS NULL
    UNION ALL
    SELECT
        near.c, near.w, far.from_c, far.from_w, near.shift + far.shift,
        far.left_there OR near.left_there,
        if(far.left_there, far.left_look, near.left_look),
        if(far.left_there, far.left_base + if(far.left_file, near.shift, 0), near.left_base),
        if(far.left_there, far.left_file, near.left_file),
        near.moved OR far.left_there
    FROM back AS near JOIN recurring.back AS far ON near.from_c = far.c AND near.from_w = far.w
)
SELECT open.* REPLACE (
    back.from_c AS from_c, back.from_w AS from_w, back.shift AS shift, back.left_there AS left_there, back.left_look AS left_look,
    back.left_base AS left_base, back.left_file AS left_file, back.moved AS moved
)
FROM open JOIN back USING (c, w)
UNION ALL
FROM open WHERE left_w IS NOT NULL OR attach_look IS NOT NULL;
