-- What can a mapping be, apart from its place: of which file, with which permissions? A number for each.
CREATE OR REPLACE TABLE looks (
    -- number, from 0
    look,
    -- permissions as in /proc/PID/maps, null where they are not known
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- special ([vdso] and the like), shared, jit (executable memory without a file), code (of a file), file (private data of
    -- it) or anonymous; heap and stack are known by their place, see rectangles
    kind
) AS
SELECT
    row_number() OVER (ORDER BY dev, inode, generation, path_bytes, perms) - 1, perms, dev, inode, generation, path_bytes,
    CASE
        WHEN inode = 0 AND regexp_matches(path, '^\[(vdso|vvar|vvar_vclock|vsyscall|uprobes|sigpage|timerfd)') THEN 'special'
        WHEN perms[4] = 's' THEN 'shared'
        WHEN perms[3] = 'x' THEN if(inode = 0, 'jit', 'code')
        ELSE if(inode = 0, 'anonymous', 'file')
    END
FROM (
    SELECT perms, dev, inode, generation, path_bytes, any_value(path) AS path
    FROM timeline SEMI JOIN shown USING (capture, space)
    GROUP BY perms, dev, inode, generation, path_bytes
);
