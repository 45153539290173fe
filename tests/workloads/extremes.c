/* SPDX-License-Identifier: Apache-2.0 */
/*
 * extremes OUTPUT
 *
 * Makes every call that is recorded with arguments that no program should pass: addresses, sizes and offsets at and past
 * the ends of what there is, flags without a meaning, and all of them with each other. Most are refused; the others touch
 * a room of its own, or memory that it gives back. After each kind of call it appends its own /proc/self/maps to OUTPUT,
 * below a line "at NS PID CALL" with the time (CLOCK_MONOTONIC) just before the reading.
 */
#include "steps.h"
#include <sys/prctl.h>
#include <sys/shm.h>

enum { ROOM = 4 }; /* pages */

static unsigned long room, elsewhere; /* two places with holes around them */
static int fd, zero;
static int room_flags = MAP_PRIVATE | MAP_ANONYMOUS;

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define EACH(value, of) for (unsigned long i_##value = 0, value; i_##value < COUNT(of) && (value = of[i_##value], 1); i_##value++)

/* no address at or above the room and no size reaches, with each other, what the program itself needs */
static unsigned long addresses[13];
static const unsigned long sizes[] = {
	0, 1, PAGE, PAGE + 1, 3 * PAGE, -1UL - PAGE, -PAGE, 1 - PAGE, -1UL,
#if BITS_64
	1UL << 47, 1UL << 63,
#endif
};
static const unsigned long words[] = { 0, 1, 3, 16, PAGE, -1UL / 2, -1UL / 2 + 1, -PAGE, -1UL };

/* The room as it was, whatever a call did to it; what a call mapped elsewhere is given back. */
static void restore(unsigned long returned, unsigned long size)
{
	int own = returned >= room && returned < room + ROOM * PAGE;
	if (returned && returned % PAGE == 0 && !own && size)
		CHECK(munmap((void *)returned, size) == 0);
	CHECK(mmap((void *)room, ROOM * PAGE, PROT_READ | PROT_WRITE, room_flags | MAP_FIXED, fd, 0) == (void *)room);
	CHECK(munmap((void *)(room + ROOM * PAGE), 2 * ROOM * PAGE) == 0); /* what grew past it */
}

/* Whether a call that failed has made a hole in the room. */
static int harmed(void)
{
	unsigned char in[ROOM];
	return mincore((void *)room, ROOM * PAGE, in) != 0;
}

/* The system call itself: its result or a negative errno. */
static unsigned long call(long number, unsigned long a, unsigned long b, unsigned long c, unsigned long d, unsigned long e,
			  unsigned long f)
{
	long result = syscall(number, a, b, c, d, e, f);
	return result == -1 ? -errno : result;
}

#define FAILED(result) ((result) > -4096UL)

#if BITS_64
#define SYS_MAP SYS_mmap
#else
#define SYS_MAP SYS_mmap2
#endif

static void maps(void)
{
	static const unsigned long flags[] = {
		0, MAP_PRIVATE, MAP_PRIVATE | MAP_FIXED, MAP_PRIVATE | MAP_ANONYMOUS, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED,
		MAP_SHARED | MAP_FIXED, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, MAP_SHARED_VALIDATE, -1UL & ~(MAP_FIXED | MAP_LOCKED),
	};
	static const unsigned long prots[] = { 0, -1UL };
	static const unsigned long offsets[] = { 0, PAGE + 1, -1UL / 2 + 1, -PAGE };
	const int fds[] = { fd, zero }; /* zero takes any offset */
	EACH(which, fds) EACH(flag, flags) EACH(address, addresses) EACH(size, sizes) EACH(prot, prots) EACH(offset, offsets) {
		unsigned long result = call(SYS_MAP, address, size, prot, flag, which, offset);
		if (!FAILED(result) || harmed())
			restore(result, size);
	}
	/* mremap asks less than mmap: offsets that pass 2^64 within a mapping, parted there */
	for (int shared = 0; shared < 2; shared++) {
		unsigned long at = elsewhere + shared * 8 * PAGE;
		int kind = (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED;
		CHECK(call(SYS_MAP, at, PAGE, PROT_READ, kind, zero, BITS_64 ? -3 * PAGE : -3UL) == at);
		CHECK(call(SYS_mremap, at, PAGE, 5 * PAGE, 0, 0, 0) == at);
		CHECK(mprotect((void *)(at + 3 * PAGE), PAGE, PROT_NONE) == 0);
	}
	show("mmap");
	CHECK(munmap((void *)elsewhere, 13 * PAGE) == 0);
}

static void ranges(void)
{
	EACH(address, addresses) EACH(size, sizes) {
		call(SYS_munmap, address, size, 0, 0, 0, 0);
		restore(0, 0);
		EACH(word, words) {
			call(SYS_mprotect, address, size, word, 0, 0, 0);
			call(SYS_pkey_mprotect, address, size, word, word, 0, 0);
			call(SYS_mlock2, address, size, word, 0, 0, 0);
			call(SYS_mbind, address, size, word, 0, 0, word);
#ifdef SYS_mseal
			if (word)
				call(SYS_mseal, address, size, word, 0, 0, 0); /* flags it does not have: nothing is sealed */
#endif
			call(SYS_process_madvise, -1, address, size, word, word, 0);
		}
		restore(0, 0);
		/* of the whole range what is mapped is advised, with ENOMEM: nothing here that changes what memory holds */
		static const unsigned long advices[] = { 0, 1, 2, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 99, -1UL };
		EACH(advice, advices)
			call(SYS_madvise, address, size, advice, 0, 0, 0);
		call(SYS_madvise, address, size, 0, 0, 0, 0);
		call(SYS_madvise, address, size, 11, 0, 0, 0);
		call(SYS_mlock, address, size, 0, 0, 0, 0);
		call(SYS_munlock, address, size, 0, 0, 0, 0);
		restore(0, 0);
	}
	show("ranges");
}

static void moves(void)
{
	static const unsigned long flags[] = { 0, 1, 2, 3, 5, 7, 8, -1UL };
	EACH(flag, flags) EACH(address, addresses) EACH(old, sizes) EACH(new, sizes) EACH(target, addresses) {
		if (i_target && flag != 3 && flag != 7)
			break;
		unsigned long result = call(SYS_mremap, address, old, new, flag, target, 0);
		if (!FAILED(result) || harmed())
			restore(result, new);
	}
	show(room_flags & MAP_SHARED ? "mremap shared" : "mremap private");
}

static void nonlinear(void)
{
	char *shared = mmap((void *)elsewhere, ROOM * PAGE, PROT_READ, MAP_SHARED | MAP_FIXED, fd, 0);
	CHECK(shared == (char *)elsewhere);
	static const unsigned long prots[] = { 0, PROT_READ, -1UL };
	EACH(address, addresses) EACH(size, sizes) EACH(prot, prots) EACH(offset, words) {
		call(SYS_remap_file_pages, address, size, prot, offset, 0, 0);
		call(SYS_remap_file_pages, elsewhere, size, prot, offset, offset, 0);
	}
	CHECK(munmap(shared, ROOM * PAGE) == 0);
	show("remap_file_pages");
}

static void segments(void)
{
	int id = shmget(IPC_PRIVATE, 2 * PAGE, IPC_CREAT | 0600);
	CHECK(id >= 0);
	void *base = shmat(id, (void *)elsewhere, 0);
	CHECK(base == (void *)elsewhere);
	EACH(address, addresses) EACH(flag, words) EACH(other, words) {
		int own = other == 0 && !(flag & SHM_REMAP && address < PAGE);
#ifdef SYS_shmat
		unsigned long result = call(SYS_shmat, own ? id : (int)other, address, flag, 0, 0, 0);
		call(SYS_shmdt, FAILED(result) ? address : result, 0, 0, 0, 0, 0);
		call(SYS_shmdt, other, 0, 0, 0, 0, 0);
#else
		unsigned long at = 0;
		unsigned long result = call(SYS_ipc, 21, own ? id : (int)other, flag, (unsigned long)&at, address, 0);
		call(SYS_ipc, 22, 0, 0, 0, FAILED(result) ? address : at, 0);
		call(SYS_ipc, other, other, flag, 0, other, address);
#endif
		restore(0, 0);
	}
	CHECK(shmctl(id, IPC_RMID, NULL) == 0);
	/* its id is gone: this unmaps, and then cannot map */
	EACH(size, sizes)
		call(SYS_remap_file_pages, elsewhere, size, 0, 0, 0, 0);
	show("segments");
	shmdt(base);
}

static void others(void)
{
	EACH(word, words) EACH(size, sizes) {
		call(SYS_brk, word, 0, 0, 0, 0, 0);
		call(SYS_io_setup, size, word, 0, 0, 0, 0);
		call(SYS_io_destroy, word, 0, 0, 0, 0, 0);
		call(SYS_ftruncate, fd, size & 1 ? size : -size, 0, 0, 0, 0);
		if (word > 16) /* no file of whoever started this */
			call(SYS_ftruncate, word, size, 0, 0, 0, 0);
		call(SYS_truncate, word, size, 0, 0, 0, 0);
		EACH(length, sizes)
			call(SYS_fallocate, fd, word, size, length < -1UL / 2 ? length % 3 : length, 0, 0);
		call(SYS_open, word, O_TRUNC | (size & 1), 0, 0, 0, 0);
		call(SYS_openat, word, size, O_TRUNC, 0, 0, 0);
#ifdef SYS_map_shadow_stack
		call(453, word, size, word, 0, 0, 0);
#endif
		EACH(address, addresses)
			call(SYS_prctl, PR_SET_VMA, word, address, size, word, 0);
		if (word != 8) /* PR_SET_MM_ARG_START and alike change nothing that is mapped */
			call(SYS_prctl, PR_SET_MM, word, size, 0, 0, 0);
	}
	show("others");
}

int main(int argc, char **argv)
{
	CHECK(argc == 2);
	output = argv[1];
	fd = open("file", O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	CHECK(fd >= 0 && ftruncate(fd, ROOM * PAGE) == 0);
	zero = open("/dev/zero", O_RDWR | O_CLOEXEC);
	CHECK(zero >= 0);
	char *place = mmap(NULL, 64 * PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CHECK(place != MAP_FAILED && munmap(place, 64 * PAGE) == 0);
	room = (unsigned long)place + 8 * PAGE;
	elsewhere = (unsigned long)place + 40 * PAGE;
	const unsigned long chosen[] = {
		0, 1, PAGE, room, room + 1, room + PAGE, room + ROOM * PAGE, elsewhere,
#if BITS_64
		0x7ffffffff000, 1UL << 47, 1UL << 56,
#else
		0xffffe000, 0xffffe001, 0xffffefff, /* the stack is just below */
#endif
		-PAGE, -1UL,
	};
	memcpy(addresses, chosen, sizeof chosen);
	restore(0, 0);
	show("start");
	maps();
	ranges();
	moves();
	room_flags = MAP_SHARED;
	restore(0, 0);
	moves();
	nonlinear();
	segments();
	others();
	return 0;
}
