/* SPDX-License-Identifier: Apache-2.0 */
/*
 * leak FILE MAPPED PAGES FREED OTHERS: between two times it prints, maps FILE so often and keeps it, maps it again and
 * frees that, and frees what it had mapped before; it moves a mapping of 31 pages and changes one of 37.
 *
 *   begin NS, end NS (CLOCK_MONOTONIC), pid PID, then FUNCTION START END (hexadecimal; each a section of its own)
 */
#include "workload.h"
#if !BITS_64
#error "for 64 bits only"
#endif

#define IN_SECTION(name) __attribute__((noinline, noclone, section("text_" #name)))
#define DECLARE(name) extern char __start_text_##name[], __stop_text_##name[]
#define PRINT(name) printf(#name " %lx %lx\n", (unsigned long)__start_text_##name, (unsigned long)__stop_text_##name)

DECLARE(leak);
DECLARE(entry);

/* The call is made in place: a libc function without a frame would hide its caller. */
IN_SECTION(leak) static long leak(int fd, unsigned long size)
{
	long ret;
	register long flags asm("r10") = MAP_SHARED;
	register long file asm("r8") = fd;
	register long offset asm("r9") = 0;
	asm volatile("" : : "r"(__builtin_frame_address(0)));
	asm volatile("syscall" : "=a"(ret) : "a"(SYS_mmap), "D"(0), "S"(size), "d"(PROT_READ), "r"(flags), "r"(file), "r"(offset)
		     : "rcx", "r11", "memory");
	return ret;
}

/* Neighbours of one file would be merged if the file went on; it does not, each begins at 0. */
IN_SECTION(entry) int main(int argc, char **argv)
{
	CHECK(argc == 6);
	int fd = open(argv[1], O_RDONLY);
	CHECK(fd >= 0);
	long mapped = atol(argv[2]), freed = atol(argv[4]), others = atol(argv[5]);
	size_t size = atol(argv[3]) * PAGE;
	void **before = malloc(others * sizeof(*before));
	for (long n = 0; n < others; n++)
		CHECK((before[n] = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0)) != MAP_FAILED);
	/* with a gap on both sides, so that no neighbour of theirs is of the same kind */
	char *room = mmap(NULL, 200 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(room != MAP_FAILED && munmap(room, 200 * PAGE) == 0);
	char *moved = mmap(room, 31 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	char *changed = mmap(room + 50 * PAGE, 37 * PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	CHECK(moved != MAP_FAILED && changed != MAP_FAILED);
	unsigned long long begin = now_ns();
	CHECK(mremap(moved, 31 * PAGE, 31 * PAGE, MREMAP_MAYMOVE | MREMAP_FIXED, room + 100 * PAGE) == room + 100 * PAGE);
	CHECK(mprotect(changed + 5 * PAGE, 7 * PAGE, PROT_READ | PROT_WRITE) == 0);
	long n = mapped;
	do /* the call stands once in the code */
		CHECK(leak(fd, size) > 0);
	while (--n);
	for (n = 0; n < freed; n++) {
		void *at = mmap(NULL, size, PROT_READ, MAP_SHARED, fd, 0);
		CHECK(at != MAP_FAILED && munmap(at, size) == 0);
	}
	for (n = 0; n < others; n++)
		CHECK(munmap(before[n], size) == 0);
	printf("begin %llu\nend %llu\npid %d\n", begin, now_ns(), getpid());
	PRINT(leak);
	PRINT(entry);
	return 0;
}
