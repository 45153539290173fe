/* SPDX-License-Identifier: Apache-2.0 */
/*
 * victim FILE: maps four pages of FILE and says where, then waits for a line, touches the last page, and prints what
 * its SIGBUS handler saw:
 *
 *   mapped HEX
 *   fault HEX before_ns N after_ns N
 *
 * then it waits for another line and ends, its mappings unchanged since the first line it printed.
 */
#include "workload.h"
#include <setjmp.h>

static sigjmp_buf back;
static void *volatile seen;

static void handler(int signal, siginfo_t *info, void *context)
{
	(void)signal, (void)context;
	seen = info->si_addr;
	siglongjmp(back, 1);
}

int main(int argc, char **argv)
{
	char line[16];
	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	int fd = argc == 2 ? open(argv[1], O_RDWR) : -1;
	CHECK(fd >= 0);
	volatile char *pages = mmap(NULL, 4 * PAGE, PROT_READ, MAP_SHARED, fd, 0);
	CHECK(pages != MAP_FAILED && sigaction(SIGBUS, &action, NULL) == 0);
	setvbuf(stdin, NULL, _IONBF, 0);
	printf("mapped %lx\n", (unsigned long)pages);
	fflush(stdout);
	CHECK(fgets(line, sizeof(line), stdin));
	unsigned long long before = now_ns();
	if (sigsetjmp(back, 1) == 0)
		(void)pages[3 * PAGE];
	printf("fault %lx before_ns %llu after_ns %llu\n", (unsigned long)seen, before, now_ns());
	fflush(stdout);
	CHECK(fgets(line, sizeof(line), stdin));
	return 0;
}
