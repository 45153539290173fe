/* SPDX-License-Identifier: GPL-2.0 */
/* Forks with their clone flags, execs with the file named and the class of its image, how processes
 * ended, and the cleaning up behind tasks that are gone. Raw tracepoints: the same arguments on 5.10 to 7.2. */

enum task_event { TASK_CLONE, TASK_EXEC, TASK_ENDED };

static __always_inline struct tasks_record *reserve_task(u32 tgid)
{
	struct counter *c = counter_of(SOURCE_TASKS);
	struct tasks_record *e;

	if (!c)
		return NULL;
	c->attempted++;
	e = tasks.ringbuf_reserve(sizeof(*e));
	if (!e) {
		count_loss(c, tgid);
		return NULL;
	}
	e->ts_ns = bpf_ktime_get_ns();
	e->cpu = bpf_get_smp_processor_id();
	e->elf_class = 0;
	e->ts_enter_ns = 0;
	e->clone_flags = 0;
	e->parent_pid = 0;
	e->parent_tid = 0;
	e->exit_status = 0;
	e->path_len = 0;
	bpf_get_current_comm(e->comm, COMM_BYTES);
	return e;
}

/* task_newtask(task, clone_flags), in copy_process, before the child can run */
int on_task_newtask(struct bpf_raw_tracepoint_args *ctx)
{
	void *child = (void *)ctx->args[0];
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 parent = pid_tgid >> 32;
	u32 tgid = read_u32(child, OFF_TASK_TGID), tid = pid_tgid;
	struct tasks_record *e;
	struct thread *t;

	if (!wanted(parent))
		return 0;
#ifdef ONLY_TARGETS
	if (tgid != parent) {
		u8 one = 1;

		targets.update(&tgid, &one);
	}
#endif
	e = reserve_task(tgid);
	if (!e)
		return 0;
	e->event = TASK_CLONE;
	t = threads.lookup(&tid);
	if (t)
		e->ts_enter_ns = t->ts_enter_ns;
	e->clone_flags = ctx->args[1];
	e->mm = mm_name(child);
	e->pid = tgid;
	e->tid = read_u32(child, OFF_TASK_PID);
	e->parent_pid = parent;
	e->parent_tid = tid;
	tasks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	return 0;
}

/* sched_process_exec(task, old_pid, bprm), when the new image is in place */
int on_sched_process_exec(struct bpf_raw_tracepoint_args *ctx)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid, old_tid = ctx->args[1];
	void *bprm = (void *)ctx->args[2];
	struct tasks_record *e;
	u8 magic[5] = {};

	/* the thread keeps its number and has a new address space */
	threads.delete(&tid);
	threads.delete(&old_tid);
	if (!wanted(pid_tgid >> 32))
		return 0;
	e = reserve_task(pid_tgid >> 32);
	if (!e)
		return 0;
	e->event = TASK_EXEC;
	e->mm = mm_name((void *)bpf_get_current_task());
	e->pid = pid_tgid >> 32;
	e->tid = tid;
	e->path_len = bpf_probe_read_kernel_str(e->path, PATH_BYTES, read_ptr(bprm, OFF_BPRM_FILENAME));
	bpf_probe_read_kernel(magic, sizeof(magic), bprm + OFF_BPRM_BUF);
	e->elf_class = magic[0] == 0x7f && magic[1] == 'E' && magic[2] == 'L' && magic[3] == 'F' ? magic[4] : 0;
	/* The first 32-bit image needs probes that are not attached yet: wake the reader at once. */
	tasks.ringbuf_submit(e, e->elf_class == 1 ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP);
	return 0;
}

/* sched_process_exit(task, ...), after the thread left signal->live, and do_exit has set exit_code */
int on_sched_process_exit(struct bpf_raw_tracepoint_args *ctx)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid, tgid = pid_tgid >> 32;
	void *task = (void *)bpf_get_current_task();
	struct tasks_record *e;

	threads.delete(&tid);
	file_calls.delete(&tid);
	if (read_u32(read_ptr(task, OFF_TASK_SIGNAL), OFF_SIGNAL_LIVE) != 0)
		return 0;
	e = wanted(tgid) ? reserve_task(tgid) : NULL;
	if (e) {
		e->event = TASK_ENDED;
		e->mm = 0; /* left already: exit_mm comes before this */
		e->pid = tgid;
		e->tid = tid;
		e->exit_status = read_u32(task, OFF_TASK_EXIT_CODE);
		tasks.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	}
#ifdef ONLY_TARGETS
	targets.delete(&tgid);
#endif
	return 0;
}
