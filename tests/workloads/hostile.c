/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hostile DIR: gives itself a hostile name, maps files of hostile names in DIR, and executes a
 * copy of itself under one. What it used is printed in hexadecimal, which is inert:
 *
 *   comm HEX | mapped HEX | executed HEX      (mapped and executed are whole paths)
 */
#include "workload.h"
#include <limits.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>

#define ESC "\x1b"
#define RLO "\xe2\x80\xae" /* U+202E, right-to-left override */
#define INVALID "\xff\xfe\xc3" /* never valid UTF-8 */

static const char comm[] = ESC "[31m\n" RLO "[b]\"\xff"; /* 14 of at most 15 bytes */
static const char *const names[] = {
	ESC "[2J" ESC "]0;title\a", "new\nline\rreturn\ttab", "bidi" RLO "txt.exe", INVALID "utf8", "[red]markup[blink]",
	"'; DROP TABLE vmas; --", "\"quoted\"", "<img src=x onerror=alert(1)>", "=1+1,comma", "f (deleted)", " ", "\\012",
};
static const char program[] = ESC "[7m" RLO "\n[b]run'\"" INVALID;

static void say(const char *what, const char *bytes)
{
	printf("%s ", what);
	for (; *bytes; bytes++)
		printf("%02x", (unsigned char)*bytes);
	printf("\n");
}

static void map_file(const char *directory, const char *name)
{
	char path[PATH_MAX];
	snprintf(path, sizeof(path), "%s/%s", directory, name);
	int fd = open(path, O_RDWR | O_CREAT, 0600);
	CHECK(fd >= 0 && ftruncate(fd, PAGE) == 0);
	CHECK(mmap(NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0) != MAP_FAILED);
	close(fd);
	say("mapped", path);
}

static void execute_copy(const char *directory)
{
	char path[PATH_MAX];
	struct stat self;
	snprintf(path, sizeof(path), "%s/%s", directory, program);
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC), to = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	CHECK(from >= 0 && to >= 0 && fstat(from, &self) == 0);
	CHECK(sendfile(to, from, NULL, self.st_size) == self.st_size);
	close(to); /* an open file cannot be executed: ETXTBSY */
	say("executed", path);
	fflush(stdout);
	execl(path, program, NULL);
	CHECK(!"executed");
}

int main(int argc, char **argv)
{
	if (argc < 2 && argc > 0 && strcmp(argv[0], program) == 0) { /* the copy */
		CHECK(mmap(NULL, PAGE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) != MAP_FAILED);
		return 0;
	}
	if (argc != 2) {
		fprintf(stderr, "usage: hostile DIR\n");
		return 2;
	}
	CHECK(prctl(PR_SET_NAME, comm) == 0);
	say("comm", comm);
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		map_file(argv[1], names[i]);
	char longest[NAME_MAX + 1];
	memset(longest, 'L', NAME_MAX);
	memcpy(longest, ESC "[1m", 4);
	longest[NAME_MAX] = 0;
	map_file(argv[1], longest);
	execute_copy(argv[1]);
}
