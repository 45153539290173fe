-- What rests on something known becomes known; what rests on a copy of one mapping rests on that one's origin instead,
-- so that a chain of moves is twice as short each time.
INSERT INTO carried
SELECT
    nodes.c, nodes.w,
    if(origin.there OR left_w IS NULL, origin.there OR NOT gap, stood.there),
    if(origin.there OR left_w IS NULL, if(origin.there, origin.look, 0), stood.look),
    if(origin.there OR left_w IS NULL, if(origin.there, origin.base + if(origin.file, shift, 0), 0), stood.base),
    if(origin.there OR left_w IS NULL, origin.there AND origin.file, stood.file),
    origin.there OR left_w IS NULL
FROM nodes
JOIN carried AS origin ON from_c = origin.c AND from_w = origin.w
LEFT JOIN carried AS stood ON left_c = stood.c AND left_w = stood.w
WHERE origin.there OR left_w IS NULL OR stood.w IS NOT NULL;
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
