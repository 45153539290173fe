/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service FILE: maps FILE and reads a byte of every page of it, over and over, as a service that keeps its data in a
 * mapping does. Says "ready" once it has read all of it, and runs until a signal ends it.
 */
#include "workload.h"

int main(int argc, char **argv)
{
	struct stat stat;
	int fd = argc == 2 ? open(argv[1], O_RDONLY) : -1;
	if (fd < 0 || fstat(fd, &stat) != 0) {
		fprintf(stderr, "usage: service FILE\n");
		return 2;
	}
	volatile char *data = mmap(NULL, stat.st_size, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(data != MAP_FAILED);
	close(fd);
	for (int rounds = 0;; rounds++) {
		for (off_t at = 0; at < stat.st_size; at += PAGE)
			(void)data[at];
		if (rounds == 0)
			CHECK(write(1, "ready\n", 6) == 6);
		usleep(1000);
	}
}
