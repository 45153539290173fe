-- What does the rebuild say was mapped when each of those readings began?
CREATE TABLE standing (
    -- number of the reading
    reading,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- permissions as in /proc/PID/maps, null where they are not known
    perms,
    -- device of the file system, major << 20 | minor
    dev,
    -- inode number, 0 for memory without a file
    inode,
    -- offset in the file, 0 without one [bytes]
    offset_bytes,
    -- name of a special mapping (see kernel) [bytes]
    label,
    -- why it is only possible, null where it is certain
    reason
) AS
WITH
-- the first reading that can show a rectangle, and the last
spanned AS (
    SELECT timeline.*, first.turn AS first_turn, coalesce(last.turn, 0) AS last_turn
    FROM timeline
    ASOF JOIN judges AS first ON timeline.space = first.space AND timeline.from_ns <= first.begin_ns
    ASOF LEFT JOIN judges AS last ON timeline.space = last.space AND coalesce(timeline.to_ns, 18446744073709551615) > last.begin_ns
)
SELECT reading, start, "end", perms, dev, inode, offset_bytes, special(dev, inode, path_bytes), reason
FROM (SELECT * EXCLUDE (first_turn, last_turn), unnest(range(first_turn, last_turn + 1)) AS turn FROM spanned WHERE first_turn <= last_turn)
JOIN (SELECT space, turn, reading FROM judges) USING (space, turn);
