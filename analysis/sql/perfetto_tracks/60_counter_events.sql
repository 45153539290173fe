-- VMAs of each address space, at each change.
CREATE VIEW counter_events AS
SELECT track, ts_ns, vmas AS value
FROM vma_counts
JOIN (SELECT track, space FROM tracks WHERE kind = 'counter') USING (space);
