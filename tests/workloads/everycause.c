/* SPDX-License-Identifier: Apache-2.0 */
/*
 * everycause alone|race|tree SEED ROUNDS [CAUSE...]
 *
 * Changes its address space in every way there is, at random but from a seed, then says its process id
 * on standard output and stops itself, so that its maps can be read. With names of causes it uses those only.
 *
 *   alone  one thread; half of the way it executes itself again
 *   race   four threads on one arena, MAP_FIXED over what others have just mapped
 *   tree   forks of forks, each process going its own way; all of them stop
 *
 * Files it maps are made in the working directory.
 */
#include "workload.h"
#include <linux/aio_abi.h>
#include <linux/mempolicy.h>
#include <pthread.h>
#include <sched.h>
#include <sys/ipc.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/shm.h>
#include <sys/wait.h>

#ifndef MREMAP_DONTUNMAP
#define MREMAP_DONTUNMAP 4
#endif
#ifndef MAP_FIXED_NOREPLACE
#define MAP_FIXED_NOREPLACE 0x100000
#endif
#ifndef MADV_GUARD_INSTALL
#define MADV_GUARD_INSTALL 102
#endif
#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif

enum { ARENA = 256, LONGEST = 24, WINDOW = 16, STRAYS = 48, THREADS = 4, DEPTH = 3, GROWN = 64 };

struct me {
	uint64_t random;
	int depth; /* forks since the first process */
};
struct range {
	char *start;
	unsigned long pages;
};

static char *arena;          /* ARENA pages, of which any may be anything */
static char *windows[4];     /* WINDOW pages of a file, a memfd, anonymous shared memory and a SysV segment */
static char *growing, *tip;  /* a MAP_GROWSDOWN mapping: the lowest address it may get, and its lowest page */
static uintptr_t strays[STRAYS]; /* what is mapped elsewhere: address | pages, a word, so that threads see both or none */
static int file, memory, sealed, zero, segment;
static int racing;

static unsigned long pick(struct me *me, unsigned long choices)
{
	me->random ^= me->random << 13;
	me->random ^= me->random >> 7;
	me->random ^= me->random << 17;
	return me->random % choices;
}

static unsigned long smaller(unsigned long a, unsigned long b)
{
	return a < b ? a : b;
}

/* Some pages of the arena; seldom a stray. */
static struct range some(struct me *me, unsigned long longest)
{
	if (pick(me, 6) == 0) {
		uintptr_t stray = __atomic_load_n(&strays[pick(me, STRAYS)], __ATOMIC_SEQ_CST);
		if (stray)
			return (struct range){(char *)(stray & -PAGE), stray & (PAGE - 1)};
	}
	unsigned long page = pick(me, ARENA);
	return (struct range){arena + page * PAGE, 1 + pick(me, smaller(ARENA - page, longest))};
}

/* Remember what the kernel placed; what is forgotten for it goes. */
static void keep(struct me *me, void *start, unsigned long pages)
{
	if (start == MAP_FAILED || ((char *)start >= arena && (char *)start < arena + ARENA * PAGE))
		return;
	uintptr_t old = __atomic_exchange_n(&strays[pick(me, STRAYS)], (uintptr_t)start | pages, __ATOMIC_SEQ_CST);
	if (old)
		munmap((void *)(old & -PAGE), (old & (PAGE - 1)) * PAGE);
}

/* Touch a page by way of the kernel, which answers EFAULT where a signal would come. */
static void touch(char *page)
{
	if (read(zero, page, 1) < 0)
		CHECK(errno == EFAULT);
}

static int prot_of(struct me *me)
{
	static const int prots[] = {PROT_NONE, PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_WRITE,
				    PROT_READ | PROT_EXEC, PROT_READ | PROT_WRITE | PROT_EXEC};
	return prots[pick(me, 6)];
}

/* Any kind of mapping at `where`, or wherever the kernel likes. */
static void *map(struct me *me, char *where, unsigned long pages, int flags)
{
	static const int more[] = {0, 0, MAP_POPULATE, MAP_NORESERVE, MAP_LOCKED, MAP_STACK};
	unsigned long first = pick(me, WINDOW);
	flags |= more[pick(me, 6)];
	switch (pick(me, 5)) {
	case 0: return mmap(where, pages * PAGE, prot_of(me), flags | MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	case 1: return mmap(where, pages * PAGE, prot_of(me), flags | MAP_SHARED, pick(me, 2) ? file : memory, first * PAGE);
	case 2: return mmap(where, pages * PAGE, prot_of(me), flags | MAP_PRIVATE, pick(me, 2) ? file : memory, first * PAGE);
	default: return mmap(where, pages * PAGE, prot_of(me), flags | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	}
}

static void do_map(struct me *me)
{
	unsigned long pages = 1 + pick(me, LONGEST);
	keep(me, map(me, NULL, pages, 0), pages);
}

static void do_map_fixed(struct me *me)
{
	struct range r = some(me, LONGEST);
	map(me, r.start, r.pages, MAP_FIXED);
}

static void do_map_noreplace(struct me *me)
{
	struct range r = some(me, 4);
	map(me, r.start, r.pages, MAP_FIXED_NOREPLACE);
}

/* The memfd's own mmap handler refuses, after the old mapping is gone. */
static void do_map_refused(struct me *me)
{
	struct range r = some(me, 4);
	mmap(r.start, r.pages * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED, sealed, 0);
}

static void do_map_fails(struct me *me)
{
	struct range r = some(me, 4);
	mmap(r.start, r.pages * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, pick(me, 2) ? -1 : 1 << 20, 0);
	mmap(r.start, r.pages * PAGE, PROT_READ, MAP_PRIVATE | MAP_FIXED, file, 1);
}

static void do_map_old(struct me *me)
{
#if BITS_64
	do_map(me);
#else
	struct range r = some(me, LONGEST);
	unsigned long arguments[6] = {(unsigned long)r.start, r.pages * PAGE, prot_of(me),
				      MAP_FIXED | MAP_PRIVATE | MAP_ANONYMOUS, -1, 0};
	syscall(90, arguments);
#endif
}

static void do_unmap(struct me *me)
{
	struct range r = some(me, LONGEST);
	munmap(r.start, r.pages * PAGE - pick(me, PAGE));
}

static void do_protect(struct me *me)
{
	struct range r = some(me, LONGEST); /* often over a hole */
	mprotect(r.start, r.pages * PAGE, prot_of(me));
}

static void do_protect_key(struct me *me)
{
	struct range r = some(me, LONGEST);
	int key = syscall(SYS_pkey_alloc, 0, 0); /* -1 where there are none: then as mprotect */
	syscall(SYS_pkey_mprotect, r.start, r.pages * PAGE, prot_of(me), key);
	if (key >= 0)
		syscall(SYS_pkey_free, key);
}

static void do_remap_grow(struct me *me)
{
	struct range r = some(me, 8);
	unsigned long pages = r.pages + 1 + pick(me, 8);
	keep(me, mremap(r.start, r.pages * PAGE, pages * PAGE, pick(me, 4) ? MREMAP_MAYMOVE : 0), pages);
}

static void do_remap_shrink(struct me *me)
{
	struct range r = some(me, LONGEST);
	mremap(r.start, r.pages * PAGE, (1 + pick(me, r.pages)) * PAGE, MREMAP_MAYMOVE);
}

static void do_remap_fixed(struct me *me)
{
	struct range r = some(me, LONGEST), to = some(me, LONGEST);
	unsigned long pages = smaller(r.pages, to.pages);
	if (pick(me, 2)) /* several VMAs at once only keep their length */
		r.pages = pages;
	mremap(r.start, r.pages * PAGE, pages * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, to.start);
}

static void do_remap_keep(struct me *me)
{
	struct range r = some(me, 8), to = some(me, 8);
	int flags = MREMAP_MAYMOVE | MREMAP_DONTUNMAP | (pick(me, 2) ? MREMAP_FIXED : 0);
	unsigned long pages = smaller(r.pages, to.pages);
	keep(me, mremap(r.start, pages * PAGE, pages * PAGE, flags, to.start), pages);
}

static void do_remap_copy(struct me *me)
{
	struct range r = some(me, 8), to = some(me, 8);
	int fixed = pick(me, 2) ? MREMAP_FIXED : 0;
	char *from = pick(me, 2) ? r.start : windows[pick(me, 4)];
	keep(me, mremap(from, 0, to.pages * PAGE, MREMAP_MAYMOVE | fixed, to.start), to.pages);
}

/* A chain: each step begins where the last one ended. */
static void do_remap_chain(struct me *me)
{
	struct range r = some(me, 4);
	for (int step = 0; step < 5; step++) {
		unsigned long pages = 1 + pick(me, 12);
		char *to = mremap(r.start, r.pages * PAGE, pages * PAGE, MREMAP_MAYMOVE);
		if (to == MAP_FAILED)
			return;
		keep(me, to, pages);
		r = (struct range){to, pages};
	}
}

static void do_permute(struct me *me)
{
	char *window = windows[pick(me, 4)];
	unsigned long page = pick(me, WINDOW), pages = 1 + pick(me, WINDOW - page);
	unsigned long first = pick(me, 5) ? pick(me, WINDOW) : page; /* back in order now and then */
	syscall(SYS_remap_file_pages, window + page * PAGE, pages * PAGE, 0, first, pick(me, 2) ? MAP_NONBLOCK : 0);
}

static void do_permute_arena(struct me *me)
{
	struct range r = some(me, 4);
	syscall(SYS_remap_file_pages, r.start, r.pages * PAGE, 0, pick(me, WINDOW), 0);
}

static void do_brk(struct me *me)
{
	static unsigned long first;
	if (!first)
		first = syscall(SYS_brk, 0);
	syscall(SYS_brk, first + pick(me, 64 * PAGE));
}

static void do_attach(struct me *me)
{
	struct range r = some(me, ARENA);
	static const int flags[] = {0, SHM_RDONLY, SHM_REMAP, SHM_REMAP | SHM_RDONLY, SHM_EXEC};
	int flag = flags[pick(me, 5)];
	if (r.pages < WINDOW)
		flag &= ~SHM_REMAP;
	void *at, *where = flag & SHM_REMAP ? r.start : NULL;
#if BITS_64
	at = shmat(segment, where, flag);
#else
	at = (void *)(pick(me, 2) ? syscall(397, segment, where, flag) : (long)shmat(segment, where, flag));
#endif
	keep(me, at, WINDOW);
}

static void do_detach(struct me *me)
{
	shmdt(some(me, 1).start);
}

static void do_grow_down(struct me *me)
{
	if (tip > growing + PAGE && pick(me, 3))
		touch(tip -= PAGE);
	else if (!racing && tip <= growing + PAGE) { /* again from the top */
		munmap(growing, GROWN * PAGE);
		tip = growing + (GROWN - 1) * PAGE;
		mmap(tip, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
	}
}

static __attribute__((noinline)) int deeper(unsigned long pages)
{
	volatile char frame[PAGE];
	frame[0] = 1;
	return pages ? deeper(pages - 1) + frame[0] : 0;
}

static void do_stack(struct me *me)
{
	if (!racing) /* threads' stacks do not grow */
		deeper(pick(me, 256));
}

static void do_aio(struct me *me)
{
	static aio_context_t contexts[4];
	aio_context_t *context = &contexts[pick(me, 4)];
	if (*context)
		syscall(SYS_io_destroy, *context), *context = 0;
	else
		syscall(SYS_io_setup, 1 + pick(me, 64), context);
}

static void do_advise(struct me *me)
{
	static const int advice[] = {MADV_DONTFORK, MADV_DONTFORK, MADV_DOFORK, MADV_WIPEONFORK, MADV_KEEPONFORK,
				     MADV_DONTDUMP, MADV_DODUMP, MADV_SEQUENTIAL, MADV_NORMAL, MADV_HUGEPAGE,
				     MADV_MERGEABLE, MADV_DONTNEED, MADV_REMOVE, MADV_GUARD_INSTALL};
	struct range r = some(me, LONGEST);
	madvise(r.start, r.pages * PAGE, advice[pick(me, sizeof(advice) / sizeof(*advice))]);
}

static void do_lock(struct me *me)
{
	struct range r = some(me, LONGEST);
	if (pick(me, 2))
		munlock(r.start, r.pages * PAGE);
	else
		mlock2(r.start, r.pages * PAGE, pick(me, 2) ? MLOCK_ONFAULT : 0);
}

static void do_policy(struct me *me)
{
	struct range r = some(me, LONGEST);
	syscall(SYS_mbind, r.start, r.pages * PAGE, pick(me, 2) ? MPOL_DEFAULT : MPOL_LOCAL, NULL, 0, 0);
}

static void do_name(struct me *me)
{
	struct range r = some(me, LONGEST);
	prctl(PR_SET_VMA, 0 /* PR_SET_VMA_ANON_NAME */, r.start, r.pages * PAGE, pick(me, 3) ? "everycause" : NULL);
}

static void do_touch(struct me *me)
{
	struct range r = some(me, LONGEST);
	for (unsigned long page = 0; page < r.pages; page++)
		touch(r.start + page * PAGE);
}

static void do_personality(struct me *me)
{
	/* PROT_READ then means PROT_EXEC too */
	if (!racing)
		personality(pick(me, 2) ? personality(0xffffffff) ^ READ_IMPLIES_EXEC : 0);
}

static void some_causes(struct me *me, long rounds);

static void stop(void)
{
	dprintf(STDOUT_FILENO, "%d\n", getpid());
	for (;;)
		kill(getpid(), SIGSTOP);
}

/* A child that changes its copy, and is gone. */
static void do_fork(struct me *me)
{
	pid_t child = syscall(SYS_fork);
	if (child == 0) {
		me->random += 0x9e3779b97f4a7c15u;
		me->depth = DEPTH;
		racing = 0;
		some_causes(me, 5);
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static void do_vfork(struct me *me)
{
	struct range r = some(me, 4);
	char *arguments[] = {"true", NULL}, *environment[] = {NULL};
	pid_t child = vfork();
	if (child == 0) {
		mprotect(r.start, r.pages * PAGE, PROT_READ); /* in the parent's address space */
		if (r.pages > 1)
			execve("/bin/true", arguments, environment);
		_exit(0);
	}
	if (child > 0)
		waitpid(child, NULL, 0);
}

static int borrow(void *argument)
{
	struct me *me = argument;
	do_map_fixed(me);
	do_unmap(me);
	do_protect(me);
	return 0;
}

/* Another process in the same address space. */
static void do_share(struct me *me)
{
	char stack[16384] __attribute__((aligned(16)));
	struct me other = {me->random * 2654435761u | 1, DEPTH};
	pid_t child = clone(borrow, stack + sizeof(stack), CLONE_VM | SIGCHLD, &other);
	if (child > 0)
		waitpid(child, NULL, 0);
}

static const struct cause {
	const char *name;
	void (*make)(struct me *);
	int weight;
} causes[] = {
	{"map", do_map, 8}, {"map_fixed", do_map_fixed, 16}, {"map_noreplace", do_map_noreplace, 2},
	{"map_refused", do_map_refused, 1}, {"map_fails", do_map_fails, 1}, {"map_old", do_map_old, 2},
	{"unmap", do_unmap, 8}, {"protect", do_protect, 12}, {"protect_key", do_protect_key, 2},
	{"remap_grow", do_remap_grow, 4}, {"remap_shrink", do_remap_shrink, 4}, {"remap_fixed", do_remap_fixed, 6},
	{"remap_keep", do_remap_keep, 3}, {"remap_copy", do_remap_copy, 3}, {"remap_chain", do_remap_chain, 2},
	{"permute", do_permute, 10}, {"permute_arena", do_permute_arena, 3}, {"brk", do_brk, 4},
	{"attach", do_attach, 3}, {"detach", do_detach, 2}, {"grow_down", do_grow_down, 3}, {"stack", do_stack, 1},
	{"aio", do_aio, 1}, {"advise", do_advise, 6}, {"lock", do_lock, 3}, {"policy", do_policy, 2},
	{"name", do_name, 2}, {"touch", do_touch, 4}, {"personality", do_personality, 1},
	{"fork", do_fork, 1}, {"vfork", do_vfork, 1}, {"share", do_share, 1},
};
enum { CAUSES = sizeof(causes) / sizeof(*causes) };

static int chosen[CAUSES]; /* their weights, 0 for those not asked for */
static int weights;

static void some_causes(struct me *me, long rounds)
{
	while (rounds-- > 0) {
		int at = 0, left = pick(me, weights);
		while (left >= chosen[at])
			left -= chosen[at++];
		/* children of children only in tree, which makes them itself */
		if (me->depth == 0 || (causes[at].make != do_fork && causes[at].make != do_vfork && causes[at].make != do_share))
			causes[at].make(me);
	}
}

static void prepare(void)
{
	char name[64];
	snprintf(name, sizeof(name), "everycause.%d", getpid());
	file = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	memory = memfd_create("everycause", MFD_CLOEXEC);
	sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);
	zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	segment = shmget(IPC_PRIVATE, WINDOW * PAGE, IPC_CREAT | 0600);
	CHECK(file >= 0 && memory >= 0 && sealed >= 0 && zero >= 0 && segment >= 0);
	CHECK(ftruncate(file, 2 * WINDOW * PAGE) == 0 && ftruncate(memory, 2 * WINDOW * PAGE) == 0);
	CHECK(ftruncate(sealed, WINDOW * PAGE) == 0 && fcntl(sealed, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);

	arena = mmap(NULL, ARENA * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	windows[0] = mmap(NULL, WINDOW * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
	windows[1] = mmap(NULL, WINDOW * PAGE, PROT_READ, MAP_SHARED, memory, 0);
	windows[2] = mmap(NULL, WINDOW * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	windows[3] = shmat(segment, NULL, 0);
	CHECK(arena != MAP_FAILED && windows[3] != MAP_FAILED);
	shmctl(segment, IPC_RMID, NULL); /* goes with the last attach, whatever happens */
	/* the guard gap below a stack is 256 pages: it must be free for it to grow */
	growing = mmap(NULL, (256 + GROWN) * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(growing != MAP_FAILED);
	growing += 256 * PAGE;
	munmap(growing, GROWN * PAGE);
	tip = growing + (GROWN - 1) * PAGE;
	mmap(tip, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN | MAP_FIXED, -1, 0);
}

static long rounds_each;
static int arrived;
static pthread_barrier_t start;
static struct me threads[THREADS];

static __attribute__((noreturn)) void *race(void *argument)
{
	pthread_barrier_wait(&start); /* stacks are mapped before anyone begins */
	some_causes(argument, rounds_each);
	/* no thread may end: what glibc unmaps then is none of the causes */
	__atomic_add_fetch(&arrived, 1, __ATOMIC_SEQ_CST);
	for (;;)
		pause();
}

int main(int argc, char **argv)
{
	if (argc < 4) {
		fprintf(stderr, "usage: everycause alone|race|tree SEED ROUNDS [CAUSE...]\n");
		return 2;
	}
	const char *mode = argv[1];
	struct me me = {strtoul(argv[2], NULL, 10) * 0x9e3779b97f4a7c15u | 1, 0};
	long rounds = atol(argv[3]);
	for (int at = 0; at < CAUSES; at++) {
		chosen[at] = argc == 4 ? causes[at].weight : 0;
		for (int asked = 4; asked < argc; asked++)
			if (strcmp(argv[asked], causes[at].name) == 0)
				chosen[at] = causes[at].weight;
		weights += chosen[at];
	}
	if (weights == 0) {
		fprintf(stderr, "everycause: none of these is a cause: %s\n", argv[4]);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prepare();

	if (strcmp(mode, "race") == 0) {
		racing = 1;
		rounds_each = rounds / THREADS;
		pthread_barrier_init(&start, NULL, THREADS);
		for (int at = 0; at < THREADS; at++) {
			pthread_t thread;
			threads[at] = (struct me){me.random + at * 0x632be59bd9b4e019u, 0};
			CHECK(pthread_create(&thread, NULL, race, &threads[at]) == 0);
		}
		while (__atomic_load_n(&arrived, __ATOMIC_SEQ_CST) < THREADS)
			usleep(1000);
	} else if (strcmp(mode, "tree") == 0) {
		while (me.depth < DEPTH) {
			some_causes(&me, rounds / (DEPTH + 1));
			for (int children = 0; children < 2; children++) {
				pid_t child = syscall(SYS_fork);
				CHECK(child >= 0);
				if (child == 0) {
					prctl(PR_SET_PDEATHSIG, SIGKILL);
					me.random += (children + 1) * 0x632be59bd9b4e019u;
					break;
				}
				if (children == 1) /* the parent goes on beside its children */
					me.random ^= 0x5555;
			}
			me.depth++;
		}
		some_causes(&me, rounds / (DEPTH + 1));
	} else {
		me.random += mode[1]; /* another way the second time */
		some_causes(&me, rounds / 2);
		if (strcmp(mode, "again") != 0) {
			argv[1] = "again";
			execv("/proc/self/exe", argv);
			CHECK(!"execv");
		}
		some_causes(&me, rounds / 2);
	}
	stop();
}
