-- The answer: the fault's explanation where there was one at that instant, else what lies there then, or why nothing does.
-- The table question says whether there was one (faulted).
CREATE OR REPLACE TABLE verdict AS
WITH
latest AS (
    SELECT stood.*, if(inode <> 0 OR path <> '', file_text(path, dev, inode), 'memory') AS thing
    FROM stood ORDER BY from_ns DESC LIMIT 1
),
doubt AS (
    SELECT any_value(reason) AS reason FROM life JOIN question ON ts_ns <= at_ns AND coalesce(until_ns, 18446744073709551615) > at_ns WHERE what = 'doubt'
)
SELECT life.* REPLACE ('verdict' AS what)
FROM life JOIN question ON faulted AND what = 'fault' AND ts_ns = at_ns
UNION ALL BY NAME
SELECT
    question.capture, at_ns AS ts_ns, 'verdict' AS what,
    if(coalesce(latest.reason, doubt.reason) IS NULL, 'certain', 'possible') AS certainty, coalesce(latest.reason, doubt.reason) AS reason,
    CASE
        WHEN latest.start IS NULL THEN format('nothing was ever mapped at {}, as far as recorded', address_text(address))
        WHEN to_ns <= at_ns THEN format('nothing is mapped at {}; {} lay there until {}{}{} {} before', address_text(address), thing,
            end_cause, coalesce(' by ' || whom, ''), coalesce(format(', which {},', remapped_text(calls_told, address)), ''),
            span_text(at_ns - to_ns))
        ELSE format('{} lies in {}{}, {}{}', address_text(address), thing,
            if(latest.inode <> 0, ' +' || address_text(latest.offset_bytes), ''), perms,
            if(latest.inode <> 0 AND page_down(latest.offset_bytes) >= (
                    SELECT arg_max(sizes.size_bytes, sizes.ts_ns) FROM (
                        SELECT ts_ns, size_bytes FROM life WHERE what IN ('truncation', 'growth', 'mapping')
                        UNION ALL
                        SELECT ts_ns, size_bytes FROM file_sizes
                        WHERE file_sizes.capture = latest.capture AND file_sizes.dev = latest.dev AND file_sizes.inode = latest.inode AND ts_ns <= at_ns
                    ) AS sizes
                ),
                ', beyond the end of the file as last seen; touching it raises SIGBUS', ''))
    END AS text,
    latest.pid, latest.start, latest."end", latest.perms, latest.dev, latest.inode, latest.generation, latest.path, latest.path_bytes, latest.offset_bytes
FROM question
LEFT JOIN latest ON true
LEFT JOIN doubt ON true
LEFT JOIN calls_told ON latest.capture = calls_told.capture AND end_call_ns = calls_told.call_ns AND end_tid = calls_told.tid
WHERE NOT faulted;
