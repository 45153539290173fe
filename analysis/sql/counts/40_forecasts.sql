-- When does each reach vm.max_map_count, if it goes on growing at that rate?
CREATE TABLE forecasts AS
SELECT
    chosen.capture, chosen.host, chosen.space, chosen.pid, comm, peak, peak_at_most, peak_ns,
    vmas, vmas_at_most, possible, limit_vmas, vmas / limit_vmas AS share, rate, rate_at_most, end_ns,
    CASE
        WHEN limit_vmas IS NULL THEN 'the limit was not recorded'
        WHEN peak >= limit_vmas THEN 'was reached'
        WHEN peak_at_most >= limit_vmas THEN 'can have been reached'
        WHEN ended IS NOT NULL THEN 'not any more: it ended'
        -- at most so many VMAs, growing so fast, would be there a tenth of the time earlier
        WHEN gained_at_most >= 1 AND CASE
            WHEN gained < 1 THEN gained_at_most - greatest(gained, 0) >= 1
            ELSE (limit_vmas - vmas_at_most) / rate_at_most < 0.9 * (limit_vmas - vmas) / rate
        END THEN 'not known: neighbours of the same kind can be one VMA or two'
        WHEN rate IS NULL OR abs(gained) < 1 THEN 'not at this rate: flat'
        WHEN rate < 0 THEN 'not at this rate: falling'
        ELSE 'at this rate'
    END AS outlook,
    -- when the limit is reached, or was [ns, CLOCK_MONOTONIC]
    CASE
        WHEN outlook = 'was reached' THEN reached_ns
        WHEN outlook = 'at this rate' THEN try_cast(end_ns + ceil((limit_vmas - vmas) / rate * 1e9) AS UBIGINT)
    END AS forecast_ns,
    if(doubt IS NULL AND vmas_at_most = vmas, 'certain', 'possible') AS certainty,
    coalesce(doubt, if(vmas_at_most > vmas, 'neighbours of the same kind can be one VMA or two', NULL)) AS reason
FROM chosen
JOIN peaks USING (capture, space)
JOIN rates USING (capture, space)
LEFT JOIN (
    SELECT capture, space, min(ts_ns) AS reached_ns
    FROM counted JOIN chosen USING (capture, space)
    WHERE vmas >= limit_vmas
    GROUP BY capture, space
) USING (capture, space)
LEFT JOIN (
    SELECT capture, space, min(reason) AS doubt
    FROM timeline JOIN chosen USING (capture, space)
    WHERE timeline.from_ns <= chosen.end_ns AND (timeline.to_ns IS NULL OR timeline.to_ns > chosen.end_ns)
    GROUP BY capture, space
) AS doubtful USING (capture, space)
LEFT JOIN (SELECT capture, pid, comm FROM processes) AS processes ON chosen.capture = processes.capture AND chosen.pid = processes.pid;
