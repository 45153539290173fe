-- What each copy of one mapping brought is known now.
UPDATE ranked SET look = carried.look, base = carried.base, kind = if(there, 'copy', 'clear')::kind
FROM carried WHERE ranked.w = carried.w AND carried.c = 0 AND ranked.kind = 'copy';
