-- What made the VMAs that each has at the end? A VMA of several parts counts for what made its first part; each part that
-- met it later adds one and takes one away.
CREATE TABLE made AS
SELECT vma_changes.*, call.stack_id
FROM vma_changes
JOIN chosen USING (capture, space)
LEFT JOIN (SELECT capture, ts_enter_ns AS call_ns, tid AS cause_tid, stack_id FROM syscalls) AS call USING (capture, call_ns, cause_tid)
WHERE ts_ns <= end_ns;
