-- What different things were mapped? Number 0 is memory of which no record told.
CREATE TYPE permissions AS ENUM (SELECT DISTINCT perms FROM seen WHERE perms IS NOT NULL ORDER BY perms);
CREATE TABLE looks (
    -- number
    look,
    -- permissions as in /proc/PID/maps, null where they are not known
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation, null where only /proc/PID/maps told
    generation,
    -- path as /proc/PID/maps prints it; empty for anonymous memory, heap and stack [bytes]
    path,
    -- number shared by looks that differ in the text of a file's path or in what is known of its generation only
    alike
) AS
SELECT
    *, dense_rank() OVER (ORDER BY perms, dev, inode, if(inode = 0 AND dev = 0, path, ''::BLOB))::INTEGER
FROM (SELECT DISTINCT look, perms::permissions AS perms, dev, inode, nullif(generation, -1), path FROM seen)
UNION ALL
SELECT 0, NULL, NULL, NULL, NULL, NULL, 0;
