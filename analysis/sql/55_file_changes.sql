-- Which successful calls changed a file's size or contents, and which file was it?
-- A call by fd tells its file, and a probe in the kernel tells that of any (file_calls). Without one truncate(2) tells a path,
-- and leaves nothing behind when the file is unlinked or renamed at once: the files that were mapped by that very path before
-- it returned are then the ones it can have been, a row each. The directory that a relative path begins at is not recorded, so
-- no file is told by one; fault_causes has those as suspects of a SIGBUS.
-- Cost: that of table files; where such calls are, the paths of the timeline are read once.
CREATE VIEW file_changes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_enter_ns,
    -- its return [ns, CLOCK_MONOTONIC]
    ts_exit_ns,
    -- process
    pid,
    -- thread
    tid,
    -- name of the thread; bytes that are not UTF-8 stand as \xNN
    comm,
    -- user stack of the call (see stacks)
    stack_id,
    -- name of the call
    operation,
    -- path as the caller gave it, null for a call by fd
    path_given,
    -- opens: O_* flags; fallocate: FALLOC_FL_* mode [bits]
    flags,
    -- fallocate: start of the range [bytes]
    offset_bytes,
    -- fallocate: length of the range [bytes]
    length_bytes,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number; null where nothing tells the file
    inode,
    -- inode generation
    generation,
    -- size at entry [bytes]
    old_size_bytes,
    -- size at return [bytes]
    new_size_bytes,
    -- how the file was told: fd, kernel (a probe saw it), path (looked up after the call) or mapping (mapped by the path that the call gave)
    identity,
    -- why the file is only possible, null where the call told it
    doubt,
    -- whether the path was not found after the call, and no other file was mapped by it
    sole
) AS
WITH
changes AS (
    SELECT *, plain_path(path_given) AS named FROM file_calls WHERE errno = 0
),
by_path AS MATERIALIZED (
    SELECT * FROM changes WHERE (identity IS NULL OR identity = 'path') AND starts_with(named, '/')
),
known AS (
    SELECT capture, path, dev, inode, generation, min(from_ns) AS from_ns
    FROM timeline
    WHERE inode <> 0 AND (capture, path) IN (SELECT (capture, named) FROM by_path)
    GROUP BY capture, path, dev, inode, generation
),
told AS (
    SELECT *, if(identity = 'path', 'the file was looked up by its path, after the call', NULL) AS doubt, false AS sole
    FROM changes
    UNION ALL BY NAME
    SELECT
        by_path.* REPLACE (known.dev AS dev, known.inode AS inode, known.generation AS generation, 'mapping' AS identity),
        if(
            by_path.inode IS NULL, 'the path led nowhere after the call; the file had been mapped by it',
            'the path led to another file after the call; this one had been mapped by it before'
        ) AS doubt,
        by_path.inode IS NULL AND count(*) OVER (PARTITION BY by_path.capture, by_path.tid, ts_enter_ns) = 1 AS sole
    FROM by_path
    JOIN known ON by_path.capture = known.capture AND known.from_ns <= ts_exit_ns AND path = named
        AND (by_path.dev, by_path.inode) IS DISTINCT FROM (known.dev, known.inode)
)
SELECT
    capture, host, ts_enter_ns, ts_exit_ns, pid, tid, comm, stack_id, operation, path_given, flags, offset_bytes, length_bytes, dev, inode,
    generation, old_size_bytes, new_size_bytes, identity, doubt, sole
FROM told;
