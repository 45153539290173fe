-- How does what records and readings say of a mapping translate to a number?
CREATE TABLE seen (
    -- permissions as in /proc/PID/maps
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation, -1 where only /proc/PID/maps told
    generation,
    -- path as recorded [bytes]
    path_bytes,
    -- number of the look (see looks)
    look,
    -- path as /proc/PID/maps prints it; empty for anonymous memory, heap and stack [bytes]
    path
) AS
SELECT
    perms, dev, inode, generation, path_bytes,
    dense_rank() OVER (ORDER BY perms, dev, inode, generation, label(dev, inode, path_bytes))::INTEGER,
    label(dev, inode, path_bytes)
FROM (
    SELECT DISTINCT perms, dev, inode, generation::BIGINT AS generation, path_bytes FROM vmas
    UNION
    SELECT DISTINCT perms, dev, inode, -1, path_bytes FROM maps
);
