-- The losses of the trace: of one source and CPU they are a group.
CREATE TABLE loss_slices AS
SELECT
    row_number() OVER (ORDER BY from_ns, source, cpu) - 1 AS id, dense_rank() OVER (ORDER BY source, cpu) AS group_id,
    from_ns, greatest(to_ns, from_ns + 1) AS to_ns, source || if(cpu >= 0, ' on CPU ' || cpu, '') AS label, cause,
    coalesce(count, 0) AS lost, (count IS NULL)::UBIGINT AS unknown
FROM losses;
