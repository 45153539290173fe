/* SPDX-License-Identifier: Apache-2.0 */
/*
 * noise SECONDS CALLS_PER_SECOND
 *
 * Unmaps ranges where nothing is mapped, at random addresses and of random lengths: records that do not compress.
 * Prints how many calls it made.
 */
#include "workload.h"

int main(int argc, char **argv)
{
	CHECK(argc == 3);
	unsigned long long begin = now_ns(), ends = begin + strtoull(argv[1], NULL, 10) * 1000000000ULL, now;
	unsigned long made = 0, rate = strtoul(argv[2], NULL, 10);
	uint64_t random = 0x9E3779B97F4A7C15;
	while ((now = now_ns()) < ends) {
		if (made > (now - begin) / 1000 * rate / 1000000) {
			usleep(1000);
			continue;
		}
		for (int i = 0; i < 64; i++, made++) {
			random ^= random << 13, random ^= random >> 7, random ^= random << 17;
			/* 16 TiB from 0x1000_0000_0000 on, far from where the kernel places anything */
			syscall(SYS_munmap, 0x100000000000UL + (random & 0xFFFFFFFF) * PAGE, (random >> 32 & 0xFFF) * PAGE + PAGE);
		}
	}
	printf("%lu\n", made);
	return 0;
}
