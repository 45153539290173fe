/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stacks: makes calls whose stacks are known, and prints where its functions are:
 *
 *   FUNCTION START END        (hexadecimal; each function is a section of its own)
 *
 * munmap of page N of a range where nothing is mapped: 1..17 by main > outer > middle > inner, 18..22 by
 * main > other > inner, 23 by inner from main, all made in place. Then calls by way of libc, which keeps
 * no frame pointers, from main > around > wrapper: mmap, mprotect, munmap of page 24, of page 25 (without a
 * procedure linkage table) and of page 26 (by a pointer), mremap, ftruncate, and open of a file that is made in
 * /tmp and removed. Then malloc of LARGE bytes from main > holder > bare, of which bare has no frame pointer
 * either; munmap of page 27 by astray, and of page 28 by way of libc from main > follower > strayed, while the
 * register points to what looks like a call from `other`; and last a fault in libc's memset, called from
 * main > around > filler.
 */
#include "workload.h"
#include <setjmp.h>
#if !BITS_64
#error "for 64 bits only"
#endif

#define LARGE 12345678
#define MARKS 0x100000000000UL
#define IN_SECTION(name) __attribute__((noinline, noclone, section("text_" #name)))
#define DECLARE(name) extern char __start_text_##name[], __stop_text_##name[]
#define PRINT(name) printf(#name " %lx %lx\n", (unsigned long)__start_text_##name, (unsigned long)__stop_text_##name)

DECLARE(inner);
DECLARE(middle);
DECLARE(outer);
DECLARE(other);
DECLARE(entry);
DECLARE(around);
DECLARE(wrapper);
DECLARE(filler);
DECLARE(bare);
DECLARE(holder);
DECLARE(astray);
DECLARE(strayed);
DECLARE(follower);
extern int unmap_directly(void *, size_t) __asm__("munmap") __attribute__((noplt));
static int (*volatile unmap_by_pointer)(void *, size_t) = munmap;

static char *page;
static sigjmp_buf back;
static volatile size_t size = PAGE; /* keeps memset a call */

static void after_fault(int signal) { siglongjmp(back, signal); }

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

IN_SECTION(wrapper) static int wrapper(void)
{
	char name[] = "/tmp/stacks-XXXXXX";
	int fd = mkstemp(name);
	page = mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(fd >= 0 && page != MAP_FAILED && mprotect(page, PAGE, PROT_READ | PROT_WRITE) == 0);
	CHECK(munmap((void *)(MARKS + 24 * PAGE), PAGE) == 0 && unmap_directly((void *)(MARKS + 25 * PAGE), PAGE) == 0);
	CHECK(unmap_by_pointer((void *)(MARKS + 26 * PAGE), PAGE) == 0);
	CHECK(mremap(page, PAGE, 2 * PAGE, MREMAP_MAYMOVE) != MAP_FAILED);
	CHECK(ftruncate(fd, 7) == 0 && open(name, O_RDWR | O_TRUNC) >= 0 && unlink(name) == 0);
	return 1;
}

IN_SECTION(bare) __attribute__((optimize("omit-frame-pointer"))) static int bare(void)
{
	char *large = malloc(LARGE);
	CHECK(large);
	*large = 1;
	free(large);
	return 1;
}

IN_SECTION(astray) __attribute__((optimize("omit-frame-pointer"))) static long astray(void)
{
	void *frame[2] = {NULL, __start_text_other + 4};
	long ret;
	asm volatile("sub $128, %%rsp; push %%rbp; mov %[frame], %%rbp; syscall; pop %%rbp; add $128, %%rsp"
		     : "=a"(ret)
		     : "a"(SYS_munmap), "D"(MARKS + 27 * PAGE), "S"(PAGE), [frame] "r"(frame)
		     : "rcx", "r11", "memory");
	return ret;
}

IN_SECTION(strayed) __attribute__((optimize("omit-frame-pointer"))) static long strayed(void)
{
	void *frame[2] = {NULL, __start_text_other + 4};
	long ret = MARKS + 28 * PAGE, size = PAGE;
	asm volatile("sub $128, %%rsp; push %%rbp; mov %[frame], %%rbp; mov %%rax, %%rdi; call munmap@PLT\n\t"
		     "pop %%rbp; add $128, %%rsp"
		     : "+a"(ret), "+S"(size)
		     : [frame] "r"(frame)
		     : "rcx", "rdx", "rdi", "r8", "r9", "r10", "r11", "memory");
	return ret;
}

IN_SECTION(follower) static long follower(void) { return strayed() + 1; }

IN_SECTION(holder) static int holder(void) { return bare() + 1; }

IN_SECTION(filler) static int filler(void)
{
	memset((void *)MARKS, 1, size);
	return 1;
}

IN_SECTION(around) static int around(int (*within)(void)) { return within() + 1; }

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
	CHECK(around(wrapper) == 2 && holder() == 2 && astray() == 0 && follower() == 1);
	CHECK(signal(SIGSEGV, after_fault) != SIG_ERR);
	if (sigsetjmp(back, 1) == 0)
		around(filler);
	PRINT(inner);
	PRINT(middle);
	PRINT(outer);
	PRINT(other);
	PRINT(entry);
	PRINT(around);
	PRINT(wrapper);
	PRINT(filler);
	PRINT(bare);
	PRINT(holder);
	PRINT(astray);
	PRINT(strayed);
	PRINT(follower);
	printf("page %lx %lx\n", (unsigned long)page, (unsigned long)page + PAGE);
	return 0;
}
