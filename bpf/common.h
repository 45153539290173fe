/* SPDX-License-Identifier: GPL-2.0 */
/* What every probe family shares: the rings, the loss counters, the filters.
 *
 * The loader puts wire.h, this file and stacks.h before the families and compiles all as one program.
 * Parameters come as macros: OFF_* (struct offsets, from BTF), MM_KEY, SELF_TGID, PAGE_BYTES, MAX_CPUS,
 * MAX_THREADS, RING_*_PAGES, and the switches ONLY_TARGETS, WITH_STACKS and WITH_WAKE. */

enum source { SOURCE_CALLS, SOURCE_FILES, SOURCE_TASKS, SOURCE_FAULTS, SOURCE_THREADS, SOURCE_STACKS, SOURCE_HOOKS, SOURCES };

/* One a source and CPU. Only its CPU writes it, but for `acknowledged`, which the reader sets to
 * the losses it has reported: so first_lost_ns is the first loss since then, or an earlier one. */
struct counter {
	u64 attempted;
	u64 lost;
	u64 first_lost_ns;
	u64 last_lost_ns;
	u64 acknowledged;
	u64 unused[3];
};

BPF_F_TABLE("array", u32, struct counter, counters, SOURCES * MAX_CPUS, BPF_F_MMAPABLE);
BPF_RINGBUF_OUTPUT(calls, RING_CALLS_PAGES);
BPF_RINGBUF_OUTPUT(files, RING_FILES_PAGES);
BPF_RINGBUF_OUTPUT(tasks, RING_TASKS_PAGES);
BPF_RINGBUF_OUTPUT(faults, RING_FAULTS_PAGES);
BPF_RINGBUF_OUTPUT(hooks, RING_HOOKS_PAGES);

/* Set by the reader when every program is attached, and cleared before any is detached: recording
 * begins and ends at one instant, however long attaching and detaching take. */
BPF_F_TABLE("array", u32, u64, recording, 1, BPF_F_MMAPABLE);

/* Processes that lost a record since the reader last looked, so that it reads their maps again. */
BPF_HASH(losers, u32, u64, 8192);
#ifdef ONLY_TARGETS
BPF_HASH(targets, u32, u8, 65536);
#endif

static __always_inline struct counter *counter_of(u32 source)
{
	u32 key = source * MAX_CPUS + bpf_get_smp_processor_id();

	return counters.lookup(&key);
}

static __always_inline void count_loss(struct counter *c, u32 tgid)
{
	u64 now = bpf_ktime_get_ns(), one = 1, *n;

	if (c->lost == c->acknowledged)
		c->first_lost_ns = now;
	c->lost++;
	c->last_lost_ns = now;
	if (!tgid)
		return;
	n = losers.lookup(&tgid);
	if (n)
		(*n)++;
	else
		losers.update(&tgid, &one);
}

static __always_inline bool is_recording(void)
{
	u32 zero = 0;
	u64 *on = recording.lookup(&zero);

	return on && *on;
}

static __always_inline bool wanted(u32 tgid)
{
	if (!is_recording() || tgid == SELF_TGID)
		return false;
#ifdef ONLY_TARGETS
	return targets.lookup(&tgid) != NULL;
#else
	return true;
#endif
}

static __always_inline void *read_ptr(void *base, u32 offset)
{
	void *p = NULL;

	bpf_probe_read_kernel(&p, sizeof(p), base + offset);
	return p;
}

static __always_inline u64 read_u64(void *base, u32 offset)
{
	u64 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), base + offset);
	return v;
}

static __always_inline u32 read_u32(void *base, u32 offset)
{
	u32 v = 0;

	bpf_probe_read_kernel(&v, sizeof(v), base + offset);
	return v;
}

/* Kernel addresses leave the machine only masked. */
static __always_inline u64 mm_name(void *task)
{
	u64 mm = read_u64(task, OFF_TASK_MM);

	return mm ? mm ^ MM_KEY : 0;
}

struct file_facts {
	u64 inode;
	u64 size;
	u32 dev;
	u32 generation;
};

static __always_inline void *inode_of_fd(s32 fd)
{
	void *task = (void *)bpf_get_current_task();
	void *fdt, *file;

	if (fd < 0)
		return NULL;
	fdt = read_ptr(read_ptr(task, OFF_TASK_FILES), OFF_FILES_FDT);
	if (!fdt || (u32)fd >= read_u32(fdt, OFF_FDT_MAX_FDS))
		return NULL;
	file = read_ptr(read_ptr(fdt, OFF_FDT_FD), (u32)fd * 8);
	return file ? read_ptr(file, OFF_FILE_INODE) : NULL;
}

static __always_inline void read_inode(void *inode, struct file_facts *f)
{
	f->inode = read_u64(inode, OFF_INODE_INO);
	f->size = read_u64(inode, OFF_INODE_SIZE);
	f->generation = read_u32(inode, OFF_INODE_GENERATION);
	f->dev = read_u32(read_ptr(inode, OFF_INODE_SB), OFF_SB_DEV);
}

/* What can be a trigger of the flight recorder wakes it, so that it sees the process before it is gone. */
#ifdef WITH_WAKE
#define WAKE_IF(condition) ((condition) ? BPF_RB_FORCE_WAKEUP : BPF_RB_NO_WAKEUP)
#else
#define WAKE_IF(condition) BPF_RB_NO_WAKEUP
#endif

#define FILL_CALLER(e, pid_tgid, number)                                                           \
	do {                                                                                       \
		(e)->pid = (pid_tgid) >> 32;                                                       \
		(e)->tid = (u32)(pid_tgid);                                                        \
		(e)->cpu = bpf_get_smp_processor_id();                                             \
		(e)->nr = (number);                                                                \
		(e)->cgroup_id = bpf_get_current_cgroup_id();                                      \
		bpf_get_current_comm((e)->comm, COMM_BYTES);                                       \
	} while (0)

/* Contexts of perf's syscall tracepoints: the common fields, then what their format files say. */
struct enter_context {
	u64 common;
	s32 nr;
	u32 unused;
	u64 args[6];
};

struct exit_context {
	u64 common;
	s32 nr;
	u32 unused;
	s64 ret;
};
