-- What does each of those stacks read, innermost frame first?
CREATE OR REPLACE TABLE named AS
SELECT capture, space, stack_id, string_agg(frame, ' < ' ORDER BY depth) AS stack FROM frames GROUP BY capture, space, stack_id;
