-- Which readings of /proc/PID/maps can judge the rebuild? Those that it was not made from: checkpoints, final ones and those
-- at a trigger, as far as all events before them are in the capture.
-- Of a process that changed its mappings meanwhile, a reading shows what was never there at one instant.
CREATE TABLE judges (
    -- number of the reading
    reading,
    -- checkpoint, final or trigger
    reason,
    -- process read
    pid,
    -- number of its address space, null where nothing else is known of the process
    space,
    -- number of the reading among those of its address space
    turn,
    -- before the first byte was read [ns, CLOCK_MONOTONIC]
    begin_ns,
    -- after the last byte was read [ns, CLOCK_MONOTONIC]
    end_ns,
    -- whether mappings changed while they were read
    disturbed
) AS
WITH taken AS (
    SELECT DISTINCT reading, reason, pid, ts_begin_ns AS begin_ns, ts_end_ns AS end_ns
    FROM maps
    WHERE reason IN ('checkpoint', 'final', 'trigger') AND ts_end_ns <= getvariable('covered_to_ns')
),
placed AS (
    SELECT taken.*, space, row_number() OVER (PARTITION BY space ORDER BY begin_ns, reading) AS turn
    FROM taken
    ASOF LEFT JOIN users ON taken.pid = users.pid AND taken.begin_ns >= users.from_ns
),
changes AS (
    SELECT space, ts_enter_ns AS from_ns, ts_exit_ns AS to_ns
    FROM syscalls ASOF JOIN users ON syscalls.pid = users.pid AND syscalls.ts_enter_ns >= users.from_ns
    WHERE syscall NOT IN ('madvise', 'process_madvise', 'mlock', 'mlock2', 'munlock', 'mlockall', 'munlockall', 'mbind', 'mseal')
    UNION ALL
    SELECT space, ts_ns, ts_ns
    FROM vmas ASOF JOIN users ON vmas.pid = users.pid AND vmas.ts_ns >= users.from_ns
),
-- the last reading that began before the change ended, and the first that ended after it began: all between saw it
met AS (
    SELECT DISTINCT changes.space, first.turn AS first_turn, last.turn AS last_turn
    FROM changes
    ASOF JOIN placed AS last ON changes.space = last.space AND changes.to_ns >= last.begin_ns
    ASOF JOIN placed AS first ON changes.space = first.space AND changes.from_ns <= first.end_ns
    WHERE first.turn <= last.turn
),
seen AS (
    SELECT DISTINCT space, unnest(range(first_turn, last_turn + 1)) AS turn FROM met
)
SELECT placed.reading, placed.reason, pid, placed.space, placed.turn, begin_ns, end_ns, seen.turn IS NOT NULL
FROM placed LEFT JOIN seen USING (space, turn);
