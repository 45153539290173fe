-- Where did an mremap put an edge? No record tells of it, nor of what it merged with.
CREATE OR REPLACE TABLE moved (
    -- edge of what was moved, or of what a VMA grew by [address]
    page,
    -- entry of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- whether it is where a VMA was that grew in its place: it goes on there (mm/mremap.c, expand_vma)
    grew
) AS
WITH moves AS (
    SELECT start, "end", cause_ns, cause_tid
    FROM timeline JOIN lineage ON timeline.space = lineage.space AND from_ns <= until_ns AND (to_ns IS NULL OR to_ns > until_ns)
    WHERE capture = getvariable('capture') AND cause = 'mremap'
        AND start <= getvariable('highest') AND "end" >= getvariable('lowest')
)
SELECT start, cause_ns, coalesce(syscalls.addr = syscalls.ret::UBIGINT, false)
FROM moves LEFT JOIN (FROM syscalls WHERE syscall = 'mremap' AND capture = getvariable('capture') AND errno = 0) AS syscalls
    ON cause_ns = ts_enter_ns AND cause_tid = tid
UNION ALL
SELECT "end", cause_ns, false FROM moves;
