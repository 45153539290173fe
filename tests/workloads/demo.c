/* SPDX-License-Identifier: Apache-2.0 */
/*
 * demo DIR: what `make demo` records. A short life of a process that changes its address space in
 * the ways people ask about, and says what it does. Files are made in DIR; the last one, maps,
 * is the process's own /proc/self/maps at the end, to hold a rebuilt map against.
 */
#include "workload.h"
#include <setjmp.h>
#include <sys/wait.h>

static sigjmp_buf back;
static siginfo_t seen;

static void on_sigbus(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)context;
	seen = *info;
	siglongjmp(back, 1);
}

/* A file of PAGES pages in DIR, each beginning with its own number. */
static int make_file(const char *name, int pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, pages * PAGE) == 0);
	for (char page = 0; page < pages; page++)
		CHECK(pwrite(fd, &page, 1, page * PAGE) == 1);
	return fd;
}

static char *map(size_t pages, int flags, int fd)
{
	char *addr = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, flags, fd, 0);
	CHECK(addr != MAP_FAILED);
	return addr;
}

static void permute(void)
{
	int fd = make_file("pages.dat", 8);
	char *pages = map(8, MAP_SHARED, fd);
	close(fd); /* remap_file_pages needs the mapping, not the descriptor */
	for (int i = 0; i < 8; i++)
		CHECK(remap_file_pages(pages + i * PAGE, PAGE, 0, 7 - i, 0) == 0);
	printf("reversed 8 pages of pages.dat at %p: they now begin with", (void *)pages);
	for (int i = 0; i < 8; i++)
		printf(" %d", pages[i * PAGE]);
	printf("\n");
	CHECK(remap_file_pages(pages, PAGE, PROT_READ, 0, 0) == -1);
	printf("remap_file_pages with prot != 0: %s\n", strerror(errno));
	CHECK(mprotect(pages + 2 * PAGE, 3 * PAGE, PROT_READ) == 0);
}

static void grow_and_move(void)
{
	char *block = map(4, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	/* a wall behind it, unless something stands there already: either way it cannot grow in place */
	mmap(block + 4 * PAGE, PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
	char *moved = mremap(block, 4 * PAGE, 16 * PAGE, MREMAP_MAYMOVE);
	CHECK(moved != MAP_FAILED);
	CHECK(munmap(moved + 7 * PAGE, PAGE) == 0);
	printf("grew 4 pages at %p to 16 at %p, then unmapped the eighth\n", (void *)block, (void *)moved);
}

static void heap(void)
{
	char *end = sbrk(0);
	CHECK(brk(end + 32 * PAGE) == 0);
	CHECK(brk(end + 8 * PAGE) == 0);
	printf("moved the break from %p up 32 pages and down 24\n", (void *)end);
}

static void child(void)
{
	fflush(stdout);
	pid_t pid = fork();
	CHECK(pid >= 0);
	if (pid == 0) {
		memset(map(5, MAP_PRIVATE | MAP_ANONYMOUS, -1), 1, 5 * PAGE);
		_exit(0);
	}
	int status;
	CHECK(waitpid(pid, &status, 0) == pid && status == 0);
	printf("child %d mapped 5 pages of its own and ended\n", pid);
}

static void truncated_file(void)
{
	int fd = make_file("shrunk.dat", 4);
	char *pages = map(4, MAP_SHARED, fd);
	struct sigaction action = {.sa_sigaction = on_sigbus, .sa_flags = SA_SIGINFO};
	CHECK(sigaction(SIGBUS, &action, NULL) == 0);
	CHECK(ftruncate(fd, PAGE) == 0);
	if (sigsetjmp(back, 1) == 0) {
		*(volatile char *)(pages + 2 * PAGE) = 1;
		CHECK(!"a SIGBUS");
	}
	printf("shrunk.dat was cut to 1 page under its mapping at %p: SIGBUS, code %d, address %p\n", (void *)pages,
	       seen.si_code, seen.si_addr);
	close(fd);
}

static void copy_maps(void)
{
	static char text[1 << 16]; /* static, so that copying maps nothing */
	int from = open("/proc/self/maps", O_RDONLY), to = open("maps", O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(from >= 0 && to >= 0);
	for (ssize_t n; (n = read(from, text, sizeof(text))) > 0;)
		CHECK(write(to, text, n) == n);
}

int main(int argc, char **argv)
{
	if (argc != 2 || chdir(argv[1]) != 0) {
		fprintf(stderr, "usage: demo DIR\n");
		return 2;
	}
	printf("pid %d\n", getpid());
	permute();
	grow_and_move();
	heap();
	child();
	truncated_file();
	fflush(stdout);
	copy_maps();
	return 0;
}
