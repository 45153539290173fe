/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stacks: makes calls whose stacks are known, and prints where its functions are:
 *
 *   FUNCTION START END        (hexadecimal; each function is a section of its own)
 *
 * munmap of page N of a range where nothing is mapped: 1..17 by main > outer > middle > inner, 18..22 by
 * main > other > inner, 23 by inner from main. The calls are made in place: a libc function without a
 * frame would hide its caller. Then one mprotect by way of libc.
 */
#include "workload.h"
#if !BITS_64
#error "for 64 bits only"
#endif

#define MARKS 0x100000000000UL
#define IN_SECTION(name) __attribute__((noinline, noclone, section("text_" #name)))
#define DECLARE(name) extern char __start_text_##name[], __stop_text_##name[]
#define PRINT(name) printf(#name " %lx %lx\n", (unsigned long)__start_text_##name, (unsigned long)__stop_text_##name)

DECLARE(inner);
DECLARE(middle);
DECLARE(outer);
DECLARE(other);
DECLARE(entry);

IN_SECTION(inner) static long inner(unsigned long n)
{
	long ret;
	asm volatile("" : : "r"(__builtin_frame_address(0))); /* without it this leaf has no frame */
	asm volatile("syscall" : "=a"(ret) : "a"(SYS_munmap), "D"(MARKS + n * PAGE), "S"(PAGE) : "rcx", "r11", "memory");
	return ret;
}

/* what is added keeps the call from becoming a jump */
IN_SECTION(middle) static long middle(unsigned long n) { return inner(n) + 1; }
IN_SECTION(outer) static long outer(unsigned long n) { return middle(n) + 1; }
IN_SECTION(other) static long other(unsigned long n) { return inner(n) + 1; }

IN_SECTION(entry) int main(void)
{
	unsigned long n = 1;
	do /* the call stands once in the code, which for and while do not promise */
		CHECK(outer(n) == 2);
	while (++n <= 17);
	do
		CHECK(other(n) == 1);
	while (++n <= 22);
	CHECK(inner(n) == 0);
	char *page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(page != MAP_FAILED && mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	PRINT(inner);
	PRINT(middle);
	PRINT(outer);
	PRINT(other);
	PRINT(entry);
	printf("page %lx %lx\n", (unsigned long)page, (unsigned long)page + PAGE);
	return 0;
}
