-- Why did the kernel refuse to remap a window of a file?
-- Every failed remap_file_pages with its reason, told from its arguments and from what was mapped when it was made, in the
-- order in which the kernel looks (mm/mmap.c, SYSCALL_DEFINE5(remap_file_pages)); its error is EINVAL for most of them. The
-- kernel rounds address and size down to pages. low: the program asked for what cannot be; medium: a limit, a seal or a lack of
-- memory was in the way of what can be.
-- facts: reason (prot, size, wraps, pgoff wraps, nothing mapped, private, read-only file, hole, past the last, other file, other
-- flags, other open, beyond the largest file, sealed, map count, not permitted, no memory, other, not seen), at (the address
-- where it does not fit), perms (of the mapping at the address), size_bytes, prot, pgoff_pages, flags (as given), vmas,
-- vmas_at_most (map count: how many there were), limit_vmas.
-- Cost: a hundredth of the rebuild without failed calls; where one call in twenty is refused, each over a hundred windows, 0.8
-- of it.
WITH
calls AS MATERIALIZED (
    SELECT
        row_number() OVER () AS id, failed.*, uses.space,
        page_down(addr) AS start, page_down(size) AS bytes, start::HUGEINT + bytes AS past,
        CASE
            WHEN errno <> 22 THEN NULL
            WHEN prot <> 0 THEN 'prot'
            WHEN bytes = 0 THEN 'size'
            WHEN past >= 18446744073709551616 THEN 'wraps'
            WHEN pgoff::HUGEINT + (bytes >> 12) >= 18446744073709551616 THEN 'pgoff wraps'
        END AS argument
    FROM (
        SELECT capture, host, pid, tid, comm, stack_id, ts_enter_ns, ts_exit_ns, addr, size, prot, pgoff, flags, errno
        FROM syscalls WHERE syscall = 'remap_file_pages' AND errno <> 0
    ) AS failed
    ASOF LEFT JOIN uses ON failed.capture = uses.capture AND failed.pid = uses.pid AND ts_enter_ns >= uses.from_ns
),
asked AS MATERIALIZED (
    SELECT id, capture, space, ts_enter_ns, ts_exit_ns, errno, start, past::UBIGINT AS past
    FROM calls WHERE argument IS NULL AND bytes > 0 AND past < 18446744073709551616 AND space IS NOT NULL
),
-- what was asked for, where it overlaps joined
islands AS MATERIALIZED (
    SELECT capture, space, min(start) AS start, max(past) AS past
    FROM (
        SELECT *, count_if(apart) OVER (PARTITION BY capture, space ORDER BY start, past) AS island
        FROM (
            SELECT *, coalesce(start > max(past) OVER earlier, true) AS apart
            FROM (SELECT DISTINCT capture, space, start, past FROM asked)
            WINDOW earlier AS (PARTITION BY capture, space ORDER BY start, past ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
        )
    )
    GROUP BY capture, space, island
),
near AS MATERIALIZED (
    SELECT there.*, row_number() OVER () AS piece, dense_rank() OVER (ORDER BY perms, there.capture, dev, inode, generation) AS kind
    FROM (
        SELECT
            capture, space, start, "end", from_ns, coalesce(to_ns, 18446744073709551615) AS to_ns, perms, dev, inode, generation,
            path, path_bytes, offset_bytes, cause, cause_ns, cause_tid, reason
        FROM timeline
        WHERE (capture, space) IN (SELECT (capture, space) FROM islands)
    ) AS there
    ASOF JOIN islands ON there.capture = islands.capture AND there.space = islands.space AND there."end" > islands.start
    WHERE there.start < islands.past
),
-- between two neighbouring boundaries there is at a time one mapping, or none
cells AS MATERIALIZED (
    SELECT *, row_number() OVER (PARTITION BY capture, space ORDER BY lo) AS cell, dense_rank() OVER (ORDER BY capture, space) AS place
    FROM (
        SELECT capture, space, lo, lead(lo) OVER (PARTITION BY capture, space ORDER BY lo) AS hi
        FROM (
            SELECT capture, space, start AS lo FROM asked UNION SELECT capture, space, past FROM asked
            UNION SELECT capture, space, start FROM near UNION SELECT capture, space, "end" FROM near
        )
    )
    WHERE hi IS NOT NULL
),
held AS MATERIALIZED (
    SELECT piece, kind, first.place, from_ns, to_ns, unnest(range(first.cell, last.cell + 1)) AS cell
    FROM near
    ASOF JOIN cells AS first ON near.capture = first.capture AND near.space = first.space AND near.start < first.hi
    ASOF JOIN cells AS last ON near.capture = last.capture AND near.space = last.space AND near."end" > last.lo
),
looked AS (
    SELECT asked.id, first.place, ts_enter_ns, ts_exit_ns, unnest(range(first.cell, last.cell + 1)) AS cell
    FROM asked
    ASOF JOIN cells AS first ON asked.capture = first.capture AND asked.space = first.space AND asked.start < first.hi
    ASOF JOIN cells AS last ON asked.capture = last.capture AND asked.space = last.space AND asked.past > last.lo
),
seen AS (
    SELECT
        id, looked.place, looked.cell, if(to_ns > ts_exit_ns, piece, NULL) AS piece, if(to_ns > ts_exit_ns, kind, NULL) AS kind,
        coalesce(from_ns > ts_enter_ns OR (to_ns > ts_enter_ns AND to_ns <= ts_exit_ns), false) AS changed
    FROM looked
    ASOF LEFT JOIN held ON looked.place = held.place AND looked.cell = held.cell AND ts_exit_ns >= from_ns
),
walked AS (
    SELECT *, min(cell) OVER (PARTITION BY id) AS first_cell, arg_min(coalesce(kind, 0), cell) OVER (PARTITION BY id) AS first_kind
    FROM seen
),
walks AS MATERIALIZED (
    SELECT
        id, any_value(place) AS place, any_value(first_cell) AS first_cell, any_value(piece) FILTER (cell = first_cell) AS first_piece,
        min(cell) FILTER (kind IS NULL OR kind <> first_kind) AS bad_cell, arg_min(coalesce(piece, 0), cell) FILTER (kind IS NULL OR kind <> first_kind) AS bad_piece,
        -- nothing is mapped from there on
        coalesce(max(cell) FILTER (piece IS NOT NULL) < min(cell) FILTER (piece IS NULL), true) AS last,
        list(DISTINCT piece) AS pieces, bool_or(changed) AS changed
    FROM walked
    GROUP BY id
),
made AS (
    SELECT
        id, count(DISTINCT (cause_ns, cause_tid)) AS makers, any_value(reason) AS reason,
        coalesce(min(from_ns) FILTER (cause NOT IN ('mprotect', 'pkey_mprotect', 'fork', 'baseline', 'resync')), 0) AS mapped_ns
    FROM (SELECT id, unnest(pieces) AS piece FROM walks) JOIN near USING (piece)
    GROUP BY id
),
states AS MATERIALIZED (
    SELECT
        walks.id, first_at.capture, first_at.space, last, changed, coalesce(makers, 0) AS makers, made.reason, coalesce(mapped_ns, 0) AS mapped_ns,
        if(first_piece IS NULL, NULL, {
            'perms': first.perms, 'dev': first.dev, 'inode': first.inode, 'generation': first.generation, 'path': first.path,
            'path_bytes': first.path_bytes, 'offset_bytes': offset_plus(first.offset_bytes, if(first.inode = 0, 0, first_at.lo - first.start))
        }) AS first,
        if(bad_cell IS NULL, NULL, {
            'misfit': CASE
                WHEN bad_piece = 0 THEN 'hole'
                WHEN (bad.dev, bad.inode) <> (first.dev, first.inode) OR coalesce(bad.generation <> first.generation, false) THEN 'other file'
                ELSE 'other flags'
            END,
            'at': bad_at.lo, 'perms': bad.perms, 'path': bad.path, 'dev': bad.dev, 'inode': bad.inode
        }) AS bad
    FROM walks
    JOIN cells AS first_at ON walks.place = first_at.place AND first_cell = first_at.cell
    LEFT JOIN cells AS bad_at ON walks.place = bad_at.place AND bad_cell = bad_at.cell
    LEFT JOIN near AS first ON first_piece = first.piece
    LEFT JOIN near AS bad ON bad_piece = bad.piece
    LEFT JOIN made USING (id)
),
-- flags that no record tells of: what calls gave to a part of the range
given AS MATERIALIZED (
    SELECT asked.id, greatest(traits.start, asked.start) AS lo, least(traits."end", past) AS hi, asked.start, past, trait, value, traits.ts_ns
    FROM asked
    JOIN states USING (id)
    JOIN traits ON asked.capture = traits.capture AND asked.space = traits.space AND traits.start < past AND traits."end" > asked.start
    WHERE errno IN (1, 22) AND traits.ts_ns <= ts_enter_ns AND traits.ts_ns >= mapped_ns AND trait NOT IN ('name', 'policy')
),
parts AS (
    SELECT id, trait, lo, coalesce(lead(lo) OVER (PARTITION BY id, trait ORDER BY lo), past) AS hi
    FROM (
        SELECT id, trait, past, start AS lo FROM given UNION SELECT id, trait, past, lo FROM given
        UNION SELECT id, trait, past, hi FROM given WHERE hi < past
    )
),
flagged AS MATERIALIZED (
    SELECT id, min(trait) FILTER (differ) AS trait, min(spot) FILTER (differ) AS spot, bool_or(sealed) AS sealed
    FROM (
        SELECT id, trait, count(DISTINCT value) > 1 AS differ, arg_max(lo, lo) FILTER (value <> '') AS spot, bool_or(value = 'sealed') AS sealed
        FROM (
            SELECT parts.id, parts.trait, parts.lo, coalesce(arg_max(value, given.ts_ns) FILTER (given.lo <= parts.lo AND given.hi >= parts.hi), '') AS value
            FROM parts JOIN given USING (id, trait)
            GROUP BY ALL
        )
        GROUP BY id, trait
    )
    GROUP BY id
),
doubtful AS MATERIALIZED (
    SELECT id, any_value(doubts.reason) AS reason
    FROM asked
    JOIN doubts ON asked.capture = doubts.capture AND asked.space = doubts.space AND doubts.start < past AND doubts."end" > asked.start
        AND doubts.from_ns <= ts_exit_ns AND coalesce(doubts.to_ns, 18446744073709551615) > ts_enter_ns
    GROUP BY id
),
-- how many VMAs there were: neighbours of the same kind are one, or one each
instants AS (
    SELECT DISTINCT capture, space, ts_enter_ns AS at_ns FROM asked WHERE errno = 12
    QUALIFY row_number() OVER (PARTITION BY capture, space ORDER BY at_ns) <= 16
),
counted AS (
    SELECT capture, space, at_ns, count_if(apart) AS vmas, count(*) AS vmas_at_most
    FROM (
        SELECT
            instants.*,
            coalesce(timeline.start <> lag("end") OVER up OR (perms, dev, inode) <> (lag((perms, dev, inode)) OVER up)
                OR (inode <> 0 AND start::HUGEINT - offset_bytes <> lag(start::HUGEINT - offset_bytes) OVER up), true) AS apart
        FROM timeline
        JOIN instants ON timeline.capture = instants.capture AND timeline.space = instants.space
            AND from_ns <= at_ns AND coalesce(to_ns, 18446744073709551615) > at_ns
        WINDOW up AS (PARTITION BY instants.capture, instants.space, at_ns ORDER BY start)
    )
    GROUP BY capture, space, at_ns
),
-- nothing that is recorded forbids it, so it is to be told by what is not
unseen AS MATERIALIZED (
    SELECT calls.id, calls.capture, calls.tid, calls.space, ts_enter_ns, ts_exit_ns
    FROM calls JOIN states USING (id) LEFT JOIN flagged USING (id)
    WHERE errno = 22 AND bad IS NULL AND coalesce(first.perms[4] = 's', false) AND flagged.trait IS NULL
),
meanwhile AS (
    SELECT DISTINCT unseen.id
    FROM unseen
    JOIN uses ON unseen.capture = uses.capture AND unseen.space = uses.space
    JOIN syscalls ON syscalls.capture = uses.capture AND syscalls.pid = uses.pid AND syscalls.tid <> unseen.tid
        AND syscalls.ts_enter_ns < unseen.ts_exit_ns AND syscalls.ts_exit_ns > unseen.ts_enter_ns
),
told AS (
    SELECT
        calls.*, first, bad.at AS bad_at, bad, counted.vmas, counted.vmas_at_most, max_map_count AS most, flagged.trait, flagged.spot AS flagged_at,
        CASE
            WHEN argument IS NOT NULL THEN argument
            WHEN errno = 75 THEN 'beyond the largest file'
            WHEN errno = 12 THEN if(coalesce(vmas_at_most >= most * 0.99, false), 'map count', 'no memory')
            WHEN errno = 1 THEN if(coalesce(sealed, false), 'sealed', 'not permitted')
            WHEN errno <> 22 OR states.id IS NULL THEN 'other'
            WHEN first IS NULL THEN 'nothing mapped'
            WHEN first.perms[4] <> 's' THEN 'private'
            WHEN bad.misfit = 'hole' THEN if(last, 'past the last', 'hole')
            WHEN bad IS NOT NULL THEN bad.misfit
            WHEN flagged.trait IS NOT NULL THEN 'other flags'
            WHEN makers = 1 AND first.perms[2] <> 'w' THEN 'read-only file'
            WHEN makers > 1 THEN 'other open'
            ELSE 'not seen'
        END AS told,
        CASE
            WHEN argument IS NOT NULL OR errno = 75 THEN NULL
            WHEN calls.space IS NULL OR states.id IS NULL THEN 'what was mapped is not known'
            WHEN told = 'map count' AND vmas_at_most < most THEN 'VMAs that mlock, madvise and the like part are not recorded'
            WHEN told = 'map count' AND vmas < most THEN 'mappings of the same kind that lie side by side can be one'
            WHEN told IN ('no memory', 'not permitted', 'other') THEN 'the error can have other reasons'
            WHEN told IN ('map count', 'sealed') THEN states.reason
            WHEN changed THEN 'mappings changed while the call ran'
            WHEN doubtful.reason IS NOT NULL THEN doubtful.reason
            WHEN states.reason IS NOT NULL THEN states.reason
            WHEN meanwhile.id IS NOT NULL THEN 'another thread made a call while this one ran'
            WHEN told = 'other open' THEN 'no record tells of which open file a mapping is'
            WHEN told = 'not seen' THEN 'no reason is seen in what was recorded'
            -- such a mapping can be of a file that was opened for reading only, which the kernel looks at before
            WHEN bad IS NOT NULL AND first.perms[2] <> 'w' AND first.perms[4] = 's' THEN 'the file can have been opened for reading only, which is refused too'
        END AS doubt
    FROM calls
    LEFT JOIN captures ON captures.capture = calls.capture
    LEFT JOIN states USING (id)
    LEFT JOIN flagged USING (id)
    LEFT JOIN doubtful USING (id)
    LEFT JOIN meanwhile USING (id)
    LEFT JOIN counted ON calls.capture = counted.capture AND calls.space = counted.space AND ts_enter_ns = at_ns
)
SELECT
    capture, host, if(told IN ('sealed', 'map count', 'no memory', 'not permitted') OR errno NOT IN (22, 75), 'medium', 'low') AS severity,
    if(doubt IS NULL, 'certain', 'possible') AS certainty, doubt AS reason, ts_exit_ns AS ts_ns, space, pid, tid, comm, stack_id,
    'remap_file_pages' AS call, ts_enter_ns AS call_ns, start,
    least(past, 18446744073709551615)::UBIGINT AS "end",
    first.dev AS dev, first.inode AS inode, first.generation AS generation, first.path AS path, first.path_bytes AS path_bytes,
    first.offset_bytes AS offset_bytes,
    MAP {
        'reason': told, 'at': address_text(coalesce(bad_at, flagged_at)), 'perms': first.perms, 'size_bytes': size::VARCHAR, 'prot': prot::VARCHAR,
        'pgoff_pages': pgoff::VARCHAR, 'flags': flags::VARCHAR, 'vmas': vmas::VARCHAR, 'vmas_at_most': vmas_at_most::VARCHAR, 'limit_vmas': most::VARCHAR
    } AS facts,
    thread_text(comm, pid, tid) || ' asked remap_file_pages for ' || coalesce(if(bytes = 0, 'no whole page', pages_text(bytes)), '?') || ' at '
        || address_text(start) || ' to show the file from page ' || pgoff || ' on, and got ' || coalesce(error_names.error, 'error ' || errno) || ': '
        || CASE told
            WHEN 'prot' THEN 'prot must be 0 and was ' || prot
            WHEN 'size' THEN 'the size, ' || size || ' bytes, is less than a page'
            WHEN 'wraps' THEN 'a size of 0x' || format('{:x}', size) || ' goes past the last address'
            WHEN 'pgoff wraps' THEN 'that page and the size together are more than 64 bits hold'
            WHEN 'beyond the largest file' THEN 'no file can be so long there (' || file_text(first.path, first.dev, first.inode) || ')'
            WHEN 'nothing mapped' THEN 'nothing was mapped there'
            WHEN 'private' THEN 'the mapping there is private (' || if(first.inode = 0, if(first.path = '', 'anonymous memory', first.path), file_text(first.path, first.dev, first.inode))
                || ', ' || first.perms || '); only shared ones can be remapped'
            WHEN 'read-only file' THEN file_text(first.path, first.dev, first.inode) || ' is mapped there from a descriptor opened for reading only'
            WHEN 'hole' THEN 'nothing was mapped at ' || address_text(bad_at) || ', within the range'
            WHEN 'past the last' THEN 'what is mapped there ends at ' || address_text(bad_at) || ', before the range does'
            WHEN 'other file' THEN 'at ' || address_text(bad_at) || ' within the range another file is mapped, '
                || if(bad.inode = 0, if(bad.path = '', 'anonymous memory', bad.path), file_text(bad.path, bad.dev, bad.inode))
            WHEN 'other flags' THEN if(bad_at IS NOT NULL, 'from ' || address_text(bad_at) || ' on it is mapped ' || bad.perms || ' and before it ' || first.perms,
                'a part of the range was treated otherwise, from ' || coalesce(address_text(flagged_at), '?') || ' on, by ' || CASE trait
                    WHEN 'lock' THEN 'mlock' WHEN 'seal' THEN 'mseal' ELSE 'madvise' END)
            WHEN 'other open' THEN 'its mappings are of several opens of the file' || if(first.perms[2] = 'w', '', ', or of one for reading only')
            WHEN 'sealed' THEN 'the mapping is sealed by mseal'
            WHEN 'map count' THEN 'the process had ' || vmas || ' VMAs and vm.max_map_count is ' || most
            WHEN 'no memory' THEN 'memory or a limit of it did not suffice, with '
                || coalesce(vmas_at_most || ' VMAs at most', 'fewer VMAs than') || ' of ' || coalesce(most::VARCHAR, '?') || ' allowed'
            WHEN 'not permitted' THEN 'a memfd sealed against writing or a security module can forbid it'
            WHEN 'other' THEN CASE errno
                WHEN 4 THEN 'it was killed while it waited for the address space'
                WHEN 11 THEN 'RLIMIT_MEMLOCK is reached'
                WHEN 13 THEN 'the file does not allow it any more'
                WHEN 26 THEN 'the file is swap'
                ELSE 'the kernel or the file does not allow it' END
            ELSE 'no reason is seen in what was recorded'
        END AS sentence
FROM told
LEFT JOIN error_names USING (errno)
