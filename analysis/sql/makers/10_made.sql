-- What made the VMAs that each has at the end? A VMA of several parts counts for what made its first part; each part that
-- met it later adds one and takes one away. change_to_peak is change until it had most, which can be long before.
CREATE TABLE made AS
SELECT changed.*, if(ts_ns <= peak_ns, change, 0) AS change_to_peak, call.stack_id
FROM changed
JOIN chosen USING (capture, space)
JOIN peaks USING (capture, space)
LEFT JOIN (SELECT capture, ts_enter_ns AS call_ns, tid AS cause_tid, stack_id FROM syscalls) AS call USING (capture, call_ns, cause_tid)
WHERE ts_ns <= end_ns;
