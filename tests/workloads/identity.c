/* SPDX-License-Identifier: Apache-2.0 */
/*
 * identity FILE OTHER: maps files in many ways and prints a line for each:
 *
 *   mapped ADDRESS fd dev inode size      (fstat before the call; dev is major << 20 | minor; fd -1: zeroes)
 *   raced ADDRESS fd 0 0 0                another thread makes fd name FILE and OTHER in turn meanwhile
 *
 * and then its /proc/self/maps. FILE is 16 pages long, OTHER 8 and unlinked while it is mapped.
 */
#include "workload.h"
#include <pthread.h>
#include <sys/sysmacros.h>

enum { RACES = 997 };

static int file, other, racing;
static volatile int done;

static char *map(size_t pages, int prot, int flags, int fd, unsigned long page)
{
	char *at = mmap(NULL, pages * PAGE, prot, flags, fd, page * PAGE);
	CHECK(at != MAP_FAILED);
	return at;
}

static void mapped(size_t pages, int prot, int flags, int fd, unsigned long page)
{
	struct stat s = {0};
	CHECK(fd < 0 || fstat(fd, &s) == 0);
	char *at = map(pages, prot, flags, fd, page);
	dprintf(STDOUT_FILENO, "mapped %lx %d %u %llu %llu\n", (unsigned long)at, fd,
		major(s.st_dev) << 20 | minor(s.st_dev), (unsigned long long)s.st_ino, (unsigned long long)s.st_size);
	map(1, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); /* a neighbour it cannot merge with */
}

static void *exchange(void *unused)
{
	while (!done) {
		dup2(file, racing);
		dup2(other, racing);
	}
	return unused;
}

int main(int argc, char **argv)
{
	char buffer[4096];
	static char *at[RACES];
	pthread_t thread;
	ssize_t length;

	if (argc != 3) {
		fprintf(stderr, "usage: identity FILE OTHER\n");
		return 2;
	}
	file = open(argv[1], O_RDWR | O_CREAT, 0600);
	other = open(argv[2], O_RDWR | O_CREAT, 0600);
	int memory = syscall(SYS_memfd_create, "memory", 0), zero = open("/dev/zero", O_RDWR);
	CHECK(file >= 0 && other >= 0 && memory >= 0 && zero >= 0);
	CHECK(ftruncate(file, 16 * PAGE) == 0 && ftruncate(other, 8 * PAGE) == 0 && ftruncate(memory, 4 * PAGE) == 0);

	mapped(16, PROT_READ, MAP_SHARED, file, 0);
	mapped(3, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 5);
	mapped(2, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED, other, 1);
	mapped(1, PROT_NONE, MAP_SHARED, other, 7);
	mapped(4, PROT_READ, MAP_SHARED, memory, 0);
	mapped(2, PROT_READ, MAP_PRIVATE, zero, 0);
	mapped(2, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	mapped(2, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	racing = dup(file);
	CHECK(racing >= 0 && pthread_create(&thread, NULL, exchange, NULL) == 0);
	for (int i = 0; i < RACES; i++)
		at[i] = map(1, PROT_READ, MAP_SHARED, racing, 0); /* the same page each, so none merge */
	done = 1;
	CHECK(pthread_join(thread, NULL) == 0);
	for (int i = 0; i < RACES; i++)
		dprintf(STDOUT_FILENO, "raced %lx %d 0 0 0\n", (unsigned long)at[i], racing);

	int maps = open("/proc/self/maps", O_RDONLY);
	CHECK(maps >= 0);
	while ((length = read(maps, buffer, sizeof(buffer))) > 0)
		CHECK(write(STDOUT_FILENO, buffer, length) == length);
	unlink(argv[2]);
	return 0;
}
