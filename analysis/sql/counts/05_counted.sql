-- How many VMAs did they have, from each change to the next? As vma_counts.
CREATE TABLE counted AS
FROM vma_totals('changed');
