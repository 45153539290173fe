/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hooks LOG FILE: does what only hooks on kernel functions tell of, and logs what the kernel must have used, a fact a
 * line, numbers in decimal:
 *
 *   mmap ADDR SIZE PROT FLAGS PGOFF INODE      flags are those that must be among the kernel's
 *   unmap ADDR SIZE ERRNO
 *   hole ADDR SIZE LEFT                        a MAP_FIXED that the file refused; LEFT: the old pages are there
 *   truncate INODE OLD NEW
 *   allocate INODE MODE OFFSET LENGTH ERRNO
 *
 * Then it stays for a second and a half, so that its maps can be read.
 * It lowers vm.max_map_count for a moment: to be run where that harms nobody, in a guest.
 */
#include "workload.h"
#include <linux/falloc.h>
#include <linux/io_uring.h>

static FILE *facts;
static const char *path;
static unsigned long long inode;

static void mapping(void)
{
	int fd = open(path, O_RDWR);
	char *at = mmap(NULL, 4 * PAGE - 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 3 * PAGE);
	CHECK(at != MAP_FAILED);
	fprintf(facts, "mmap 0 %lu %d %d 3 %llu\n", 4 * PAGE - 5, PROT_READ | PROT_WRITE, MAP_SHARED, inode);
	close(fd); /* remap_file_pages needs no descriptor */
	for (unsigned long page = 0; page < 3; page++) {
		CHECK(syscall(SYS_remap_file_pages, at + page * PAGE, PAGE, 0, 6 - page, 0) == 0);
		fprintf(facts, "mmap %lu %lu %d %d %lu %llu\n", (unsigned long)at + page * PAGE, PAGE,
			PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED | MAP_POPULATE, 6 - page, inode);
	}
	CHECK(munmap(at, 3 * PAGE + 1) == 0);
	fprintf(facts, "unmap %lu %lu 0\n", (unsigned long)at, 4 * PAGE);
}

/* The mmap handler of sysfs refuses; whether the old mapping is gone by then differs between kernels. */
static void refused(void)
{
	int fd = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	char *at = mmap(NULL, 5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	unsigned char there[2];
	CHECK(fd >= 0 && at != MAP_FAILED);
	CHECK(mmap(at + PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED);
	fprintf(facts, "hole %lu %lu %d\n", (unsigned long)at + PAGE, 2 * PAGE, mincore(at + PAGE, 2 * PAGE, there) == 0);
}

/* A hole in the middle of a mapping takes one mapping more, which is refused. */
static void failing(void)
{
	FILE *limit = fopen("/proc/sys/vm/max_map_count", "r+");
	unsigned before;
	char *at = mmap(NULL, 9 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(limit && fscanf(limit, "%u", &before) == 1 && at != MAP_FAILED);
	rewind(limit);
	fprintf(limit, "3\n");
	fflush(limit);
	long ret = syscall(SYS_munmap, at + 2 * PAGE, 3 * PAGE);
	int error = errno;
	rewind(limit);
	fprintf(limit, "%u\n", before);
	fclose(limit);
	CHECK(ret == -1 && error == ENOMEM);
	fprintf(facts, "unmap %lu %lu %d\n", (unsigned long)at + 2 * PAGE, 3 * PAGE, error);
}

static void cut(long from, long to)
{
	CHECK(truncate(path, from) == 0);
	CHECK(truncate(path, to) == 0);
	fprintf(facts, "truncate %llu %ld %ld\n", inode, from, to);
}

/* One request through a ring of its own: no system call of the file's kind is made. */
static int by_ring(struct io_uring_sqe request)
{
	struct io_uring_params p = {0};
	int ring = syscall(SYS_io_uring_setup, 1, &p);
	CHECK(ring >= 0);
	size_t sq_bytes = p.sq_off.array + p.sq_entries * sizeof(unsigned);
	size_t cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(struct io_uring_cqe);
	char *sq = mmap(NULL, sq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	char *cq = mmap(NULL, cq_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	struct io_uring_sqe *sqe = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	CHECK(sq != MAP_FAILED && cq != MAP_FAILED && sqe != MAP_FAILED);
	*sqe = request;
	*(unsigned *)(sq + p.sq_off.array) = 0;
	__atomic_store_n((unsigned *)(sq + p.sq_off.tail), 1, __ATOMIC_RELEASE);
	CHECK(syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) == 1);
	int result = ((struct io_uring_cqe *)(cq + p.cq_off.cqes))->res;
	close(ring);
	return result;
}

int main(int argc, char **argv)
{
	struct stat state;
	if (argc != 3) {
		fprintf(stderr, "usage: hooks LOG FILE\n");
		return 2;
	}
	path = argv[2];
	facts = fopen(argv[1], "w");
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(facts && fd >= 0 && fstat(fd, &state) == 0 && ftruncate(fd, 16 * PAGE) == 0);
	inode = state.st_ino;
	mapping();
	refused();
	failing();

	/* the file is mapped while it is cut */
	char *at = mmap(NULL, 16 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(at != MAP_FAILED && at[15 * PAGE] == 0);
	cut(16 * PAGE, 5 * PAGE + 7);
	cut(9 * PAGE, 2 * PAGE);
	CHECK(truncate(path, 16 * PAGE) == 0);
	CHECK(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE) == 0);
	fprintf(facts, "allocate %llu %d %lu %lu 0\n", inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, PAGE, 2 * PAGE);
	CHECK(fallocate(fd, FALLOC_FL_COLLAPSE_RANGE, 1, PAGE) == -1);
	fprintf(facts, "allocate %llu %d 1 %lu %d\n", inode, FALLOC_FL_COLLAPSE_RANGE, PAGE, errno);
	struct io_uring_sqe punch = {.opcode = IORING_OP_FALLOCATE, .fd = fd, .off = 3 * PAGE, .addr = 5 * PAGE,
				     .len = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE};
	CHECK(by_ring(punch) == 0);
	fprintf(facts, "allocate %llu %d %lu %lu 0\n", inode, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 3 * PAGE, 5 * PAGE);
	struct io_uring_sqe empty = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .addr = (unsigned long)path,
				     .open_flags = O_RDWR | O_TRUNC};
	CHECK(by_ring(empty) >= 0);
	fprintf(facts, "truncate %llu %lu 0\n", inode, 16 * PAGE);
	CHECK(fclose(facts) == 0);
	usleep(1500000);
	return 0;
}
