-- Begins and ends of mappings. Columns are named as they are shown.
CREATE VIEW mapping_events AS
WITH numbered AS (
    SELECT
        track, from_ns, to_ns, names.id AS name, mapping_slices.start, "end", perms.id AS perms, "end" - mapping_slices.start AS size_bytes,
        offset_bytes, inode, causes.id AS cause, cause_tid AS "by thread", ends.id AS "end cause", sure.id AS certainty
    FROM mapping_slices
    JOIN mapping_lanes USING (id)
    JOIN (SELECT track, lane FROM tracks WHERE kind = 'mapping') USING (lane)
    JOIN texts AS names ON names.text = label || ' ' || mapping_slices.perms
    JOIN texts AS perms ON perms.text = mapping_slices.perms
    JOIN texts AS causes ON causes.text = mapping_slices.cause
    JOIN texts AS ends ON ends.text = end_cause
    JOIN texts AS sure ON sure.text = mapping_slices.certainty
)
SELECT from_ns AS ts_ns, false AS closing, * EXCLUDE (from_ns, to_ns) FROM numbered
UNION ALL
SELECT to_ns, true, * EXCLUDE (from_ns, to_ns) FROM numbered;
