-- Which calls can have changed an address space, in pages of 4096 bytes?
-- The i386 forms stand under the names of what they do.
CREATE VIEW named_calls (
    -- process id
    pid,
    -- thread id
    tid,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    enter_ns,
    -- return of the call [ns, CLOCK_MONOTONIC]
    exit_ns,
    -- mmap, munmap, mprotect, pkey_mprotect, remap_file_pages, mremap, brk, shmat, shmdt, madvise, io_setup, io_destroy, map_shadow_stack, prctl
    call,
    -- error number, 0 for success
    errno,
    -- first page asked for, 0 where that is the mapping's own first; brk: first page past the break asked for [pages]
    page,
    -- pages asked for, a part of one counts [pages]
    pages,
    -- first page of the result: where it was mapped; brk: first page past the break [pages]
    result,
    -- flags of the call, as given
    flags,
    -- mremap: pages of the new range [pages]
    new_pages,
    -- mremap: page of the new address asked for [pages]
    new_page,
    -- madvise: the advice; prctl: what is set
    op
) AS
WITH followed(syscall, of, call) AS (
    -- with the operation, where only some count; compared once, texts are dear
    SELECT syscall, of, call::cause
    FROM (VALUES
        ('mmap', NULL, 'mmap'), ('old_mmap', NULL, 'mmap'), ('munmap', NULL, 'munmap'), ('mprotect', NULL, 'mprotect'),
        ('pkey_mprotect', NULL, 'pkey_mprotect'), ('remap_file_pages', NULL, 'remap_file_pages'), ('mremap', NULL, 'mremap'),
        ('brk', NULL, 'brk'), ('shmat', NULL, 'shmat'), ('shmdt', NULL, 'shmdt'), ('ipc', 21, 'shmat'), ('ipc', 22, 'shmdt'),
        ('io_setup', NULL, 'io_setup'), ('io_destroy', NULL, 'io_destroy'), ('map_shadow_stack', NULL, 'map_shadow_stack'),
        ('madvise', 10, 'madvise'), ('madvise', 11, 'madvise'), ('prctl', 35, 'prctl')
    ) AS names(syscall, of, call)
)
SELECT
    pid, tid, ts_enter_ns::BIGINT, ts_exit_ns::BIGINT, call, errno,
    CASE WHEN call IN ('brk', 'prctl') THEN pages_up(addr) WHEN from_start THEN 0 ELSE (addr >> 12)::BIGINT END,
    CASE WHEN call = 'remap_file_pages' THEN (size >> 12)::BIGINT WHEN from_start THEN (addr >> 12)::BIGINT + pages_up(size) ELSE pages_up(size) END,
    if(errno = 0, if(call = 'brk', pages_up(ret::UBIGINT), ret >> 12), NULL),
    coalesce(flags, 0), pages_up(new_size), (new_addr >> 12)::BIGINT, coalesce(if(call = 'prctl', subop, op), 0)
-- PROT_GROWSDOWN: from the beginning of the mapping on, wherever that is
FROM (SELECT *, syscall IN ('mprotect', 'pkey_mprotect') AND coalesce(prot & 16777216 <> 0, false) AS from_start FROM syscalls) AS syscalls
JOIN followed ON syscalls.syscall = followed.syscall AND (of IS NULL OR op = of)
WHERE (call <> 'prctl' OR (subop = 7 AND errno = 0))
    -- EINVAL found in the arguments alone, before anything is touched (mm/mmap.c, mm/mremap.c)
    AND NOT (errno = 22 AND CASE call
        WHEN 'mmap' THEN coalesce(offset_bytes, 0) & 4095 <> 0 OR (flags & 16 <> 0 AND addr & 4095 <> 0)
        WHEN 'mremap' THEN addr & 4095 <> 0 OR pages_up(new_size) = 0 OR flags > 7 OR flags & 3 = 2
            OR (flags & 4 <> 0 AND (flags & 1 = 0 OR pages_up(size) <> pages_up(new_size)))
            OR (flags & 2 <> 0 AND (
                new_addr & 4095 <> 0
                OR (new_addr >> 12)::BIGINT < ((addr >> 12)::BIGINT + pages_up(size)) & 4503599627370495
                    AND (addr >> 12)::BIGINT < (new_addr >> 12)::BIGINT + pages_up(new_size)
            ))
        ELSE false
    END);
-- In which address space?
CREATE VIEW every_call (
    -- number of the address space
    space,
    -- the others are those of named_calls
    tid, enter_ns, exit_ns, call, errno, page, pages, result, flags, new_pages, new_page, op
) AS
SELECT users.space, named_calls.* EXCLUDE (pid)
FROM named_calls
-- few uses a process: cheaper than an ASOF join, which sorts the calls
JOIN users ON named_calls.pid = users.pid AND enter_ns >= from_ns AND enter_ns < next_ns;
-- Most are plain successes, each of interest to one question only; the others are asked for again and again.
CREATE TABLE calls (
    -- these are those of every_call
    space, tid, enter_ns, exit_ns, call, errno, page, pages, result, flags, new_pages, new_page, op
) AS
FROM every_call WHERE call NOT IN ('mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'remap_file_pages')
UNION ALL
FROM every_call WHERE call IN ('mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'remap_file_pages') AND errno <> 0;
