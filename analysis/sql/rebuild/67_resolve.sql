-- What each copy is a copy of is known now. Nothing can be moved that is not there: then a record was lost.
UPDATE ranked SET
    look = if(origin.kind IN ('set', 'copy'), origin.look, 0),
    base = CASE WHEN ranked.plane % 4 = 0 AND origin.file THEN origin.base + shift ELSE 0 END,
    kind = if(origin.kind IN ('set', 'copy') OR ranked.plane % 4 = 0, 'copy', 'clear')::kind
FROM (
    SELECT hops.w, shift, kind, ranked.look, base, looks.inode <> 0 OR looks.dev <> 0 AS file
    FROM hops LEFT JOIN ranked ON hops.up = ranked.w LEFT JOIN looks ON ranked.look = looks.look AND ranked.plane % 4 = 0
) AS origin
WHERE ranked.w = origin.w;
