-- The life of the address: a row for each thing that happened to it, as text, with who did it.
CREATE OR REPLACE TABLE life AS
WITH
faulted AS MATERIALIZED (
    SELECT causes.*
    FROM fault_causes AS causes
    JOIN question ON causes.capture = question.capture AND causes.space = question.space AND causes.address >> 12 = question.address >> 12 AND ts_ns <= at_ns
),
mapped AS (
    SELECT stood.*, made, ended, remapped_text(ended, address) AS ended_by, lead(from_ns) OVER (ORDER BY from_ns, start) AS next_ns,
        if(inode <> 0 OR path <> '', file_text(path, dev, inode), 'memory') AS thing, if(inode = 0, 0, page_down(offset_bytes) - (page_down(address) - start)) AS begin_bytes
    FROM stood JOIN question USING (capture, space)
    LEFT JOIN calls_told AS made ON stood.capture = made.capture AND stood.call_ns = made.call_ns AND cause_tid = made.tid
    LEFT JOIN calls_told AS ended ON stood.capture = ended.capture AND end_call_ns = ended.call_ns AND end_tid = ended.tid
),
sized AS (
    SELECT mapped.*, size_bytes
    FROM mapped
    ASOF LEFT JOIN (SELECT capture, dev, inode, ts_ns, size_bytes FROM file_sizes SEMI JOIN stood USING (capture, dev, inode)) AS sizes
        ON mapped.capture = sizes.capture AND mapped.dev = sizes.dev AND mapped.inode = sizes.inode AND mapped.from_ns >= sizes.ts_ns
),
changes AS (
    SELECT DISTINCT ON (capture, ts_enter_ns, files.tid)
        files.*, min(stood.from_ns) OVER (PARTITION BY files.capture, ts_enter_ns, files.tid) < ts_enter_ns AS was_there, stood.offset_bytes AS at_bytes, stood.start, stood."end", stood.perms, stood.path, stood.path_bytes
    FROM file_changes AS files
    JOIN stood ON files.capture = stood.capture AND files.dev = stood.dev AND files.inode = stood.inode AND stood.inode <> 0
        AND coalesce(files.generation = stood.generation, true) AND ts_enter_ns < coalesce(stood.to_ns, 18446744073709551615)
    JOIN question ON ts_enter_ns <= at_ns
),
-- what can have cut the file before a fault, as far as the size that it set tells
suspected AS (
    SELECT DISTINCT ON (capture, suspect.ns, suspect.tid) *
    FROM (SELECT *, unnest(suspects) AS suspect FROM faulted)
    WHERE (capture, suspect.ns, suspect.tid) NOT IN (SELECT (capture, ts_enter_ns, changes.tid) FROM changes)
)
SELECT
    capture, from_ns AS ts_ns, 'mapping' AS what, if(reason IS NULL, 'certain', 'possible') AS certainty, reason,
    format('{} {}{}{}, at {}{}{}', perms, thing,
        if(inode <> 0, ' +' || address_text(begin_bytes), ''),
        if(size_bytes IS NULL OR inode = 0, '', format(' ({} long then)', size_text(size_bytes))), range_text(start, "end"),
        -- what was unmapped or changed later, or before this page was, is not in it
        if(made.syscall IN ('mmap', 'old_mmap') AND start >= made.low AND "end" <= made.high AND (start > made.low OR "end" < made.high),
            ', a part of ' || range_text(made.low, made.high) || ' that was mapped at once', ''),
        if(inode <> 0 AND page_down(offset_bytes) > begin_bytes, format('; the address is at +{}', address_text(page_down(offset_bytes))), ''))
    || format('; {}{}', cause, CASE
        WHEN made.whom IS NOT NULL THEN ' by ' || made.whom
        WHEN cause = 'baseline' THEN ', it was there when the recording began'
        WHEN cause = 'fork' THEN ', as its parent had it'
        ELSE '' END)
    || if(to_ns IS NULL, '; it is there to the end', format('; for {}', span_text(to_ns - from_ns))) AS text,
    coalesce(made.pid, pid) AS pid, cause_tid AS tid, made.comm AS comm, cause AS call, call_ns, made.stack_id AS stack_id, to_ns AS until_ns,
    start, "end", perms, dev, inode, generation, path, path_bytes, offset_bytes, if(inode = 0, NULL, size_bytes) AS size_bytes
FROM sized
UNION ALL BY NAME
SELECT
    mapped.capture, to_ns AS ts_ns, 'unmapped' AS what, if(reason IS NULL, 'certain', 'possible') AS certainty, reason,
    format('{} at {}; {}{}{}', thing, range_text(start, "end"), end_cause, coalesce(' by ' || ended.whom, ''), coalesce(', which ' || ended_by, '')) AS text,
    coalesce(ended.pid, mapped.pid) AS pid, end_tid AS tid, ended.comm AS comm, end_cause AS call, end_call_ns AS call_ns, ended.stack_id AS stack_id,
    start, "end", perms, dev, inode, generation, path, path_bytes, offset_bytes
FROM mapped JOIN question ON to_ns <= at_ns
WHERE next_ns IS DISTINCT FROM to_ns
UNION ALL BY NAME
SELECT
    capture, ts_enter_ns AS ts_ns, if(new_size_bytes > old_size_bytes, 'growth', 'truncation') AS what,
    -- what was mapped before was there
    coalesce(doubt, if(old_size_bytes IS NULL AND NOT was_there, unknown_size_text(operation, flags), NULL)) AS reason,
    if(reason IS NULL, 'certain', 'possible') AS certainty,
    format('{} by {}: {}{}; offset {} is {} then', operation, thread_text(comm, pid, tid),
        CASE
            WHEN old_size_bytes IS NOT NULL THEN 'from ' || size_text(old_size_bytes) || ' '
            WHEN was_there THEN 'from a size not recorded '
            ELSE ''
        END, 'to ' || size_text(new_size_bytes),
        address_text(page_down(at_bytes)), if(page_down(at_bytes) < new_size_bytes, 'in the file', 'beyond its end')) AS text,
    pid, tid, comm, operation AS call, ts_enter_ns AS call_ns, stack_id, start, "end", perms, dev, inode, generation, path, path_bytes,
    at_bytes AS offset_bytes, new_size_bytes AS size_bytes
FROM changes
WHERE operation <> 'fallocate' AND new_size_bytes IS DISTINCT FROM old_size_bytes AND new_size_bytes IS NOT NULL
    -- a file that this call must have created (O_EXCL) had no bytes to lose
    AND (old_size_bytes IS NOT NULL OR coalesce(flags & 192 <> 192, true))
UNION ALL BY NAME
-- flags: include/uapi/linux/falloc.h
SELECT
    capture, ts_enter_ns AS ts_ns, if(flags & 10 <> 0, 'truncation', 'growth') AS what, if(doubt IS NULL, 'certain', 'possible') AS certainty,
    doubt AS reason,
    format('fallocate by {}: {} of {} bytes at {}', thread_text(comm, pid, tid),
        CASE WHEN flags & 2 <> 0 THEN 'a hole' WHEN flags & 8 <> 0 THEN 'collapse' WHEN flags & 16 <> 0 THEN 'zeros' ELSE 'room' END,
        length_bytes, address_text(changes.offset_bytes)) AS text,
    pid, tid, comm, operation AS call, ts_enter_ns AS call_ns, stack_id, start, "end", perms, dev, inode, generation, path, path_bytes,
    at_bytes AS offset_bytes, new_size_bytes AS size_bytes
FROM changes
WHERE operation = 'fallocate'
    AND (flags & 8 <> 0 OR new_size_bytes <> old_size_bytes OR (changes.offset_bytes <= at_bytes AND offset_end(changes.offset_bytes, length_bytes) > at_bytes))
UNION ALL BY NAME
SELECT
    capture, ts_ns, 'fault' AS what, certainty, reason, sentence AS text, pid, tid, comm, signal AS call, stack_id, start, "end", perms,
    dev, inode, generation, path, path_bytes, offset_bytes, size_bytes
FROM faulted
UNION ALL BY NAME
SELECT
    capture, suspect.ns AS ts_ns, 'truncation' AS what, 'possible' AS certainty, suspect.doubt AS reason,
    format('{} by {} of {}: to {}; if it was this file, offset {} is beyond its end then', suspect.call,
        thread_text(suspect.comm, suspect.pid, suspect.tid), coalesce(suspect.path, 'a file'), size_text(suspect.new),
        address_text(page_down(offset_bytes))) AS text,
    suspect.pid AS pid, suspect.tid AS tid, suspect.comm AS comm, suspect.call AS call, suspect.ns AS call_ns, suspect.stack_id AS stack_id,
    start, "end", perms, dev, inode, generation, path, path_bytes, offset_bytes, suspect.new AS size_bytes
FROM suspected
UNION ALL BY NAME
SELECT
    doubts.capture, from_ns AS ts_ns, 'doubt' AS what, 'possible' AS certainty, doubts.reason,
    doubts.reason || if(to_ns IS NULL, '', ', for ' || span_text(to_ns - from_ns)) AS text, to_ns AS until_ns, doubts.start, doubts."end"
FROM doubts
JOIN question ON doubts.capture = question.capture AND doubts.space = question.space AND doubts.start <= address AND doubts."end" > address AND from_ns <= at_ns
UNION ALL BY NAME
SELECT
    losses.capture, losses.from_ns AS ts_ns, 'loss' AS what, 'certain' AS certainty,
    format('{} records of {} lost{}: {}', coalesce(losses.count::VARCHAR, 'some'), losses.source, if(losses.cpu >= 0, ' on CPU ' || losses.cpu, ''),
        losses.cause) AS text,
    losses.to_ns AS until_ns
FROM losses
JOIN question ON losses.capture = question.capture AND losses.from_ns <= at_ns
    AND losses.to_ns >= coalesce((SELECT min(from_ns) FROM stood), (SELECT from_ns FROM spaces SEMI JOIN question USING (capture, space)));
