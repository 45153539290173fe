/* SPDX-License-Identifier: Apache-2.0 */
/*
 * files LOG FILE: changes FILE's size and content in every way the files table knows, and logs a
 * line per call, with what fstat saw before and after it:
 *
 *   # begin_ns N end_ns N bits 64|32
 *   operation flags offset length dev inode size_before size_after ret errno tid before_ns after_ns
 *
 * dev is major << 20 | minor. flags are the open's O_* or the fallocate's mode (hexadecimal).
 * Some file systems refuse some fallocate modes: the errno says so. FILE stays, 3 pages long.
 */
#include "workload.h"
#include <linux/falloc.h>
#include <linux/openat2.h>
#include <sys/sysmacros.h>

static struct entry {
	const char *operation;
	unsigned long flags;
	long long offset, length;
	struct stat before, after;
	long ret;
	int error;
	unsigned long long before_ns, after_ns;
} entries[64];
static int made, watch; /* watch: an fd of the file, for fstat */

static void begin_call(const char *operation, unsigned long flags, long long offset, long long length)
{
	struct entry *entry = &entries[made];
	*entry = (struct entry){.operation = operation, .flags = flags, .offset = offset, .length = length};
	CHECK(fstat(watch, &entry->before) == 0);
	errno = 0;
	entry->before_ns = now_ns();
}

static long end_call(long ret)
{
	struct entry *entry = &entries[made++];
	entry->after_ns = now_ns();
	entry->error = errno;
	entry->ret = errno ? -errno : ret;
	CHECK(fstat(watch, &entry->after) == 0);
	return ret;
}

#if BITS_64
#define SPLIT(n) (n)
#else
#define SPLIT(n) (long)(n), (long)((long long)(n) >> 32) /* a register for each half */
#endif

static void resize(int fd, long length)
{
	begin_call("ftruncate", 0, 0, length);
	end_call(syscall(SYS_ftruncate, fd, length));
}

static void resize_path(const char *path, long length)
{
	begin_call("truncate", 0, 0, length);
	end_call(syscall(SYS_truncate, path, length));
}

static void allocate(int fd, int mode, long long offset, long long length)
{
	begin_call("fallocate", mode, offset, length);
	end_call(syscall(SYS_fallocate, fd, mode, SPLIT(offset), SPLIT(length)));
}

static void close_opened(long fd)
{
	CHECK(fd >= 0);
	close(fd);
}

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: files LOG FILE\n");
		return 2;
	}
	const char *path = argv[2];
	int log = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	int fd = watch = open(path, O_RDWR | O_CREAT, 0600);
	int read_only = open(path, O_RDONLY);
	CHECK(log >= 0 && fd >= 0 && read_only >= 0);
	int tid = syscall(SYS_gettid);
	unsigned long long begin = now_ns();

	resize(fd, 8 * PAGE + 1);
	resize(fd, 3 * PAGE);
	resize(fd, 3 * PAGE); /* no change */
	resize(read_only, PAGE); /* EINVAL: not open for writing */
	resize(999, PAGE); /* EBADF */
	resize_path(path, 5 * PAGE - 7);
	resize_path("/nonexistent/file", PAGE); /* ENOENT */
#if !BITS_64
	begin_call("ftruncate64", 0, 0, (5LL << 30) + 3);
	end_call(syscall(SYS_ftruncate64, fd, SPLIT((5LL << 30) + 3)));
	begin_call("truncate64", 0, 0, (6LL << 30) + 5);
	end_call(syscall(SYS_truncate64, path, SPLIT((6LL << 30) + 5)));
#endif
	begin_call("open", O_RDWR | O_TRUNC | O_LARGEFILE, 0, 0);
	close_opened(end_call(syscall(SYS_open, path, O_RDWR | O_TRUNC | O_LARGEFILE, 0)));
	resize(fd, 4 * PAGE);
	begin_call("openat", O_WRONLY | O_TRUNC | O_CREAT, 0, 0);
	close_opened(end_call(syscall(SYS_openat, AT_FDCWD, path, O_WRONLY | O_TRUNC | O_CREAT, 0640)));
	resize(fd, 4 * PAGE);
	begin_call("creat", 0, 0, 0);
	close_opened(end_call(syscall(SYS_creat, path, 0600)));
	resize(fd, 4 * PAGE);
	struct open_how how = {.flags = O_RDWR | O_TRUNC, .resolve = RESOLVE_NO_MAGICLINKS};
	begin_call("openat2", how.flags, 0, 0);
	long opened = end_call(syscall(SYS_openat2, AT_FDCWD, path, &how, sizeof(how)));
	if (opened >= 0) /* since Linux 5.6; some containers refuse it */
		close(opened);
	allocate(fd, 0, 2 * PAGE, 6 * PAGE);
	allocate(fd, FALLOC_FL_KEEP_SIZE, 8 * PAGE, 4 * PAGE);
	allocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE);
	allocate(fd, FALLOC_FL_COLLAPSE_RANGE, PAGE, 2 * PAGE);
	allocate(fd, FALLOC_FL_ZERO_RANGE, 0, 11 * PAGE);
	allocate(fd, FALLOC_FL_PUNCH_HOLE, 0, PAGE); /* fails: a hole must keep the size */
	resize(fd, 3 * PAGE);

	unsigned long long end = now_ns();
	dprintf(log, "# begin_ns %llu end_ns %llu bits %d\n", begin, end, BITS);
	for (struct entry *e = entries; e < entries + made; e++)
		dprintf(log, "%s %lx %lld %lld %u %llu %lld %lld %ld %d %d %llu %llu\n", e->operation, e->flags, e->offset,
			e->length, major(e->before.st_dev) << 20 | minor(e->before.st_dev), (unsigned long long)e->before.st_ino,
			(long long)e->before.st_size, (long long)e->after.st_size, e->ret, e->error, tid, e->before_ns, e->after_ns);
	return 0;
}
