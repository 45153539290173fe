-- Which files were mapped, by how many processes, and how?
-- From the kernel's own records of mappings, and from /proc/PID/maps as read; memory without a file is left out.
CREATE VIEW mapped_files (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- path as the kernel gave it; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, as recorded [bytes]
    path_bytes,
    -- device, major:minor in hex as in /proc/PID/maps
    device,
    -- inode number
    inode,
    -- inode generation; null where only /proc/PID/maps told of the file
    generation,
    -- processes that had it mapped
    processes,
    -- records of a mapping of it; a change of a mapping makes another
    records,
    -- whether it was ever mapped executable
    executable,
    -- whether it was ever mapped shared and writable
    shared_writable,
    -- first seen [ns, CLOCK_MONOTONIC]
    first_ns,
    -- last record [ns, CLOCK_MONOTONIC]
    last_ns
) AS
SELECT
    capture, host, any_value(path), path_bytes,
    format('{:02x}:{:02x}', dev >> 20, dev & 1048575), inode, max(generation),
    count(DISTINCT pid), count(*), bool_or(perms[3] = 'x'), bool_or(perms[2] = 'w' AND perms[4] = 's'),
    min(ts_ns), max(ts_ns)
FROM (
    SELECT capture, host, path, path_bytes, dev, inode, generation, pid, perms, ts_ns FROM vmas
    UNION ALL
    SELECT capture, host, path, path_bytes, dev, inode, NULL, pid, perms, ts_begin_ns FROM maps
)
WHERE inode <> 0
GROUP BY capture, host, path_bytes, dev, inode;
