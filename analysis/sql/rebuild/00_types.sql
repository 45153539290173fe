-- What the other files share: the causes of a change, and how addresses become pages and paths become text.
CREATE TYPE cause AS ENUM (
    'mmap', 'munmap', 'mprotect', 'pkey_mprotect', 'remap_file_pages', 'mremap', 'brk', 'shmat', 'shmdt', 'madvise',
    'io_setup', 'io_destroy', 'map_shadow_stack', 'prctl', 'fork', 'exec', 'exit', 'stack growth', 'not seen', 'baseline', 'resync'
);
-- what a write does to its pages: see 40_writes.sql
CREATE TYPE source AS ENUM ('vmas', 'syscalls', 'tasks', 'maps');
CREATE TYPE kind AS ENUM ('clear', 'set', 'copy', 'probe', 'clear attach', 'fork');
-- who did something, in one number: fewer columns are kept and moved about; doings tells what the low bits mean
CREATE MACRO actor(cause, source, tid) AS (tid::BIGINT << 7) | (enum_code(cause)::BIGINT << 2) | enum_code(source)::BIGINT;
CREATE TABLE doings (
    -- the low bits of an actor: actor & 127
    doing,
    -- what happened
    cause,
    -- table of the event: vmas, syscalls, tasks or maps
    source
) AS
SELECT actor(cause, source, 0), cause, source
FROM (SELECT unnest(enum_range(NULL::cause))::cause AS cause), (SELECT unnest(enum_range(NULL::source))::source AS source);
CREATE TYPE certainty AS ENUM ('certain', 'possible');
CREATE MACRO pages_up(bytes) AS (page_up(bytes) >> 12)::BIGINT;
-- as /proc/PID/maps prints it (seq_file_path escapes the newline only); heap and stack are named by where they are
CREATE MACRO label(dev, inode, path) AS CASE
    WHEN dev = 0 AND inode = 0 AND (path IN ('//anon'::BLOB, '[heap]'::BLOB, '[stack]'::BLOB) OR starts_with(path::VARCHAR, '[anon:'))
        THEN ''::BLOB
    ELSE coalesce(encode(replace(try(decode(path)), chr(10), '\012')), path)
END;
