/* SPDX-License-Identifier: Apache-2.0 */
/*
 * undecided FOLDER: (an absolute path) does what system calls and records of mappings leave undecided, and says on standard output what
 * came of it, a case a line, numbers in decimal:
 *
 *   tail PID AT_NS ADDR PAGES THERE   pages of an executed file past its first segment; the file is gone by then
 *   race PID AT_NS ADDR PAGES THERE   pages that one thread unmapped while another mapped them with MAP_FIXED
 *   hole PID AT_NS ADDR PAGES THERE   pages over which a MAP_FIXED was refused
 *   cut PID INODE OLD NEW             a file, mapped meanwhile, that truncate(2) cut by its path
 *
 * THERE: whether the pages are mapped at AT_NS (CLOCK_MONOTONIC), by mincore(2). All or none of them are.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#define TAILS 7
#define RACES 101
#define ROUNDS 4096 /* at most, for so many races */

/* Its alignment parts the segment it is in from the code, so that the tail of the image has pages that stay free. */
static const char apart __attribute__((used, aligned(1 << 16))) = 1;
extern char etext; /* the end of the code */

static void say(const char *name, const char *addr, unsigned long pages)
{
	unsigned char there[8];
	int mapped = mincore((void *)addr, pages * PAGE, there) == 0;
	CHECK(mapped || errno == ENOMEM);
	dprintf(1, "%s %d %llu %lu %lu %d\n", name, getpid(), now_ns(), (unsigned long)addr, pages, mapped);
}

static void in_child(void (*act)(const char *), const char *argument)
{
	int status;
	pid_t child = fork();
	if (!child) {
		act(argument);
		_exit(0);
	}
	CHECK(child > 0 && waitpid(child, &status, 0) == child && status == 0);
}

/* A copy of this program, which removes itself before anyone can read its program headers. */
static void run(const char *copy)
{
	execl(copy, copy, NULL);
	_exit(1);
}

static void tails(void)
{
	static char program[1 << 20];
	int from = open("/proc/self/exe", O_RDONLY);
	ssize_t size = read(from, program, sizeof program);
	CHECK(size > 0 && size < (ssize_t)sizeof program);
	close(from);
	for (int i = 0; i < TAILS; i++) {
		char copy[32];
		snprintf(copy, sizeof copy, "./gone-%d", i);
		int to = open(copy, O_WRONLY | O_CREAT, 0700);
		CHECK(write(to, program, size) == size && close(to) == 0);
		in_child(run, copy);
	}
}

static _Atomic int begun, done;
static char *contested;
static unsigned long long give_from, give_to; /* when the other thread's mmap was under way */

static void stay_on(int cpu)
{
	cpu_set_t only;
	CPU_ZERO(&only);
	CPU_SET(cpu, &only);
	sched_setaffinity(0, sizeof only, &only); /* with one CPU alone, a race is rare */
}

static void *give(void *unused)
{
	stay_on(1);
	for (int round = 1; round <= ROUNDS; round++) {
		while (begun != round)
			;
		give_from = now_ns();
		CHECK(mmap(contested + PAGE, 2 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED);
		give_to = now_ns();
		done = round;
	}
	return unused;
}

static void race(const char *unused)
{
	pthread_t other;
	(void)unused;
	CHECK(pthread_create(&other, NULL, give, NULL) == 0);
	stay_on(0);
	/* places that nothing else is mapped to, so that what a race left stays */
	char *place = mmap(NULL, 16 * ROUNDS * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(place != MAP_FAILED && munmap(place, 16 * ROUNDS * PAGE) == 0);
	for (int round = 1, races = 0; round <= ROUNDS && races < RACES; round++, place += 16 * PAGE) {
		unsigned long long from = now_ns();
		contested = mmap(place, 4 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		unsigned long long takes = now_ns() - from;
		CHECK(contested == place);
		begun = round;
		/* so that either comes first */
		for (from = now_ns(); now_ns() - from < takes * (round % 16) / 16;)
			;
		from = now_ns();
		CHECK(munmap(contested, 4 * PAGE) == 0);
		unsigned long long to = now_ns();
		while (done != round)
			;
		if (from < give_to && give_from < to) {
			say("race", contested + PAGE, 2);
			races++;
		}
	}
	/* the other thread ends with the process */
}

/* Refused for the mode of the descriptor, before anything is touched. */
static void refused_early(const char *path)
{
	int fd = open(path, O_WRONLY | O_CREAT, 0600);
	char *at = mmap(NULL, 5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(fd >= 0 && at != MAP_FAILED);
	CHECK(mmap(at + PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED && errno == EACCES);
	say("hole", at + PAGE, 2);
}

/* The mmap handler of sysfs refuses; whether the old mapping is gone by then differs between kernels. */
static void refused_late(const char *path)
{
	int fd = open(path, O_RDONLY);
	char *at = mmap(NULL, 5 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(fd >= 0 && at != MAP_FAILED);
	CHECK(mmap(at + PAGE, 2 * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0) == MAP_FAILED && errno == ENODEV);
	say("hole", at + PAGE, 2);
}

/* By the time that someone looks the path up, it can lead nowhere. */
static void cut(const char *folder, const char *name, const char *later)
{
	char path[4096];
	struct stat file;
	snprintf(path, sizeof path, "%s/%s", folder, name);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, 5 * PAGE) == 0 && fstat(fd, &file) == 0);
	CHECK(mmap(NULL, 5 * PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	CHECK(truncate(path, 2 * PAGE) == 0 && rename(path, later) == 0);
	dprintf(1, "cut %d %llu %lu %lu\n", getpid(), (unsigned long long)file.st_ino, 5 * PAGE, 2 * PAGE);
}

int main(int argc, char **argv)
{
	if (argc == 1) {
		CHECK(unlink(argv[0]) == 0);
		say("tail", (char *)(((uintptr_t)&etext + PAGE - 1) & -PAGE), 1);
		return 0;
	}
	CHECK(argc == 2 && chdir(argv[1]) == 0);
	tails();
	in_child(race, NULL);
	in_child(refused_early, "early");
	in_child(refused_late, "/sys/kernel/mm/transparent_hugepage/enabled");
	cut(argv[1], "stays", "stays");
	cut(argv[1], "moves", "moved");
	return 0;
}
