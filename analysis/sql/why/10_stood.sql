-- What lay at that address until that instant? The table question holds them: capture, space, pid, address, at_ns.
-- A rectangle is parted where certainty begins or ends; here those parts are one again.
CREATE OR REPLACE TABLE stood AS
SELECT
    timeline.capture, timeline.space, start, "end", min(from_ns) AS from_ns, if(bool_or(to_ns IS NULL), NULL, max(to_ns)) AS to_ns,
    any_value(perms) AS perms, any_value(dev) AS dev, any_value(inode) AS inode, any_value(generation) AS generation, any_value(path) AS path,
    any_value(path_bytes) AS path_bytes, any_value(offset_plus(offset_bytes, if(inode = 0, 0, address - start))) AS offset_bytes,
    cause, cause_ns, cause_tid, any_value(call_ns) AS call_ns,
    arg_max(end_cause, from_ns) AS end_cause, arg_max(end_ns, from_ns) AS end_ns, arg_max(end_tid, from_ns) AS end_tid,
    arg_max(end_call_ns, from_ns) AS end_call_ns, any_value(reason) AS reason, any_value(timeline.pid) AS pid
FROM timeline JOIN question ON timeline.capture = question.capture AND timeline.space = question.space
WHERE start <= address AND "end" > address AND from_ns <= at_ns
GROUP BY timeline.capture, timeline.space, start, "end", cause, cause_ns, cause_tid;
