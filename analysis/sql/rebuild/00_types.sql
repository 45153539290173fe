-- What the other files share: the causes of a change, and how addresses become pages and paths become text.
CREATE TYPE cause AS ENUM (SELECT unnest(causes()));
CREATE TYPE source AS ENUM (SELECT unnest(cause_tables()));
-- what a write does to its pages: see 40_writes.sql
CREATE TYPE kind AS ENUM ('clear', 'set', 'copy', 'probe', 'clear attach', 'fork');
-- who did something, in one number: fewer columns are kept and moved about. macros.sql takes it apart. In 64 bits, as perf
-- says -1 of a thread that is gone (perf_event_pid_type, kernel/events/core.c)
CREATE MACRO actor(cause, source, tid) AS (tid::BIGINT << 7) | (enum_code(cause)::BIGINT << 2) | enum_code(source)::BIGINT;
CREATE MACRO pages_up(bytes) AS (page_up(bytes) >> 12)::BIGINT;
-- how many bits of a time are left out of the span of time, at least as long, under which something of that length stands: 16 us,
-- 262 us, 4 ms and so on. Which instants lie within it is then found by equal numbers, not by sorting (27_races.sql, 27_copies.sql)
CREATE MACRO span_bits(length_ns) AS CASE
    WHEN length_ns < 1 << 14 THEN 14 WHEN length_ns < 1 << 18 THEN 18 WHEN length_ns < 1 << 22 THEN 22
    WHEN length_ns < 1 << 26 THEN 26 WHEN length_ns < 1 << 30 THEN 30 ELSE 62
END;
-- as /proc/PID/maps prints it (seq_file_path escapes the newline only); heap and stack are named by where they are
CREATE MACRO label(dev, inode, path) AS CASE
    WHEN dev = 0 AND inode = 0 AND (path IN ('//anon'::BLOB, '[heap]'::BLOB, '[stack]'::BLOB) OR starts_with(path::VARCHAR, '[anon:'))
        THEN ''::BLOB
    ELSE coalesce(encode(replace(try(decode(path)), chr(10), '\012')), path)
END;
