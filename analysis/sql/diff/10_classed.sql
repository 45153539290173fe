-- Which mappings stood at some time of the window, and were they created and freed inside it or outside?
-- Inside is after its first instant (since_ns of the table windows) and not after its last (until_ns): what is created
-- outside stood at the first, and what is freed outside stood at the last.
CREATE TABLE classed AS
SELECT
    mappings.*,
    -- AIFI, AIFO, AOFI or AOFO: allocated (created) inside or outside, freed inside or outside
    concat('A', if(created_ns > since_ns, 'I', 'O'), 'F', if(to_ns <= until_ns, 'I', 'O')) AS class
FROM mappings
JOIN windows USING (capture, space)
WHERE from_ns <= until_ns
    -- of what mremap moved inside the window, the last place in it counts
    AND (to_ns IS NULL OR to_ns > until_ns OR (to_ns > since_ns AND freed));
