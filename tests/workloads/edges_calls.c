/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edges_calls FOLDER
 *
 * Clobbers mappings, races, fails halfway, reaches vm.max_map_count, and does what only looks like it. For each step it
 * prints a line
 *
 *   STEP pid tid other_tid start end
 *
 * with the process, the thread that did it, the thread concerned (0: none) and the range concerned, addresses in hex.
 * The files one, two and victim are made in FOLDER.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <sys/shm.h>
#include <sys/wait.h>

#define ANONYMOUS (MAP_PRIVATE | MAP_ANONYMOUS)
#define RW (PROT_READ | PROT_WRITE)

static int one, two, pid;
static pid_t helper; /* thread id of the last one */

static char *map(void *where, unsigned long pages, int prot, int flags, int fd, unsigned long first)
{
	char *start = mmap(where, pages * PAGE, prot, flags, fd, first * PAGE);
	CHECK(start != MAP_FAILED);
	return start;
}

static void told(const char *step, pid_t other, const char *start, unsigned long pages)
{
	printf("%s %d %ld %d %lx %lx\n", step, pid, syscall(SYS_gettid), other, (unsigned long)start,
	       (unsigned long)start + pages * PAGE);
	fflush(stdout);
}

static int new_file(const char *name, unsigned long pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, pages * PAGE) == 0);
	return fd;
}

/* Room of so many pages, with a hole on both sides: what is mapped in it merges with nothing else. */
static char *room(unsigned long pages)
{
	char *start = map(NULL, pages + 2, PROT_NONE, ANONYMOUS, -1, 0);
	CHECK(munmap(start, (pages + 2) * PAGE) == 0);
	return start + PAGE;
}

/* Another thread does one thing and ends. */
static void *by_another(void *(*what)(void *), void *argument)
{
	pthread_t thread;
	void *result;
	CHECK(pthread_create(&thread, NULL, what, argument) == 0 && pthread_join(thread, &result) == 0);
	return result;
}

static void *maps_memory(void *pages)
{
	helper = syscall(SYS_gettid);
	return map(NULL, (unsigned long)pages, RW, ANONYMOUS, -1, 0);
}

static void *maps_a_file(void *pages)
{
	helper = syscall(SYS_gettid);
	return map(NULL, (unsigned long)pages, PROT_READ, MAP_SHARED, one, 2);
}

static void clobber(void)
{
	/* of another thread: memory under a file, a file under memory, under an mremap, under a segment */
	char *at = by_another(maps_memory, (void *)7);
	map(at + 2 * PAGE, 3, PROT_READ, MAP_SHARED | MAP_FIXED, one, 5);
	told("clobbered-memory", helper, at + 2 * PAGE, 3);

	at = by_another(maps_a_file, (void *)5);
	map(at, 2, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	told("clobbered-file", helper, at, 2);

	at = by_another(maps_memory, (void *)11);
	char *from = map(NULL, 3, RW, ANONYMOUS, -1, 0);
	CHECK(mremap(from, 3 * PAGE, 3 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, at + 4 * PAGE) == at + 4 * PAGE);
	told("clobbered-by-mremap", helper, at + 4 * PAGE, 3);

	at = by_another(maps_memory, (void *)13);
	int segment = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
	CHECK(segment >= 0 && shmat(segment, at + 5 * PAGE, SHM_REMAP) == at + 5 * PAGE);
	CHECK(shmctl(segment, IPC_RMID, NULL) == 0);
	told("clobbered-by-shmat", helper, at + 5 * PAGE, 3);

	/* a mapping that lies in the heap goes with a brk that shrinks */
	char *top = sbrk(0);
	top = (char *)(((unsigned long)top + PAGE - 1) & ~(PAGE - 1));
	CHECK(brk(top + 8 * PAGE) == 0);
	map(top + 2 * PAGE, 2, PROT_READ, MAP_SHARED | MAP_FIXED, one, 1);
	CHECK(brk(top) == 0);
	told("clobbered-by-brk", syscall(SYS_gettid), top + 2 * PAGE, 2);

	/* a library: the page of its text that holds shmat, never called again */
	char *text = (char *)((unsigned long)shmat & ~(PAGE - 1));
	char copy[PAGE];
	memcpy(copy, text, PAGE);
	map(text, 1, RW | PROT_EXEC, ANONYMOUS | MAP_FIXED, -1, 0);
	memcpy(text, copy, PAGE);
	told("clobbered-library", 0, text, 1);
}

/* What is normal: none of it may be shown. */
static void *gives_back(void *at)
{
	helper = syscall(SYS_gettid);
	map(at, 4, PROT_NONE, ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0);
	map(at, 2, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	map(at, 2, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	return NULL;
}

static void overlay(void)
{
	char *at = map(NULL, 16, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
	map(at, 8, RW, ANONYMOUS | MAP_FIXED, -1, 0); /* commits */
	told("reservation", 0, at, 8);
	by_another(gives_back, at);
	told("given-back", helper, at, 4);
	map(at + 9 * PAGE, 3, PROT_READ, MAP_SHARED | MAP_FIXED, one, 3);
	map(at + 9 * PAGE, 3, RW, MAP_SHARED | MAP_FIXED, one, 3); /* the same part of the same file */
	told("same-part", 0, at + 9 * PAGE, 3);
	at = map(NULL, 8, PROT_READ, MAP_PRIVATE, one, 0); /* as ld.so does */
	map(at + 3 * PAGE, 2, RW, MAP_PRIVATE | MAP_FIXED, one, 2);
	map(at + 5 * PAGE, 3, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	told("loader", 0, at, 8);
	at = map(NULL, 4, PROT_READ, MAP_SHARED, one, 0);
	CHECK(syscall(SYS_remap_file_pages, at, PAGE, 0, 3, 0) == 0);
	told("permuted", 0, at, 1);
	at = room(4); /* nothing is there */
	map(at, 4, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	told("nothing-there", 0, at, 4);
	map(NULL, 4, PROT_READ, MAP_SHARED, two, 0);
}

/* The thread that a clobbered page belongs to touches it, and the process dies of it. */
static void *suffers(void *at)
{
	helper = syscall(SYS_gettid);
	return (void *)(uintptr_t) * (volatile char *)at;
}

static void harm(void)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		pid = getpid();
		char *at = by_another(maps_memory, (void *)3);
		pid_t victim = helper;
		CHECK(ftruncate(two, 0) == 0);
		map(at, 3, PROT_READ, MAP_SHARED | MAP_FIXED, two, 0); /* nothing of the file is there */
		told("harmed", victim, at, 3);
		by_another(suffers, at + PAGE);
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && WIFSIGNALED(status) && WTERMSIG(status) == SIGBUS);
	CHECK(ftruncate(two, 64 * PAGE) == 0);
}

/*
 * Races: two threads whose calls meet again and again, each round on pages of its own, until they were under way at
 * once, as far as the clock can tell, in so many rounds. A line "STEP" for each of these, "all-STEP" for all rounds.
 */
enum { ROUNDS = 307, MET = 13, WIDE = 256 };
static pthread_barrier_t round_begins, round_ends;
static atomic_int over;
static atomic_ullong go;
static char *rounds[ROUNDS];
static void (*theirs)(int);
static unsigned long long their_begin, their_end;

/* On a CPU of its own, before all others: on a busy machine two threads would hardly ever run at once. */
static void hurry(int cpu)
{
	cpu_set_t cpus;
	CPU_ZERO(&cpus);
	CPU_SET(cpu, &cpus);
	struct sched_param first = {.sched_priority = 1};
	CHECK(sched_setaffinity(0, sizeof cpus, &cpus) == 0 && sched_setscheduler(0, SCHED_FIFO, &first) == 0);
}

/* Woken threads go on at an agreed time, soon: a barrier alone would let one go far ahead. */
static void start_together(void)
{
	pthread_barrier_wait(&round_begins);
	while (now_ns() < go)
		;
}

static void *opponent(void *unused)
{
	helper = syscall(SYS_gettid);
	hurry(1);
	for (int i = 0;; i++) {
		start_together();
		if (over)
			return unused;
		their_begin = now_ns();
		theirs(i);
		their_end = now_ns();
		pthread_barrier_wait(&round_ends);
	}
}

static void race(const char *name, void (*mine)(int), void (*other)(int))
{
	pthread_t thread;
	char all_name[64];
	char *all = room((unsigned long)ROUNDS * (WIDE + 1));
	int met = 0;
	theirs = other;
	over = 0;
	CHECK(pthread_create(&thread, NULL, opponent, NULL) == 0);
	for (int i = 0;; i++) {
		over = i == ROUNDS || met == MET;
		if (!over) {
			rounds[i] = all + (unsigned long)i * (WIDE + 1) * PAGE;
			/* pages that are there: the calls take longer */
			map(rounds[i], WIDE, RW, ANONYMOUS | MAP_FIXED | MAP_POPULATE, -1, 0);
		}
		go = now_ns() + 200000;
		start_together();
		if (over)
			break;
		unsigned long long begin = now_ns();
		mine(i);
		unsigned long long end = now_ns();
		pthread_barrier_wait(&round_ends);
		if (begin < their_end && their_begin < end) {
			told(name, helper, rounds[i], WIDE);
			met++;
		}
		munmap(rounds[i], WIDE * PAGE);
	}
	CHECK(pthread_join(thread, NULL) == 0);
	snprintf(all_name, sizeof all_name, "all-%s", name);
	told(all_name, helper, all, (unsigned long)ROUNDS * (WIDE + 1));
}

static void unmaps(int i)
{
	munmap(rounds[i], WIDE * PAGE);
}

static void reads_only(int i)
{
	mprotect(rounds[i], WIDE * PAGE, PROT_READ);
}

static void forbids(int i)
{
	mprotect(rounds[i], WIDE * PAGE, PROT_NONE);
}

static void maps_over(int i)
{
	map(rounds[i] + (WIDE / 2) * PAGE, WIDE / 4, PROT_READ, MAP_SHARED | MAP_FIXED, one, 0);
}

static void forbids_low(int i)
{
	mprotect(rounds[i], WIDE / 2 * PAGE, PROT_READ);
}

static void forbids_high(int i)
{
	mprotect(rounds[i] + WIDE / 2 * PAGE, WIDE / 2 * PAGE, PROT_NONE);
}

static void drops(int i)
{
	madvise(rounds[i], WIDE * PAGE, MADV_DONTNEED);
}

/* An fd that is replaced again and again while it is mapped. */
static volatile int replaced = -1;

static void *replaces(void *unused)
{
	helper = syscall(SYS_gettid);
	hurry(1);
	pthread_barrier_wait(&round_begins);
	while (!over) {
		dup2(one, replaced);
		dup2(two, replaced);
	}
	return unused;
}

static void replace_fds(void)
{
	pthread_t thread;
	replaced = dup(one);
	over = 0;
	CHECK(pthread_create(&thread, NULL, replaces, NULL) == 0);
	pthread_barrier_wait(&round_begins);
	char *at = room(2);
	for (int i = 0; i < 5003; i++)
		map(at, 1, PROT_READ, MAP_SHARED | MAP_FIXED, replaced, 0);
	over = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	told("fd-replaced", helper, at, 1);
	/* replaced after it was mapped: what is mapped is what was asked for */
	int fd = dup(one);
	at = map(NULL, 1, PROT_READ, MAP_SHARED, fd, 7);
	CHECK(dup2(two, fd) == fd);
	told("fd-replaced-after", 0, at, 1);
	/* a device gives memory of another file */
	int zero = open("/dev/zero", O_RDWR);
	CHECK(zero >= 0);
	at = map(NULL, 2, RW, MAP_SHARED, zero, 0);
	told("device", 0, at, 2);
}

static void settle(void)
{
	usleep(400000); /* the recorder reads the maps after a failure */
}

static void fail_halfway(void)
{
	char *at = room(9);
	map(at, 3, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	map(at + 5 * PAGE, 4, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(mprotect(at, 9 * PAGE, PROT_READ) == -1 && errno == ENOMEM);
	told("halfway-mprotect", 0, at, 3);
	settle();

	at = room(5); /* nothing before the hole: nothing changes */
	map(at + 2 * PAGE, 3, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(mprotect(at, 5 * PAGE, PROT_READ) == -1 && errno == ENOMEM);
	told("changed-nothing", 0, at, 5);
	settle();

	at = map(NULL, 7, RW, ANONYMOUS, -1, 0);
	int refusing = open("/proc/self/environ", O_RDONLY); /* has no mmap: that is found before anything is unmapped */
	CHECK(mmap(at + 2 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, refusing, 0) == MAP_FAILED);
	told("refused-early", 0, at + 2 * PAGE, 2);
	settle();

	/* the mmap handler of sysfs refuses, after the old mapping is gone */
	refusing = open("/sys/kernel/mm/transparent_hugepage/enabled", O_RDONLY);
	CHECK(refusing >= 0);
	at = map(NULL, 7, RW, ANONYMOUS, -1, 0);
	CHECK(mmap(at + 3 * PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, refusing, 0) == MAP_FAILED);
	unsigned char there[2];
	int hole = mincore(at + 3 * PAGE, 2 * PAGE, there) == -1 && errno == ENOMEM;
	told(hole ? "halfway-mmap" : "refused-whole", 0, at + 3 * PAGE, 2);
	settle();

	at = room(8);
	map(at, 3, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	map(at + 5 * PAGE, 3, RW, ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(madvise(at, 8 * PAGE, MADV_DONTNEED) == -1 && errno == ENOMEM);
	told("halfway-madvise", 0, at, 8);
	CHECK(mlock(at, 8 * PAGE) == -1 && errno == ENOMEM);
	told("halfway-mlock", 0, at, 3);
	settle();
}

/* In a child, so that it ends with it: pages with other permissions in turn, until the kernel refuses. */
static void reach_the_limit(void)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		pid = getpid();
		unsigned long pages = 80000, refused = 0;
		char *at = map(NULL, pages, PROT_NONE, ANONYMOUS | MAP_NORESERVE, -1, 0);
		for (unsigned long i = 0; i < pages && !refused; i += 2)
			if (mprotect(at + i * PAGE, PAGE, PROT_READ)) {
				CHECK(errno == ENOMEM);
				refused = i;
			}
		CHECK(refused);
		told("limit", 0, at + refused * PAGE, 1);
		_exit(0);
	}
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);

	child = fork(); /* the same error for another reason */
	CHECK(child >= 0);
	if (child == 0) {
		pid = getpid();
		struct rlimit few = {1 << 30, 1 << 30};
		CHECK(setrlimit(RLIMIT_AS, &few) == 0);
		CHECK(mmap(NULL, 1UL << 31, RW, ANONYMOUS, -1, 0) == MAP_FAILED && errno == ENOMEM);
		told("rlimit", 0, NULL, 1UL << 19);
		_exit(0);
	}
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

int main(int argc, char **argv)
{
	CHECK(argc == 2 && chdir(argv[1]) == 0);
	pid = getpid();
	one = new_file("one", 1024);
	two = new_file("two", 64);
	pthread_barrier_init(&round_begins, NULL, 2);
	pthread_barrier_init(&round_ends, NULL, 2);
	clobber();
	overlay();
	harm();
	hurry(0);
	race("unmap-protect", unmaps, reads_only);
	race("protect-protect", reads_only, forbids);
	race("unmap-map", unmaps, maps_over);
	race("drop-map", drops, maps_over);
	race("same-protect", reads_only, reads_only);
	race("unmap-unmap", unmaps, unmaps);
	race("drop-drop", drops, drops);
	race("apart", forbids_low, forbids_high);
	replace_fds();
	struct sched_param normal = {0};
	CHECK(sched_setscheduler(0, SCHED_OTHER, &normal) == 0);
	fail_halfway();
	reach_the_limit();
	return 0;
}
