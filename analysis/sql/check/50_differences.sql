-- Where do kernel and rebuild differ, page by page? Neighbouring pages with the same difference are one row.
CREATE TABLE differences (
    -- number of the reading
    reading,
    -- first byte [address]
    start,
    -- first byte past it [address]
    "end",
    -- what the kernel said: permissions as in /proc/PID/maps, null where nothing was mapped
    kernel_perms,
    -- device, major << 20 | minor
    kernel_dev,
    -- inode number
    kernel_inode,
    -- offset in the file [bytes]
    kernel_offset_bytes,
    -- what the rebuild says: permissions, null where nothing was mapped
    rebuilt_perms,
    -- device, major << 20 | minor
    rebuilt_dev,
    -- inode number
    rebuilt_inode,
    -- offset in the file [bytes]
    rebuilt_offset_bytes,
    -- why the rebuild's answer is only possible, null where it is certain, and so wrong
    reason
) AS
WITH
doubtful AS (
    SELECT reading, doubts.start, doubts."end", any_value(doubts.reason) AS reason
    FROM (SELECT * FROM judges SEMI JOIN leftovers USING (reading)) AS judges
    JOIN doubts ON judges.space = doubts.space AND begin_ns >= from_ns AND begin_ns < coalesce(to_ns, 18446744073709551615)
    GROUP BY ALL
),
pieces AS (
    -- the rebuild's in pieces, as each has its own certainty
    SELECT standing.*
    FROM standing
    ASOF JOIN (FROM leftovers WHERE side = 'rebuilt') AS run ON standing.reading = run.reading AND standing.start >= run.start
    WHERE standing.start < run."end"
),
cuts AS (
    SELECT reading, start AS page FROM leftovers
    UNION SELECT reading, "end" FROM leftovers
    UNION SELECT reading, start FROM pieces
    UNION SELECT reading, "end" FROM pieces
    UNION SELECT reading, start FROM doubtful
    UNION SELECT reading, "end" FROM doubtful
),
cells AS (
    SELECT reading, page AS start, lead(page) OVER (PARTITION BY reading ORDER BY page) AS "end" FROM cuts
),
compared AS (
    SELECT
        cells.reading, cells.start, cells."end",
        cells.start < kernel."end" AS in_kernel, cells.start < pieces."end" AS in_rebuilt,
        if(in_kernel, kernel.perms, NULL) AS kernel_perms, if(in_kernel, kernel.dev, NULL) AS kernel_dev,
        if(in_kernel, kernel.inode, NULL) AS kernel_inode, if(in_kernel, kernel.label, NULL) AS kernel_label,
        if(in_kernel, offset_plus(kernel.offset_bytes, if(kernel.inode <> 0 OR kernel.dev <> 0, cells.start - kernel.start, 0)), NULL) AS kernel_offset_bytes,
        if(in_rebuilt, pieces.perms, NULL) AS rebuilt_perms, if(in_rebuilt, pieces.dev, NULL) AS rebuilt_dev,
        if(in_rebuilt, pieces.inode, NULL) AS rebuilt_inode, if(in_rebuilt, pieces.label, NULL) AS rebuilt_label,
        if(in_rebuilt, offset_plus(pieces.offset_bytes, if(pieces.inode <> 0 OR pieces.dev <> 0, cells.start - pieces.start, 0)), NULL) AS rebuilt_offset_bytes,
        if(in_rebuilt, pieces.reason, NULL) AS piece_reason
    FROM cells
    ASOF LEFT JOIN (FROM leftovers WHERE side = 'kernel') AS kernel ON cells.reading = kernel.reading AND cells.start >= kernel.start
    ASOF LEFT JOIN pieces ON cells.reading = pieces.reading AND cells.start >= pieces.start
    WHERE cells."end" IS NOT NULL
),
unequal AS (
    SELECT compared.*, coalesce(piece_reason, doubtful.reason) AS reason
    FROM (
        FROM compared
        WHERE coalesce(in_kernel, false) <> coalesce(in_rebuilt, false)
            OR (in_kernel AND (kernel_perms, kernel_dev, kernel_inode, kernel_label, kernel_offset_bytes)
                IS DISTINCT FROM (rebuilt_perms, rebuilt_dev, rebuilt_inode, rebuilt_label, rebuilt_offset_bytes))
    ) AS compared
    LEFT JOIN (SELECT reading, start, "end", any_value(reason) AS reason FROM doubtful GROUP BY ALL) AS doubtful
        ON compared.reading = doubtful.reading AND compared.start >= doubtful.start AND compared.start < doubtful."end"
),
marked AS (
    SELECT
        *,
        coalesce(
            start = lag("end") OVER page AND reason IS NOT DISTINCT FROM lag(reason) OVER page
                AND (kernel_perms, kernel_dev, kernel_inode, rebuilt_perms, rebuilt_dev, rebuilt_inode) IS NOT DISTINCT FROM lag(
                    (kernel_perms, kernel_dev, kernel_inode, rebuilt_perms, rebuilt_dev, rebuilt_inode)) OVER page
                AND (coalesce(kernel_inode, 0) = 0 OR in_step(kernel_offset_bytes, start, lag(kernel_offset_bytes) OVER page, lag(start) OVER page))
                AND (coalesce(rebuilt_inode, 0) = 0 OR in_step(rebuilt_offset_bytes, start, lag(rebuilt_offset_bytes) OVER page, lag(start) OVER page)),
            false
        ) AS goes_on
    FROM (SELECT DISTINCT ON (reading, start) * FROM unequal)
    WINDOW page AS (PARTITION BY reading ORDER BY start)
),
numbered AS (
    SELECT *, count_if(NOT goes_on) OVER (PARTITION BY reading ORDER BY start) AS run FROM marked
)
SELECT
    reading, min(start), max("end"), any_value(kernel_perms), any_value(kernel_dev), any_value(kernel_inode), min(kernel_offset_bytes),
    any_value(rebuilt_perms), any_value(rebuilt_dev), any_value(rebuilt_inode), min(rebuilt_offset_bytes), any_value(reason)
FROM numbered
GROUP BY reading, run;
