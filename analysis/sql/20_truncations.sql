-- Which calls made a file smaller, or were asked to?
CREATE VIEW truncations (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_enter_ns,
    -- process
    pid,
    -- name of the thread; bytes that are not UTF-8 stand as \xNN
    comm,
    -- name of the call
    operation,
    -- path as the caller gave it, null for a call by fd
    path_given,
    -- device, major:minor in hex as in /proc/PID/maps
    device,
    -- inode number
    inode,
    -- inode generation
    generation,
    -- size at entry [bytes]
    old_size_bytes,
    -- size at return [bytes]
    new_size_bytes,
    -- how the file was told: fd, kernel (a probe), or path (possible only)
    identity
) AS
SELECT
    capture, host, ts_enter_ns, pid, comm, operation, path_given,
    format('{:02x}:{:02x}', dev >> 20, dev & 1048575), inode, generation, old_size_bytes, new_size_bytes, identity
FROM file_calls
WHERE errno = 0 AND (
    new_size_bytes < old_size_bytes
    -- the size at entry is not always known; asked to go to nothing is enough then
    OR (old_size_bytes IS NULL AND operation <> 'fallocate')
);
