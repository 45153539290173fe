-- Where are the gaps: how many records were lost, when, on which source and why?
CREATE VIEW loss_intervals (
    -- directory name of the capture
    capture,
    -- name of the machine
    host,
    -- where: a BPF ring, sideband, stacks, or writer
    source,
    -- why
    cause,
    -- gaps
    gaps,
    -- records lost in them; a lower bound where unknown is not 0 [records]
    lost,
    -- gaps of which the number lost is not known
    unknown,
    -- nothing of this was lost before [ns, CLOCK_MONOTONIC]
    from_ns,
    -- nothing of this was lost after [ns, CLOCK_MONOTONIC]
    to_ns
) AS
SELECT
    capture, host, source, cause, count(*), coalesce(sum(count), 0)::UBIGINT, count(*) FILTER (count IS NULL),
    min(from_ns), max(to_ns)
FROM losses
GROUP BY ALL;
