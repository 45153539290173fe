/* SPDX-License-Identifier: Apache-2.0 */
/*
 * family [wait]: relatives of every kind, each of which makes one call of its own: munmap of page N
 * of a range where nothing is mapped. For each it prints
 *
 *   NAME N pid tid
 *
 * With `wait`, it has a thread already, prints "ready", and begins when its input ends.
 */
#include "workload.h"
#include <pthread.h>
#include <sched.h>
#include <sys/wait.h>

#define MARKS 0x100000000000UL

static char stack[1 << 16] __attribute__((aligned(16)));
static pthread_barrier_t begin;

/* for children that borrow their parent's memory: system calls only, no libc */
static void mark(unsigned long n)
{
	syscall(SYS_munmap, MARKS + n * PAGE, PAGE);
}

static void present(const char *name, unsigned long n)
{
	mark(n);
	dprintf(STDOUT_FILENO, "%s %lu %d %d\n", name, n, getpid(), (int)syscall(SYS_gettid));
}

static void *thread(void *name)
{
	present(name, strcmp(name, "thread") == 0 ? 3 : 7);
	return NULL;
}

static void *early_thread(void *unused)
{
	pthread_barrier_wait(&begin);
	present("early-thread", 29);
	return unused;
}

static void in_thread(char *name)
{
	pthread_t id;
	CHECK(pthread_create(&id, NULL, thread, name) == 0 && pthread_join(id, NULL) == 0);
}

static void reap(pid_t child)
{
	int status;
	CHECK(child > 0 && waitpid(child, &status, __WALL) == child && status == 0);
}

static void child(void)
{
	present("child", 5);
	in_thread("child-thread");
	pid_t grandchild = fork();
	if (grandchild == 0) {
		CHECK(setsid() > 0);
		present("grandchild", 11);
		_exit(0);
	}
	reap(grandchild);
	_exit(0);
}

static int sharing_child(void *unused)
{
	(void)unused;
	mark(17);
	_exit(0);
}

int main(int argc, char **argv)
{
	pthread_t early;
	char byte;
	if (argc == 2 && strcmp(argv[1], "executed") == 0) {
		present("executed", 19);
		return 0;
	}
	int waits = argc == 2 && strcmp(argv[1], "wait") == 0;
	if (waits) {
		pthread_barrier_init(&begin, NULL, 2);
		CHECK(pthread_create(&early, NULL, early_thread, NULL) == 0);
		dprintf(STDOUT_FILENO, "ready\n");
		while (read(STDIN_FILENO, &byte, 1) > 0)
			;
		pthread_barrier_wait(&begin);
		CHECK(pthread_join(early, NULL) == 0);
	}
	present("self", 2);
	in_thread("thread");

	pid_t forked = fork();
	if (forked == 0)
		child();
	reap(forked);

	pid_t vforked = vfork();
	if (vforked == 0) {
		mark(13);
		_exit(0);
	}
	dprintf(STDOUT_FILENO, "vfork 13 %d %d\n", vforked, vforked);
	reap(vforked);

	pid_t sharing = clone(sharing_child, stack + sizeof(stack), CLONE_VM | SIGCHLD, NULL);
	dprintf(STDOUT_FILENO, "sharing 17 %d %d\n", sharing, sharing);
	reap(sharing);

	pid_t executing = fork();
	if (executing == 0) {
		execl("/proc/self/exe", argv[0], "executed", NULL);
		_exit(1);
	}
	reap(executing);
	return 0;
}
