/* SPDX-License-Identifier: GPL-2.0 */
/* SIGBUS and SIGSEGV sent by the kernel, with the address that faulted. */

#define SIGBUS 7
#define SIGSEGV 11

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
	faults.ringbuf_submit(e, WAKE_IF(true));
	return 0;
}
