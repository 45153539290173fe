-- What rests on something known becomes known; what rests on another copy rests on that one's origin instead, so that a
-- chain of moves is half as long each time. A copy is "the origin if it is there, else what is left", and so are two in a row.
UPDATE nodes SET
    left_c = NULL, left_w = NULL, left_there = carried.there, left_look = carried.look, left_base = carried.base, left_file = carried.file
FROM carried WHERE left_c = carried.c AND left_w = carried.w;
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
WITH open AS (
    FROM nodes ANTI JOIN carried ON nodes.c = carried.c AND nodes.w = carried.w
),
links AS (
    FROM open WHERE left_w IS NULL AND attach_look IS NULL
)
SELECT
    near.* REPLACE (
        coalesce(far.from_c, near.from_c) AS from_c, coalesce(far.from_w, near.from_w) AS from_w,
        near.shift + coalesce(far.shift, 0) AS shift,
        coalesce(far.left_there, false) OR near.left_there AS left_there,
        if(far.left_there, far.left_look, near.left_look) AS left_look,
        if(far.left_there, far.left_base + if(far.left_file, near.shift, 0), near.left_base) AS left_base,
        if(far.left_there, far.left_file, near.left_file) AS left_file,
        near.moved OR coalesce(far.left_there, false) AS moved
    )
FROM open AS near
LEFT JOIN links AS far
    ON near.left_w IS NULL AND near.attach_look IS NULL AND near.from_c = far.c AND near.from_w = far.w;
