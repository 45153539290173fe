/* SPDX-License-Identifier: Apache-2.0 */
/*
 * edges_windows DIRECTORY [LIBRARY]: remaps windows of files, is refused, sees pages twice, and runs code it wrote.
 *
 * What it does it says, a line each: WHAT NAME key=value ... Numbers are decimal, those of addresses hexadecimal.
 *   rejected, accepted  remap_file_pages: pid addr size prot pgoff flags errno
 *   permuted            pid start pages, and file pages in the order of addresses, as /proc/self/maps shows them
 *   aliased             pid start other size
 *   shares              pid start size perms
 *   code                pid start size turns, and what the code returned
 * LIBRARY is loaded; it has relocations in its text. Files are made in DIRECTORY.
 */
#include "workload.h"
#include <dlfcn.h>
#include <sys/ipc.h>
#include <sys/shm.h>
#include <sys/wait.h>
#if !BITS_64
#error "for 64 bits only"
#endif
#ifndef SYS_mseal
#define SYS_mseal 462
#endif
#ifndef F_SEAL_FUTURE_WRITE
#define F_SEAL_FUTURE_WRITE 0x0010
#endif

enum { RW = PROT_READ | PROT_WRITE, RX = PROT_READ | PROT_EXEC };

/* What this program maps lies in its own room, with a page of nothing around each. */
static char *room, *next;

static void make_room(void)
{
	room = mmap(NULL, 4096 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	CHECK(room != MAP_FAILED && munmap(room, 4096 * PAGE) == 0);
	next = room + PAGE;
}

static char *map_at(char *where, unsigned long pages, int prot, int flags, int fd, unsigned long first)
{
	char *at = mmap(where, pages * PAGE, prot, flags | MAP_FIXED_NOREPLACE, fd, first * PAGE);
	CHECK(at == where);
	return at;
}

static char *map(unsigned long pages, int prot, int flags, int fd, unsigned long first)
{
	char *at = map_at(next, pages, prot, flags, fd, first);
	next += (pages + 1) * PAGE;
	return at;
}

/* A file whose page N begins with the byte N. */
static int file(const char *name, unsigned long pages)
{
	int fd = open(name, O_RDWR | O_CREAT | O_TRUNC, 0600);
	CHECK(fd >= 0);
	for (unsigned long n = 0; n < pages; n++) {
		char page[PAGE] = {n};
		CHECK(write(fd, page, PAGE) == (ssize_t)PAGE);
	}
	return fd;
}

static long remap(const char *name, void *start, unsigned long size, unsigned long prot, unsigned long pgoff, unsigned long flags)
{
	errno = 0;
	long ret = syscall(SYS_remap_file_pages, start, size, prot, pgoff, flags);
	if (name)
		printf("%s %s pid=%d addr=%lx size=%lx prot=%lx pgoff=%lx flags=%lx errno=%d\n", ret ? "rejected" : "accepted",
		       name, getpid(), (unsigned long)start, size, prot, pgoff, flags, errno);
	return ret;
}

static void reject(void)
{
	int fd = file("windows", 7), other = file("other", 7), again = open("windows", O_RDWR), reading = open("windows", O_RDONLY);
	CHECK(again >= 0 && reading >= 0);
	char *good = map(5, RW, MAP_SHARED, fd, 0), *at;

	fflush(stdout);
	/* as many VMAs as the kernel allows */
	pid_t child = fork();
	if (child == 0) {
		char *many = map(5, RW, MAP_SHARED, fd, 0);
		unsigned long size = 40000UL * 2 * PAGE;
		char *sea = mmap(NULL, size, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		CHECK(sea != MAP_FAILED);
		for (unsigned long n = PAGE; n < size && mprotect(sea + n, PAGE, PROT_READ) == 0; n += 2 * PAGE)
			;
		while (mmap(NULL, PAGE, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0) != MAP_FAILED)
			;
		remap("map-count", many + 2 * PAGE, PAGE, 0, 0, 0);
		fflush(stdout);
		_exit(0);
	}
	CHECK(child > 0 && waitpid(child, NULL, 0) == child);

	remap("prot", good, PAGE, PROT_READ, 1, 0);
	remap("size", good, PAGE - 1, 0, 1, 0);
	remap("wraps", good, -PAGE, 0, 1, 0);
	remap("pgoff-wraps", good, PAGE, 0, -1UL, 0);
	/* more than one reason: the kernel's first is told */
	remap("prot-first", good, 0, PROT_WRITE, -1UL, 0);
	remap("nothing", good - PAGE, PAGE, 0, 1, 0);
	remap("private", map(3, RW, MAP_PRIVATE, fd, 0), PAGE, 0, 1, 0);
	remap("anonymous", map(3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), PAGE, 0, 1, 0);
	remap("read-only", map(3, PROT_READ, MAP_SHARED, reading, 0), PAGE, 0, 1, 0);

	at = map(5, RW, MAP_SHARED, fd, 0);
	CHECK(munmap(at + 2 * PAGE, PAGE) == 0);
	remap("hole", at, 5 * PAGE, 0, 1, 0);
	remap("past", map(3, RW, MAP_SHARED, fd, 0), 4 * PAGE, 0, 1, 0);
	at = map(5, RW, MAP_SHARED, fd, 0);
	map_at(at + 5 * PAGE, 1, RW, MAP_SHARED, other, 5);
	next += PAGE;
	remap("other-file", at, 6 * PAGE, 0, 1, 0);
	at = map(5, RW, MAP_SHARED, fd, 0);
	CHECK(mprotect(at + 3 * PAGE, 2 * PAGE, PROT_READ) == 0);
	remap("other-perms", at, 5 * PAGE, 0, 1, 0);
	at = map(5, RW, MAP_SHARED, fd, 0);
	CHECK(mlock(at + 3 * PAGE, PAGE) == 0);
	remap("locked", at, 5 * PAGE, 0, 1, 0);
	at = map(3, RW, MAP_SHARED, fd, 0);
	map_at(at + 3 * PAGE, 2, RW, MAP_SHARED, again, 3);
	next += 2 * PAGE;
	remap("other-open", at, 5 * PAGE, 0, 1, 0);
	/* the first reason in order of addresses */
	at = map(2, RW, MAP_SHARED, fd, 0);
	map_at(at + 2 * PAGE, 1, RW, MAP_SHARED, other, 0);
	next += 4 * PAGE;
	remap("file-before-hole", at, 5 * PAGE, 0, 1, 0);

	remap("beyond", good, PAGE, 0, -4096UL, 0);
	at = map(5, RW, MAP_SHARED, fd, 0);
	CHECK(syscall(SYS_mseal, at + 2 * PAGE, PAGE, 0) == 0);
	remap("sealed-in-part", at + PAGE, 3 * PAGE, 0, 1, 0);
	remap("sealed", at + 2 * PAGE, PAGE, 0, 1, 0);
	int memory = memfd_create("future", MFD_ALLOW_SEALING);
	CHECK(memory >= 0 && ftruncate(memory, 5 * PAGE) == 0);
	at = map(5, RW, MAP_SHARED, memory, 0);
	CHECK(fcntl(memory, F_ADD_SEALS, F_SEAL_FUTURE_WRITE) == 0);
	remap("future-write", at, PAGE, 0, 1, 0);

	/* what is accepted: past the end of the file, over neighbours of the same kind, from an odd address, any flags */
	remap("beyond-eof", good, PAGE, 0, 100, 0);
	remap("neighbours", good, 3 * PAGE, 0, 2, 0);
	remap("odd", good + 5, PAGE + 7, 0, 0, ~0x10000UL);
	remap("linear", good, 5 * PAGE, 0, 0, 0);
}

/* What the kernel's own maps say of a region, the file's page of each page. */
static void permuted(const char *name, char *start, unsigned long pages)
{
	char line[4096];
	FILE *maps = fopen("/proc/self/maps", "r");
	CHECK(maps);
	printf("permuted %s pid=%d start=%lx pages=", name, getpid(), (unsigned long)start);
	unsigned long vmas = 0;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long low, high, offset;
		CHECK(sscanf(line, "%lx-%lx %*s %lx", &low, &high, &offset) == 3);
		if (low < (unsigned long)start || high > (unsigned long)start + pages * PAGE)
			continue;
		for (unsigned long page = low; page < high; page += PAGE)
			printf("%s%lu", page == (unsigned long)start ? "" : ",", (offset + page - low) / PAGE);
		vmas++;
	}
	printf(" vmas=%lu\n", vmas);
	fclose(maps);
}

static void permute(void)
{
	int fd = file("permuted", 12);
	static const unsigned char order[] = {2, 0, 1, 4, 3};
	char *at = map(5, RW, MAP_SHARED, fd, 0);
	for (int n = 0; n < 5; n++)
		CHECK(remap(NULL, at + n * PAGE, PAGE, 0, order[n], 0) == 0);
	for (int n = 0; n < 5; n++)
		CHECK(at[n * PAGE] == order[n]);
	permuted("pages", at, 5);

	at = map(12, RW, MAP_SHARED, fd, 0);
	for (int n = 0; n < 3; n++)
		CHECK(remap(NULL, at + n * 4 * PAGE, 4 * PAGE, 0, 8 - n * 4, 0) == 0);
	permuted("windows", at, 12);

	/* twice at the same place: two findings */
	CHECK(munmap(at, 12 * PAGE) == 0);
	map_at(at, 12, RW, MAP_SHARED, fd, 0);
	CHECK(remap(NULL, at, PAGE, 0, 11, 0) == 0);
	permuted("once-more", at, 12);

	at = map(7, RW, MAP_SHARED, fd, 0);
	for (int n = 0; n < 7; n++)
		CHECK(remap(NULL, at + n * PAGE, PAGE, 0, 6 - n, 0) == 0);
	for (int n = 0; n < 7; n++)
		CHECK(remap(NULL, at + n * PAGE, PAGE, 0, n, 0) == 0);
	permuted("restored", at, 7);

	at = map(3, RW, MAP_SHARED, fd, 4);
	CHECK(remap(NULL, at + PAGE, PAGE, 0, 5, 0) == 0);
	permuted("never-out-of-order", at, 3);
}

static void aliased(const char *name, char *at, char *other, unsigned long pages)
{
	printf("aliased %s pid=%d start=%lx other=%lx size=%lx\n", name, getpid(), (unsigned long)at, (unsigned long)other, pages * PAGE);
}

/* One end of shared memory, held until another process has held its own. */
static void shares(const char *name, char *at, unsigned long pages, const char *perms)
{
	printf("shares %s pid=%d start=%lx size=%lx perms=%s\n", name, getpid(), (unsigned long)at, pages * PAGE, perms);
	fflush(stdout);
}

static void alias(void)
{
	int fd = memfd_create("window", 0);
	CHECK(fd >= 0 && ftruncate(fd, 12 * PAGE) == 0);
	char *at = map(5, RW, MAP_SHARED, fd, 0), *other = map(7, PROT_READ, MAP_SHARED, fd, 3);
	at[3 * PAGE] = 5;
	CHECK(other[0] == 5);
	aliased("overlap", at + 3 * PAGE, other, 2);

	int ring = memfd_create("ring", 0);
	CHECK(ring >= 0 && ftruncate(ring, 2 * PAGE) == 0);
	at = map(2, RW, MAP_SHARED, ring, 0);
	map_at(at + 2 * PAGE, 2, RW, MAP_SHARED, ring, 0);
	next += 2 * PAGE;
	aliased("ring", at, at + 2 * PAGE, 2);

	/* not to be told: apart in the file, apart in time, private, only read */
	fd = file("apart", 12);
	map(3, RW, MAP_SHARED, fd, 0);
	map(3, RW, MAP_SHARED, fd, 3);
	fd = file("in-turn", 5);
	for (int n = 0; n < 5; n++) {
		at = map(5, RW, MAP_SHARED, fd, 0);
		CHECK(munmap(at, 5 * PAGE) == 0);
	}
	fd = file("private", 5);
	map(5, RW, MAP_PRIVATE, fd, 0);
	map(5, RW, MAP_PRIVATE, fd, 0);
	map(5, RW, MAP_SHARED, fd, 0);
	fd = file("only-read", 5);
	map(5, PROT_READ, MAP_SHARED, fd, 0);
	map(5, PROT_READ, MAP_SHARED, fd, 0);
}

/* A process of its own, not a copy of this one. */
static pid_t start(const char *what, const char *argument)
{
	pid_t child = fork();
	CHECK(child >= 0);
	if (child == 0) {
		execl("/proc/self/exe", "edges_windows", what, argument, (char *)NULL);
		_exit(127);
	}
	return child;
}

static void end(pid_t child)
{
	int status;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static int other_end(const char *what, const char *argument)
{
	make_room();
	if (strcmp(what, "memfd") == 0) {
		int fd = open(argument, O_RDWR);
		CHECK(fd >= 0);
		shares("memfd", map(3, RW, MAP_SHARED, fd, 2), 3, "rw-s");
	} else if (strcmp(what, "shm") == 0) {
		int fd = open(argument, O_RDONLY);
		CHECK(fd >= 0);
		shares("shm", map(5, PROT_READ, MAP_SHARED, fd, 0), 5, "r--s");
	} else if (strcmp(what, "sysv") == 0) {
		char *at = shmat(atoi(argument), NULL, 0);
		CHECK(at != (char *)-1);
		shares("sysv", at, 3, "rw-s");
	} else if (strcmp(what, "alone") == 0) { /* apart in the file, private, or only read */
		int fd = open(argument, O_RDWR);
		CHECK(fd >= 0);
		map(2, RW, MAP_SHARED, fd, 5);
		map(5, RW, MAP_PRIVATE, fd, 0);
		fd = open("only-read", O_RDONLY);
		CHECK(fd >= 0);
		map(5, PROT_READ, MAP_SHARED, fd, 0);
	} else
		return 1;
	return 0;
}

static void share(void)
{
	char path[64];
	int fd = memfd_create("passed", 0);
	CHECK(fd >= 0 && ftruncate(fd, 7 * PAGE) == 0);
	shares("memfd", map(5, RW, MAP_SHARED, fd, 0), 5, "rw-s");
	snprintf(path, sizeof(path), "/proc/%d/fd/%d", getpid(), fd);
	end(start("memfd", path));

	snprintf(path, sizeof(path), "/dev/shm/edges_windows.%d", getpid());
	fd = file(path, 5);
	shares("shm", map(5, RW, MAP_SHARED, fd, 0), 5, "rw-s");
	end(start("shm", path));
	CHECK(unlink(path) == 0);

	int segment = shmget(IPC_PRIVATE, 3 * PAGE, IPC_CREAT | 0600);
	CHECK(segment >= 0);
	char *at = shmat(segment, NULL, 0);
	CHECK(at != (char *)-1);
	shares("sysv", at, 3, "rw-s");
	snprintf(path, sizeof(path), "%d", segment);
	end(start("sysv", path));
	CHECK(shmctl(segment, IPC_RMID, NULL) == 0);

	fd = file("alone", 7);
	map(5, RW, MAP_SHARED, fd, 0);
	end(start("alone", "alone"));

	/* what a copy of this process has, it has from it */
	char *inherited = map(5, RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	shares("inherited", inherited, 5, "rw-s");
	pid_t child = fork();
	if (child == 0) {
		inherited[0] = 7;
		shares("inherited", inherited, 5, "rw-s");
		_exit(0);
	}
	end(child);
	CHECK(inherited[0] == 7);
}

/* mov $VALUE, %eax; ret */
static void write_code(char *at, unsigned char value)
{
	unsigned char code[] = {0xb8, value, 0, 0, 0, 0xc3};
	memcpy(at, code, sizeof(code));
}

static int call(char *at)
{
	int value = ((int (*)(void))(uintptr_t)at)();
	__builtin___clear_cache(at, at + PAGE);
	return value;
}

static void ran(const char *name, char *at, unsigned long pages, int turns, int returned)
{
	printf("code %s pid=%d start=%lx size=%lx turns=%d returned=%d\n", name, getpid(), (unsigned long)at, pages * PAGE, turns, returned);
}

static void run(const char *library)
{
	char *at = map(3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	write_code(at, 23);
	CHECK(mprotect(at, 3 * PAGE, RX) == 0);
	ran("written", at, 3, 1, call(at));

	at = map(2, RW | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	write_code(at, 29);
	ran("rwx", at, 2, 1, call(at));

	at = map(5, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	for (int n = 0; n < 7; n++) {
		CHECK(mprotect(at + PAGE, 2 * PAGE, RW) == 0);
		write_code(at + PAGE, 31 + n);
		CHECK(mprotect(at + PAGE, 2 * PAGE, RX) == 0 && call(at + PAGE) == 31 + n);
	}
	ran("toggled", at + PAGE, 2, 7, 37);

	at = map(1, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	write_code(at, 41);
	CHECK(mprotect(at, PAGE, PROT_NONE) == 0 && mprotect(at, PAGE, RX) == 0);
	ran("hidden-between", at, 1, 1, call(at));

	int fd = memfd_create("dual", 0);
	CHECK(fd >= 0 && ftruncate(fd, 2 * PAGE) == 0);
	char *written = map(2, RW, MAP_SHARED, fd, 0);
	at = map(2, RX, MAP_SHARED, fd, 0);
	write_code(written, 43);
	ran("dual", at, 2, 1, call(at));

	/* to be told of the child, not of its copy of what is here */
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		char here[2 * PAGE];
		char *page = (char *)(((uintptr_t)here + PAGE) & -PAGE);
		write_code(page, 47);
		CHECK(mprotect(page, PAGE, RW | PROT_EXEC) == 0);
		ran("stack", page, 1, 1, call(page));
		fflush(stdout);
		_exit(0);
	}
	end(child);

	/* not to be told: read as a file and run; only written; run and then written, never run again; mapped anew */
	fd = file("code", 5);
	CHECK(fd >= 0);
	ran("not-file", map(5, RX, MAP_PRIVATE, fd, 0), 5, 0, 0);
	ran("not-data", map(3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 3, 0, 0);
	at = map(3, RX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(mprotect(at, 3 * PAGE, RW) == 0);
	ran("not-again", at, 3, 0, 0);
	at = map(3, RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(munmap(at, 3 * PAGE) == 0);
	map_at(at, 3, RX, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	ran("not-the-same", at, 3, 0, 0);

	if (library) {
		void *loaded = dlopen(library, RTLD_NOW);
		CHECK(loaded);
		int (*function)(void) = (int (*)(void))(uintptr_t)dlsym(loaded, "relocated");
		CHECK(function);
		ran("relocated", (char *)((uintptr_t)function & -PAGE), 1, 1, function());
	}
}

int main(int argc, char **argv)
{
	CHECK(argc >= 2);
	setvbuf(stdout, NULL, _IOFBF, 1 << 16);
	if (argc == 3 && argv[1][0] != '/') {
		int status = other_end(argv[1], argv[2]);
		fflush(stdout);
		return status;
	}
	CHECK(chdir(argv[1]) == 0);
	make_room();
	reject();
	permute();
	alias();
	share();
	run(argv[2]);
	fflush(stdout);
	return 0;
}
