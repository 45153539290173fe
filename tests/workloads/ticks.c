/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ticks SECONDS: every 10 ms a fork or a few calls of each kind, and then a call that tells where
 * in time a recording ends: munmap of page N of a range where nothing is mapped. After each:
 *
 *   N now_ns
 *
 * Ends after SECONDS, or when nobody reads what it prints.
 */
#include "workload.h"
#include <sys/wait.h>

#define MARKS 0x100000000000UL

static void some_calls(void)
{
	for (int i = 0; i < 7; i++) {
		char *page = mmap(NULL, PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		CHECK(page != MAP_FAILED && mprotect(page, PAGE, PROT_READ) == 0 && munmap(page, PAGE) == 0);
	}
}

int main(int argc, char **argv)
{
	double seconds = argc == 2 ? atof(argv[1]) : 0;
	if (seconds <= 0) {
		fprintf(stderr, "usage: ticks SECONDS\n");
		return 2;
	}
	unsigned long long end = now_ns() + seconds * 1e9;
	for (unsigned long n = 0; now_ns() < end; n++) {
		if (n % 16 == 0) {
			pid_t child = fork();
			CHECK(child >= 0);
			if (child == 0)
				_exit(0);
			CHECK(waitpid(child, NULL, 0) == child);
		}
		some_calls();
		CHECK(munmap((void *)(MARKS + n * PAGE), PAGE) == 0);
		char line[64];
		int length = snprintf(line, sizeof(line), "%lu %llu\n", n, now_ns());
		CHECK(write(STDOUT_FILENO, line, length) == length);
		usleep(10000);
	}
	return 0;
}
