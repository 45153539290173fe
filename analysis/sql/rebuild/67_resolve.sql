-- What each copy of one mapping brought is known now.
UPDATE spans SET look = carried.look, base = carried.base, kind = if(there, 'copy', 'clear')::kind
FROM carried WHERE spans.w = carried.w AND carried.c = 0 AND spans.kind = 'copy';
