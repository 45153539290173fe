/* SPDX-License-Identifier: GPL-2.0 */
/* SIGBUS and SIGSEGV sent by the kernel, with the address that faulted. */

#define SIGBUS 7
#define SIGSEGV 11

#ifdef OFF_MM_ROOT
#define MAPLE_LEAF 1 /* enum maple_type, include/linux/maple_tree.h */
#define MAPLE_ARANGE 3
#define PIVOTS 15 /* of a maple_range_64; a maple_arange_64 has 9 */

/* The file mapped at an address, by the maple tree of VMAs, as mtree_range_walk goes down it. Its lock is not taken:
 * what another thread changes meanwhile can be missed. */
static __always_inline void *mapped_file(void *mm, u64 address)
{
	u64 entry = read_u64(mm, OFF_MM_ROOT), pivot[PIVOTS];
	void *node;
	int depth, i;

	if ((entry & 3) != 2 || entry <= 4096) /* xa_is_node */
		return NULL;
#pragma unroll
	for (depth = 0; depth < 8; depth++) {
		u32 type = entry >> 3 & 15, last = type == MAPLE_ARANGE ? 9 : PIVOTS, slot = last;

		node = (void *)(entry & ~255UL);
		bpf_probe_read_kernel(pivot, sizeof(pivot), node + OFF_RANGE_PIVOT);
#pragma unroll
		for (i = PIVOTS - 1; i >= 0; i--)
			if (i < last && (pivot[i] >= address || (i > 0 && !pivot[i])))
				slot = i;
		entry = read_u64(node, (type == MAPLE_ARANGE ? OFF_ARANGE_SLOT : OFF_RANGE_SLOT) + slot * 8);
		if (type == MAPLE_LEAF)
			break;
	}
	node = (void *)entry; /* the VMA, or none */
	if (!node || read_u64(node, OFF_VMA_START) > address || read_u64(node, OFF_VMA_END) <= address)
		return NULL;
	return read_ptr(node, OFF_VMA_FILE);
}
#endif

/* signal_generate(sig, info, task, group, result): the formatted tracepoint leaves the address
 * out, so read it from info. info may be 0 or 1 (SEND_SIG_NOINFO, SEND_SIG_PRIV): no siginfo. */
int on_signal_generate(struct bpf_raw_tracepoint_args *ctx)
{
	u32 sig = ctx->args[0];
	void *info = (void *)ctx->args[1];
	void *task = (void *)ctx->args[2];
	u64 pid_tgid, ip = 0;
	struct faults_record *e;
	struct counter *c;
	s32 code;

	if ((sig != SIGBUS && sig != SIGSEGV) || (u64)info <= 1)
		return 0;
	code = read_u32(info, OFF_SIGINFO_CODE);
	if (code <= 0) /* SI_USER, SI_QUEUE, SI_TKILL: another process sent it */
		return 0;
	pid_tgid = (u64)read_u32(task, OFF_TASK_TGID) << 32 | read_u32(task, OFF_TASK_PID);
	if (!wanted(pid_tgid >> 32))
		return 0;
	c = counter_of(SOURCE_FAULTS);
	if (!c)
		return 0;
	c->attempted++;
	e = faults.ringbuf_reserve(sizeof(*e));
	if (!e) {
		count_loss(c, pid_tgid >> 32);
		return 0;
	}
	e->ts_ns = bpf_ktime_get_ns();
	e->address = read_u64(info, OFF_SIGINFO_ADDR);
	e->code = code;
	e->result = ctx->args[4];
	e->mm = mm_name(task);
	FILL_CALLER(e, pid_tgid, sig);
	e->stack_id = -38;
	if (pid_tgid == bpf_get_current_pid_tgid()) {
		e->stack_id = USER_STACK(ctx);
		bpf_get_stack(ctx, &ip, sizeof(ip), BPF_F_USER_STACK); /* its first frame is the ip */
	} else {
		bpf_probe_read_kernel(e->comm, COMM_BYTES, task + OFF_TASK_COMM);
	}
	e->ip = ip;
	e->file_inode = 0;
#ifdef OFF_MM_ROOT
	if (sig == SIGBUS) {
		void *file = mapped_file(read_ptr(task, OFF_TASK_MM), e->address);
		struct file_facts f = {};

		if (file)
			read_inode(read_ptr(file, OFF_FILE_INODE), &f);
		e->file_inode = f.inode;
		e->file_size_bytes = f.size;
		e->file_dev = f.dev;
		e->file_generation = f.generation;
	}
#endif
	faults.ringbuf_submit(e, WAKE_IF(true));
	return 0;
}
