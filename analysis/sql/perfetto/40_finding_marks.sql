-- The findings of the trace, on the process that suffered, or else did it; what is normal is left out.
CREATE TABLE finding_marks AS
SELECT
    coalesce(other_pid, pid) AS pid, ts_ns, kind, severity, certainty || coalesce(': ' || reason, '') AS certainty,
    sentence, coalesce(start, 0) AS start
FROM findings
WHERE expected IS NULL;
