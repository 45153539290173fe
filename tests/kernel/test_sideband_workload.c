/* SPDX-License-Identifier: Apache-2.0
 *
 * What test_sideband.py records. Each command waits for a byte on stdin, does its work, says
 * "done" and waits for another byte, so that /proc can be read meanwhile. Nothing here calls
 * malloc: every change of a mapping after the first byte is one written below.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096L

static void must(int ok)
{
	if (!ok)
		_exit(99);
}

static void *map(void *at, long pages, int prot, int flags, int fd, long page)
{
	void *p = mmap(at, pages * PAGE, prot, flags, fd, page * PAGE);

	must(p != MAP_FAILED);
	return p;
}

static void await(void)
{
	char byte;

	must(read(0, &byte, 1) == 1);
}

static void done(void)
{
	must(write(1, "done\n", 5) == 5);
	await();
}

/* For each file: a private and a shared mapping from its third page on, both changed in the middle. */
static void files(char **paths)
{
	map(NULL, 5, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	map(NULL, 3, PROT_NONE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (; *paths; paths++) {
		int fd = open(*paths, O_RDWR);
		char *p;

		must(fd >= 0);
		p = map(NULL, 5, PROT_READ, MAP_PRIVATE, fd, 2);
		must(!mprotect(p + PAGE, PAGE, PROT_READ | PROT_EXEC));
		p = map(NULL, 5, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 3);
		must(!mprotect(p + 2 * PAGE, 2 * PAGE, PROT_READ));
		must(!mprotect(p + 2 * PAGE, PAGE, PROT_NONE));
	}
}

/* Exactly count records: each call changes the protection, so none is skipped. */
static void protects(long count)
{
	char *p = map(NULL, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	for (long i = 1; i < count; i++)
		must(!mprotect(p, PAGE, i & 1 ? PROT_READ | PROT_WRITE : PROT_READ));
}

static void *in_thread(void *unused)
{
	map((void *)0x200000000000, 1, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	return unused;
}

static void *forever(void *unused)
{
	for (;;)
		pause();
	return unused;
}

static void *link_of_chain(void *left)
{
	pthread_t next;

	map((void *)(0x300000000000 + (long)left * 2 * PAGE), 1, PROT_READ,
	    MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	if (left) {
		must(!pthread_create(&next, NULL, link_of_chain, (void *)((long)left - 1)));
		must(!pthread_join(next, NULL));
	}
	return NULL;
}

int main(int argc, char **argv)
{
	const char *what = argv[1];
	pthread_t thread;
	int status;

	must(argc > 1);
	if (!strcmp(what, "leaf"))
		return 0;
	if (!strcmp(what, "threaded"))
		must(!pthread_create(&thread, NULL, forever, NULL));
	must(write(1, "ready\n", 6) == 6);
	await();
	if (!strcmp(what, "files")) {
		files(argv + 2);
	} else if (!strcmp(what, "protects") || !strcmp(what, "threaded")) {
		protects(atol(argv[2]));
	} else if (!strcmp(what, "forked-protects")) {
		if (!fork()) {
			protects(atol(argv[2]));
			_exit(0);
		}
		must(wait(&status) > 0 && !status);
	} else if (!strcmp(what, "chain")) {
		must(!pthread_create(&thread, NULL, link_of_chain, (void *)(atol(argv[2]) - 1)));
		must(!pthread_join(thread, NULL));
	} else if (!strcmp(what, "tree")) {
		must(!pthread_create(&thread, NULL, in_thread, NULL));
		must(!pthread_join(thread, NULL));
		if (!fork()) {
			protects(23);
			execl(argv[0], argv[0], "leaf", NULL);
			_exit(98);
		}
		must(wait(&status) > 0 && !status);
	} else {
		_exit(97);
	}
	done();
	_exit(0);
}
