-- What rests on something known becomes known; what rests on a copy of one mapping rests on that one's origin instead,
-- so that a chain of moves is twice as short each time.
INSERT INTO carried
WITH known AS (
    SELECT
        nodes.*, origin.there AS there, origin.look AS look, origin.base AS base, origin.file AS file,
        origin.there AND segment.inode = looks.inode AND segment.dev = looks.dev AND origin.base = attach_base AS detached,
        attach_look IS NULL AND (origin.there OR left_w IS NULL) AS brought
    FROM nodes
    JOIN carried AS origin ON from_c = origin.c AND from_w = origin.w
    LEFT JOIN looks ON origin.look = looks.look
    LEFT JOIN looks AS segment ON attach_look = segment.look
)
SELECT
    known.c, known.w,
    CASE WHEN attach_look IS NOT NULL THEN known.there AND NOT detached WHEN brought THEN known.there OR NOT gap ELSE stood.there END,
    CASE WHEN attach_look IS NOT NULL THEN known.look WHEN brought THEN if(known.there, known.look, 0) ELSE stood.look END,
    CASE
        WHEN attach_look IS NOT NULL THEN known.base
        WHEN brought THEN if(known.there, known.base + if(known.file, shift, 0), 0)
        ELSE stood.base
    END,
    CASE WHEN attach_look IS NOT NULL THEN known.file WHEN brought THEN known.there AND known.file ELSE stood.file END,
    brought OR coalesce(detached, false)
FROM known
LEFT JOIN carried AS stood ON left_c = stood.c AND left_w = stood.w
WHERE attach_look IS NOT NULL OR brought OR stood.w IS NOT NULL;
CREATE OR REPLACE TABLE nodes AS
WITH open AS (
    FROM nodes ANTI JOIN carried ON nodes.c = carried.c AND nodes.w = carried.w
)
SELECT
    near.* REPLACE (
        coalesce(far.from_c, near.from_c) AS from_c, coalesce(far.from_w, near.from_w) AS from_w,
        near.shift + coalesce(far.shift, 0) AS shift
    )
FROM open AS near
LEFT JOIN open AS far ON near.c = 0 AND near.from_c = 0 AND far.c = 0 AND near.from_w = far.w;
