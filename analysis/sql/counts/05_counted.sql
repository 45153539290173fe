-- How many VMAs did the address spaces asked for have, from each change to the next? Kept, as it is asked again and again.
CREATE TABLE counted AS
SELECT * FROM vma_counts WHERE (capture, space) IN (SELECT (capture, space) FROM targets);
