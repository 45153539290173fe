/* SPDX-License-Identifier: Apache-2.0 */
/* What a program reads of itself, step by step: tests/support/steps.py reads it back. */
#pragma once
#include "workload.h"

static const char *output;
static char text[1 << 20]; /* not from malloc: the reading must not change what is read */

/* Append /proc/self/maps to the output, below a line "at NS PID STEP" with the time just before the reading. */
static void show(const char *step)
{
	unsigned long length = 0;
	ssize_t got;
	int out = open(output, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
	int maps = open("/proc/self/maps", O_RDONLY | O_CLOEXEC);
	CHECK(out >= 0 && maps >= 0);
	unsigned long long at = now_ns();
	while ((got = read(maps, text + length, sizeof text - length)) > 0)
		length += got;
	CHECK(got == 0 && length < sizeof text);
	char head[100];
	int size = snprintf(head, sizeof head, "at %llu %d %s\n", at, getpid(), step);
	CHECK(write(out, head, size) == size && write(out, text, length) == (ssize_t)length);
	close(maps);
	close(out);
}
