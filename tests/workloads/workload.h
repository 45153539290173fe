/* SPDX-License-Identifier: Apache-2.0 */
/* What the workloads share: time, and giving up. */
#pragma once
#define _FILE_OFFSET_BITS 64 /* struct stat holds any size in 32-bit code too */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define PAGE 4096UL
#if defined(__x86_64__) && defined(__ILP32__)
#error "x32 is not meant here"
#endif
#define BITS_64 (__SIZEOF_LONG__ == 8)
#define BITS (__SIZEOF_LONG__ * 8)

static inline unsigned long long now_ns(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t); /* the clock of bpf_ktime_get_ns() */
	return t.tv_sec * 1000000000ULL + t.tv_nsec;
}

/* CHECK(x): end with a message unless x holds. */
#define CHECK(x) \
	do { \
		if (!(x)) { \
			fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #x, strerror(errno)); \
			exit(1); \
		} \
	} while (0)
