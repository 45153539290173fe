-- Where did the kernel use something else than a call asked for?
-- One finding for each address space, call and difference, with the first such call. The kernel's side is told by a probe on
-- do_mmap where there is one (table hooks), else by the records of the mappings that the call made, and by what it returned.
-- high: a remap_file_pages that mapped other pages than asked; medium: memory that can be executed and was not asked to be
-- (personality READ_IMPLIES_EXEC, of programs with an executable stack), or another file than the caller's fd was; low, and
-- normal: a hint that was not followed, a length made whole, flags without a meaning, and what an emulated remap_file_pages asks
-- the kernel's own mmap for, since Linux 4.0.
-- facts: what (pages, protection, file, address, length, flags, emulated), asked and used (as text), told_by (do_mmap, records or
-- return), calls (how many).
-- Cost: one pass over the calls, and one over what the timeline has of executable mappings; with hooks a row of theirs for
-- each mmap more.
WITH
asked AS (
    SELECT
        capture, host, pid, tid, comm, stack_id, syscall AS call, ts_enter_ns, ts_exit_ns, addr, size, prot, flags,
        coalesce(pgoff, offset_bytes >> 12) AS pgoff, fd_dev, fd_inode, ret
    FROM syscalls
    WHERE errno = 0 AND syscall IN ('mmap', 'old_mmap', 'remap_file_pages')
),
used AS (
    SELECT
        asked.*, hits.addr AS k_addr, hits.size AS k_size, hits.prot AS k_prot, hits.flags AS k_flags, hits.pgoff AS k_pgoff, hits.dev AS k_dev, hits.inode AS k_inode
    FROM (FROM hooks WHERE hook = 'mmap') AS hits
    ASOF JOIN (FROM asked WHERE (capture, tid) IN (SELECT (capture, tid) FROM hooks WHERE hook = 'mmap')) AS asked
        ON hits.capture = asked.capture AND hits.tid = asked.tid AND hits.ts_ns >= asked.ts_enter_ns
    WHERE hits.ts_ns <= ts_exit_ns
),
made AS (
    SELECT asked.*, start, perms, timeline.dev AS k_dev, timeline.inode AS k_inode, timeline.offset_bytes AS k_offset, certainty, reason
    FROM timeline
    JOIN asked ON timeline.capture = asked.capture AND call_ns = ts_enter_ns AND cause_tid = tid
    WHERE from_ns = cause_ns AND (perms[3] = 'x' OR cause = 'remap_file_pages')
),
differences AS (
    SELECT
        *, 'pages' AS what, 'records' AS told_by, 'high' AS severity, NULL AS expected,
        'page ' || (pgoff + ((start - page_down(addr)) >> 12)) AS asked_text, 'page ' || (k_offset >> 12) AS used_text
    FROM made
    WHERE call = 'remap_file_pages' AND certainty = 'certain' AND start >= page_down(addr) AND k_offset >> 12 <> pgoff + ((start - page_down(addr)) >> 12)
    UNION ALL BY NAME
    SELECT *, 'protection' AS what, 'records' AS told_by, 'medium' AS severity, prot_text(prot) AS asked_text, perms AS used_text
    FROM made
    WHERE call <> 'remap_file_pages' AND perms[3] = 'x' AND prot & 4 = 0
    UNION ALL BY NAME
    SELECT
        *, 'file' AS what, 'do_mmap' AS told_by, 'medium' AS severity, file_text(NULL, fd_dev, fd_inode) AS asked_text,
        coalesce(file_text(NULL, k_dev, k_inode), 'no file') AS used_text
    FROM used
    WHERE call <> 'remap_file_pages' AND fd_inode IS NOT NULL AND (k_dev, k_inode) IS DISTINCT FROM (fd_dev, fd_inode)
    UNION ALL BY NAME
    SELECT
        *, 'address' AS what, 'return' AS told_by, 'low' AS severity, 'an address without MAP_FIXED is a hint' AS expected,
        address_text(addr) AS asked_text, address_text(ret) AS used_text
    FROM asked
    WHERE call <> 'remap_file_pages' AND addr <> 0 AND flags & 16 = 0 AND ret::UBIGINT <> page_down(addr)
    UNION ALL BY NAME
    SELECT
        *, 'length' AS what, 'do_mmap' AS told_by, 'low' AS severity, 'lengths are made whole pages' AS expected,
        size_text(size) AS asked_text, size_text(k_size) AS used_text
    FROM used
    WHERE call <> 'remap_file_pages' AND page_up(sane_size(k_size)) <> page_up(sane_size(size))
    UNION ALL BY NAME
    SELECT
        *, 'flags' AS what, 'do_mmap' AS told_by, 'low' AS severity, 'MAP_DENYWRITE and MAP_EXECUTABLE mean nothing' AS expected,
        address_text(flags) AS asked_text, address_text(k_flags) AS used_text
    FROM used
    -- include/uapi/asm-generic/mman.h: the only ones that are taken away
    WHERE call <> 'remap_file_pages' AND (flags & 4294967295) <> k_flags AND (flags & 4294967295 & ~6144::UBIGINT) = k_flags
    UNION ALL BY NAME
    SELECT
        *, 'emulated' AS what, 'do_mmap' AS told_by, 'low' AS severity, 'remap_file_pages is emulated since Linux 4.0: the window is mapped anew' AS expected,
        format('{} at {}, page {}, flags {}', size_text(size), address_text(addr), pgoff, address_text(flags)) AS asked_text,
        format('mmap of {} at {}, {}, page {}, flags {}, of {}', size_text(k_size), address_text(k_addr), prot_text(k_prot), k_pgoff,
            address_text(k_flags), coalesce(file_text(NULL, k_dev, k_inode), 'no file')) AS used_text
    FROM used
    WHERE call = 'remap_file_pages'
),
placed AS (
    SELECT differences.*, uses.space
    FROM differences
    ASOF JOIN uses ON differences.capture = uses.capture AND differences.pid = uses.pid AND ts_enter_ns >= uses.from_ns
),
firsts AS (
    SELECT *, count(*) OVER (PARTITION BY capture, space, call, what) AS calls
    FROM placed
    QUALIFY row_number() OVER (PARTITION BY capture, space, call, what ORDER BY ts_enter_ns, tid, start) = 1
)
SELECT
    capture, host, severity, expected, coalesce(certainty, 'certain') AS certainty, reason, ts_enter_ns AS ts_ns, space, pid, tid, comm, stack_id, call,
    ts_enter_ns AS call_ns, if(call = 'remap_file_pages', page_down(addr), ret::UBIGINT) AS start,
    if(call = 'remap_file_pages', page_down(addr) + page_down(sane_size(size)), ret::UBIGINT + page_up(sane_size(size))) AS "end",
    k_dev AS dev, k_inode AS inode,
    MAP {'what': what, 'asked': asked_text, 'used': used_text, 'told_by': told_by, 'calls': calls::VARCHAR} AS facts,
    call || ' by ' || thread_text(comm, pid, tid) || CASE what
        WHEN 'protection' THEN ' asked for ' || asked_text || ' and was given ' || used_text || ' at ' || address_text(ret::UBIGINT)
            || ': memory that can be read can be executed too (READ_IMPLIES_EXEC)'
        WHEN 'pages' THEN ' asked for ' || asked_text || ' at ' || address_text(start) || ', where the kernel has ' || used_text
        WHEN 'file' THEN ' was entered with an fd of ' || asked_text || ', and the kernel mapped ' || used_text || ': the fd was replaced meanwhile'
        ELSE ' asked for ' || asked_text || ', and the kernel used ' || used_text
    END || if(calls > 1, '; so did ' || (calls - 1) || ' more', '') || '.' AS sentence
FROM firsts
