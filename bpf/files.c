/* SPDX-License-Identifier: GPL-2.0 */
/* Calls that change a file's size or punch its contents: ftruncate, truncate, fallocate, and the
 * opens with O_TRUNC. They are rare, so their state is kept for the length of the call only. */

#define O_TRUNC 01000

#define KNOWN_FILE 1
#define KNOWN_OLD_SIZE 2
#define KNOWN_NEW_SIZE 4
#define KNOWN_PATH 8

struct file_call {
	u64 ts_enter_ns;
	u64 args[6];
	u64 open_flags;
	void *inode;
	struct file_facts file;
	u32 known;
	s32 path_len;
	u32 nr;
	u32 returns_fd;
	char path[PATH_BYTES];
};

BPF_HASH(file_calls, u32, struct file_call, 16384);
/* A file_call is larger than the stack of a BPF program. */
BPF_PERCPU_ARRAY(file_call_scratch, struct file_call, 1);

static __always_inline struct file_call *begin_file_call(u32 nr)
{
	u32 zero = 0;
	struct file_call *f;

	if (!wanted(bpf_get_current_pid_tgid() >> 32))
		return NULL;
	f = file_call_scratch.lookup(&zero);
	if (!f)
		return NULL;
	f->nr = nr;
	f->known = 0;
	f->path_len = 0;
	f->open_flags = 0;
	f->returns_fd = 0;
	f->inode = NULL;
#pragma unroll
	for (int i = 0; i < 6; i++)
		f->args[i] = 0;
	f->ts_enter_ns = bpf_ktime_get_ns();
	return f;
}

static __always_inline void keep_file_call(struct file_call *f)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;

	if (file_calls.update(&tid, f)) {
		struct counter *c = counter_of(SOURCE_FILES);

		if (c) {
			c->attempted++;
			count_loss(c, pid_tgid >> 32);
		}
	}
}

static __always_inline void note_fd(struct file_call *f, s32 fd)
{
	f->inode = inode_of_fd(fd);
	if (f->inode) {
		read_inode(f->inode, &f->file);
		f->known |= KNOWN_FILE | KNOWN_OLD_SIZE;
	}
}

static __always_inline void note_path(struct file_call *f, u64 user_path)
{
	f->path_len = bpf_probe_read_user_str(f->path, PATH_BYTES, (void *)user_path);
	if (f->path_len > 0)
		f->known |= KNOWN_PATH;
}

#define ENTER_FD(count)                                                                            \
	int enter_fd_##count(struct enter_context *ctx)                                            \
	{                                                                                          \
		struct file_call *f = begin_file_call(ctx->nr);                                    \
                                                                                                   \
		if (!f)                                                                            \
			return 1;                                                                  \
		_Pragma("unroll") for (int i = 0; i < count; i++) f->args[i] = ctx->args[i];       \
		note_fd(f, ctx->args[0]);                                                          \
		keep_file_call(f);                                                                 \
		return 1;                                                                          \
	}
ENTER_FD(2) /* ftruncate */
ENTER_FD(4) /* fallocate */

int enter_truncate(struct enter_context *ctx)
{
	struct file_call *f = begin_file_call(ctx->nr);

	if (!f)
		return 1;
	f->args[0] = ctx->args[0];
	f->args[1] = ctx->args[1];
	note_path(f, ctx->args[0]);
	keep_file_call(f);
	return 1;
}

static __always_inline void enter_opening(u32 nr, u64 dirfd, u64 path, u64 flags, u64 mode)
{
	struct file_call *f;

	if (!(flags & O_TRUNC))
		return;
	f = begin_file_call(nr);
	if (!f)
		return;
	f->args[0] = dirfd;
	f->args[1] = path;
	f->args[2] = flags;
	f->args[3] = mode;
	f->open_flags = flags;
	f->returns_fd = 1;
	note_path(f, path);
	keep_file_call(f);
}

#define AT_FDCWD (-100)

int enter_open(struct enter_context *ctx)
{
	enter_opening(ctx->nr, (s64)AT_FDCWD, ctx->args[0], ctx->args[1], ctx->args[2]);
	return 1;
}

int enter_openat(struct enter_context *ctx)
{
	enter_opening(ctx->nr, ctx->args[0], ctx->args[1], ctx->args[2], ctx->args[3]);
	return 1;
}

int enter_creat(struct enter_context *ctx)
{
	enter_opening(ctx->nr, (s64)AT_FDCWD, ctx->args[0], O_TRUNC | 1 /* O_WRONLY */ | 0100 /* O_CREAT */, ctx->args[1]);
	return 1;
}

int enter_openat2(struct enter_context *ctx)
{
	u64 how[2] = {}; /* flags and mode open struct open_how */

	bpf_probe_read_user(how, sizeof(how), (void *)ctx->args[2]);
	enter_opening(ctx->nr, ctx->args[0], ctx->args[1], how[0], how[1]);
	return 1;
}

static __always_inline int end_file_call(void *ctx, struct file_call *f, u64 pid_tgid, s64 ret)
{
	struct counter *c = counter_of(SOURCE_FILES);
	u32 tid = pid_tgid;
	struct files_record *e;

	if (!c || !is_recording())
		return 1;
	c->attempted++;
	e = files.ringbuf_reserve(sizeof(*e));
	if (!e) {
		count_loss(c, pid_tgid >> 32);
		file_calls.delete(&tid);
		return 1;
	}
	e->ts_enter_ns = f->ts_enter_ns;
	e->ts_exit_ns = bpf_ktime_get_ns();
#pragma unroll
	for (int i = 0; i < 6; i++)
		e->args[i] = f->args[i];
	e->ret = ret;
	e->mm = mm_name((void *)bpf_get_current_task());
	FILL_CALLER(e, pid_tgid, f->nr);
	e->stack_id = USER_STACK(ctx);
	e->open_flags = f->open_flags;
	e->known = f->known;
	e->old_size_bytes = f->file.size;
	if (f->returns_fd && ret >= 0) {
		f->inode = inode_of_fd(ret);
		if (f->inode) {
			read_inode(f->inode, &f->file);
			e->known |= KNOWN_FILE | KNOWN_NEW_SIZE;
		}
	} else if (f->inode && read_u64(f->inode, OFF_INODE_INO) == f->file.inode) {
		f->file.size = read_u64(f->inode, OFF_INODE_SIZE);
		e->known |= KNOWN_NEW_SIZE;
	}
	e->inode = f->file.inode;
	e->new_size_bytes = f->file.size;
	e->dev = f->file.dev;
	e->generation = f->file.generation;
	e->path_len = f->path_len;
	bpf_probe_read_kernel(e->path, PATH_BYTES, f->path);
	files.ringbuf_submit(e, BPF_RB_NO_WAKEUP);
	file_calls.delete(&tid);
	return 1;
}

int leave_file_call(struct exit_context *ctx)
{
	u64 pid_tgid = bpf_get_current_pid_tgid();
	u32 tid = pid_tgid;
	struct file_call *f = file_calls.lookup(&tid);

	if (!f || f->nr != (u32)ctx->nr)
		return 1;
	return end_file_call(ctx, f, pid_tgid, ctx->ret);
}
