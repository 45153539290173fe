-- Which address spaces are in the picture, whose, and one above the other in which order?
-- The table asked holds the window of each capture, and where the picture's time begins (zero_ns): with captures of several
-- machines it is wall time that they share. asked_pids holds the processes asked for, none: all. Where there are more address
-- spaces than the variable spaces_most, those with grave findings and with most mappings are shown.
CREATE OR REPLACE TABLE shown (
    -- number in the picture, from 0; the lowest address space has 0
    band,
    -- directory name of the capture
    capture,
    -- number of the address space (see spaces)
    space,
    -- process for which it was made
    pid,
    -- its last name; bytes that are not UTF-8 stand as \xNN
    comm,
    -- every process that used it
    pids,
    -- how it began and ended (see spaces)
    began, ended,
    -- first instant of the window [ns, CLOCK_MONOTONIC]
    since_ns,
    -- last instant of the window [ns, CLOCK_MONOTONIC]
    until_ns,
    -- what is 0 in the picture's time [ns, CLOCK_MONOTONIC]
    zero_ns,
    -- from when to when it was there, in the picture's time; null: to the end [ns]
    x0, x1,
    -- rectangles of the timeline in the window, and address spaces that there were to choose from
    rectangles, spaces
) AS
WITH
there AS (
    SELECT spaces.*, since_ns, until_ns, zero_ns
    FROM spaces JOIN asked USING (capture)
    WHERE from_ns <= until_ns AND coalesce(to_ns, 18446744073709551615) > since_ns
        AND (NOT EXISTS (FROM asked_pids) OR (capture, space) IN (SELECT (capture, space) FROM uses SEMI JOIN asked_pids USING (pid)))
),
drawn AS (
    SELECT timeline.capture, timeline.space, count(*) AS rectangles
    FROM timeline JOIN asked USING (capture)
    WHERE from_ns <= until_ns AND coalesce(to_ns, 18446744073709551615) > since_ns
    GROUP BY ALL
),
graves AS (
    SELECT capture, coalesce(other_space, space) AS space, min(list_position(['high', 'medium', 'low', 'info'], severity)) AS grave
    FROM found WHERE expected IS NULL GROUP BY ALL
),
best AS (
    SELECT there.*, rectangles, count(*) OVER () AS spaces
    FROM there JOIN drawn USING (capture, space) LEFT JOIN graves USING (capture, space)
    ORDER BY coalesce(grave, 5), rectangles DESC, capture, space LIMIT getvariable('spaces_most')
)
SELECT
    row_number() OVER (ORDER BY best.capture, best.from_ns, best.space) - 1, best.capture, best.space, best.pid, comm,
    list_sort(list_distinct(list_transform(users, lambda one: one.pid))), began, ended, since_ns, until_ns, zero_ns,
    from_ns::BIGINT - zero_ns::BIGINT, to_ns::BIGINT - zero_ns::BIGINT, rectangles, spaces
FROM best LEFT JOIN (SELECT capture, pid, comm FROM processes) AS names ON names.capture = best.capture AND names.pid = best.pid;
