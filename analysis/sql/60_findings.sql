-- Which edge cases and their causes does the capture hold?
-- One row a finding; each kind has a view of its own, edge_KIND, with the same columns (see analysis/sql/edges).
CREATE VIEW findings (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- what kind of finding
    kind,
    -- high: a process was harmed; medium: it can be; low: worth knowing; info: normal, for the picture
    severity,
    -- why this is normal, and hidden unless asked for; null where it is not
    expected,
    -- certain, or possible
    certainty,
    -- why it is only possible
    reason,
    -- when it happened [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- number of the address space it is about (see spaces)
    space,
    -- process that did it
    pid,
    -- thread that did it
    tid,
    -- name of that thread; bytes that are not UTF-8 stand as \xNN
    comm,
    -- user stack of its call (see stacks)
    stack_id,
    -- its call, or what else it was
    call,
    -- entry of its call [ns, CLOCK_MONOTONIC]
    call_ns,
    -- number of the other party's address space
    other_space,
    -- process of the other party: who suffered, or took part
    other_pid,
    -- thread of the other party
    other_tid,
    -- name of that thread; bytes that are not UTF-8 stand as \xNN
    other_comm,
    -- user stack of the other party's call
    other_stack_id,
    -- the other party's call, or what else it was
    other_call,
    -- time of that [ns, CLOCK_MONOTONIC]
    other_ns,
    -- first byte concerned [address]
    start,
    -- first byte past it [address]
    "end",
    -- device of the file, major << 20 | minor
    dev,
    -- inode number of the file, 0 for memory without a file
    inode,
    -- inode generation
    generation,
    -- path; bytes that are not UTF-8 stand as \xNN
    path,
    -- path, newlines as \012 [bytes]
    path_bytes,
    -- offset in the file of the first byte concerned [bytes]
    offset_bytes,
    -- what else is known, by name; each kind says which
    facts,
    -- the finding in a sentence
    sentence
) AS
SELECT
    NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::VARCHAR, NULL::UBIGINT,
    NULL::UBIGINT, NULL::UINTEGER, NULL::UINTEGER, NULL::VARCHAR, NULL::INTEGER, NULL::VARCHAR, NULL::UBIGINT,
    NULL::UBIGINT, NULL::UINTEGER, NULL::UINTEGER, NULL::VARCHAR, NULL::INTEGER, NULL::VARCHAR, NULL::UBIGINT,
    NULL::UBIGINT, NULL::UBIGINT, NULL::UINTEGER, NULL::UBIGINT, NULL::UINTEGER, NULL::VARCHAR, NULL::BLOB, NULL::UBIGINT,
    NULL::MAP(VARCHAR, VARCHAR), NULL::VARCHAR
WHERE false
