/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edges_faults DIR SMALL: faults in every way that can be told apart, each in a process of its own. DIR is a folder,
 * SMALL a file system of 1 MiB. For each it prints what it knows:
 *
 *   NAME pid N tid N address HEX start HEX offset N path TEXT by_pid N by_tid N status N
 *
 * pid and tid fault at address, which lies in what was mapped at start: offset bytes into the file at path. by_pid and
 * by_tid caused it. status is what wait(2) told of the end of pid. What is not known is 0, or -.
 */
#include "workload.h"
#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <sys/resource.h>
#include <sys/wait.h>

#define STORM 1009
#define MANY 5003

static struct report {
	int pid, tid, by_pid, by_tid;
	unsigned long address, start;
	long offset;
	char path[PATH_MAX];
} *report; /* shared with every process */
static const char *dir, *small;

static int gettid_(void)
{
	return syscall(SYS_gettid);
}

static void by(void)
{
	report->by_pid = getpid();
	report->by_tid = gettid_();
}

/* touch or write the byte: what is about to fault says so first */
static void at(volatile char *address, char *start, long offset)
{
	report->pid = getpid();
	report->tid = gettid_();
	report->address = (unsigned long)address;
	report->start = (unsigned long)start;
	report->offset = offset;
}

static void touch(volatile char *address, char *start, long offset)
{
	at(address, start, offset);
	(void)*address;
}

static void write_to(volatile char *address, char *start, long offset)
{
	at(address, start, offset);
	*address = 1;
}

static char *anonymous(int pages, int prot)
{
	char *start = mmap(NULL, pages * PAGE, prot, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(start != MAP_FAILED);
	return start;
}

static int file(const char *folder, const char *name, int pages)
{
	snprintf(report->path, sizeof report->path, "%s/%s", folder, name);
	int fd = open(report->path, O_RDWR | O_CREAT | O_EXCL, 0600);
	CHECK(fd >= 0 && ftruncate(fd, pages * PAGE) == 0);
	return fd;
}

static char *shared(int fd, int pages, int prot)
{
	char *start = mmap(NULL, pages * PAGE, prot, MAP_SHARED, fd, 0);
	CHECK(start != MAP_FAILED);
	return start;
}

static void in_child(void (*run)(void *), void *argument)
{
	int pid = fork(), status;
	CHECK(pid >= 0);
	if (pid == 0) {
		run(argument);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
}

static void in_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, run, argument) == 0);
	CHECK(pthread_join(thread, NULL) == 0);
}

/* -- SIGBUS ------------------------------------------------------------------------------------ */

static void cut_fd(void *fd)
{
	by();
	CHECK(ftruncate(*(int *)fd, PAGE) == 0);
}

static void cut_path(void *path)
{
	by();
	CHECK(truncate(path, PAGE - 7) == 0);
}

static void cut_by_open(void *path)
{
	by();
	int fd = open(path, O_WRONLY | O_TRUNC);
	CHECK(fd >= 0);
	close(fd);
}

static void truncated_by_itself(void)
{
	int fd = file(dir, "itself.dat", 5);
	char *start = shared(fd, 5, PROT_READ | PROT_WRITE);
	start[3 * PAGE] = 1;
	cut_fd(&fd);
	touch(start + 3 * PAGE + 5, start, 3 * PAGE + 5);
}

static void truncated_by_path(void)
{
	char *start = shared(file(dir, "path.dat", 3), 3, PROT_READ);
	in_child(cut_path, report->path);
	touch(start + PAGE, start, PAGE);
}

/* the kernel's tree of mappings is several levels deep */
static void truncated_among_many(void)
{
	int fd = file(dir, "many.dat", 3);
	char *many = anonymous(MANY, PROT_READ);
	for (int n = 1; n < MANY; n += 2)
		CHECK(mprotect(many + n * PAGE, PAGE, PROT_READ | PROT_WRITE) == 0);
	char *start = many + MANY / 2 * PAGE;
	CHECK(mmap(start, 3 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == start);
	cut_fd(&fd);
	touch(start + 2 * PAGE, start, 2 * PAGE);
}

/* one maps, its child touches, a third opens with O_TRUNC */
static void truncated_by_open(void)
{
	char *start = shared(file(dir, "chain.dat", 3), 3, PROT_READ | PROT_WRITE);
	int pid = fork(), status;
	CHECK(pid >= 0);
	if (pid == 0) {
		in_child(cut_by_open, report->path);
		write_to(start + 2 * PAGE, start, 2 * PAGE);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	kill(getpid(), WTERMSIG(status)); /* dies the same death, so that the caller sees it */
}

static void truncated_on_tmpfs(void)
{
	int fd = file(small, "tmpfs.dat", 3);
	char *start = shared(fd, 3, PROT_READ);
	cut_fd(&fd);
	touch(start + 2 * PAGE, start, 2 * PAGE);
}

static void truncated_memfd(void)
{
	int fd = memfd_create("memory", 0);
	CHECK(fd >= 0 && ftruncate(fd, 3 * PAGE) == 0);
	strcpy(report->path, "/memfd:memory");
	char *start = shared(fd, 3, PROT_READ);
	in_child(cut_fd, &fd);
	touch(start + PAGE, start, PAGE);
}

static void truncated_after_rename(void)
{
	char *start = shared(file(dir, "before.dat", 3), 3, PROT_READ), before[PATH_MAX];
	strcpy(before, report->path);
	snprintf(report->path, sizeof report->path, "%s/after.dat", dir);
	CHECK(rename(before, report->path) == 0);
	in_child(cut_path, report->path);
	strcpy(report->path, before); /* what the kernel told at mmap */
	touch(start + PAGE, start, PAGE);
}

/* a new file at the old path: the mapping keeps the old one, whole */
static void replaced_by_rename(void)
{
	char *start = shared(file(dir, "kept.dat", 3), 3, PROT_READ), kept[PATH_MAX];
	strcpy(kept, report->path);
	close(file(dir, "new.dat", 0));
	CHECK(rename(report->path, kept) == 0);
	touch(start + 2 * PAGE, start, 2 * PAGE);
	_exit(0);
}

static void beyond_end(void)
{
	char *start = shared(file(dir, "short.dat", 1), 3, PROT_READ);
	by();
	touch(start + 2 * PAGE, start, 2 * PAGE);
}

/* truncated, and long again: the call that cut it is not to blame for anything */
static void cut_and_regrown(void)
{
	int fd = file(dir, "regrown.dat", 3);
	char *start = shared(fd, 3, PROT_READ);
	CHECK(ftruncate(fd, 0) == 0 && ftruncate(fd, 3 * PAGE) == 0);
	touch(start + PAGE, start, PAGE);
	_exit(0);
}

static void fill(void)
{
	static char block[1 << 16];
	char path[PATH_MAX];
	snprintf(path, sizeof path, "%s/filler", small);
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	CHECK(fd >= 0);
	for (size_t size = sizeof block; size >= 512; size /= 2)
		while (write(fd, block, size) == (ssize_t)size)
			;
	close(fd);
}

static void disk_full(void)
{
	char *start = shared(file(small, "sparse.dat", 5), 5, PROT_READ | PROT_WRITE);
	fill();
	write_to(start + 3 * PAGE, start, 3 * PAGE);
}

/* cut, lengthened by a write, with a hole that finds no room */
static void disk_full_after_cut(void)
{
	int fd = file(small, "holes.dat", 5);
	char *start = shared(fd, 5, PROT_READ | PROT_WRITE);
	CHECK(ftruncate(fd, 0) == 0 && pwrite(fd, "x", 1, 5 * PAGE - 1) == 1);
	fill();
	write_to(start + 3 * PAGE, start, 3 * PAGE);
}

/* -- SIGSEGV ----------------------------------------------------------------------------------- */

static void null_pointer(void)
{
	volatile char *null = (char *)(uintptr_t)getpagesize() - PAGE; /* more than the compiler can see */
	write_to(null + 24, NULL, 0);
}

static void never_mapped(void)
{
	write_to((char *)0x123456789000, NULL, 0);
}

static void non_canonical(void)
{
	touch((char *)0x8123456789abcdef, NULL, 0);
}

static void *unmap(void *start)
{
	by();
	CHECK(munmap(start, 3 * PAGE) == 0);
	return NULL;
}

static void unmapped(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE);
	in_thread(unmap, start);
	write_to(start + PAGE, start, 0);
}

static void *protect(void *start)
{
	by();
	CHECK(mprotect(start, PAGE, PROT_READ) == 0);
	return NULL;
}

static void made_read_only(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE);
	in_thread(protect, start);
	write_to(start + 100, start, 0);
}

static void read_only_file(void)
{
	char *start = shared(file(dir, "constant.dat", 3), 3, PROT_READ);
	by();
	write_to(start + PAGE + 1, start, PAGE + 1);
}

static void not_executable(void)
{
	char *start = anonymous(1, PROT_READ | PROT_WRITE);
	*start = (char)0xc3; /* ret */
	by();
	at(start, start, 0);
	((void (*)(void))start)();
}

static void *clobber(void *start)
{
	by();
	CHECK(mmap(start, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == start);
	return NULL;
}

static void clobbered(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE);
	in_thread(clobber, start);
	write_to(start, start, 0);
}

static void moved_away(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE), *elsewhere = anonymous(3, PROT_NONE);
	by();
	CHECK(mremap(start, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == elsewhere);
	write_to(start + PAGE, start, 0);
}

static void cut_off(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE);
	by();
	CHECK(mremap(start, 3 * PAGE, PAGE, MREMAP_MAYMOVE) == start);
	write_to(start + PAGE, start, 0);
}

static void moved_and_cut_off(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE), *elsewhere = anonymous(3, PROT_NONE);
	by();
	CHECK(mremap(start, 3 * PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, elsewhere) == elsewhere);
	write_to(start + PAGE, start, 0);
}

static void not_inherited(void)
{
	char *start = anonymous(3, PROT_READ | PROT_WRITE);
	int status;
	by();
	CHECK(madvise(start, 3 * PAGE, MADV_DONTFORK) == 0);
	int pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		write_to(start + PAGE, start, 0);
		_exit(0);
	}
	CHECK(waitpid(pid, &status, 0) == pid);
	kill(getpid(), WTERMSIG(status));
}

static int deeper(volatile char *above)
{
	volatile char here[512];
	here[0] = above[0];
	return above[0] == 0 ? deeper(here) + here[0] : 1; /* it stays 0 */
}

static void stack_overflow(void)
{
	struct rlimit limit = {1 << 18, 1 << 18};
	char first = 0;
	CHECK(setrlimit(RLIMIT_STACK, &limit) == 0);
	at(NULL, NULL, 0);
	deeper(&first);
}

static void *overflow(void *unused)
{
	(void)unused;
	char first = 0;
	at(NULL, NULL, 0);
	deeper(&first);
	return NULL;
}

static void thread_stack_overflow(void)
{
	in_thread(overflow, NULL);
}

static sigjmp_buf back;
static char *barrier;

static void leap(int signal)
{
	(void)signal;
	siglongjmp(back, 1);
}

static void handled(void)
{
	struct sigaction action = {.sa_handler = leap};
	char *start = anonymous(3, PROT_READ);
	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	by();
	if (sigsetjmp(back, 1) == 0)
		write_to(start, start, 0);
	CHECK(munmap(start, 3 * PAGE) == 0);
	_exit(0);
}

static void open_barrier(int signal)
{
	(void)signal;
	CHECK(mprotect(barrier, PAGE, PROT_READ | PROT_WRITE) == 0);
}

/* a garbage collector's write barrier */
static void storm(void)
{
	struct sigaction action = {.sa_handler = open_barrier};
	CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
	barrier = anonymous(1, PROT_READ | PROT_WRITE);
	by();
	for (int n = 0; n < STORM; n++) {
		CHECK(mprotect(barrier, PAGE, PROT_READ) == 0);
		write_to(barrier, barrier, 0);
	}
	CHECK(munmap(barrier, PAGE) == 0);
	_exit(0);
}

#define CASE(name) {#name, name}
static const struct {
	const char *name;
	void (*run)(void);
} cases[] = {
	CASE(truncated_by_itself), CASE(truncated_by_path), CASE(truncated_by_open), CASE(truncated_on_tmpfs),
	CASE(truncated_memfd), CASE(truncated_among_many), CASE(truncated_after_rename), CASE(replaced_by_rename), CASE(beyond_end),
	CASE(cut_and_regrown), CASE(disk_full_after_cut), CASE(disk_full), CASE(null_pointer), CASE(never_mapped),
	CASE(non_canonical), CASE(unmapped), CASE(made_read_only), CASE(read_only_file), CASE(not_executable),
	CASE(clobbered), CASE(moved_away), CASE(cut_off), CASE(moved_and_cut_off), CASE(not_inherited), CASE(stack_overflow),
	CASE(thread_stack_overflow), CASE(handled), CASE(storm),
};

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: edges_faults DIR SMALL\n");
		return 2;
	}
	dir = argv[1];
	small = argv[2];
	struct rlimit none = {0, 0};
	CHECK(setrlimit(RLIMIT_CORE, &none) == 0);
	report = mmap(NULL, sizeof *report, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	CHECK(report != MAP_FAILED);
	for (size_t n = 0; n < sizeof cases / sizeof *cases; n++) {
		int status;
		*report = (struct report){.path = "-"};
		int pid = fork();
		CHECK(pid >= 0);
		if (pid == 0) {
			cases[n].run();
			fprintf(stderr, "%s: no signal came\n", cases[n].name);
			_exit(1);
		}
		CHECK(waitpid(pid, &status, 0) == pid);
		char path[PATH_MAX];
		snprintf(path, sizeof path, "%s/filler", small);
		unlink(path); /* what a case has filled is free again */
		printf("%s pid %d tid %d address %lx start %lx offset %ld path %s by_pid %d by_tid %d status %d\n",
		       cases[n].name, report->pid, report->tid, report->address, report->start, report->offset, report->path,
		       report->by_pid, report->by_tid, status);
	}
	return 0;
}
