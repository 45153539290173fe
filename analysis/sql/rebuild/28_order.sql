-- When did each removal take effect, as far as can be told?
-- At its return, unless another thread's change inside the call says that it was earlier. Times are ranked: eight
-- places in a nanosecond, so that what must come just before something else has room.
CREATE TABLE ordered (
    -- number of the removal
    id,
    -- time of the effect, times eight [ns / 8, CLOCK_MONOTONIC]
    key
) AS
WITH
after_records AS (
    SELECT id, min(key) AS key
    FROM (
        SELECT id, exit_ns * 8 + 4 AS key FROM removals
        UNION ALL
        SELECT id, other_ns * 8 + 2 FROM races WHERE verdict = 'before'
    )
    GROUP BY id
),
-- a removal that must come before another comes just before it; twice, for one before one before one
after_one AS (
    SELECT id, min(key) AS key
    FROM (
        FROM after_records
        UNION ALL
        SELECT races.id, other.key - 1 FROM races JOIN after_records AS other ON races.other_id = other.id WHERE verdict = 'before'
    )
    GROUP BY id
),
after_two AS (
    SELECT id, min(key) AS key
    FROM (
        FROM after_one
        UNION ALL
        SELECT races.id, other.key - 1 FROM races JOIN after_one AS other ON races.other_id = other.id WHERE verdict = 'before'
    )
    GROUP BY id
)
SELECT id, greatest(key, enter_ns * 8) FROM after_two JOIN removals USING (id);
