-- Which of those are on one side only? Joined as far as can be, two equal address spaces are the same rows.
CREATE TABLE leftovers (
    -- kernel or rebuilt
    side,
    -- the others are those of kernel
    reading, start, "end", perms, dev, inode, offset_bytes, label
) AS
SELECT 'kernel', * FROM (SELECT * EXCLUDE (lines) FROM kernel EXCEPT SELECT * EXCLUDE (pieces) FROM rebuilt)
UNION ALL
SELECT 'rebuilt', * FROM (SELECT * EXCLUDE (pieces) FROM rebuilt EXCEPT SELECT * EXCLUDE (lines) FROM kernel);
