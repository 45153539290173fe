/* SPDX-License-Identifier: GPL-2.0 */
/* Calls that change mappings: one record a call, made at its exit.
 *
 * Every program returns 1: a program on a perf tracepoint that returns 0 hides the event from all
 * other perf users of the machine. */

#define PR_SET_MM 35
#define PR_SET_VMA 0x53564d41

/* Stays for the life of the thread, so that a call costs two look-ups and no insertion. */
struct thread {
	u64 ts_enter_ns;
	u64 args[6];
	u64 mm;
	struct file_facts file;
	u32 active; /* number of the call under way, plus one */
	u32 unused;
};

BPF_HASH(threads, u32, struct thread, MAX_THREADS);

static __always_inline struct thread *begin_call(u32 nr)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;
	struct thread *t;

	if (!wanted(pid_tgid >> 32))
		return NULL;
	t = threads.lookup(&tid);
	if (!t) {
		struct thread fresh = {};

		fresh.mm = mm_name((void *)bpf_get_current_task());
		threads.update(&tid, &fresh);
		t = threads.lookup(&tid);
		if (!t) {
			struct counter *c = counter_of(SOURCE_THREADS);

			if (c) {
				c->attempted++;
				count_loss(c, pid_tgid >> 32);
			}
			return NULL;
		}
	}
	t->active = nr + 1;
	t->ts_enter_ns = bpf_ktime_get_ns();
	return t;
}

/* The verifier compares the context a program reads with the arguments its call has, so there is
 * a program for each number of arguments. */
#define ENTER(count)                                                                               \
	int enter_##count(struct enter_context *ctx)                                               \
	{                                                                                          \
		struct thread *t = begin_call(ctx->nr);                                            \
                                                                                                   \
		if (!t)                                                                            \
			return 1;                                                                  \
		_Pragma("unroll") for (int i = 0; i < count; i++) t->args[i] = ctx->args[i];       \
		return 1;                                                                          \
	}
ENTER(0)
ENTER(1)
ENTER(2)
ENTER(3)
ENTER(4)
ENTER(5)
ENTER(6)

/* A call that can copy the address space: when it began is told with the task that it makes (tasks.c), and it
 * makes no record of its own. */
static __always_inline void begin_forking(u32 nr)
{
	struct thread *t = begin_call(nr);

	if (t)
		t->active = 0;
}

int enter_forking(struct enter_context *ctx)
{
	begin_forking(ctx->nr);
	return 1;
}

static __always_inline void note_file(struct thread *t, s32 fd)
{
	void *inode = inode_of_fd(fd);

	if (inode)
		read_inode(inode, &t->file);
	else
		t->file.dev = t->file.inode = 0;
}

int enter_mmap(struct enter_context *ctx)
{
	struct thread *t = begin_call(ctx->nr);

	if (!t)
		return 1;
#pragma unroll
	for (int i = 0; i < 6; i++)
		t->args[i] = ctx->args[i];
	note_file(t, ctx->args[4]);
	return 1;
}

int enter_prctl(struct enter_context *ctx)
{
	struct thread *t;

	if (ctx->args[0] != PR_SET_MM && ctx->args[0] != PR_SET_VMA)
		return 1;
	t = begin_call(ctx->nr);
	if (!t)
		return 1;
#pragma unroll
	for (int i = 0; i < 5; i++)
		t->args[i] = ctx->args[i];
	return 1;
}

static __always_inline int end_call(void *ctx, struct thread *t, u64 pid_tgid, s64 ret)
{
	struct counter *c = counter_of(SOURCE_CALLS);
	u32 nr = t->active - 1;
	struct calls_record *e;

	t->active = 0;
	/* a call that returns after the end is not part of the recording */
	if (!c || !is_recording())
		return 1;
	c->attempted++;
	e = calls.ringbuf_reserve(sizeof(*e));
	if (!e) {
		count_loss(c, pid_tgid >> 32);
		return 1;
	}
	e->ts_enter_ns = t->ts_enter_ns;
	e->ts_exit_ns = bpf_ktime_get_ns();
#pragma unroll
	for (int i = 0; i < 6; i++)
		e->args[i] = t->args[i];
	e->ret = ret;
	e->mm = t->mm;
	FILL_CALLER(e, pid_tgid, nr);
	e->stack_id = USER_STACK(ctx);
	e->fd_inode = t->file.inode;
	e->fd_size_bytes = t->file.size;
	e->fd_dev = t->file.dev;
	e->fd_generation = t->file.generation;
	/* The reader polls: waking it for each record would cost the traced program. */
	calls.ringbuf_submit(e, WAKE_IF(ret == -12)); /* -ENOMEM */
	return 1;
}

int leave_call(struct exit_context *ctx)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;
	struct thread *t = threads.lookup(&tid);

	if (!t || t->active != (u32)ctx->nr + 1)
		return 1;
	return end_call(ctx, t, pid_tgid, ctx->ret);
}
