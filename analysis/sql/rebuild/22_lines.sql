-- What did those readings say?
CREATE TABLE lines (
    -- number of the reading
    reading,
    -- number of the address space
    space,
    -- before the first byte was read [ns, CLOCK_MONOTONIC]
    begin_ns,
    -- baseline or resync
    cause,
    -- process read
    pid,
    -- first page [pages]
    lo,
    -- first page past it [pages]
    hi,
    -- number of the look
    look,
    -- what to take from a page's number to get its offset in the file; 0 without a file [pages]
    base,
    -- whether the line is called [heap]
    heap
) AS
SELECT
    reading, readings.space, begin_ns, cause, readings.pid, ("start" >> 12)::BIGINT, ("end" >> 12)::BIGINT, look,
    if(inode = 0 AND dev = 0, 0, ("start" >> 12)::BIGINT - (offset_bytes >> 12)::BIGINT), path_bytes = '[heap]'::BLOB
FROM readings
JOIN maps USING (reading, pid)
JOIN (FROM seen WHERE generation = -1) USING (perms, dev, inode, path_bytes)
WHERE maps.path_bytes <> '[vsyscall]'::BLOB;
