/* SPDX-License-Identifier: GPL-2.0 */
/* Probes on kernel functions, where the kernel has them (recorder/hooks.py): what a call really
 * used, and what was really removed, under the locks that make the order true. HOOK_*_* are the
 * places of the arguments, from BTF. */

/* registers at the probe: arch/x86/include/asm/ptrace.h */
struct pt_regs {
	unsigned long r15, r14, r13, r12, bp, bx, r11, r10, r9, r8, ax, cx, dx, si, di;
	unsigned long orig_ax, ip, cs, flags, sp, ss;
};

/* x86_64: six arguments in registers, the others on the stack above the return address */
static __always_inline u64 argument(struct pt_regs *ctx, const int place)
{
	u64 value = 0;

	switch (place) {
	case 0: return ctx->di;
	case 1: return ctx->si;
	case 2: return ctx->dx;
	case 3: return ctx->cx;
	case 4: return ctx->r8;
	case 5: return ctx->r9;
	}
	bpf_probe_read_kernel(&value, sizeof(value), (void *)ctx->sp + 8 * (place - 5));
	return value;
}

static __always_inline struct hooks_record *begin_hook(struct pt_regs *ctx, u32 function)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	struct counter *c;
	struct hooks_record *e;

	if (!wanted(pid_tgid >> 32))
		return NULL;
	c = counter_of(SOURCE_HOOKS);
	if (!c)
		return NULL;
	c->attempted++;
	e = hooks.ringbuf_reserve(sizeof(*e));
	if (!e) {
		count_loss(c, pid_tgid >> 32);
		return NULL;
	}
	e->ts_ns = bpf_ktime_get_ns();
	e->mm = mm_name((void *)bpf_get_current_task());
	FILL_CALLER(e, pid_tgid, function);
	e->stack_id = USER_STACK(ctx);
	e->addr = e->size = e->prot = e->flags = e->pgoff = 0;
	e->offset_bytes = e->length_bytes = e->old_size_bytes = e->new_size_bytes = e->inode = 0;
	e->dev = e->generation = e->unused = 0;
	e->ret = 0;
	return e;
}

static __always_inline void note_inode(struct hooks_record *e, void *inode)
{
	struct file_facts f = {};

	if (!inode)
		return;
	read_inode(inode, &f);
	e->inode = f.inode;
	e->dev = f.dev;
	e->generation = f.generation;
	e->old_size_bytes = f.size;
}

/* At the return of a function: nothing to say but that it failed. A row at entry that is not
 * followed by this one stands, so a return that the kernel misses (it keeps a few dozen at a time)
 * costs no row. */
static __always_inline int failed(struct pt_regs *ctx, u32 function)
{
	s32 ret = ctx->ax;
	struct hooks_record *e;

	if (ret >= 0)
		return 0;
	e = begin_hook(ctx, function);
	if (!e)
		return 0;
	e->ret = ret;
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

#ifdef HOOK_mmap_FILE
int hook_mmap(struct pt_regs *ctx)
{
	struct hooks_record *e = begin_hook(ctx, HOOK_mmap);
	void *file;

	if (!e)
		return 0;
	file = (void *)argument(ctx, HOOK_mmap_FILE);
	if (file)
		note_inode(e, read_ptr(file, OFF_FILE_INODE));
	e->addr = argument(ctx, HOOK_mmap_ADDR);
	e->size = argument(ctx, HOOK_mmap_LEN);
	e->prot = argument(ctx, HOOK_mmap_PROT);
	e->flags = argument(ctx, HOOK_mmap_FLAGS);
	e->pgoff = argument(ctx, HOOK_mmap_PGOFF);
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}
#endif

#ifdef HOOK_unmap_MM
/* The address space can be another one than the caller's: an exec's new one. */
static __always_inline int unmapped(struct pt_regs *ctx, u64 start, u64 size)
{
	struct hooks_record *e = begin_hook(ctx, HOOK_unmap);
	u64 mm = argument(ctx, HOOK_unmap_MM);

	if (!e)
		return 0;
	e->mm = mm ? mm ^ MM_KEY : 0;
	e->addr = start;
	e->size = size;
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}
#ifdef HOOK_unmap_LEN
/* The length is still as asked: __do_munmap rounds it up itself. */
int hook_unmap_len(struct pt_regs *ctx)
{
	u64 size = (argument(ctx, HOOK_unmap_LEN) + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1ULL);

	return unmapped(ctx, argument(ctx, HOOK_unmap_START), size);
}
#else
int hook_unmap(struct pt_regs *ctx)
{
	u64 start = argument(ctx, HOOK_unmap_START);

	return unmapped(ctx, start, argument(ctx, HOOK_unmap_END) - start);
}
#endif

int failed_unmap(struct pt_regs *ctx)
{
	return failed(ctx, HOOK_unmap);
}
#endif

#ifdef HOOK_replace_VMS
#define NR_MMAP 9 /* arch/x86/entry/syscalls/syscall_64.tbl */

static __always_inline int maps_memory(struct thread *t)
{
	u32 nr = t->active - 1;

	return t->active && (nr == NR_MMAP || nr == (NR_I386 | NR32_mmap) || nr == (NR_I386 | NR32_old_mmap));
}

/* Every removal ends here: those of other calls are told by the hook unmap. */
int hook_replace(struct pt_regs *ctx)
{
	void *vms = (void *)argument(ctx, HOOK_replace_VMS);
	u64 start = read_u64(vms, OFF_VMS_START), end = read_u64(vms, OFF_VMS_END);
	u32 tid = bpf_get_current_pid_tgid();
	struct thread *t = threads.lookup(&tid);
	struct hooks_record *e;

	if (start == end || !t || !maps_memory(t))
		return 0;
	e = begin_hook(ctx, HOOK_replace);
	if (!e)
		return 0;
	e->addr = start;
	e->size = end - start;
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}
#endif

#ifdef HOOK_truncate_DENTRY
int hook_truncate(struct pt_regs *ctx)
{
	struct hooks_record *e = begin_hook(ctx, HOOK_truncate);
	void *dentry;

	if (!e)
		return 0;
	dentry = (void *)argument(ctx, HOOK_truncate_DENTRY);
	note_inode(e, read_ptr(dentry, OFF_DENTRY_INODE));
	e->new_size_bytes = argument(ctx, HOOK_truncate_LENGTH);
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

int failed_truncate(struct pt_regs *ctx)
{
	return failed(ctx, HOOK_truncate);
}
#endif

#ifdef HOOK_allocate_FILE
int hook_allocate(struct pt_regs *ctx)
{
	struct hooks_record *e = begin_hook(ctx, HOOK_allocate);
	void *file;

	if (!e)
		return 0;
	file = (void *)argument(ctx, HOOK_allocate_FILE);
	note_inode(e, read_ptr(file, OFF_FILE_INODE));
	e->flags = argument(ctx, HOOK_allocate_MODE);
	e->offset_bytes = argument(ctx, HOOK_allocate_OFFSET);
	e->length_bytes = argument(ctx, HOOK_allocate_LEN);
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

int failed_allocate(struct pt_regs *ctx)
{
	return failed(ctx, HOOK_allocate);
}
#endif

#ifdef HOOK_invalidate_MAPPING
int hook_invalidate(struct pt_regs *ctx)
{
	struct hooks_record *e = begin_hook(ctx, HOOK_invalidate);
	void *mapping;

	if (!e)
		return 0;
	mapping = (void *)argument(ctx, HOOK_invalidate_MAPPING);
	note_inode(e, read_ptr(mapping, OFF_MAPPING_HOST));
	e->offset_bytes = argument(ctx, HOOK_invalidate_BEGIN);
	e->length_bytes = argument(ctx, HOOK_invalidate_LEN);
	e->flags = argument(ctx, HOOK_invalidate_COWS) & 0xff;
	hooks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}
#endif
