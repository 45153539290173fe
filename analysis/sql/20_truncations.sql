-- Which calls made a file smaller, or can have?
-- An open does not tell how long the file was before, and a truncation by path neither: such a call is listed, as possible only.
-- Not listed is what surely took nothing: of a file that had no bytes, of one that the call itself must create (O_EXCL), of
-- devices and of files of /proc and /sys, as far as the path tells.
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
    identity,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason
) AS
SELECT
    capture, host, ts_enter_ns, pid, comm, operation, path_given,
    format('{:02x}:{:02x}', dev >> 20, dev & 1048575), inode, generation, old_size_bytes, new_size_bytes, identity,
    if(doubt IS NULL, 'certain', 'possible'), doubt
FROM (
    SELECT *, CASE
            WHEN old_size_bytes IS NULL THEN unknown_size_text(operation, flags)
            WHEN identity = 'path' THEN 'the file was looked up by its path, after the call'
        END AS doubt
    FROM file_calls
)
WHERE errno = 0 AND (
    new_size_bytes < old_size_bytes
    -- O_EXCL is 128
    OR (old_size_bytes IS NULL AND operation <> 'fallocate' AND coalesce(flags & 192 <> 192, true) AND NOT coalesce(no_size(path_given), false))
);
