-- How large was a file, as far as calls tell?
-- Each row is a size that was seen: at the entry and return of calls that change it, and at the entry of mmap. What writes
-- make of it in between is not recorded, so a file can be longer than last seen, but not shorter.
CREATE VIEW file_sizes (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number
    inode,
    -- inode generation
    generation,
    -- when it had the size [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- size [bytes]
    size_bytes,
    -- what told: mmap, before (entry of a call of files), or after (its return)
    source,
    -- process of the call
    pid,
    -- thread of the call
    tid,
    -- certain; possible where the file was told by its path
    certainty
) AS
SELECT capture, host, fd_dev, fd_inode, fd_generation, ts_enter_ns, fd_size_bytes, 'mmap', pid, tid, 'certain'
FROM syscalls
WHERE fd_inode IS NOT NULL AND fd_size_bytes IS NOT NULL
UNION ALL
SELECT capture, host, dev, inode, generation, ts_enter_ns, old_size_bytes, 'before', pid, tid, if(identity = 'path', 'possible', 'certain')
FROM file_calls
WHERE inode IS NOT NULL AND old_size_bytes IS NOT NULL
UNION ALL
SELECT capture, host, dev, inode, generation, ts_exit_ns, new_size_bytes, 'after', pid, tid, if(identity = 'path', 'possible', 'certain')
FROM file_calls
WHERE inode IS NOT NULL AND new_size_bytes IS NOT NULL AND errno = 0;
