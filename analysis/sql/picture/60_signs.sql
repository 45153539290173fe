-- Which instants and stretches of time are marked in the picture: findings, and losses?
CREATE OR REPLACE TABLE signs (
    -- kind of finding (see findings), or loss
    what,
    -- directory name of the capture
    capture,
    -- band that it is about; null: all of its capture, or none that is shown
    band,
    -- from when to when, in the picture's time; an instant has one [ns]
    x0, x1,
    -- addresses concerned, null where there are none [address]
    start, "end",
    -- the same in the picture (see axis) [units]
    y0, y1,
    -- high, medium, low or info (see findings); losses have none
    severity,
    -- why it is normal; null where it is not
    expected,
    -- certain, or possible with the reason
    certainty, reason,
    -- process that did it, and the one it was done to
    pid, other_pid,
    -- stack of the call that did it (see stacks), in which address space, and its time [ns, CLOCK_MONOTONIC]
    stack_id, space, call_ns,
    -- in words
    sentence
) AS
WITH
marked AS (
    SELECT
        found.*, asked.zero_ns, band
    FROM found JOIN asked ON found.capture = asked.capture AND ts_ns BETWEEN asked.since_ns AND asked.until_ns
    LEFT JOIN shown ON found.capture = shown.capture
        -- the place is that of who suffered, where a file was cut under somebody's mapping
        AND if(kind = 'truncated_under_mapping', coalesce(other_space, found.space), coalesce(found.space, other_space)) = shown.space
    WHERE NOT EXISTS (FROM asked_pids) OR found.pid IN (SELECT pid FROM asked_pids) OR other_pid IN (SELECT pid FROM asked_pids)
)
SELECT
    marked.kind, marked.capture, marked.band, ts_ns::BIGINT - zero_ns::BIGINT, NULL::BIGINT, marked.start, marked."end",
    low.y0 + (low.y1 - low.y0) * least((marked.start - low.start)::DOUBLE / (low."end" - low.start), 1),
    high.y0 + (high.y1 - high.y0) * least((marked."end" - high.start)::DOUBLE / (high."end" - high.start), 1),
    severity, expected, certainty, reason, pid, other_pid, stack_id, marked.space, coalesce(call_ns, ts_ns), sentence
FROM marked
ASOF LEFT JOIN axis AS low ON marked.band = low.band AND marked.start >= low.start
ASOF LEFT JOIN axis AS high ON marked.band = high.band AND marked."end" > high.start
UNION ALL
SELECT
    'loss', losses.capture, NULL, losses.from_ns::BIGINT - zero_ns::BIGINT, losses.to_ns::BIGINT - zero_ns::BIGINT, NULL, NULL, NULL, NULL, NULL, NULL,
    'certain', NULL, NULL, NULL, NULL, NULL, NULL,
    format('{} records of {} lost{}: {}', coalesce(losses.count::VARCHAR, 'some'), source, if(cpu >= 0, ' on CPU ' || cpu, ''), cause)
FROM losses JOIN asked ON losses.capture = asked.capture AND losses.from_ns <= until_ns AND losses.to_ns >= since_ns;
