-- Which calls changed, or could change, a file's size or contents under its mappings, and which file was it?
-- The table files, with the file that the kernel really cut or punched where a probe saw it (table hooks), and a row for each
-- change that no call of files made: io_uring's, the kernel's NFS and SMB servers'. Such a row's times are both the probe's.
CREATE VIEW file_calls (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_enter_ns,
    -- return of the call [ns, CLOCK_MONOTONIC]
    ts_exit_ns,
    -- process
    pid,
    -- thread
    tid,
    -- name of the thread; bytes that are not UTF-8 stand as \xNN
    comm,
    -- user stack of the call (see stacks)
    stack_id,
    -- name of the call; where there was none, do_truncate or fallocate
    operation,
    -- path as the caller gave it, null for a call by fd
    path_given,
    -- open: O_* flags; fallocate: FALLOC_FL_* mode [bits]
    flags,
    -- fallocate: start of the range [bytes]
    offset_bytes,
    -- ftruncate, truncate: the size asked for; fallocate: length of the range [bytes]
    length_bytes,
    -- error number, 0 for success
    errno,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number
    inode,
    -- inode generation
    generation,
    -- size before [bytes]
    old_size_bytes,
    -- size after [bytes]
    new_size_bytes,
    -- how the file was told: fd, kernel (a probe saw it), or path (looked up after the call, so possible only)
    identity
) AS
WITH
hits AS (
    SELECT * EXCLUDE (errno, failed)
    FROM (
        -- a row after it tells of a failure
        SELECT *, lead(errno) OVER (PARTITION BY capture, tid ORDER BY ts_ns, errno NULLS FIRST) AS failed
        FROM hooks
        WHERE hook IN ('truncate', 'allocate')
    )
    WHERE errno IS NULL AND failed IS NULL AND inode IS NOT NULL
),
placed AS (
    SELECT hits.*, if(ts_ns <= ts_exit_ns, ts_enter_ns, NULL) AS call_ns
    FROM hits
    ASOF LEFT JOIN (SELECT capture, tid, ts_enter_ns, ts_exit_ns FROM files SEMI JOIN hits USING (capture, tid)) AS calls
        ON hits.capture = calls.capture AND hits.tid = calls.tid AND hits.ts_ns >= calls.ts_enter_ns
)
SELECT
    files.capture, files.host, files.ts_enter_ns, files.ts_exit_ns, files.pid, files.tid, files.comm, files.stack_id, files.operation, files.path_given,
    files.flags, files.offset_bytes, files.length_bytes, files.errno, coalesce(told.dev, files.dev), coalesce(told.inode, files.inode),
    coalesce(told.generation, files.generation), coalesce(told.old_size_bytes, files.old_size_bytes), coalesce(told.new_size_bytes, files.new_size_bytes),
    if(told.inode IS NULL, files.identity, 'kernel')
FROM files
LEFT JOIN (SELECT DISTINCT ON (capture, tid, call_ns) * FROM placed WHERE call_ns IS NOT NULL ORDER BY ts_ns) AS told
    ON files.capture = told.capture AND files.tid = told.tid AND files.ts_enter_ns = told.call_ns AND files.errno = 0
UNION ALL
SELECT
    capture, host, ts_ns, ts_ns, pid, tid, comm, stack_id, if(hook = 'allocate', 'fallocate', function), NULL, flags, offset_bytes, length_bytes, 0,
    dev, inode, generation, old_size_bytes, if(hook = 'allocate', old_size_bytes, new_size_bytes), 'kernel'
FROM placed
WHERE call_ns IS NULL;
