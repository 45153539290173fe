-- What the sentences of findings share: addresses, sizes, lengths of time, files and threads as text.
CREATE MACRO address_text(address) AS '0x' || format('{:x}', address);
CREATE MACRO range_text(low, high) AS address_text(low) || '-' || address_text(high);
CREATE MACRO size_text(bytes) AS replace(format_bytes(bytes::BIGINT), '.0 ', ' ');
CREATE MACRO pages_text(bytes) AS (bytes // 4096)::BIGINT || if(bytes // 4096 = 1, ' page', ' pages');
CREATE MACRO span_text(ns) AS CASE
    WHEN ns < 1000 THEN ns || ' ns'
    WHEN ns < 999500 THEN format('{:.3g} us', ns / 1e3)
    WHEN ns < 999500000 THEN format('{:.3g} ms', ns / 1e6)
    ELSE format('{:.2f} s', ns / 1e9)
END;
CREATE MACRO file_text(path, dev, inode) AS
    if(coalesce(path, '') <> '', path, format('the file {:02x}:{:02x} inode {}', dev >> 20, dev & 1048575, inode));
CREATE MACRO thread_text(comm, pid, tid) AS coalesce(comm || ' ', '') || '(pid ' || pid || if(tid <> pid, ', thread ' || tid, '') || ')';
-- what makes a mapping or ends it, and the tables that hold the events
CREATE MACRO causes() AS [
    'mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'remap_file_pages', 'mremap', 'brk', 'shmat', 'shmdt', 'madvise',
    'io_setup', 'io_destroy', 'map_shadow_stack', 'prctl', 'fork', 'exec', 'exit', 'stack growth', 'not seen', 'baseline', 'resync'
];
CREATE MACRO cause_tables() AS ['vmas', 'syscalls', 'tasks', 'maps'];
-- the parts of an actor, in which the rebuild and its files keep all three in one number
CREATE MACRO cause_of(actor) AS (causes())[((actor >> 2) & 31) + 1];
CREATE MACRO cause_table_of(actor) AS (cause_tables())[(actor & 3) + 1];
CREATE MACRO tid_of(actor) AS (actor >> 7)::UINTEGER;
-- PROT_* as /proc/PID/maps writes them
CREATE MACRO prot_text(prot) AS if(prot & 1 <> 0, 'r', '-') || if(prot & 2 <> 0, 'w', '-') || if(prot & 4 <> 0, 'x', '-');
-- bytes up to the next page, and down. As in the kernel (PAGE_ALIGN), the last page of all that 64 bits hold goes up to 0
CREATE MACRO page_up(bytes) AS (((bytes::UBIGINT >> 12) + (bytes & 4095 <> 0)::UBIGINT) & 4503599627370495) << 12;
CREATE MACRO page_down(bytes) AS bytes & ~4095::UBIGINT;
-- whether equal offsets of equal inodes are equal pages: not of what drivers and anon_inode: files make of them
CREATE MACRO has_pages(path) AS NOT starts_with(path, 'anon_inode:')
    AND (NOT starts_with(path, '/dev/') OR regexp_matches(path, '^/dev/(shm/|hugepages/|zero \(deleted\)$)'));
-- whether the path that an open gave leads to what has no size to lose: a device, or a file of /proc or /sys
CREATE MACRO no_size(path) AS regexp_matches(path, '^/(dev|proc|sys)/')
    AND NOT regexp_matches(path, '^/dev/(shm/|hugepages/|fd/|std(in|out|err)$)|^/proc/([^/]+/(task/[0-9]+/)?(fd|cwd|root|map_files)/)');
-- what a truncation without a size before leaves open, by the flags of an open: O_CREAT is 64
CREATE MACRO unknown_size_text(operation, flags) AS
    if(operation = 'creat' OR flags & 64 <> 0, 'whether it was there before, and how long, is not recorded', 'how long it was before is not recorded');
-- an address or size that a caller made up, so that sums of two stay in range; no address is as high
CREATE MACRO sane(bytes) AS least(bytes, 1::UBIGINT << 57);
-- the same of a size, of which what page_up makes 0 is none
CREATE MACRO sane_size(bytes) AS if(bytes > 18446744073709547520, 0, sane(bytes));
-- so many bytes further; offsets in a mapping can pass 2^64 (mremap does not ask), and begin at 0 there
CREATE MACRO offset_plus(offset_bytes, bytes) AS ((offset_bytes::HUGEINT + bytes) & 18446744073709551615)::UBIGINT;
-- first byte past so many, at most the last that 64 bits hold: for comparisons
CREATE MACRO offset_end(offset_bytes, bytes) AS (least(offset_bytes, 18446744073709551615 - bytes) + bytes)::UBIGINT;
-- whether one place is as far from another in the file as in memory
CREATE MACRO in_step(offset_bytes, start, other_offset, other_start) AS
    (offset_bytes >> 12) + (other_start >> 12) = (other_offset >> 12) + (start >> 12);
-- text as analysis.text.inert makes it: what is not plainly visible as \x1b, \u202e or \U000e0001
CREATE MACRO inert(text) AS CASE WHEN NOT regexp_matches(text, '[^\p{L}\p{M}\p{N}\p{P}\p{S} ]') THEN text
    ELSE array_to_string(list_transform(regexp_extract_all(text, '(?s).'), lambda c: CASE
        WHEN NOT regexp_matches(c, '[^\p{L}\p{M}\p{N}\p{P}\p{S} ]') THEN c
        WHEN unicode(c) < 256 THEN format('\x{:02x}', unicode(c))
        WHEN unicode(c) < 65536 THEN format('\u{:04x}', unicode(c))
        ELSE format('\U{:08x}', unicode(c)) END), '') END;
CREATE MACRO inert_list(texts) AS list_transform(texts, lambda t: inert(t));
CREATE MACRO inert_map(facts) AS map(map_keys(facts), inert_list(map_values(facts)));
-- What became, by a call of mremap, of what lay at an address before? moved: it lies elsewhere now; cut off: the call made
-- the mapping shorter, moved or not; cleared: it lay where the call put something else.
CREATE MACRO mremap_did(address, old, size, new_size) AS CASE
    WHEN address < page_down(sane(old)) OR address >= page_down(sane(old)) + page_up(sane_size(size)) THEN 'cleared'
    WHEN address - page_down(sane(old)) >= page_up(sane_size(new_size)) THEN 'cut off'
    WHEN address IS NOT NULL AND old IS NOT NULL THEN 'moved'
END;
-- how a call of mremap made a mapping shorter
CREATE MACRO mremap_cut_text(old, size, new_size, ret, errno) AS
    if(errno = 0 AND ret <> old, 'moved the mapping to ' || address_text(ret) || ' and shrank it', 'shrank the mapping')
    || format(' from {} to {}', size_text(page_up(sane_size(size))), size_text(page_up(sane_size(new_size)))) || if(errno <> 0, ' and then failed', '');
-- the same of a row of a call, and where to, if it was moved; null where it was neither, or by another call
CREATE MACRO remapped_text(call, address) AS CASE
    WHEN call.syscall <> 'mremap' THEN NULL
    WHEN mremap_did(page_down(address), call.addr, call.size, call.new_size) = 'cut off'
        THEN mremap_cut_text(call.addr, call.size, call.new_size, call.ret, call.errno)
    WHEN mremap_did(page_down(address), call.addr, call.size, call.new_size) = 'moved' AND call.errno = 0
        THEN 'moved it to ' || address_text(call.ret + (page_down(address) - call.addr))
END;
-- what has no path is called by its place: fs/proc/task_mmu.c, get_vma_name
CREATE MACRO place_name(path, inode, low, high, start_brk, brk, start_stack) AS CASE
    WHEN inode <> 0 OR path <> '' THEN path
    WHEN low < brk AND high > start_brk THEN '[heap]'
    WHEN low <= start_stack AND high > start_stack THEN '[stack]'
    ELSE path
END;
-- what a spreadsheet would run as a formula with its first character escaped; permissions like ---p stay
CREATE MACRO no_formula(text) AS CASE
    WHEN regexp_matches(text, '^[=+@-]') AND NOT regexp_full_match(text, '-[-rwxps]*')
        THEN format('\x{:02x}', unicode(text)) || text[2:]
    ELSE text
END;
-- a path without what leads nowhere: a/./b//c is a/b/c
CREATE MACRO plain_path(path) AS regexp_replace(regexp_replace(path, '/(\./|/)+', '/', 'g'), '^(\./)+', '');
-- bytes as text; those that are not UTF-8 stand as \xNN
CREATE MACRO text_of(bytes) AS coalesce(try(decode(bytes)), bytes::VARCHAR);
-- These address spaces, and the parents by whose fork they came. Names of tables: asked (with capture, space), families (spaces)
CREATE MACRO with_parents(asked, families) AS TABLE
SELECT capture, space FROM query_table(asked)
UNION
SELECT capture, parent FROM query_table(families) SEMI JOIN (FROM query_table(asked)) AS asked USING (capture, space);
-- How many VMAs are these rectangles, from when to when? Each rectangle is one more from its first instant to its last, and where
-- two neighbours are parts of one VMA there is one less for as long as both stand; start and "end" are null of these rows.
-- See vma_changes for how that is told. Names of tables: rectangles (of the timeline, with those of the parents by whose
-- fork they came), records (vmas), readings (maps) and families (spaces).
CREATE MACRO vma_parts(rectangles, records, readings, families) AS TABLE
WITH
rects AS MATERIALIZED (FROM query_table(rectangles)),
told_by AS (
    SELECT capture, ts_ns, tid, min(start) AS start, max("end") AS "end"
    FROM query_table(records)
    SEMI JOIN (SELECT capture, cause_ns AS ts_ns, cause_tid AS tid FROM rects WHERE cause_table = 'vmas') AS made USING (capture, ts_ns, tid)
    GROUP BY capture, ts_ns, tid
),
-- each with the VMA that its event told of
own AS MATERIALIZED (
    SELECT
        rects.capture, host, space, rects.pid, rects.start, rects."end", from_ns,
        coalesce(to_ns, 18446744073709551615) AS to_ns, perms, dev, inode, path, if(inode = 0, path, '') AS label, offset_bytes,
        cause, cause_ns, cause_tid, call_ns, (certainty = 'possible')::BIGINT AS possible, reason,
        cause_ns AS told_ns, told_by.start AS vma_start, told_by."end" AS vma_end
    FROM (FROM rects WHERE cause_table <> 'maps') AS rects
    LEFT JOIN told_by ON rects.capture = told_by.capture AND cause_table = 'vmas' AND cause_ns = told_by.ts_ns AND cause_tid = told_by.tid
    UNION ALL
    SELECT
        rects.capture, host, space, rects.pid, rects.start, rects."end", from_ns,
        coalesce(to_ns, 18446744073709551615), perms, dev, inode, path, if(inode = 0, path, ''), offset_bytes,
        cause, cause_ns, cause_tid, call_ns, (certainty = 'possible')::BIGINT, reason,
        cause_ns, if(rects.start < lines."end", lines.start, NULL), if(rects.start < lines."end", lines."end", NULL)
    FROM (FROM rects WHERE cause_table = 'maps') AS rects
    ASOF LEFT JOIN (SELECT capture, ts_begin_ns, pid, start, "end" FROM query_table(readings)) AS lines
        ON rects.capture = lines.capture AND cause_ns = lines.ts_begin_ns AND cause_tid = lines.pid AND rects.start >= lines.start
),
children AS (
    SELECT own.*, parent FROM own JOIN query_table(families) USING (capture, space) WHERE cause = 'fork'
),
-- a child has the VMAs of its parent
told AS MATERIALIZED (
    SELECT *, row_number() OVER () AS n
    FROM (
        FROM own WHERE cause <> 'fork'
        UNION ALL
        SELECT child.* EXCLUDE (parent) REPLACE (
                if(child.cause_ns < parents.to_ns, parents.told_ns, child.told_ns) AS told_ns,
                if(child.cause_ns < parents.to_ns, parents.vma_start, NULL) AS vma_start,
                if(child.cause_ns < parents.to_ns, parents.vma_end, NULL) AS vma_end
            )
        FROM children AS child
        ASOF LEFT JOIN (FROM own WHERE (capture, space) IN (SELECT (capture, parent) FROM children)) AS parents
            ON child.capture = parents.capture AND child.parent = parents.space AND child.start = parents.start
            AND child.cause_ns >= parents.from_ns
    )
),
-- what two must have in common to be parts of one VMA, as a number: what is sorted below stays narrow
kinds AS (
    SELECT *, row_number() OVER () AS kind FROM (SELECT DISTINCT capture, space, perms, dev, inode, label FROM told)
),
highs AS MATERIALIZED (
    SELECT n, kind, from_ns, to_ns, start AS page, if(inode = 0, 0, offset_bytes) AS at_bytes
    FROM told JOIN kinds USING (capture, space, perms, dev, inode, label)
),
lows AS MATERIALIZED (
    SELECT n, kind, from_ns, to_ns, "end" AS page, if(inode = 0, 0, offset_plus(offset_bytes, "end" - start)) AS at_bytes
    FROM told JOIN kinds USING (capture, space, perms, dev, inode, label)
),
-- below a boundary stands one rectangle at a time, and above it too: who comes later finds the other
met AS (
    SELECT lows.n AS low, highs.n AS high
    FROM highs ASOF JOIN lows
        ON highs.kind = lows.kind AND highs.page = lows.page AND highs.at_bytes = lows.at_bytes AND highs.from_ns >= lows.from_ns
    WHERE highs.from_ns < lows.to_ns
    UNION ALL
    SELECT lows.n, highs.n
    FROM lows ASOF JOIN highs
        ON highs.kind = lows.kind AND highs.page = lows.page AND highs.at_bytes = lows.at_bytes AND lows.from_ns > highs.from_ns
    WHERE lows.from_ns < highs.to_ns
),
pairs AS (
    SELECT
        if(high.told_ns >= low.told_ns, high.n, low.n) AS n, high.start AS page,
        -- a mremap makes one VMA
        low.cause = 'mremap' AND high.cause = 'mremap' AND low.cause_ns = high.cause_ns AND low.cause_tid = high.cause_tid AS one,
        greatest(low.from_ns, high.from_ns) AS since_ns, least(low.to_ns, high.to_ns) AS until_ns
    FROM met JOIN told AS low ON met.low = low.n JOIN told AS high ON met.high = high.n
),
gains AS (
    SELECT
        capture, host, space, pid, start, "end", from_ns, to_ns, 1 AS change, 1 AS change_at_most, possible, reason,
        cause, cause_ns, cause_tid, call_ns, path, dev, inode
    FROM told
    UNION ALL
    -- of what tells that they are one
    SELECT
        capture, host, space, pid, NULL, NULL, since_ns, until_ns, -1, if(one OR vma_start IS NOT NULL, -1, 0),
        -possible, NULL, cause, cause_ns, cause_tid, call_ns, path, dev, inode
    FROM pairs JOIN told USING (n)
    WHERE one OR vma_start IS NULL OR (vma_start < page AND vma_end > page)
)
FROM gains;
-- Those of a table of such rows as what comes and what goes. See vma_changes for the columns
CREATE MACRO vma_comings(parts) AS TABLE
SELECT capture, host, space, pid, from_ns AS ts_ns, change, change_at_most, possible, cause, cause_ns, cause_tid, call_ns, path, dev, inode
FROM query_table(parts)
UNION ALL
SELECT capture, host, space, pid, to_ns, -change, -change_at_most, -possible, cause, cause_ns, cause_tid, call_ns, path, dev, inode
FROM query_table(parts)
WHERE to_ns < 18446744073709551615;
-- How many VMAs are there after each change of a table like vma_changes? See vma_counts for the columns
CREATE MACRO vma_totals(changes) AS TABLE
WITH steps AS (
    SELECT
        capture, host, space, any_value(pid) AS pid, ts_ns,
        sum(change) AS change, sum(change_at_most) AS change_at_most, sum(possible) AS possible
    FROM query_table(changes)
    GROUP BY capture, host, space, ts_ns
)
SELECT
    capture, host, space, pid, ts_ns,
    sum(change) OVER passed::BIGINT AS vmas, sum(change_at_most) OVER passed::BIGINT AS vmas_at_most, sum(possible) OVER passed::BIGINT AS possible
FROM steps
WINDOW passed AS (PARTITION BY capture, space ORDER BY ts_ns);
