/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mapleak FILE: keeps a mapping of the first page of FILE for every request that it pretends to get, makes and frees
 * another for every tenth, and goes on until the kernel refuses any more. Exits with 1 then, as a service would.
 */
#include "workload.h"
#include <errno.h>

__attribute__((noinline)) static void *cache_entry(int fd)
{
	void *entry = mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);

	asm volatile("");
	return entry;
}

__attribute__((noinline)) static void *request(int fd)
{
	void *entry = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);

	asm volatile("");
	return entry;
}

int main(int argc, char **argv)
{
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;

	if (fd < 0) {
		fprintf(stderr, "usage: mapleak FILE\n");
		return 2;
	}
	for (int count = 0;; count++) {
		if (cache_entry(fd) == MAP_FAILED) {
			fprintf(stderr, "mapleak: cannot map %s: %s\n", argv[1], strerror(errno));
			return 1;
		}
		if (count % 10 == 0) {
			void *entry = request(fd);

			if (entry != MAP_FAILED)
				CHECK(munmap(entry, PAGE) == 0);
		}
		if (count % 100 == 0)
			usleep(3000);
	}
}
