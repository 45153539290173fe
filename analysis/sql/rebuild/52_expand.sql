-- A move of several mappings at once that opens the slice: what stands in its source is known, so it is written out.
INSERT INTO slice
SELECT
    slice.level, slice.plane, slice.key, greatest(live.lo, probe.lo) + slice.base, least(live.hi, probe.hi) + slice.base, 'set', false,
    live.look, if(coalesce(inode, 0) = 0 AND coalesce(dev, 0) = 0, 0, live.base + slice.base), NULL,
    slice.cause, slice.source, slice.event_ns, slice.tid, slice.call_ns
FROM slice
JOIN slice AS probe ON slice.plane = probe.plane AND slice.link = probe.link AND slice.kind = 'copy' AND probe.kind = 'probe'
JOIN live ON live.plane = slice.plane AND live.lo < probe.hi AND live.hi > probe.lo
LEFT JOIN looks ON live.look = looks.look AND live.plane % 4 = 0
WHERE probe.hi IS NOT NULL AND probe.key = getvariable('slice_from');
DELETE FROM slice USING (FROM slice WHERE kind = 'probe' AND hi IS NOT NULL AND key = getvariable('slice_from')) AS probe
WHERE slice.plane = probe.plane AND slice.link = probe.link AND slice.kind IN ('copy', 'probe');
