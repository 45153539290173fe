-- When did each removal take effect, as far as can be told?
-- When a probe saw it; else at its return, unless another thread's change inside the call says that it was earlier. Times are
-- ranked: eight places in a nanosecond, so that what must come just before something else has room.
-- First: those of which more is told than their return. They are few, so the joins with them are cheap.
CREATE TABLE ordered (
    -- number of the removal
    id,
    -- time of the effect, times eight [ns / 8, CLOCK_MONOTONIC]
    key
) AS
WITH
befores AS (
    SELECT id, other_id, other_ns FROM races WHERE verdict = 'before'
),
after_records AS (
    SELECT removals.id, enter_ns, least(coalesce(ts_ns, exit_ns) * 8 + 4, first) AS key
    FROM removals
    SEMI JOIN (SELECT id FROM hooked UNION ALL SELECT id FROM befores UNION ALL SELECT other_id FROM befores) AS several USING (id)
    LEFT JOIN hooked USING (id)
    LEFT JOIN (SELECT id, min(other_ns) * 8 + 2 AS first FROM befores GROUP BY id) AS found ON removals.id = found.id
),
-- what is said of two removals is said of few
paired AS MATERIALIZED (
    SELECT id, key FROM after_records
    WHERE id IN (SELECT id FROM befores WHERE other_id IS NOT NULL UNION ALL SELECT other_id FROM befores WHERE other_id IS NOT NULL)
),
-- a removal that must come before another comes just before it; twice, for one before one before one
after_one AS (
    SELECT each.id, least(each.key, first) AS key
    FROM paired AS each
    LEFT JOIN (
        SELECT befores.id, min(key) - 1 AS first FROM befores JOIN paired AS other ON other_id = other.id GROUP BY befores.id
    ) AS found ON each.id = found.id
),
after_two AS (
    SELECT each.id, least(each.key, first) AS key
    FROM after_one AS each
    LEFT JOIN (
        SELECT befores.id, min(key) - 1 AS first FROM befores JOIN after_one AS other ON other_id = other.id GROUP BY befores.id
    ) AS found ON each.id = found.id
)
SELECT each.id, greatest(coalesce(after_two.key, each.key), enter_ns * 8)
FROM after_records AS each LEFT JOIN after_two ON each.id = after_two.id;
CREATE VIEW moments (
    -- these are those of removals
    id, space, tid, enter_ns, exit_ns, cause, flags, take_lo, take_hi, attach_look, doubt_lo, source, put_lo, put_hi, delta, several_hi,
    -- time of the effect, times eight [ns / 8, CLOCK_MONOTONIC]
    key
) AS
SELECT removals.*, coalesce(key, exit_ns * 8 + 4) FROM removals LEFT JOIN ordered USING (id);
