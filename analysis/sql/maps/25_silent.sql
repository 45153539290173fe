-- Which calls told by no record parted mappings, or made them alike?
CREATE OR REPLACE TABLE silent (
    -- first byte [address]
    lo,
    -- first byte past it [address]
    hi,
    -- what was given (see the view traits), or lock of original: a fork does not lock the copy, but leaves what a lock had parted
    trait,
    -- return of the call [ns, CLOCK_MONOTONIC]
    ts_ns,
    -- what it is then; empty for what mappings begin with
    value
) AS
SELECT start, "end", if(trait = 'lock' AND depth > 0, 'lock of original', trait), ts_ns, value
FROM traits JOIN lineage ON traits.space = lineage.space AND ts_ns <= until_ns
WHERE capture = getvariable('capture');
