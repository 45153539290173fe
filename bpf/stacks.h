/* SPDX-License-Identifier: GPL-2.0 */
/* User stacks: the kernel's walk along frame pointers, and the callers that such a walk leaves out.
 *
 * A libc built without frame pointers makes a system call with the register still in its caller's
 * use: the walk goes from mmap() to the caller of mmap()'s caller. Those left out are found where
 * their calls put them, between the top of the stack and the frame the register points to: a word
 * that follows a call of the very function the thread is in, then one that follows a call of the
 * function that word is in, and so on. A stack with such callers has a number of its own. */

#ifdef WITH_STACKS
#define BLOCK_WORDS 16
#define BLOCKS 6 /* of the stack that is looked at; malloc of glibc takes 37 words from its caller to mmap */
#define LONG_FUNCTION 4096 /* from the entry of a function to where it has come to, at the most */
#define WRAPPER 512 /* the same for a word that is not the first, while none is found yet: it can be an old one */
#define SLOTS 4 /* numbers tried */
#define USER_END (1ULL << 47)
#define OWN_BELOW 65536 /* addresses so far from the top of the stack are its own, not code */
#define OWN_ABOVE 16384
#define USER_CS 0x33

/* BPF_STACK_TRACE without its rounding, which takes a kernel header */
BPF_TABLE("stacktrace", int, struct bpf_stacktrace, stacks, STACK_ENTRIES);

struct extended {
	u64 name; /* of all that follows */
	u32 stack_id;
	u16 count;
	u16 joined_at; /* which word the kernel's walk goes on from; 0: it was not come to, so what is between is not known */
	u64 callers[MOST_CALLERS]; /* innermost first, then zeros */
	union {
		u8 at[16]; /* which words they are */
		u64 places[2];
	};
};
/* key: the number of the extended stack, less STACK_ENTRIES */
BPF_HASH(extended, u32, struct extended, STACK_ENTRIES);
/* The number that a stack with such a word at the top had last; its own where there was nothing to add. To look whether
 * its callers still are where they were is a tenth of the work of looking for them. */
BPF_TABLE("lru_hash", u64, s32, recent, 16384);

/* Room to work in. The verifier does not follow what is in it, which keeps the programs small to it. */
struct desk {
	u64 owner; /* whoever came last, should one be interrupted by another */
	u64 words[BLOCK_WORDS];
	struct extended e;
};
BPF_PERCPU_ARRAY(desks, struct desk, 1);

/* the end of pt_regs of x86_64, which is user ABI */
struct user_place {
	u64 ip, cs, flags, sp, ss;
};
#define PT_REGS_BP 32
#define PT_REGS_IP 128

#ifdef HAVE_TASK_PT_REGS
static void *(*const current_task_btf)(void) = (void *)158; /* BPF_FUNC_get_current_task_btf */
static void *(*const task_pt_regs)(void *task) = (void *)175; /* BPF_FUNC_task_pt_regs */
#define USER_REGS() task_pt_regs(current_task_btf())
#else /* before Linux 5.15; THREAD_SIZE and struct pt_regs of x86_64 */
#define USER_REGS() (read_ptr((void *)bpf_get_current_task(), OFF_TASK_STACK) + (4096 << 2) - 168)
#endif

static __always_inline u64 read_user_word(u64 at)
{
	u64 word = 0;

	bpf_probe_read_user(&word, sizeof(word), (void *)at);
	return word;
}

/* Whether `code`, eight bytes, ends with a call by a register or by memory that one points to (ff /2). */
static __always_inline bool indirect_call(u64 code)
{
	return (code >> 48 & 0xf8ff) == 0xd0ff || (code >> 48 & 0xf8ff) == 0x10ff || (code >> 40 & 0xf8ff) == 0x50ff ||
	       (code >> 16 & 0xf8ff) == 0x90ff;
}

/* Whether the call just before `ret` went to a function that begins at most `reach` before `ip`, by way of a procedure
 * linkage table or not. Where a register had its address, at the top of the stack, any call is taken for it. */
static __always_inline bool called_from(u64 ret, u64 ip, u32 reach, bool top)
{
	u64 function, stub, before = 0;
	u32 at;

	if (ret - 4096 >= USER_END || bpf_probe_read_user(&before, sizeof(before), (void *)ret - 8))
		return false;
	function = ret + (s32)(before >> 32);
	if ((u8)(before >> 24) != 0xe8) {
		if ((u16)(before >> 16) != 0x15ff)
			return top && indirect_call(before);
		return ip - read_user_word(function) < reach; /* call *slot */
	}
	at = ((u32)read_user_word(function) == 0xfa1e0ff3) * 4; /* endbr64 */
	stub = read_user_word(function + at);
	at += (u8)stub == 0xf2; /* bnd */
	stub >>= ((u8)stub == 0xf2) * 8;
	if ((u16)stub == 0x25ff) /* jmp *slot */
		function = read_user_word(function + at + 6 + (s32)(stub >> 16));
	return ip - function < reach;
}

/* Fill in the callers; false: the stack could not be read. */
static __always_inline bool find_callers(struct desk *d, struct user_place *user, u64 bp)
{
	u64 ip = user->ip;

#pragma nounroll
	for (int at = 0; at < BLOCKS * BLOCK_WORDS; at++) {
		u64 word, place = user->sp + 8 * at;
		u32 count = d->e.count;

		if (at % BLOCK_WORDS == 0 && bpf_probe_read_user(d->words, sizeof(d->words), (void *)place))
			return false;
		if (place == bp + 8) {
			d->e.joined_at = at;
			return true;
		}
		word = d->words[at % BLOCK_WORDS];
		if (word - user->sp + OWN_BELOW < OWN_BELOW + OWN_ABOVE)
			continue;
		if (!called_from(word, ip, at && !count ? WRAPPER : LONG_FUNCTION, !at))
			continue;
		if (count >= MOST_CALLERS)
			return true;
		d->e.callers[count] = ip = word;
		d->e.at[count] = at;
		d->e.count = count + 1;
	}
	return true;
}

static __always_inline bool still_there(struct extended *e, struct user_place *user, u64 bp)
{
	if (e->joined_at && user->sp + 8 * e->joined_at != bp + 8)
		return false;
#pragma unroll
	for (int i = 0; i < MOST_CALLERS; i++) {
		if (i >= e->count)
			return true;
		if (read_user_word(user->sp + 8 * e->at[i]) != e->callers[i])
			return false;
	}
	return true;
}

static __always_inline u64 mixed(u64 name, u64 more)
{
	return (name ^ more) * 0x9e3779b97f4a7c15ULL;
}

/* The number of an extended stack, made if it has none; -1: the slots are taken. */
static __always_inline s32 number_of(struct extended *e)
{
	struct extended *found;

	e->name = mixed(mixed(0, e->stack_id), e->joined_at);
#pragma unroll
	for (int i = 0; i < MOST_CALLERS; i++)
		e->name = mixed(e->name, e->callers[i]);
	e->name = mixed(mixed(e->name, e->places[0]), e->places[1]);
#pragma unroll
	for (int i = 0; i < SLOTS; i++) {
		u32 key = ((e->name >> 32) + i) % STACK_ENTRIES;

		found = extended.lookup(&key);
		if (!found) {
			extended.insert(&key, e); /* another CPU may be first: what is there counts */
			found = extended.lookup(&key);
		}
		if (found && found->name == e->name)
			return STACK_ENTRIES + key;
	}
	return -1;
}

static __always_inline s32 with_callers(s32 stack_id)
{
	u64 bp, top, me = bpf_get_current_pid_tgid();
	void *regs = USER_REGS();
	struct user_place user;
	struct extended *e;
	struct desk *d;
	u32 key, zero = 0;
	s32 *last, number;

	if (bpf_probe_read_kernel(&user, sizeof(user), regs + PT_REGS_IP) || user.cs != USER_CS)
		return stack_id;
	bp = read_u64(regs, PT_REGS_BP);
	top = mixed(mixed(0, stack_id), read_user_word(user.sp));
	last = recent.lookup(&top);
	if (last) {
		number = *last;
		if (number < STACK_ENTRIES)
			return stack_id;
		key = number - STACK_ENTRIES;
		e = extended.lookup(&key);
		if (e && e->stack_id == stack_id && still_there(e, &user, bp))
			return number;
	}
	d = desks.lookup(&zero);
	if (!d)
		return stack_id;
	d->owner = me;
	bpf_probe_read_kernel(&d->e, sizeof(d->e), NULL); /* zeros */
	d->e.stack_id = stack_id;
	number = find_callers(d, &user, bp) ? stack_id : -1;
	if (d->owner == me && d->e.count)
		number = number_of(&d->e);
	if (number < 0 || d->owner != me)
		return stack_id;
	recent.update(&top, &number);
	return number;
}

static __always_inline s32 user_stack(void *ctx)
{
	s32 id = stacks.get_stackid(ctx, BPF_F_USER_STACK);
	struct counter *c = counter_of(SOURCE_STACKS);

	if (c) {
		c->attempted++;
		/* -EEXIST: the bucket holds another stack; -ENOMEM: no bucket is free */
		if (id == -17 || id == -12)
			count_loss(c, 0); /* the record is there, and with it what was mapped */
	}
	return id < 0 ? id : with_callers(id);
}
#define USER_STACK(ctx) user_stack(ctx)
#else
#define USER_STACK(ctx) (-38) /* -ENOSYS: not asked for */
#endif
