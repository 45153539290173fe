-- How many VMAs did each have at most, and when first?
CREATE TABLE peaks AS
SELECT capture, space, max(vmas) AS peak, max(vmas_at_most) AS peak_at_most, arg_max(ts_ns, (vmas, -ts_ns::HUGEINT)) AS peak_ns
FROM counted JOIN chosen USING (capture, space)
WHERE ts_ns <= end_ns
GROUP BY capture, space;
