-- What each copy of one mapping brought is known now. (Written anew: changing many rows in their places takes ten times as long.)
CREATE OR REPLACE TABLE spans (
    -- these are those of spans
    w, plane, key, lo, hi, kind, soft, look, base, actor, call_ns, first, past
) AS
SELECT spans.* REPLACE (
    if(carried.w IS NULL, kind, if(there, 'copy', 'clear')::kind) AS kind,
    if(carried.w IS NULL, spans.look, carried.look) AS look,
    if(carried.w IS NULL, spans.base, carried.base) AS base
)
FROM spans LEFT JOIN carried ON spans.w = carried.w AND carried.c = 0 AND spans.kind = 'copy';
