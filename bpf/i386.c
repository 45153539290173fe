/* SPDX-License-Identifier: GPL-2.0 */
/* The same calls made through the 32-bit entries, which perf's syscall tracepoints leave out.
 *
 * raw_syscalls sees every call of every process, so these programs cost each of them; they are
 * attached only once a 32-bit image is there. A 64-bit process can make 32-bit calls too
 * (int $0x80): what counts is the call, not the image. */

#define TS_COMPAT 2

/* struct pt_regs of x86_64 is user ABI */
enum { REG_BP = 4, REG_BX = 5, REG_CX = 11, REG_DX = 12, REG_SI = 13, REG_DI = 14, REGS = 15 };

static __always_inline bool is_i386_call(void)
{
	return read_u32((void *)bpf_get_current_task(), OFF_TASK_STATUS) & TS_COMPAT;
}

static __always_inline void read_args(void *regs, u64 *args)
{
	u64 r[REGS];

	bpf_probe_read_kernel(r, sizeof(r), regs);
	args[0] = (u32)r[REG_BX];
	args[1] = (u32)r[REG_CX];
	args[2] = (u32)r[REG_DX];
	args[3] = (u32)r[REG_SI];
	args[4] = (u32)r[REG_DI];
	args[5] = (u32)r[REG_BP];
}

static __always_inline void enter_mapping(u32 nr, void *regs)
{
	struct thread *t;
	u64 args[6];

	if (!is_i386_call())
		return;
	read_args(regs, args);
	if (nr == NR32_prctl && args[0] != PR_SET_MM && args[0] != PR_SET_VMA)
		return;
	t = begin_call(NR_I386 | nr);
	if (!t)
		return;
	if (nr == NR32_old_mmap) {
		u32 given[6] = {};

		bpf_probe_read_user(given, sizeof(given), (void *)args[0]);
#pragma unroll
		for (int i = 0; i < 6; i++)
			args[i] = given[i];
	}
#pragma unroll
	for (int i = 0; i < 6; i++)
		t->args[i] = args[i];
	if (nr == NR32_mmap || nr == NR32_old_mmap)
		note_file(t, args[4]);
}

static __always_inline void enter_sizing(u32 nr, void *regs)
{
	struct file_call *f;
	u64 args[6];

	if (!is_i386_call())
		return;
	read_args(regs, args);
	switch (nr) {
	case NR32_open:
		return enter_opening(NR_I386 | nr, (s64)AT_FDCWD, args[0], args[1], args[2]);
	case NR32_openat:
		return enter_opening(NR_I386 | nr, (s64)(s32)args[0], args[1], args[2], args[3]);
	case NR32_creat:
		return enter_opening(NR_I386 | nr, (s64)AT_FDCWD, args[0], O_TRUNC | 1 | 0100, args[1]);
	case NR32_openat2: {
		u64 how[2] = {};

		bpf_probe_read_user(how, sizeof(how), (void *)args[2]);
		return enter_opening(NR_I386 | nr, (s64)(s32)args[0], args[1], how[0], how[1]);
	}
	}
	f = begin_file_call(NR_I386 | nr);
	if (!f)
		return;
#pragma unroll
	for (int i = 0; i < 6; i++)
		f->args[i] = args[i];
	if (nr == NR32_truncate || nr == NR32_truncate64)
		note_path(f, args[0]);
	else
		note_fd(f, args[0]);
	keep_file_call(f);
}

/* see begin_forking */
enum { NR32_fork = 2, NR32_clone = 120, NR32_clone3 = 435 };

/* sys_enter(regs, id) */
int on_sys_enter(struct bpf_raw_tracepoint_args *ctx)
{
	void *regs = (void *)ctx->args[0];
	u32 nr = ctx->args[1];

	switch (nr) {
	case NR32_fork:
	case NR32_clone:
	case NR32_clone3:
		if (is_i386_call())
			begin_forking(NR_I386 | nr);
		return 0;
	case NR32_remap_file_pages:
	case NR32_mmap:
	case NR32_old_mmap:
	case NR32_munmap:
	case NR32_mprotect:
	case NR32_pkey_mprotect:
	case NR32_mremap:
	case NR32_brk:
	case NR32_shmat:
	case NR32_shmdt:
	case NR32_ipc:
	case NR32_madvise:
	case NR32_process_madvise:
	case NR32_mlock:
	case NR32_mlock2:
	case NR32_munlock:
	case NR32_mlockall:
	case NR32_munlockall:
	case NR32_mbind:
	case NR32_mseal:
	case NR32_io_setup:
	case NR32_io_destroy:
	case NR32_prctl:
		enter_mapping(nr, regs);
		return 0;
	case NR32_ftruncate:
	case NR32_truncate:
	case NR32_ftruncate64:
	case NR32_truncate64:
	case NR32_fallocate:
	case NR32_open:
	case NR32_openat:
	case NR32_openat2:
	case NR32_creat:
		enter_sizing(nr, regs);
	}
	return 0;
}

/* sys_exit(regs, ret) */
int on_sys_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;
	struct thread *t = threads.lookup(&tid);
	struct file_call *f;

	if (t && t->active > NR_I386)
		end_call(ctx, t, pid_tgid, ctx->args[1]);
	f = file_calls.lookup(&tid);
	if (f && f->nr >= NR_I386)
		end_file_call(ctx, f, pid_tgid, ctx->args[1]);
	return 0;
}
