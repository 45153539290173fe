-- Findings, at their instants.
CREATE VIEW finding_events AS
SELECT
    track, ts_ns, names.id AS name, severities.id AS severity, sure.id AS certainty, sentences.id AS what, start AS address
FROM finding_marks
JOIN (SELECT track, pid FROM tracks WHERE kind = 'findings') AS places ON places.pid IS NOT DISTINCT FROM finding_marks.pid
JOIN texts AS names ON names.text = kind
JOIN texts AS severities ON severities.text = finding_marks.severity
JOIN texts AS sure ON sure.text = finding_marks.certainty
JOIN texts AS sentences ON sentences.text = sentence;
