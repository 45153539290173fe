-- Every text of the trace, once, with the number that stands for it.
CREATE TABLE texts AS
SELECT row_number() OVER (ORDER BY text) AS id, text
FROM (
    SELECT DISTINCT unnest([label || ' ' || perms, perms, cause, end_cause, certainty]) AS text FROM mapping_slices
    UNION SELECT DISTINCT unnest([label, cause]) FROM loss_slices
    UNION SELECT DISTINCT unnest([call, error]) FROM call_slices
    UNION SELECT DISTINCT unnest([kind, severity, certainty, sentence]) FROM finding_marks
);
