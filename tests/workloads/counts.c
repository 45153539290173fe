/* SPDX-License-Identifier: Apache-2.0 */
/*
 * counts LOG FILE: exactly 23 remap_file_pages, 29 mmap, 31 mprotect, 37 mremap and 41 munmap
 * calls, 17 of which fail, and 32-bit code makes 5 old_mmap calls besides. Prime numbers, so that
 * a match is no accident. LOG gets a header and a line per call:
 *
 *   # begin_ns N end_ns N bits 64|32
 *   syscall arg0 ... arg5 ret errno tid before_ns after_ns      (arguments in hexadecimal)
 *
 * ret is the kernel's: negative for an error. The calls are made by syscall(2), so that the
 * arguments are known exactly, and a third of a second after libc's own. FILE is made, 64 pages.
 */
#include "workload.h"

#if BITS_64
#define MMAP_NR SYS_mmap
#define OFFSET(pages) ((pages) * PAGE)
#define TOO_LONG (1UL << 47)
#define REMAP_TOO_FAR() REMAP(shared, 2 * PAGE, 0, 1UL << 51, 0) /* EOVERFLOW: no file is that large */
#else
#define MMAP_NR SYS_mmap2 /* counts its offset in pages */
#define OFFSET(pages) (pages)
#define TOO_LONG 0xfffff000UL
#define REMAP_TOO_FAR() REMAP(shared, PAGE - 1, 0, 0xffffffffUL, 0) /* EINVAL: 32 bits cannot say too far; no page */
#endif

enum { REMAPS = 23, MMAPS = 29, MPROTECTS = 31, MREMAPS = 37, MUNMAPS = 41, FAILURES = 17, OLD_MMAPS = 5 };
enum { SLOT = 8, SLOTS = 80 }; /* pages in a slot of the arena, slots in it */

static struct entry {
	const char *name;
	unsigned long args[6];
	long long ret;
	int error;
	unsigned long long before, after;
} entries[256]; /* static, so that logging maps nothing */
static int made;

static unsigned long logged(const char *name, long nr, const unsigned long shown[6], const unsigned long given[6])
{
	struct entry *entry = &entries[made++];
	entry->name = name;
	memcpy(entry->args, shown, sizeof(entry->args));
	errno = 0;
	entry->before = now_ns();
	unsigned long ret = syscall(nr, given[0], given[1], given[2], given[3], given[4], given[5]);
	entry->after = now_ns();
	entry->error = errno;
	entry->ret = errno ? -errno : (long long)ret;
	return ret;
}

static unsigned long call(const char *name, long nr, unsigned long a, unsigned long b, unsigned long c,
			  unsigned long d, unsigned long e, unsigned long f)
{
	const unsigned long args[6] = {a, b, c, d, e, f};
	return logged(name, nr, args, args);
}

#define MMAP(addr, len, prot, flags, fd, pages) \
	call("mmap", MMAP_NR, addr, len, prot, flags, (unsigned long)(fd), OFFSET(pages))
#define MPROTECT(addr, len, prot) call("mprotect", SYS_mprotect, addr, len, prot, 0, 0, 0)
#define MREMAP(addr, old, new, flags, to) call("mremap", SYS_mremap, addr, old, new, flags, to, 0)
#define MUNMAP(addr, len) call("munmap", SYS_munmap, addr, len, 0, 0, 0, 0)
#define REMAP(addr, size, prot, pgoff, flags) \
	call("remap_file_pages", SYS_remap_file_pages, addr, size, prot, pgoff, flags, 0)

static int file, read_only, directory;
static unsigned long arena, shared, private, read_only_map, moving, moving_pages;

/* The arena is one PROT_NONE reservation. Slots 0-22 are mapped over, 23-53 protected, 60-72 moved to. */
static unsigned long slot(int n) { return arena + n * SLOT * PAGE; }

static void map(int i)
{
	static const int prots[] = {PROT_READ, PROT_READ | PROT_WRITE, PROT_READ | PROT_EXEC, PROT_NONE};
	switch (i) {
	case 0: arena = MMAP(0, SLOTS * SLOT * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); break;
	case 1: shared = MMAP(0, 64 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0); break;
	case 2: read_only_map = MMAP(0, 4 * PAGE, PROT_READ, MAP_SHARED, read_only, 5); break;
	case 3: private = MMAP(0, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, file, 3); break;
	case 4:
		moving_pages = 2;
		moving = MMAP(0, moving_pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		break;
	case 7: MMAP(0, PAGE, PROT_READ, MAP_PRIVATE, 999, 1); break; /* EBADF */
	case 11: MMAP(0, PAGE, PROT_WRITE, MAP_SHARED, read_only, 0); break; /* EACCES */
	case 16: MMAP(0, PAGE, PROT_READ, MAP_SHARED, directory, 0); break; /* ENODEV */
	case 22: MMAP(0, TOO_LONG, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0); break; /* ENOMEM */
	case 28: /* EEXIST */
		MMAP(shared, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0);
		break;
	default:
		if (i % 2)
			MMAP(slot(i - 5), (1 + i % 5) * PAGE, prots[i % 4], MAP_SHARED | MAP_FIXED, file, i % 7);
		else
			MMAP(slot(i - 5), (1 + i % 5) * PAGE + i, prots[i % 4], MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	}
}

static void remap(int i)
{
	switch (i) {
	case 4: REMAP(shared, PAGE, PROT_READ, 1, 0); break; /* EINVAL: prot must be 0 */
	case 9: REMAP(private, PAGE, 0, 1, 0); break; /* EINVAL: a private mapping */
	case 15: REMAP_TOO_FAR(); break;
	case 20: REMAP(PAGE, PAGE, 0, 2, 0); break; /* EINVAL: nothing is mapped there */
	default: REMAP(shared + i % 16 * 4 * PAGE, (1 + i % 3) * PAGE, 0, i * 7 % 29, i % 2 ? MAP_NONBLOCK : 0);
	}
}

static void protect(int i)
{
	switch (i) {
	case 3: MPROTECT(arena + 1, PAGE, PROT_READ); break; /* EINVAL: not aligned */
	case 13: MPROTECT(PAGE, 2 * PAGE, PROT_READ); break; /* ENOMEM: nothing is mapped there */
	case 26: MPROTECT(read_only_map, PAGE, PROT_READ | PROT_WRITE); break; /* EACCES */
	default: MPROTECT(slot(23 + i) + i % 4 * PAGE, (1 + i % 3) * PAGE, i % 8);
	}
}

static void move(int i)
{
	unsigned long pages = 1 + i * 5 % 13, flags = MREMAP_MAYMOVE, to = 0;
	switch (i) {
	case 6: MREMAP(moving + 1, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0); return; /* EINVAL: not aligned */
	case 19: MREMAP(PAGE, PAGE, 2 * PAGE, MREMAP_MAYMOVE, 0); return; /* EFAULT: nothing is mapped there */
	case 33: MREMAP(slot(79), PAGE, 2 * PAGE, 0, 0); return; /* ENOMEM: no room to grow in place */
	case 10: MREMAP(shared, 0, 3 * PAGE, MREMAP_MAYMOVE, 0); return; /* old_len 0: a second mapping */
	case 17: /* fall through */
	case 29: /* the old mapping stays, empty */
		pages = moving_pages;
		flags |= MREMAP_DONTUNMAP;
		break;
	default:
		if (i % 6 == 5) {
			flags |= MREMAP_FIXED;
			to = slot(60 + i / 6 * 2);
		}
	}
	moving = MREMAP(moving, moving_pages * PAGE, pages * PAGE, flags, to);
	moving_pages = pages;
}

static void unmap(int i)
{
	switch (i) {
	case 8: MUNMAP(arena, 0); break; /* EINVAL */
	case 31: MUNMAP(arena + 7, PAGE); break; /* EINVAL: not aligned */
	default: MUNMAP(slot(i) + i % 3 * PAGE, (1 + i % 4) * PAGE - i % 2); /* the length is rounded up */
	}
}

#if !BITS_64
static void old_map(int i)
{
	unsigned long given[6] = {0, (1 + i) * PAGE, PROT_READ, MAP_PRIVATE, file, i * PAGE};
	if (i == 3)
		given[5]++; /* EINVAL: not aligned */
	const unsigned long pointer[6] = {(unsigned long)given};
	logged("old_mmap", 90, given, pointer);
}
#endif

int main(int argc, char **argv)
{
	if (argc != 3) {
		fprintf(stderr, "usage: counts LOG FILE\n");
		return 2;
	}
	file = open(argv[2], O_RDWR | O_CREAT, 0600);
	read_only = open(argv[2], O_RDONLY);
	directory = open("/", O_RDONLY | O_DIRECTORY);
	int log = open(argv[1], O_WRONLY | O_CREAT | O_TRUNC, 0600);
	CHECK(file >= 0 && read_only >= 0 && directory >= 0 && log >= 0 && ftruncate(file, 64 * PAGE) == 0);
	int tid = syscall(SYS_gettid);
	usleep(300000);

	unsigned long long begin = now_ns();
	for (int i = 0; i < 5; i++) /* what the rest works on */
		map(i);
	for (int i = 0; i < MUNMAPS; i++) {
		if (i >= 5 && i < MMAPS)
			map(i);
		if (i < REMAPS)
			remap(i);
		if (i < MPROTECTS)
			protect(i);
		if (i < MREMAPS)
			move(i);
		unmap(i);
	}
	int failed = 0;
	for (int i = 0; i < made; i++)
		failed += entries[i].error != 0;
#if !BITS_64
	for (int i = 0; i < OLD_MMAPS; i++)
		old_map(i);
#endif
	unsigned long long end = now_ns();

	dprintf(log, "# begin_ns %llu end_ns %llu bits %d\n", begin, end, BITS);
	for (struct entry *e = entries; e < entries + made; e++)
		dprintf(log, "%s %lx %lx %lx %lx %lx %lx %lld %d %d %llu %llu\n", e->name, e->args[0], e->args[1], e->args[2],
			e->args[3], e->args[4], e->args[5], e->ret, e->error, tid, e->before, e->after);
	if (failed != FAILURES) {
		fprintf(stderr, "%d calls failed where %d should\n", failed, FAILURES);
		return 1;
	}
	return 0;
}
