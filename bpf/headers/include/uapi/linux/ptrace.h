/* SPDX-License-Identifier: GPL-2.0 */
/* Empty: named by BCC, needed by none of our programs. */
#pragma once
