-- How much of an executed file's first mapping is really there?
-- The loader maps the first segment with the length of the whole image and at once unmaps what is past the segment
-- (fs/binfmt_elf.c, elf_load): of that no record tells, but a probe on removals does (unmaps).
CREATE TABLE images_at_exec (
    -- number of the address space
    space,
    -- time of the mapping's record [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- thread id
    tid,
    -- first page past the segment [pages]
    from_page,
    -- first page past the mapping [pages]
    to_page,
    -- whether that is known: a probe saw it, or the file's program headers are in the capture
    known
) AS
WITH firsts AS (
    SELECT space, ts_ns, tid, lo, hi, dev, inode, generation
    FROM records JOIN looks USING (look)
    WHERE cause = 'exec' AND inode <> 0
    QUALIFY row_number() OVER (PARTITION BY space, dev, inode ORDER BY ts_ns) = 1
),
loaded AS (
    SELECT dev, inode, generation::BIGINT AS generation, list_filter(segments, lambda s: s.type = 1)[1] AS segment
    FROM images
),
sized AS (
    SELECT
        firsts.*, coalesce(any_value(trims.lo), min(firsts.lo + pages_up(segment.filesz + (segment.vaddr & 4095)))) AS segment_end
    FROM firsts
    LEFT JOIN (SELECT space, tid, ts_ns, lo, hi FROM unmaps WHERE call IS NULL) AS trims
        ON firsts.space = trims.space AND firsts.tid = trims.tid AND firsts.hi = trims.hi AND firsts.lo < trims.lo AND firsts.ts_ns < trims.ts_ns
    LEFT JOIN loaded
        ON firsts.dev = loaded.dev AND firsts.inode = loaded.inode
        AND (firsts.generation = loaded.generation OR loaded.generation = 0)
    GROUP BY ALL
)
SELECT space, ts_ns, tid, coalesce(segment_end, lo), hi, segment_end IS NOT NULL
FROM sized
WHERE segment_end IS NULL OR segment_end < hi;
