-- Every track of the trace, with its number and its parent's; 0 for none.
CREATE TABLE tracks AS
WITH
threads AS (SELECT pid, tid, arg_max(comm, from_ns) AS comm FROM call_slices GROUP BY pid, tid),
described AS (
    SELECT 'process' AS kind, pid, 0 AS tid, 0 AS space, 0 AS lane, coalesce(any_value(comm), 'process') AS name
    FROM (
        SELECT pid FROM spaces UNION SELECT pid FROM threads UNION SELECT pid FROM finding_marks WHERE pid IS NOT NULL
    )
    LEFT JOIN (SELECT pid, comm FROM processes) USING (pid)
    GROUP BY pid
    UNION ALL SELECT 'thread', pid, tid, 0, 0, coalesce(comm, 'thread') FROM threads
    UNION ALL SELECT 'findings', pid, 0, 0, 0, 'findings' FROM finding_marks GROUP BY pid
    UNION ALL
    SELECT 'space', pid, 0, space, 0, 'address space ' || space || ' (' || began || ')' FROM spaces
    UNION ALL SELECT 'counter', pid, 0, space, 0, 'VMAs' FROM spaces
    UNION ALL
    SELECT 'mapping', any_value(pid), 0, any_value(space), lane, any_value(label)
    FROM mapping_slices JOIN mapping_lanes USING (id) GROUP BY lane
    UNION ALL SELECT 'losses', 0, 0, 0, 0, 'losses' WHERE EXISTS (FROM loss_slices)
    UNION ALL SELECT 'loss', 0, 0, 0, lane, any_value(label) FROM loss_slices JOIN loss_lanes USING (id) GROUP BY lane
),
numbered AS (SELECT row_number() OVER (ORDER BY kind <> 'process', kind, pid, space, name, tid, lane) AS track, * FROM described)
SELECT
    numbered.*,
    CASE kind
        WHEN 'findings' THEN (SELECT track FROM numbered AS p WHERE p.kind = 'process' AND p.pid = numbered.pid)
        WHEN 'space' THEN (SELECT track FROM numbered AS p WHERE p.kind = 'process' AND p.pid = numbered.pid)
        WHEN 'counter' THEN (SELECT track FROM numbered AS p WHERE p.kind = 'space' AND p.space = numbered.space)
        WHEN 'mapping' THEN (SELECT track FROM numbered AS p WHERE p.kind = 'space' AND p.space = numbered.space)
        WHEN 'loss' THEN (SELECT track FROM numbered AS p WHERE p.kind = 'losses')
    END AS parent
FROM numbered;
