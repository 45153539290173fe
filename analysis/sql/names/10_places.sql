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
WITH RECURSIVE
known AS (
    FROM marks WHERE address IS NOT NULL
),
-- what the original had told when it was copied
inherited AS (
    SELECT
        copies.capture, copies.space, parent,
        any_value(address) FILTER (copies.mark = 'start_brk') AS start_brk,
        any_value(address) FILTER (copies.mark = 'brk') AS brk,
        any_value(address) FILTER (copies.mark = 'start_stack') AS start_stack
    FROM (FROM spaces, (VALUES ('start_brk'), ('brk'), ('start_stack')) AS marked(mark)) AS copies
    ASOF LEFT JOIN known
        ON copies.capture = known.capture AND parent = known.space AND copies.mark = known.mark AND copies.from_ns >= known.from_ns
    GROUP BY copies.capture, copies.space, parent
),
-- what it had not told is its own original's; each time twice as far up
up(capture, space, above, start_brk, brk, start_stack) USING KEY (capture, space) AS (
    FROM inherited
    UNION ALL
    SELECT
        up.capture, up.space, further.above,
        coalesce(up.start_brk, further.start_brk), coalesce(up.brk, further.brk), coalesce(up.start_stack, further.start_stack)
    FROM up JOIN recurring.up AS further ON up.capture = further.capture AND up.above = further.space
),
told AS (
    SELECT capture, space, 0::UBIGINT AS from_ns, mark, address
    FROM (UNPIVOT (SELECT capture, space, start_brk, brk, start_stack FROM up) ON start_brk, brk, start_stack INTO NAME mark VALUE address)
    UNION ALL
    SELECT capture, space, from_ns, mark, address FROM known
)
SELECT DISTINCT
    capture, space, from_ns,
    arg_max(address, from_ns) FILTER (mark = 'start_brk') OVER known_by_then,
    arg_max(address, from_ns) FILTER (mark = 'brk') OVER known_by_then,
    arg_max(address, from_ns) FILTER (mark = 'start_stack') OVER known_by_then
FROM told
WINDOW known_by_then AS (PARTITION BY capture, space ORDER BY from_ns);
