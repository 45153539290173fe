-- Begins and ends of gaps.
CREATE VIEW loss_events AS
WITH numbered AS (
    SELECT
        track, from_ns, to_ns, names.id AS name, lost AS "records lost", unknown AS "gaps of unknown size", causes.id AS cause
    FROM loss_slices
    JOIN loss_lanes USING (id)
    JOIN (SELECT track, lane FROM tracks WHERE kind = 'loss') USING (lane)
    JOIN texts AS names ON names.text = label
    JOIN texts AS causes ON causes.text = loss_slices.cause
)
SELECT from_ns AS ts_ns, false AS closing, * EXCLUDE (from_ns, to_ns) FROM numbered
UNION ALL
SELECT to_ns, true, * EXCLUDE (from_ns, to_ns) FROM numbered;
