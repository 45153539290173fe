/* SPDX-License-Identifier: GPL-2.0 */
/* The 64-bit mapping calls by way of raw_syscalls, to be measured against calls.c's tracepoint a call.
 *
 * The records are made by the same code; only the way in differs. Compiled after i386.c, which
 * has the registers' places. */

enum { REG_R10 = 7, REG_R9 = 8, REG_R8 = 9, REG_ORIG_AX = 15 };

static __always_inline bool maps(u32 nr)
{
	switch (nr) {
	case NR_remap_file_pages:
	case NR_mmap:
	case NR_munmap:
	case NR_mprotect:
	case NR_pkey_mprotect:
	case NR_mremap:
	case NR_brk:
	case NR_shmat:
	case NR_shmdt:
	case NR_madvise:
	case NR_process_madvise:
	case NR_mlock:
	case NR_mlock2:
	case NR_munlock:
	case NR_mlockall:
	case NR_munlockall:
	case NR_mbind:
	case NR_mseal:
	case NR_io_setup:
	case NR_io_destroy:
		return true;
	}
	return false;
}

int raw_enter(struct bpf_raw_tracepoint_args *ctx)
{
	u32 nr = ctx->args[1];
	struct thread *t;
	u64 r[REGS];

	if (!maps(nr))
		return 0;
	t = begin_call(nr);
	if (!t)
		return 0;
	bpf_probe_read_kernel(r, sizeof(r), (void *)ctx->args[0]);
	t->args[0] = r[REG_DI];
	t->args[1] = r[REG_SI];
	t->args[2] = r[REG_DX];
	t->args[3] = r[REG_R10];
	t->args[4] = r[REG_R8];
	t->args[5] = r[REG_R9];
	if (nr == NR_mmap)
		note_file(t, t->args[4]);
	return 0;
}

int raw_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u32 nr = read_u64((void *)ctx->args[0], REG_ORIG_AX * 8);
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;
	struct thread *t;

	if (!maps(nr))
		return 0;
	t = threads.lookup(&tid);
	if (t && t->active == nr + 1)
		end_call(ctx, t, pid_tgid, ctx->args[1]);
	return 0;
}
