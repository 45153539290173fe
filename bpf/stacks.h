/* SPDX-License-Identifier: GPL-2.0 */
/* User stacks: the kernel's walk along frame pointers, and the caller that such a walk leaves out.
 *
 * A libc built without frame pointers makes a system call with the register still in its caller's
 * use: the walk goes from mmap() to the caller of mmap()'s caller. The one left out is found where
 * its call put it, near the top of the stack: a word that follows a call of the very function the
 * thread is in. Such a pair of a stack and a caller has a number of its own. */

#ifdef WITH_STACKS
#define CALLER_WORDS 16 /* mremap and open of glibc have up to a dozen of their own below it */
#define LONG_FUNCTION 4096 /* from the entry of a function to where the thread is in it, at the most */
#define WRAPPER 512 /* the same, for words that are not the first and may be left from earlier calls */
#define CALLER_SLOTS 4 /* numbers tried for a pair */
#define CALLER_BITS 47 /* of a user address; what is above is the stack's number */
#define USER_CS 0x33

/* BPF_STACK_TRACE without its rounding, which takes a kernel header */
BPF_TABLE("stacktrace", int, struct bpf_stacktrace, stacks, STACK_ENTRIES);
/* number of the pair, less STACK_ENTRIES: the stack's number and the caller */
BPF_HASH(callers, u32, u64, STACK_ENTRIES);
/* stacks without one, by number and the word at the top */
BPF_TABLE("lru_hash", u64, u8, callerless, 4096);

/* the end of pt_regs of x86_64, which is user ABI */
struct user_place {
	u64 ip, cs, flags, sp, ss;
};
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

/* The function that a call just before `ret` went to, by way of a procedure linkage table or not; 0: no such call. */
static __always_inline u64 called(u64 ret)
{
	struct {
		u8 unused[2], indirect, direct; /* of the last eight bytes: ff 15 slot, or e8 distance */
		s32 distance;
	} before;
	u64 target, code;
	u32 at;

	if (ret < 4096 || ret >> CALLER_BITS || bpf_probe_read_user(&before, sizeof(before), (void *)ret - 8))
		return 0;
	target = ret + before.distance;
	if (before.direct == 0x15 && before.indirect == 0xff)
		return read_user_word(target);
	if (before.direct != 0xe8)
		return 0;
	at = (u32)read_user_word(target) == 0xfa1e0ff3 ? 4 : 0; /* endbr64 */
	code = read_user_word(target + at);
	if ((u8)code == 0xf2) { /* bnd */
		code >>= 8;
		at++;
	}
	/* jmp *slot */
	return (u16)code == 0x25ff ? read_user_word(target + at + 6 + (s32)(code >> 16)) : target;
}

static __always_inline bool called_from(u64 ret, u64 ip, u32 reach)
{
	u64 function = called(ret);

	return function && ip - function < reach;
}

static __always_inline u64 caller_of_innermost(struct user_place *user, u64 first)
{
	u64 words[CALLER_WORDS - 1] = {};

	if (called_from(first, user->ip, LONG_FUNCTION))
		return first;
	bpf_probe_read_user(words, sizeof(words), (void *)user->sp + 8);
#pragma nounroll
	for (int i = 0; i < CALLER_WORDS - 1; i++)
		if (called_from(words[i], user->ip, WRAPPER))
			return words[i];
	return 0;
}

/* Number of a pair; -1: it has none, or where it is to be `made`, the slots are taken. */
static __always_inline s32 number_of(u64 pair, bool made)
{
	u64 *found;

#pragma unroll
	for (int i = 0; i < CALLER_SLOTS; i++) {
		u32 key = (pair * 0x9e3779b97f4a7c15ULL >> 32) % STACK_ENTRIES;

		key = (key + i) % STACK_ENTRIES;
		found = callers.lookup(&key);
		if (!found && made) {
			callers.insert(&key, &pair); /* another CPU may be first: what is there counts */
			found = callers.lookup(&key);
		}
		if (!found)
			return -1;
		if (*found == pair)
			return STACK_ENTRIES + key;
	}
	return -1;
}

static __always_inline s32 with_caller(s32 stack_id)
{
	u64 first, caller, pair = (u64)stack_id << CALLER_BITS;
	struct user_place user;
	s32 number;
	u8 yes = 1;

	if (bpf_probe_read_kernel(&user, sizeof(user), USER_REGS() + PT_REGS_IP) || user.cs != USER_CS)
		return stack_id;
	/* Of most calls all is known by the word at the top. */
	first = read_user_word(user.sp) & ((1ULL << CALLER_BITS) - 1);
	number = number_of(pair | first, false);
	if (number >= 0)
		return number;
	first |= pair;
	if (callerless.lookup(&first))
		return stack_id;
	caller = caller_of_innermost(&user, first & ((1ULL << CALLER_BITS) - 1));
	if (!caller) {
		callerless.update(&first, &yes);
		return stack_id;
	}
	number = number_of(pair | caller, true);
	return number < 0 ? stack_id : number;
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
	return id < 0 ? id : with_caller(id);
}
#define USER_STACK(ctx) user_stack(ctx)
#else
#define USER_STACK(ctx) (-38) /* -ENOSYS: not asked for */
#endif
