-- Which calls can have changed an address space, in pages of 4096 bytes?
-- The i386 forms stand under the names of what they do.
CREATE TABLE calls (
    -- number of the address space
    space,
    -- thread id
    tid,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    enter_ns,
    -- return of the call [ns, CLOCK_MONOTONIC]
    exit_ns,
    -- mmap, munmap, mprotect, pkey_mprotect, remap_file_pages, mremap, brk, shmat, shmdt, madvise, io_setup, io_destroy, map_shadow_stack, prctl
    call,
    -- whether it succeeded
    done,
    -- error number, 0 for success
    errno,
    -- first page asked for; brk: first page past the break asked for [pages]
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
SELECT
    users.space, tid, ts_enter_ns::BIGINT, ts_exit_ns::BIGINT,
    (CASE syscall WHEN 'old_mmap' THEN 'mmap' WHEN 'ipc' THEN if(op = 21, 'shmat', 'shmdt') ELSE syscall END)::cause,
    errno = 0, errno,
    if(syscall IN ('brk', 'prctl'), pages_up(addr), (addr >> 12)::BIGINT),
    if(syscall = 'remap_file_pages', (size >> 12)::BIGINT, pages_up(size)),
    if(errno = 0, if(syscall = 'brk', pages_up(ret::UBIGINT), ret >> 12), NULL),
    coalesce(flags, 0), pages_up(new_size), (new_addr >> 12)::BIGINT, coalesce(if(syscall = 'prctl', subop, op), 0)
FROM syscalls
-- few uses a process: cheaper than an ASOF join, which sorts the calls
JOIN users ON syscalls.pid = users.pid AND ts_enter_ns::BIGINT >= from_ns AND ts_enter_ns::BIGINT < next_ns
WHERE
    syscall IN ('mmap', 'old_mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'remap_file_pages', 'mremap', 'brk', 'shmat', 'shmdt',
        'io_setup', 'io_destroy', 'map_shadow_stack')
    OR (syscall = 'ipc' AND op IN (21, 22)) OR (syscall = 'madvise' AND op IN (10, 11))
    OR (syscall = 'prctl' AND op = 35 AND subop = 7 AND errno = 0);
