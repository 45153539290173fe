/* SPDX-License-Identifier: Apache-2.0 */
/*
 * selfmaps OUTPUT
 *
 * Changes its address space step by step, and after each step appends its own /proc/self/maps to OUTPUT, below a line
 * "at NS PID STEP" with the time (CLOCK_MONOTONIC) just before the reading. Then it executes itself and does one more.
 * Files it maps are made in the working directory.
 */
#include "steps.h"
#include <pthread.h>
#include <sys/shm.h>
#include <sys/wait.h>

static char *map(char *where, unsigned long pages, int prot, int flags, int fd, unsigned long first)
{
	char *start = mmap(where, pages * PAGE, prot, flags, fd, first * PAGE);
	CHECK(start != MAP_FAILED);
	return start;
}

#define ANONYMOUS(where, pages, more) \
	map(where, pages, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | (more), -1, 0)

static int new_file(const char *name, unsigned long pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, pages * PAGE) == 0);
	return fd;
}

/* Room of so many pages, with a hole on both sides: what is mapped in it merges with nothing else. */
static char *room(unsigned long pages)
{
	char *start = map(NULL, pages + 2, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(munmap(start, (pages + 2) * PAGE) == 0);
	return start + PAGE;
}

static void heap(void)
{
	CHECK(sbrk(300 * PAGE) != (void *)-1);
	show("heap grown");
	CHECK(sbrk(7 * PAGE + 5) != (void *)-1);
	CHECK(sbrk(-(13 * (long)PAGE)) != (void *)-1);
	show("heap shrunk");
	char *middle = (char *)(((uintptr_t)sbrk(0) & -PAGE) - 100 * PAGE);
	CHECK(mprotect(middle, 3 * PAGE, PROT_READ) == 0);
	show("heap of three mappings");
	CHECK(mprotect(middle, 3 * PAGE, PROT_READ | PROT_WRITE) == 0);
	show("heap of one mapping");
}

static void anonymous(void)
{
	char *start = room(64);
	ANONYMOUS(start, 5, MAP_FIXED);
	ANONYMOUS(start + 5 * PAGE, 7, MAP_FIXED);
	ANONYMOUS(start + 20 * PAGE, 3, MAP_FIXED);
	memset(start + 20 * PAGE, 1, PAGE);
	ANONYMOUS(start + 12 * PAGE, 8, MAP_FIXED);
	show("neighbours merge");
	CHECK(mprotect(start + 6 * PAGE, 2 * PAGE, PROT_READ) == 0);
	CHECK(mprotect(start + 10 * PAGE, PAGE, PROT_NONE) == 0);
	show("parts protected");
	CHECK(mprotect(start + 6 * PAGE, 2 * PAGE, PROT_READ | PROT_WRITE) == 0);
	show("a part as before");
	CHECK(munmap(start + 2 * PAGE, PAGE) == 0);
	ANONYMOUS(start + 2 * PAGE, 1, MAP_FIXED | MAP_NORESERVE);
	show("a part of other flags");
}

static void files(void)
{
	int fd = new_file("plain", 64);
	char *start = room(64);
	map(start, 16, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 0);
	map(start + 16 * PAGE, 4, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, fd, 16);
	map(start + 20 * PAGE, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 20);
	memset(start + 21 * PAGE, 1, PAGE);
	map(start + 24 * PAGE, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, fd, 24);
	int again = open("plain", O_RDWR | O_CLOEXEC);
	CHECK(again >= 0);
	map(start + 28 * PAGE, 4, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_FIXED, again, 28);
	show("a file in pieces, opened twice");
	CHECK(munmap(start + 3 * PAGE, 2 * PAGE) == 0);
	CHECK(mprotect(start + 18 * PAGE, 4 * PAGE, PROT_READ) == 0);
	show("a file with a hole and other protection");
	CHECK(syscall(SYS_remap_file_pages, start + 8 * PAGE, 2 * PAGE, 0, 0, 0) == 0);
	show("pages of a file moved");
	CHECK(syscall(SYS_remap_file_pages, start + 8 * PAGE, 2 * PAGE, 0, 8, 0) == 0);
	show("and back");

	static const char *const names[] = {"line\nbreak", "escape\x1b[31m", "not utf-8 \xff\n", "f (deleted)", "back\\012slash"};
	for (unsigned at = 0; at < sizeof names / sizeof *names; at++)
		map(NULL, 1, PROT_READ, MAP_PRIVATE, new_file(names[at], 1), 0);
	int gone = new_file("gone", 1);
	CHECK(unlink("gone") == 0);
	map(NULL, 1, PROT_READ, MAP_SHARED, gone, 0);
	int memory = memfd_create("m", MFD_CLOEXEC);
	CHECK(memory >= 0 && ftruncate(memory, 3 * PAGE) == 0);
	map(NULL, 3, PROT_READ, MAP_SHARED, memory, 0);
	map(NULL, 5, PROT_READ, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int segment = shmget(IPC_PRIVATE, 3 * PAGE, 0600);
	CHECK(segment >= 0 && shmat(segment, NULL, 0) != (void *)-1 && shmctl(segment, IPC_RMID, NULL) == 0);
	show("names");
}

static void moves(void)
{
	char *start = room(64);
	ANONYMOUS(start, 4, MAP_FIXED);
	memset(start, 1, 4 * PAGE);
	CHECK(mremap(start, 4 * PAGE, 9 * PAGE, 0) == start);
	show("grown in its place");
	CHECK(mremap(start, 9 * PAGE, 6 * PAGE, 0) == start);
	CHECK(mremap(start + 2 * PAGE, PAGE, PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, start + 30 * PAGE) != MAP_FAILED);
	show("shrunk, and a page moved away");
	int fd = new_file("moved", 64);
	char *file = room(64);
	map(file, 10, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	CHECK(mremap(file + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, file + 32 * PAGE) != MAP_FAILED);
	show("a file's pages moved away");
	CHECK(mremap(file + 32 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, file + 4 * PAGE) != MAP_FAILED);
	show("a file's pages moved back");
	char *target = room(64), *source = room(8);
	ANONYMOUS(target, 4, MAP_FIXED);
	memset(target, 1, 4 * PAGE);
	ANONYMOUS(source, 2, MAP_FIXED);
	memset(source, 1, 2 * PAGE);
	CHECK(mremap(source, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, target + 4 * PAGE) != MAP_FAILED);
	show("moved beside its like");
	CHECK(munmap(target, 4 * PAGE) == 0 && munmap(target + 4 * PAGE, 2 * PAGE) == 0);
	ANONYMOUS(target, 9, MAP_FIXED);
	CHECK(madvise(target + 3 * PAGE, 2 * PAGE, MADV_DONTDUMP) == 0);
	CHECK(madvise(target + 5 * PAGE, PAGE, MADV_RANDOM) == 0);
	CHECK(madvise(target + 5 * PAGE, PAGE, MADV_NORMAL) == 0);
	show("advised");
}

/* A part that was moved is detached at the address at which the whole would lie. */
static void segments(void)
{
	char *whole = room(8), *elsewhere = room(64);
	int segment = shmget(IPC_PRIVATE, 8 * PAGE, 0600);
	CHECK(segment >= 0 && shmat(segment, whole, 0) == whole && shmctl(segment, IPC_RMID, NULL) == 0);
	char *part = elsewhere + 12 * PAGE;
	CHECK(mremap(whole + 4 * PAGE, 2 * PAGE, 2 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, part) == part);
	show("a segment's pages moved away");
	CHECK(shmdt(part - 4 * PAGE) == 0);
	show("detached where the whole would lie");
	map(part - 4 * PAGE, 40, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(munmap(part - 4 * PAGE, 40 * PAGE) == 0);
}

static __attribute__((noinline)) int deep(int frames)
{
	volatile char frame[PAGE];
	frame[0] = frames;
	return frames ? deep(frames - 1) + frame[0] : frame[0];
}

static pthread_barrier_t meeting;

static void *thread(void *unused)
{
	pthread_barrier_wait(&meeting);
	pthread_barrier_wait(&meeting);
	return unused;
}

static void children(void)
{
	char *start = room(16);
	ANONYMOUS(start, 3, MAP_FIXED);
	memset(start, 1, PAGE);
	ANONYMOUS(start + 3 * PAGE, 3, MAP_FIXED | MAP_NORESERVE);
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		show("child");
		ANONYMOUS(start + 6 * PAGE, 5, MAP_FIXED | MAP_NORESERVE);
		ANONYMOUS(NULL, 5, 0);
		CHECK(sbrk(100 * PAGE) != (void *)-1);
		show("child on its own");
		_exit(0);
	}
	CHECK(waitpid(child, NULL, 0) == child);
	show("parent");
	child = vfork();
	CHECK(child >= 0);
	if (child == 0) {
		show("vfork");
		_exit(0);
	}
	CHECK(waitpid(child, NULL, 0) == child);
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	output = argv[1];
	if (argc > 2) {
		show("executed");
		return 0;
	}
	show("begun");
	heap();
	anonymous();
	files();
	moves();
	segments();
	deep(400);
	show("stack grown");
	pthread_t other;
	pthread_barrier_init(&meeting, NULL, 2);
	CHECK(pthread_create(&other, NULL, thread, NULL) == 0);
	pthread_barrier_wait(&meeting);
	show("with a thread");
	pthread_barrier_wait(&meeting);
	CHECK(pthread_join(other, NULL) == 0);
	children();
	execl("/proc/self/exe", argv[0], argv[1], "again", (char *)NULL);
	CHECK(!"execl");
}
