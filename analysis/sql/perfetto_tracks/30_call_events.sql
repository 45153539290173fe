-- Entries and returns of calls.
CREATE VIEW call_events AS
WITH numbered AS (
    SELECT
        track, from_ns, to_ns, names.id AS name, addr AS address, size_bytes, offset_bytes, ret AS returned, errors.id AS error
    FROM call_slices
    JOIN (SELECT track, pid, tid FROM tracks WHERE kind = 'thread') USING (pid, tid)
    JOIN texts AS names ON names.text = call
    JOIN texts AS errors ON errors.text = call_slices.error
)
SELECT from_ns AS ts_ns, false AS closing, * EXCLUDE (from_ns, to_ns) FROM numbered
UNION ALL
SELECT to_ns, true, * EXCLUDE (from_ns, to_ns) FROM numbered;
