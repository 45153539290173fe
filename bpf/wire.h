/* SPDX-License-Identifier: GPL-2.0 */
/* Made by `python -m recorder.schema` from recorder/schema.py: change it there. */
#pragma once
#define NR_I386 32768
#define COMM_BYTES 16
#define PATH_BYTES 256
#define NR_remap_file_pages 216
#define NR32_remap_file_pages 257
#define NR_mmap 9
#define NR32_mmap 192
#define NR32_old_mmap 90
#define NR_munmap 11
#define NR32_munmap 91
#define NR_mprotect 10
#define NR32_mprotect 125
#define NR_pkey_mprotect 329
#define NR32_pkey_mprotect 380
#define NR_mremap 25
#define NR32_mremap 163
#define NR_brk 12
#define NR32_brk 45
#define NR_shmat 30
#define NR32_shmat 397
#define NR_shmdt 67
#define NR32_shmdt 398
#define NR32_ipc 117
#define NR_madvise 28
#define NR32_madvise 219
#define NR_process_madvise 440
#define NR32_process_madvise 440
#define NR_mlock 149
#define NR32_mlock 150
#define NR_mlock2 325
#define NR32_mlock2 376
#define NR_munlock 150
#define NR32_munlock 151
#define NR_mlockall 151
#define NR32_mlockall 152
#define NR_munlockall 152
#define NR32_munlockall 153
#define NR_mbind 237
#define NR32_mbind 274
#define NR_mseal 462
#define NR32_mseal 462
#define NR_map_shadow_stack 453
#define NR_io_setup 206
#define NR32_io_setup 245
#define NR_io_destroy 207
#define NR32_io_destroy 246
#define NR_prctl 157
#define NR32_prctl 172
#define NR_ftruncate 77
#define NR32_ftruncate 93
#define NR_truncate 76
#define NR32_truncate 92
#define NR32_ftruncate64 194
#define NR32_truncate64 193
#define NR_fallocate 285
#define NR32_fallocate 324
#define NR_open 2
#define NR32_open 5
#define NR_openat 257
#define NR32_openat 295
#define NR_openat2 437
#define NR32_openat2 437
#define NR_creat 85
#define NR32_creat 8

struct calls_record {
	u64 ts_enter_ns;
	u64 ts_exit_ns;
	u64 args[6];
	s64 ret;
	u64 mm;
	u64 cgroup_id;
	u32 pid;
	u32 tid;
	char comm[16];
	u16 cpu;
	u16 nr;
	s32 stack_id;
	u64 fd_inode;
	u64 fd_size_bytes;
	u32 fd_dev;
	u32 fd_generation;
};

struct files_record {
	u64 ts_enter_ns;
	u64 ts_exit_ns;
	u64 args[6];
	s64 ret;
	u64 mm;
	u64 cgroup_id;
	u32 pid;
	u32 tid;
	char comm[16];
	u16 cpu;
	u16 nr;
	s32 stack_id;
	u64 inode;
	u64 old_size_bytes;
	u64 new_size_bytes;
	u32 dev;
	u32 generation;
	u32 known;
	s32 path_len;
	u64 open_flags;
	char path[256];
};

struct tasks_record {
	u64 ts_ns;
	u64 ts_enter_ns;
	u64 clone_flags;
	u64 mm;
	u8 event;
	u8 elf_class;
	u16 cpu;
	s32 path_len;
	u32 pid;
	u32 tid;
	u32 parent_pid;
	u32 parent_tid;
	u32 exit_status;
	u32 unused;
	char comm[16];
	char path[256];
};

struct faults_record {
	u64 ts_ns;
	u64 address;
	u64 ip;
	u64 mm;
	u64 cgroup_id;
	u32 pid;
	u32 tid;
	char comm[16];
	u16 cpu;
	u16 nr;
	s32 stack_id;
	s32 code;
	s32 result;
	u64 file_inode;
	u64 file_size_bytes;
	u32 file_dev;
	u32 file_generation;
};

struct hooks_record {
	u64 ts_ns;
	u64 addr;
	u64 size;
	u64 prot;
	u64 flags;
	u64 pgoff;
	u64 offset_bytes;
	u64 length_bytes;
	u64 old_size_bytes;
	u64 new_size_bytes;
	u64 inode;
	u64 mm;
	u64 cgroup_id;
	u32 pid;
	u32 tid;
	char comm[16];
	u16 cpu;
	u16 nr;
	s32 stack_id;
	u32 dev;
	u32 generation;
	s32 ret;
	u32 unused;
};
