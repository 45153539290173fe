/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hammer CALLS [mprotect|mmap|mix|munmap|other] [THREADS] [--rate CALLS_PER_SECOND]
 *
 * Makes calls as fast as it can, or at a rate, and says how many and what each cost:
 *
 *   begin_ns N end_ns N
 *   KIND calls N failed N ns_per_call X       (a line per kind of call)
 *
 * mmap is mmap and munmap of a page in turn, mix adds mprotect, munmap is that of pages long gone,
 * the cheapest call that is traced, other is getppid, which nobody traces. CALLS is shared out among
 * threads and kinds, and rounded down. The times leave out the making of threads; between them no
 * other mapping call is made.
 */
#include "workload.h"
#include <pthread.h>
#include <sys/prctl.h>

enum kind { MMAP, MPROTECT, MUNMAP, OTHER, KINDS };
enum { BATCH = 64 }; /* calls of a kind between two looks at the clock */

static const char *const names[KINDS] = {"mmap", "mprotect", "munmap", "other"};
static const struct mode {
	const char *name;
	int kinds;
	enum kind order[3];
} modes[] = {
	{"mprotect", 1, {MPROTECT}}, {"mmap", 2, {MMAP, MUNMAP}}, {"mix", 3, {MMAP, MPROTECT, MUNMAP}},
	{"munmap", 1, {MUNMAP}}, {"other", 1, {OTHER}},
};
enum { MODES = sizeof(modes) / sizeof(modes[0]) };

static const struct mode *mode = modes;
static unsigned long calls_per_kind; /* of one thread */
static double ns_between; /* two calls of one thread, 0: no limit */
static pthread_barrier_t start, finish;

struct worker {
	pthread_t thread;
	unsigned long made[KINDS], failed[KINDS];
	unsigned long long ns[KINDS];
};

static long one(enum kind kind, char *page, unsigned long turn)
{
	switch (kind) {
	case MMAP:
		return syscall(BITS_64 ? SYS_mmap : 192, page, PAGE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) == -1;
	case MPROTECT: return syscall(SYS_mprotect, page, PAGE, turn % 2 ? PROT_READ | PROT_WRITE : PROT_READ);
	case MUNMAP: return syscall(SYS_munmap, page, PAGE);
	default: return syscall(SYS_getppid) < 0;
	}
}

static void sleep_until(unsigned long long ns)
{
	struct timespec t = {.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL);
}

static void *work(void *argument)
{
	struct worker *me = argument;
	/* every other page, so that pages stay VMAs of their own */
	char *arena = mmap(NULL, 2 * BATCH * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(arena != MAP_FAILED);
	prctl(PR_SET_TIMERSLACK, 1);
	pthread_barrier_wait(&start);
	unsigned long long began = now_ns();
	for (unsigned long done = 0; done < calls_per_kind;) {
		unsigned long batch = calls_per_kind - done < BATCH ? calls_per_kind - done : BATCH;
		for (int k = 0; k < mode->kinds; k++) {
			enum kind kind = mode->order[k];
			unsigned long long before = now_ns();
			for (unsigned long i = 0; i < batch; i++)
				/* mprotect alone goes back and forth on each page; after mmap it always takes write away */
				me->failed[kind] += one(kind, arena + 2 * i * PAGE, mode->kinds == 1 ? done / BATCH : 0) != 0;
			me->ns[kind] += now_ns() - before;
			me->made[kind] += batch;
		}
		done += batch;
		unsigned long long due = began + done * mode->kinds * ns_between;
		if (ns_between > 0 && due > now_ns())
			sleep_until(due);
	}
	pthread_barrier_wait(&finish);
	return NULL;
}

int main(int argc, char **argv)
{
	unsigned long calls = 0;
	long threads = 1;
	double rate = 0;
	for (int i = 1, place = 0; i < argc; i++) {
		if (strcmp(argv[i], "--rate") == 0 && i + 1 < argc) {
			rate = atof(argv[++i]);
		} else if (place == 0) {
			calls = strtoul(argv[i], NULL, 10);
			place++;
		} else if (place == 1) {
			for (mode = modes; mode < modes + MODES && strcmp(mode->name, argv[i]) != 0; mode++)
				;
			place++;
		} else {
			threads = atol(argv[i]);
		}
	}
	if (calls == 0 || mode == modes + MODES || threads < 1) {
		fprintf(stderr, "usage: hammer CALLS [mprotect|mmap|mix|munmap|other] [THREADS] [--rate CALLS_PER_SECOND]\n");
		return 2;
	}
	calls_per_kind = calls / threads / mode->kinds;
	ns_between = rate > 0 ? 1e9 * threads / rate : 0;

	struct worker *workers = calloc(threads, sizeof(*workers));
	CHECK(workers);
	pthread_barrier_init(&start, NULL, threads + 1);
	pthread_barrier_init(&finish, NULL, threads + 1);
	for (long i = 0; i < threads; i++)
		CHECK(pthread_create(&workers[i].thread, NULL, work, &workers[i]) == 0);
	usleep(50000); /* let them all come to the barrier */
	unsigned long long begin = now_ns();
	pthread_barrier_wait(&start);
	pthread_barrier_wait(&finish);
	unsigned long long end = now_ns();
	usleep(50000); /* what threads unmap when they end comes later */

	printf("begin_ns %llu end_ns %llu\n", begin, end);
	for (int k = 0; k < mode->kinds; k++) {
		enum kind kind = mode->order[k];
		unsigned long made = 0, failed = 0;
		unsigned long long ns = 0;
		for (long i = 0; i < threads; i++) {
			made += workers[i].made[kind];
			failed += workers[i].failed[kind];
			ns += workers[i].ns[kind];
		}
		printf("%s calls %lu failed %lu ns_per_call %.1f\n", names[kind], made, failed, made ? (double)ns / made : 0.0);
	}
	return 0;
}
