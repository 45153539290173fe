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
-- PROT_* as /proc/PID/maps writes them
CREATE MACRO prot_text(prot) AS if(prot & 1 <> 0, 'r', '-') || if(prot & 2 <> 0, 'w', '-') || if(prot & 4 <> 0, 'x', '-');
-- bytes up to the next page, and down
CREATE MACRO page_up(bytes) AS (bytes + 4095) & ~4095::UBIGINT;
CREATE MACRO page_down(bytes) AS bytes & ~4095::UBIGINT;
-- whether equal offsets of equal inodes are equal pages: not of what drivers and anon_inode: files make of them
CREATE MACRO has_pages(path) AS NOT starts_with(path, 'anon_inode:')
    AND (NOT starts_with(path, '/dev/') OR regexp_matches(path, '^/dev/(shm/|hugepages/|zero \(deleted\)$)'));
-- an address or size that a caller made up, so that sums of two stay in range; no address is as high
CREATE MACRO sane(bytes) AS least(bytes, 1::UBIGINT << 57);
-- text as analysis.text.inert makes it: what is not plainly visible as \x1b, \u202e or \U000e0001
CREATE MACRO inert(text) AS CASE WHEN NOT regexp_matches(text, '[^\p{L}\p{M}\p{N}\p{P}\p{S} ]') THEN text
    ELSE array_to_string(list_transform(regexp_extract_all(text, '(?s).'), lambda c: CASE
        WHEN NOT regexp_matches(c, '[^\p{L}\p{M}\p{N}\p{P}\p{S} ]') THEN c
        WHEN unicode(c) < 256 THEN format('\x{:02x}', unicode(c))
        WHEN unicode(c) < 65536 THEN format('\u{:04x}', unicode(c))
        ELSE format('\U{:08x}', unicode(c)) END), '') END;
CREATE MACRO inert_list(texts) AS list_transform(texts, lambda t: inert(t));
CREATE MACRO inert_map(facts) AS map(map_keys(facts), inert_list(map_values(facts)));
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
-- bytes as text; those that are not UTF-8 stand as \xNN
CREATE MACRO text_of(bytes) AS coalesce(try(decode(bytes)), bytes::VARCHAR);
