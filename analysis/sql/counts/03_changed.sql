-- When did the address spaces asked for gain or lose a VMA, and what made it? As vma_changes; kept, as it is asked twice.
CREATE TABLE changed AS
WITH
families AS (FROM spaces),
rectangles AS MATERIALIZED (FROM timeline SEMI JOIN with_parents('targets', 'families') AS concerned USING (capture, space)),
records AS (FROM vmas),
readings AS (FROM maps),
parts AS MATERIALIZED (
    FROM vma_parts('rectangles', 'records', 'readings', 'families') WHERE (capture, space) IN (SELECT (capture, space) FROM targets)
)
FROM vma_comings('parts');
