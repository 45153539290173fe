/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault MODE [FILE]: takes one signal and prints what its handler saw:
 *
 *   signal NAME code N address HEX ip HEX pid N tid N before_ns N after_ns N
 *
 * sigbus-eof      a page of a mapping of FILE beyond its end, after ftruncate
 * sigsegv-maperr  an address where nothing is mapped
 * sigsegv-accerr  a write to a read-only page
 * raise           SIGSEGV by kill(2): sent by a user, not by the kernel
 */
#include "workload.h"
#include <setjmp.h>
#include <ucontext.h>

static sigjmp_buf back;
static siginfo_t seen;
static uintptr_t seen_ip;

static void handler(int signal, siginfo_t *info, void *context)
{
	ucontext_t *user = context;
	(void)signal;
	seen = *info;
#if BITS_64
	seen_ip = user->uc_mcontext.gregs[REG_RIP];
#else
	seen_ip = user->uc_mcontext.gregs[REG_EIP];
#endif
	siglongjmp(back, 1);
}

static char *map_page(int prot, int flags, int fd)
{
	char *page = mmap(NULL, PAGE, prot, flags, fd, 0);
	CHECK(page != MAP_FAILED);
	return page;
}

int main(int argc, char **argv)
{
	const char *mode = argc > 1 ? argv[1] : "";
	char *volatile page = NULL; /* what is written to */
	if (strcmp(mode, "sigbus-eof") == 0 && argc > 2) {
		int fd = open(argv[2], O_RDWR | O_CREAT, 0600);
		CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
		page = map_page(PROT_READ | PROT_WRITE, MAP_SHARED, fd);
		*page = 1;
		CHECK(ftruncate(fd, 0) == 0);
	} else if (strcmp(mode, "sigsegv-maperr") == 0) {
		page = map_page(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
		CHECK(munmap(page, PAGE) == 0);
	} else if (strcmp(mode, "sigsegv-accerr") == 0) {
		page = map_page(PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	} else if (strcmp(mode, "raise") != 0) {
		fprintf(stderr, "usage: fault sigbus-eof FILE | sigsegv-maperr | sigsegv-accerr | raise\n");
		return 2;
	}

	struct sigaction action = {.sa_sigaction = handler, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGBUS, &action, NULL) == 0 && sigaction(SIGSEGV, &action, NULL) == 0);
	unsigned long long before = now_ns();
	if (sigsetjmp(back, 1) == 0) {
		if (page)
			*(volatile char *)(page + 123) = 1;
		else
			kill(getpid(), SIGSEGV);
		fprintf(stderr, "no signal came\n");
		return 1;
	}
	printf("signal %s code %d address %lx ip %lx pid %d tid %d before_ns %llu after_ns %llu\n",
	       seen.si_signo == SIGBUS ? "SIGBUS" : "SIGSEGV", seen.si_code, page ? (unsigned long)seen.si_addr : 0UL,
	       (unsigned long)seen_ip, getpid(), (int)syscall(SYS_gettid), before, now_ns());
	return page && seen.si_addr != page + 123;
}
