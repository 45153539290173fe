/* SPDX-License-Identifier: Apache-2.0 */
/* lateheap: has no heap until it has read a byte; then it makes one, says "x", and goes on until its input ends. */
#include "workload.h"

int main(void)
{
	char byte;
	CHECK(read(0, &byte, 1) == 1);
	CHECK(sbrk(5 * PAGE) != (void *)-1);
	CHECK(write(1, "x", 1) == 1);
	return read(0, &byte, 1) != 0;
}
