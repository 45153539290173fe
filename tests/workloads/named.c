/* SPDX-License-Identifier: Apache-2.0 */
/*
 * named: makes calls through functions whose names and places it knows, then executes another program.
 *
 *   named LIBRARY...
 *
 * Call N, from 1 on, is made through library N: main > caller > entry > INNER of the library, which maps page N of
 * MARKS. Then one through code it makes itself, of which it writes /tmp/perf-PID.map: main > caller > that code.
 * It prints, for each call, N and the addresses of these functions, innermost first (hexadecimal).
 *
 * With -DINNER=NAME it becomes such a library. INNER is static: only a full symbol table names it.
 */
#include "workload.h"
#include <dlfcn.h>

#define MARKS 0x100000000000UL

#ifdef INNER

__attribute__((noinline, noclone)) static long INNER(unsigned long n)
{
	register long flags asm("r10") = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, fd asm("r8") = -1, off asm("r9") = 0;
	long ret;

	asm volatile("" : : "r"(__builtin_frame_address(0))); /* without it this leaf has no frame */
	asm volatile("syscall" : "=a"(ret) : "a"(SYS_mmap), "D"(MARKS + n * PAGE), "S"(PAGE), "d"(PROT_READ), "r"(flags),
		     "r"(fd), "r"(off) : "rcx", "r11", "memory");
	return ret;
}

long entry(unsigned long n) { return INNER(n) + 1; }
void *inner_address(void) { return INNER; }

#else

typedef long (*entry_fn)(unsigned long);
typedef long (*code_fn)(unsigned long, unsigned long, long, long, long, long);

/* what is added keeps the call from becoming a jump */
__attribute__((noinline, noclone)) static long caller(entry_fn entry, code_fn code, unsigned long n)
{
	if (code)
		return code(MARKS + n * PAGE, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) + 1;
	return entry(n) + 1;
}

/* push %rbp; mov %rsp,%rbp; mov %rcx,%r10; mov $SYS_mmap,%eax; syscall; pop %rbp; ret */
static const unsigned char CODE[] = {0x55, 0x48, 0x89, 0xe5, 0x49, 0x89, 0xca, 0xb8, 9, 0, 0, 0, 0x0f, 5, 0x5d, 0xc3};

int main(int argc, char **argv)
{
	char path[64];
	int n;

	for (n = 1; n < argc; n++) {
		void *library = dlopen(argv[n], RTLD_NOW);
		if (!library)
			fprintf(stderr, "%s\n", dlerror());
		CHECK(library);
		entry_fn entry = (entry_fn)dlsym(library, "entry");
		void *(*inner_address)(void) = (void *(*)(void))dlsym(library, "inner_address");
		CHECK(caller(entry, NULL, n) == (long)(MARKS + n * PAGE + 2));
		printf("%d %lx %lx %lx %lx\n", n, (long)inner_address(), (long)entry, (long)caller, (long)main);
	}

	char *code = mmap(NULL, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(code != MAP_FAILED);
	memcpy(code, CODE, sizeof(CODE));
	CHECK(caller(NULL, (code_fn)code, n) == (long)(MARKS + n * PAGE + 1));
	printf("%d %lx %lx %lx\n", n, (long)code, (long)caller, (long)main);
	fflush(stdout);

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	FILE *map = fopen(path, "w");
	CHECK(map);
	/* the second line is what was there before, the others are nonsense */
	fprintf(map, "not a line\n%lx %lx before\n0x%016lx 0x%zx py::made \x1b[2J\nffffffffffffffff ff far\n", (long)code, PAGE,
		(long)code, sizeof(CODE));
	fclose(map);
	execl("/bin/true", "true", NULL);
	CHECK(!"executed");
}

#endif
