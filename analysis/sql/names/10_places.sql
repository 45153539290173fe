-- Where did heap and stack of an address space begin and end, as the view marks tells of it and of its originals?
CREATE OR REPLACE TABLE places (
    -- directory name of the capture
    capture,
    -- number of the address space
    space,
    -- from when on, to the next row [ns, CLOCK_MONOTONIC]
    known_ns,
    -- first byte of the heap, null while it is not known [address]
    start_brk,
    -- first byte past it [address]
    brk,
    -- a byte of the stack [address]
    start_stack
) AS
WITH RECURSIVE up(capture, space, original, until_ns) AS (
    SELECT capture, space, space, NULL::UBIGINT FROM spaces
    UNION ALL
    SELECT up.capture, up.space, spaces.parent, least(until_ns, from_ns)
    FROM up JOIN spaces ON up.capture = spaces.capture AND original = spaces.space
    WHERE parent IS NOT NULL
),
told AS (
    SELECT up.capture, up.space, mark, from_ns, address
    FROM up JOIN marks ON up.capture = marks.capture AND original = marks.space
    -- what is told of the original after the fork is not the copy's
    WHERE until_ns IS NULL OR from_ns <= until_ns
)
SELECT DISTINCT
    capture, space, from_ns,
    arg_max(address, from_ns) FILTER (mark = 'start_brk') OVER known,
    arg_max(address, from_ns) FILTER (mark = 'brk') OVER known,
    arg_max(address, from_ns) FILTER (mark = 'start_stack') OVER known
FROM told
WINDOW known AS (PARTITION BY capture, space ORDER BY from_ns);
