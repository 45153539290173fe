-- Where is each rectangle in the picture, and from which level of detail on can it be seen?
-- At level 0 the whole window is 2048 pixels wide, and at each further level, to 3, it is eight times as wide. A rectangle
-- is of the first level at which it is a pixel wide, and kept as itself if it is among the first rows_most by level, then
-- length: so a picture has a bounded size. blocks stand for all that a level does not show.
CREATE OR REPLACE TABLE rectangles (
    -- band, addresses, times, look, kind and makers (see pieces)
    band, start, "end", x0, x1, look, kind, offset_bytes, cause, cause_tid, call_ns, end_cause, end_tid, reason,
    -- 0 to 3
    level,
    -- lower and upper edge (see axis) [units]
    y0, y1,
    -- whether it is drawn as itself
    kept
) AS
WITH
placed AS (
    SELECT
        pieces.*,
        least(coalesce(x1, last), last) - greatest(x0, first) AS shown_ns,
        CASE WHEN shown_ns >= width_ns / 2048 THEN 0 WHEN shown_ns >= width_ns / 16384 THEN 1
            WHEN shown_ns >= width_ns / 131072 THEN 2 ELSE 3 END::UTINYINT AS level,
        low.y0 + (low.y1 - low.y0) * (pieces.start - low.start)::DOUBLE / (low."end" - low.start) AS y0,
        high.y0 + (high.y1 - high.y0) * (pieces."end" - high.start)::DOUBLE / (high."end" - high.start) AS y1
    FROM pieces
    JOIN (
        SELECT
            band, since_ns::BIGINT - zero_ns AS first, until_ns::BIGINT - zero_ns AS last,
            greatest((SELECT max(until_ns::BIGINT - zero_ns) FROM asked), 1)::DOUBLE AS width_ns
        FROM shown
    ) USING (band)
    ASOF JOIN axis AS low ON pieces.band = low.band AND pieces.start >= low.start
    ASOF JOIN axis AS high ON pieces.band = high.band AND pieces."end" > high.start
),
lengths AS (
    SELECT level, count(*) AS rectangles, sum(count(*)) OVER (ORDER BY level) AS passed FROM placed GROUP BY level
),
room AS (
    SELECT level, greatest(least(getvariable('rows_most') - (passed - rectangles), rectangles), 0) AS kept, rectangles FROM lengths
),
ranked AS (
    SELECT
        placed.*,
        room.kept = room.rectangles
            OR row_number() OVER (PARTITION BY level ORDER BY shown_ns DESC, x0, band, start) <= room.kept AS kept
    FROM placed JOIN room USING (level)
)
SELECT band, start, "end", x0, x1, look, kind, offset_bytes, cause, cause_tid, call_ns, end_cause, end_tid, reason, level, y0, y1, kept
FROM ranked;
