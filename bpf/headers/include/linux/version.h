/* SPDX-License-Identifier: GPL-2.0 */
/* BCC's helpers choose by version; this is the oldest kernel the product supports. What a kernel
 * can do is found by looking, never from here. */
#pragma once
#define KERNEL_VERSION(a, b, c) (((a) << 16) + ((b) << 8) + (c))
#define LINUX_VERSION_CODE KERNEL_VERSION(5, 10, 0)
