/*
 * Huge pages: pools, reservations, private and shared mappings, fork, files, System V segments. Prints
 * what each call answers and what the pool has then; the same on any Linux with pages of 2 MiB, run as root.
 */
#include "smaps.h"

#define HUGE (2 * MIB)
#define RW (PROT_READ | PROT_WRITE)
#define MFD_HUGETLB 4
#define PUNCH_HOLE 3
#define SHM_HUGETLB 04000
#define IPC_CREAT 01000
#define MFD_ALLOW_SEALING 2
#define F_ADD_SEALS 1033
#define MADV_POPULATE 23 /* MADV_POPULATE_WRITE */

static const char pool_file[] = "/proc/sys/vm/nr_hugepages";
static const char overcommit_file[] = "/proc/sys/vm/nr_overcommit_hugepages";
/* Accesses go through a pipe: EFAULT for what would be a signal. */
static int probe[2];

static void say(const char *what, long result)
{
	/* An address is as good as 0. */
	print("%s: %d\n", what, result > 4096 ? 0l : result);
}

static void set(const char *file, const char *value)
{
	int fd = sys_open(file, 1);
	long wrote = syscall3(__NR_write, fd, value, string_length(value));

	if (wrote != (long)string_length(value))
		print("%s in %s: %d\n", value, file, wrote);
	syscall1(__NR_close, fd);
}

/* What the pool has: total, free, reserved, surplus. */
static void pool(const char *when)
{
	slurp("/proc/meminfo");
	print("%s: %u %u %d %u\n", when, number_after("HugePages_Total:"), number_after("HugePages_Free:"),
	      (long)number_after("HugePages_Rsvd:"), number_after("HugePages_Surp:"));
}

static char *map(size_t pages, int flags, int fd, size_t offset)
{
	return (char *)syscall6(__NR_mmap, 0, (long)(pages * HUGE), RW, flags, fd, (long)offset);
}

static char *private_huge(size_t pages, int flags)
{
	return map(pages, MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
}

static char *shared_huge(size_t pages, int flags)
{
	return map(pages, MAP_SHARED | MAP_ANONYMOUS | MAP_HUGETLB | flags, -1, 0);
}

static void unmap(char *p, size_t pages)
{
	long error = syscall2(__NR_munmap, p, pages * HUGE);

	if (error != 0)
		fail("munmap", error);
}

/* Stores a byte; 0, or -14 where that cannot be. */
static long store(char *p, char value)
{
	syscall3(__NR_write, probe[1], &value, 1);
	long got = syscall3(__NR_read, probe[0], p, 1);

	if (got < 0) {
		char drop;

		syscall3(__NR_read, probe[0], &drop, 1);
		return got;
	}
	return 0;
}

static long load(char *p)
{
	char value = 0;
	long wrote = syscall3(__NR_write, probe[1], p, 1);

	if (wrote < 0)
		return wrote;
	syscall3(__NR_read, probe[0], &value, 1);
	return value;
}

static int fork_child(void)
{
#if defined(__riscv)
	return (int)syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
#else
	return (int)syscall0(__NR_fork);
#endif
}

static void wait_child(int pid)
{
	syscall4(__NR_wait4, pid, NULL, 0, NULL);
}

static void go(int fd)
{
	syscall3(__NR_write, fd, "x", 1);
}

static void await(int fd)
{
	char c;

	syscall3(__NR_read, fd, &c, 1);
}

static void pools(void)
{
	char *p;

	print("-- pools\n");
	say("nothing there", (long)private_huge(1, 0));
	set(pool_file, "4");
	pool("4");
	p = private_huge(2, 0);
	pool("2 mapped");
	say("store", store(p, 1));
	say("load", load(p + HUGE));
	pool("touched");
	say("3 more", (long)private_huge(3, 0));
	char *q = private_huge(3, MAP_NORESERVE);
	for (int i = 0; i < 3; i++)
		say("without reservation", store(q + (size_t)i * HUGE, 1));
	pool("without reservation");
	unmap(q, 3);
	unmap(p, 2);
	pool("unmapped");
	set(pool_file, "1");
	set(overcommit_file, "2");
	p = private_huge(3, 0);
	pool("2 of surplus");
	store(p, 1);
	set(pool_file, "0");
	pool("pool of 0");
	set(pool_file, "2");
	pool("pool of 2");
	unmap(p, 3);
	pool("unmapped");
	set(overcommit_file, "0");
	set(pool_file, "junk");
	set("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", " 3");
	set("/sys/kernel/mm/hugepages/hugepages-2048kB/nr_hugepages", "4\n");
	pool("4");
}

static void ranges(void)
{
	char *p = private_huge(2, 0);

	print("-- ranges\n");
	store(p, 1);
	store(p + HUGE, 2);
	say("munmap of a small page", syscall2(__NR_munmap, p, PAGE_SIZE));
	say("munmap from a small page", syscall2(__NR_munmap, p + PAGE_SIZE, HUGE));
	say("munmap up to a small page", syscall2(__NR_munmap, p + HUGE, HUGE - PAGE_SIZE));
	say("mprotect of a small page", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ));
	say("mprotect", syscall3(__NR_mprotect, p, HUGE, PROT_READ));
	say("store", store(p, 3));
	say("load", load(p));
	say("mprotect back", syscall3(__NR_mprotect, p, HUGE, RW));
	say("store", store(p, 3));
	static const int advice[] = {0, 3, 4, 8, 9, 10, 11, 16, 17, 18, 19, 20, 21, 22, 23, 24};
	for (size_t i = 0; i < sizeof(advice) / sizeof(*advice); i++) {
		long from_within = syscall3(__NR_madvise, p + PAGE_SIZE, HUGE - PAGE_SIZE, advice[i]);
		long up_to_within = syscall3(__NR_madvise, p, PAGE_SIZE, advice[i]);

		print("madvise %d: %d %d %d\n", (long)advice[i], from_within, up_to_within, syscall3(__NR_madvise, p, HUGE, advice[i]));
	}
	store(p, 7);
	say("DONTNEED of a page and a bit", syscall3(__NR_madvise, p, HUGE + 2 * PAGE_SIZE, MADV_DONTNEED));
	pool("rounded down");
	print("%d %d\n", load(p), load(p + HUGE));
	unsigned char in_core[1024] = {0};
	syscall3(__NR_mincore, p, 2 * HUGE, in_core);
	print("in core: %d %d %d\n", (long)in_core[0], (long)in_core[511], (long)in_core[512]);
	say("mlock", syscall2(__NR_mlock, p, 2 * HUGE));
	unmap(p, 2);
	for (unsigned int log = 1; log < 64; log++) {
		long at = syscall6(__NR_mmap, 0, HUGE, RW,
				   (int)(MAP_PRIVATE | MAP_ANONYMOUS | MAP_HUGETLB | MAP_NORESERVE | (log << 26)), -1, 0);

		if (at != -22)
			print("pages of 2^%u bytes\n", (unsigned long)log);
		if (at > 0)
			syscall2(__NR_munmap, at, log == 30 ? 1ul << 30 : HUGE);
	}
	p = private_huge(1, MAP_POPULATE);
	pool("populated");
	unmap(p, 1);
	p = private_huge(5, MAP_NORESERVE);
	say("populate too much", syscall3(__NR_madvise, p, 5 * HUGE, MADV_POPULATE));
	unmap(p, 5);
	pool("unmapped");
}

static void moves(void)
{
	char *room = (char *)syscall6(__NR_mmap, 0, (long)(8 * HUGE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	char *to = (char *)(((uintptr_t)room + HUGE - 1) & ~(HUGE - 1));
	char *p = private_huge(2, 0);

	print("-- mremap\n");
	store(p, 1);
	store(p + HUGE, 2);
	say("grow", syscall6(__NR_mremap, (long)p, (long)(2 * HUGE), (long)(3 * HUGE), 1, 0, 0));
	say("a small page", syscall6(__NR_mremap, (long)p, (long)PAGE_SIZE, (long)PAGE_SIZE, 0, 0, 0));
	say("from a small page", syscall6(__NR_mremap, (long)(p + PAGE_SIZE), (long)HUGE, (long)HUGE, 0, 0, 0));
	say("to a small page", syscall6(__NR_mremap, (long)p, (long)(2 * HUGE), (long)(2 * HUGE), 3, (long)(to + PAGE_SIZE), 0));
	say("keeping the old", syscall6(__NR_mremap, (long)p, (long)(2 * HUGE), (long)(2 * HUGE), 5, 0, 0));
	say("move", syscall6(__NR_mremap, (long)p, (long)(2 * HUGE), (long)(2 * HUGE), 3, (long)to, 0));
	pool("moved");
	print("%d %d %d\n", load(to), load(to + HUGE), load(p));
	say("shrink", syscall6(__NR_mremap, (long)to, (long)(2 * HUGE), (long)HUGE, 0, 0, 0));
	pool("shrunk");
	unmap(to, 1);
	p = private_huge(2, 0);
	say("move what was not touched", syscall6(__NR_mremap, (long)p, (long)(2 * HUGE), (long)(2 * HUGE), 3, (long)to, 0));
	pool("moved");
	store(to, 1);
	pool("touched");
	unmap(to, 2);
	pool("unmapped");
	syscall2(__NR_munmap, room, 8 * HUGE);
}

static void children(void)
{
	int down[2], up[2];
	char *p;
	int child;

	print("-- fork\n");
	syscall2(__NR_pipe2, down, 0);
	syscall2(__NR_pipe2, up, 0);
	set(pool_file, "1");
	p = private_huge(1, 0);
	store(p, 1);
	child = fork_child();
	if (child == 0) {
		print("child reads %d\n", load(p));
		go(up[1]);
		await(down[0]);
		print("child reads %d\n", load(p));
		exit_group(0);
	}
	await(up[0]);
	say("owner writes, and takes the page from its child", store(p, 2));
	pool("taken");
	go(down[1]);
	wait_child(child);
	child = fork_child();
	if (child == 0) {
		print("child writes %d\n", store(p, 3));
		print("child reads %d\n", load(p));
		exit_group(0);
	}
	wait_child(child);
	print("owner reads %d\n", load(p));
	unmap(p, 1);
	set(pool_file, "2");
	p = private_huge(1, 0);
	store(p, 1);
	child = fork_child();
	if (child == 0) {
		print("child writes %d\n", store(p, 3));
		pool("copied");
		go(up[1]);
		await(down[0]);
		exit_group(0);
	}
	await(up[0]);
	print("owner reads %d\n", load(p));
	unmap(p, 1);
	pool("owner has unmapped it");
	go(down[1]);
	wait_child(child);
	pool("child is gone");
	/* The owner goes first: what it had reserved is given back twice for a while, on Linux as well. */
	p = private_huge(1, 0);
	store(p, 1);
	child = fork_child();
	if (child == 0) {
		go(up[1]);
		await(down[0]);
		exit_group(0);
	}
	await(up[0]);
	unmap(p, 1);
	pool("owner has unmapped it");
	go(down[1]);
	wait_child(child);
	pool("child is gone");
	p = shared_huge(2, 0);
	pool("shared");
	store(p, 1);
	child = fork_child();
	if (child == 0) {
		print("child reads %d\n", load(p));
		store(p, 2);
		store(p + HUGE, 3);
		exit_group(0);
	}
	wait_child(child);
	print("parent reads %d %d\n", load(p), load(p + HUGE));
	say("DONTNEED", syscall3(__NR_madvise, p, HUGE, MADV_DONTNEED));
	print("%d\n", load(p));
	say("REMOVE", syscall3(__NR_madvise, p, HUGE, 9));
	pool("removed");
	print("%d\n", load(p));
	slurp("/proc/self/smaps");
	print("Private_Hugetlb %u, Shared_Hugetlb %u, Rss %u\n", field("Private_Hugetlb:", (uintptr_t)p, (uintptr_t)p + 2 * HUGE),
	      field("Shared_Hugetlb:", (uintptr_t)p, (uintptr_t)p + 2 * HUGE), field("Rss:", (uintptr_t)p, (uintptr_t)p + 2 * HUGE));
	slurp("/proc/self/status");
	print("HugetlbPages %u\n", number_after("HugetlbPages:\t"));
	unmap(p, 2);
	pool("unmapped");
}

static void files(void)
{
	char bytes[8];
	int fd;

	print("-- files\n");
	set(pool_file, "6");
	fd = (int)syscall2(__NR_memfd_create, "huge", MFD_HUGETLB | MFD_ALLOW_SEALING);
	say("write", syscall3(__NR_write, fd, "a", 1));
	say("ftruncate to a small page", syscall2(__NR_ftruncate, fd, PAGE_SIZE));
	say("ftruncate", syscall2(__NR_ftruncate, fd, 2 * HUGE));
	say("read of a hole", syscall3(__NR_read, fd, bytes, 8));
	char *p = map(2, MAP_SHARED, fd, 0);
	pool("mapped");
	store(p, 65);
	store(p + HUGE + 5000, 66);
	say("pread", syscall4(__NR_pread64, fd, bytes, 1, HUGE + 5000));
	print("%d\n", (long)bytes[0]);
	char *q = map(1, MAP_PRIVATE, fd, HUGE);
	print("private %d\n", load(q + 5000));
	pool("read");
	store(q + 5000, 77);
	pool("copied");
	print("private %d, shared %d\n", load(q + 5000), load(p + HUGE + 5000));
	say("punch", syscall4(__NR_fallocate, fd, PUNCH_HOLE, HUGE, HUGE));
	pool("punched");
	print("shared %d\n", load(p + HUGE + 5000));
	print("private %d\n", load(q + 5000));
	unmap(q, 1);
	store(p + 10, 1);
	store(p + 5000, 2);
	store(p + 9000, 3);
	say("punch a part", syscall4(__NR_fallocate, fd, PUNCH_HOLE, 100, 8000));
	print("%d %d %d\n", load(p + 10), load(p + 5000), load(p + 9000));
	say("ftruncate", syscall2(__NR_ftruncate, fd, HUGE));
	pool("truncated");
	print("behind the end %d\n", load(p + HUGE));
	say("fallocate", syscall4(__NR_fallocate, fd, 0, 0, 3 * HUGE));
	pool("allocated");
	say("fallocate too much", syscall4(__NR_fallocate, fd, 0, 0, 100 * HUGE));
	unmap(p, 2);
	say("ftruncate", syscall2(__NR_ftruncate, fd, 0));
	pool("empty");
	unmap(map(2, MAP_SHARED, fd, 0), 2);
	pool("reserved for good");
	say("offset within a page", (long)map(1, MAP_SHARED, fd, PAGE_SIZE));
	say("seal", syscall3(__NR_fcntl, fd, F_ADD_SEALS, 2 | 4));
	say("shrink", syscall2(__NR_ftruncate, fd, 0));
	say("grow", syscall2(__NR_ftruncate, fd, 9 * HUGE));
	syscall1(__NR_close, fd);
	pool("closed");
	say("no such size", syscall2(__NR_memfd_create, "huge", MFD_HUGETLB | (20u << 26)));
	/* One page for the mount itself, three at most. */
	syscall4(__NR_mkdirat, AT_FDCWD, "/tmp/hugetlb", 0755, 0);
	say("mount of odd pages", syscall6(__NR_mount, (long)"none", (long)"/tmp/hugetlb", (long)"hugetlbfs", 0, (long)"pagesize=4K", 0));
	say("mount", syscall6(__NR_mount, (long)"none", (long)"/tmp/hugetlb", (long)"hugetlbfs", 0, (long)"size=6M,min_size=2M", 0));
	pool("mounted");
	fd = (int)syscall4(__NR_openat, AT_FDCWD, "/tmp/hugetlb/file", 0102, 0600);
	p = map(2, MAP_SHARED, fd, 0);
	pool("mapped");
	say("too much", (long)map(4, MAP_SHARED, fd, 0));
	store(p, 9);
	say("umount", syscall2(__NR_umount2, "/tmp/hugetlb", 0));
	unmap(p, 2);
	say("rename", syscall4(__NR_renameat2, AT_FDCWD, "/tmp/hugetlb/file", AT_FDCWD, "/tmp/hugetlb/other"));
	p = map(1, MAP_PRIVATE, fd, 0);
	print("%d\n", load(p));
	unmap(p, 1);
	syscall1(__NR_close, fd);
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/hugetlb/other", 0);
	pool("unlinked");
	say("umount", syscall2(__NR_umount2, "/tmp/hugetlb", 0));
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/hugetlb", 0x200);
	pool("unmounted");
}

static void segments(void)
{
	print("-- segments\n");
	int id = (int)syscall3(__NR_shmget, 0, 3 * HUGE - 100, SHM_HUGETLB | IPC_CREAT | 0600);
	say("shmget", id < 0 ? id : 0);
	pool("reserved");
	say("too much", syscall3(__NR_shmget, 0, 4 * HUGE, SHM_HUGETLB | IPC_CREAT | 0600));
	char *p = (char *)syscall3(__NR_shmat, id, 0, 0);
	for (int i = 0; i < 3; i++)
		store(p + (size_t)i * HUGE, (char)(i + 1));
	pool("touched");
	int child = fork_child();
	if (child == 0) {
		store(p, 50);
		exit_group(0);
	}
	wait_child(child);
	print("%d %d\n", load(p), load(p + 2 * HUGE));
	say("shmdt within", syscall1(__NR_shmdt, p + HUGE));
	say("shmdt", syscall1(__NR_shmdt, p));
	pool("detached");
	p = (char *)syscall3(__NR_shmat, id, 0, 010000);
	print("%d\n", load(p));
	say("store", store(p, 1));
	say("IPC_RMID", syscall3(__NR_shmctl, id, 0, 0));
	pool("removed, and attached");
	say("shmdt", syscall1(__NR_shmdt, p));
	pool("gone");
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	syscall2(__NR_pipe2, probe, 0);
	set(pool_file, "0");
	pools();
	ranges();
	moves();
	children();
	files();
	segments();
	set(pool_file, "0");
	pool("end");
	return 0;
}
