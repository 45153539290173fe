-- Where does each copy come from? A copy of a copy is followed to its beginning, twice as far with each repetition.
CREATE OR REPLACE TABLE hops (
    -- rank of the copy
    w,
    -- rank of what it copies, null if nothing stood there
    up,
    -- pages between the two [pages]
    shift
) AS
SELECT copy.w, befores.before, copy.base
FROM ranked AS copy
JOIN ranked AS probe ON copy.plane = probe.plane AND copy.link = probe.link AND copy.kind = 'copy' AND probe.kind = 'probe'
JOIN spans ON spans.w = probe.w
JOIN befores ON befores.w = probe.w AND befores.c = spans.first;
