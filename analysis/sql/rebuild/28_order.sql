-- When did each removal take effect, as far as can be told?
-- Times are ranked: eight places in a nanosecond, so that what must come just before something else has room.
CREATE TABLE ordered (
    -- number of the removal
    id,
    -- time of the effect, times eight [ns / 8, CLOCK_MONOTONIC]
    key
) AS
SELECT id, exit_ns * 8 + 4 FROM removals;
