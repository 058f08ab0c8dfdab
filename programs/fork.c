/*
 * fork: what a child has of its parent's memory, and what a parent hears of its child. Without an
 * argument it does what any Linux can do, to compare with; with "all", what needs swap and the test
 * device too.
 */
#include "dmirror.h"
#include <linux/wait.h>

#define O_NONBLOCK 04000
#define PAGES 64
#define HUGE (2 * MIB)
#define PROT_RW (PROT_READ | PROT_WRITE)
#define PM_SWAP (1ul << 62)

/* The child comes back with 0. */
static long sys_fork(long flags)
{
	return syscall6(__NR_clone, SIGCHLD | flags, 0, 0, 0, 0, 0);
}

static int wait_for(long pid)
{
	int status = -1;
	long got = syscall4(__NR_wait4, pid, &status, 0, 0);

	if (got != pid)
		fail("wait4", got);
	return status;
}

static void fill(volatile char *p, size_t pages, int first)
{
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE_SIZE] = (char)(first + (int)i);
}

/* Pages whose first byte is not what `fill` would have written. */
static int differ(volatile char *p, size_t pages, int first)
{
	int bad = 0;

	for (size_t i = 0; i < pages; i++)
		bad += p[i * PAGE_SIZE] != (char)(first + (int)i);
	return bad;
}

/* Both sides see the same, and neither sees what the other writes. */
static void copy_on_write(const char *what, volatile char *p, size_t pages)
{
	long pid;

	fill(p, pages, 1);
	pid = sys_fork(0);
	if (pid == 0) {
		int bad = differ(p, pages, 1);

		fill(p, pages / 2, 100);
		exit_group(bad + differ(p, pages / 2, 100));
	}
	fill(p + (pages / 2) * PAGE_SIZE, pages / 2, 50);
	int status = wait_for(pid);

	print("%s: the child finds %d wrong, the parent %d and %d\n", what, status >> 8, differ(p, pages / 2, 1),
	      differ(p + (pages / 2) * PAGE_SIZE, pages / 2, 50));
	/* Alone again: a write need not copy. */
	fill(p, pages, 7);
	print("%s: written again, %d wrong\n", what, differ(p, pages, 7));
}

static void generations(volatile char *p)
{
	long pids[5];
	int sum = 0;

	p[0] = 1;
	for (int i = 0; i < 5; i++) {
		pids[i] = sys_fork(0);
		if (pids[i] == 0) {
			long grandchild = sys_fork(0);

			p[0] = (char)(p[0] + i);
			if (grandchild == 0)
				exit_group(p[0] * 10);
			exit_group((wait_for(grandchild) >> 8) + p[0]);
		}
	}
	for (int i = 0; i < 5; i++)
		sum += wait_for(pids[i]) >> 8;
	print("five children and theirs: %d, the parent has %d\n", sum, p[0]);
}

static void endings(void)
{
	int status = 0;
	long pid = sys_fork(0);
	int info[32];

	if (pid == 0)
		exit_group(3);
	for (int i = 0; i < 32; i++)
		info[i] = -1;
	print("waitid: %d", syscall6(__NR_waitid, P_PID, pid, (long)info, WEXITED | WNOWAIT, 0, 0));
	print(", signal %d, code %d, status %d\n", info[0], info[2], info[6]);
	print("wait4 of the same: 0x%x\n", (unsigned long)wait_for(pid));
	print("and again: %d\n", syscall4(__NR_wait4, pid, &status, 0, 0));

	pid = sys_fork(0);
	if (pid == 0) {
		syscall2(__NR_kill, syscall0(__NR_getpid), SIGKILL);
		exit_group(1);
	}
	print("killed: 0x%x\n", (unsigned long)wait_for(pid));
	pid = sys_fork(0);
	if (pid == 0) {
		volatile char *volatile nowhere = (volatile char *)16;

		*nowhere = 1;
		exit_group(1);
	}
	/* Whether there is a core dump is not the same everywhere. */
	print("a bad access: 0x%x\n", (unsigned long)wait_for(pid) & 0x7f);
	print("nobody to wait for: %d, bad options: %d\n", syscall4(__NR_wait4, -1, 0, WNOHANG, 0),
	      syscall4(__NR_wait4, -1, 0, 0x40, 0));
}

static void vforked(volatile char *p)
{
	long pid;

	p[0] = 1;
	pid = sys_fork(0);
	if (pid == 0) {
		/* One that shares memory: no copy, though a process of its own. It does not return from here. */
		volatile char *shared = p;
		long inner = sys_fork(CLONE_VM | CLONE_VFORK);

		if (inner == 0) {
			shared[0] = 42;
			exit_group(0);
		}
		exit_group(wait_for(inner) == 0 ? shared[0] : 1);
	}
	print("what a vforked child wrote: %d, the parent has %d\n", wait_for(pid) >> 8, p[0]);
}

static void advice(volatile char *p)
{
	long pid;

	fill(p, 4, 1);
	syscall3(__NR_madvise, p, PAGE_SIZE, 10 /* MADV_DONTFORK */);
	syscall3(__NR_madvise, p + PAGE_SIZE, PAGE_SIZE, 18 /* MADV_WIPEONFORK */);
	pid = sys_fork(0);
	if (pid == 0)
		exit_group(p[PAGE_SIZE] * 10 + p[2 * PAGE_SIZE]);
	print("wiped, and kept: %d\n", wait_for(pid) >> 8);
	pid = sys_fork(0);
	if (pid == 0)
		exit_group(p[0]);
	print("not inherited: signal %d\n", wait_for(pid) & 0x7f);
}

static char big[200000];

/* More than a pipe holds, so that either side has to wait for the other. */
static void pipes(void)
{
	int to[2], from[2];
	size_t n = 0;
	long sum = 0, back = 0;
	long pid;

	if (syscall2(__NR_pipe2, to, 0) != 0 || syscall2(__NR_pipe2, from, 0) != 0)
		fail("pipe2", -1);
	pid = sys_fork(0);
	if (pid == 0) {
		syscall1(__NR_close, to[1]);
		for (;;) {
			long got = syscall3(__NR_read, to[0], big, 70000);

			if (got <= 0)
				break;
			for (long i = 0; i < got; i++)
				sum += (unsigned char)big[i];
		}
		syscall3(__NR_write, from[1], &sum, sizeof(sum));
		exit_group(0);
	}
	syscall1(__NR_close, to[0]);
	syscall1(__NR_close, from[1]);
	for (size_t i = 0; i < sizeof(big); i++) {
		big[i] = (char)(i * 7);
		sum += (unsigned char)big[i];
	}
	n = (size_t)syscall3(__NR_write, to[1], big, sizeof(big));
	syscall1(__NR_close, to[1]);
	syscall3(__NR_read, from[0], &back, sizeof(back));
	print("through a pipe: %d bytes, the same sum %d, then %d\n", (long)n, (long)(sum == back),
	      syscall3(__NR_read, from[0], &back, sizeof(back)));
	wait_for(pid);

	/* Nobody reads. */
	pid = sys_fork(0);
	if (pid == 0) {
		syscall1(__NR_close, from[0]);
		syscall2(__NR_pipe2, to, O_NONBLOCK);
		print("nothing there: %d, ", syscall3(__NR_read, to[0], big, 1));
		print("full after %d\n", syscall3(__NR_write, to[1], big, sizeof(big)));
		syscall1(__NR_close, to[0]);
		syscall3(__NR_write, to[1], big, 1);
		exit_group(1);
	}
	print("nobody to read it: signal %d\n", wait_for(pid) & 0x7f);
	syscall1(__NR_close, from[0]);
}

/* A child with CLONE_FILES closes and opens its parent's files, and does not take them along. */
static void shared_files(void)
{
	int fds[2], more[2];
	char byte = 0;
	long pid;

	syscall2(__NR_pipe2, fds, 0);
	pid = sys_fork(CLONE_FILES);
	if (pid == 0) {
		syscall3(__NR_write, fds[1], "x", 1);
		syscall1(__NR_close, fds[1]);
		exit_group((int)syscall2(__NR_pipe2, more, 0) + more[1] - fds[1]);
	}
	print("with shared files: the child's lie %d behind, ", (long)wait_for(pid) >> 8);
	print("to write to a closed one: %d, ", syscall3(__NR_write, fds[1] - 1, "y", 1));
	print("to read what it wrote: %d\n", syscall3(__NR_read, fds[0], &byte, 1));
	for (int fd = fds[0]; fd < fds[0] + 4; fd++)
		print("close: %d\n", syscall1(__NR_close, fd));
}

/* From here on: swap, and the test device. */

static unsigned long pagemap(volatile char *p)
{
	unsigned long entry = 0;
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);

	syscall4(__NR_pread64, fd, &entry, sizeof(entry), (unsigned long)p / PAGE_SIZE * sizeof(entry));
	syscall1(__NR_close, fd);
	return entry;
}

static void swapped(volatile char *p)
{
	long pid;

	fill(p, PAGES, 1);
	syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, 21 /* MADV_PAGEOUT */);
	print("paged out: %d\n", (pagemap(p) & PM_SWAP) != 0);
	pid = sys_fork(0);
	if (pid == 0) {
		int bad = !(pagemap(p) & PM_SWAP) + differ(p, PAGES, 1);

		fill(p, PAGES, 100);
		exit_group(bad + differ(p, PAGES, 100));
	}
	int status = wait_for(pid);

	print("from swap: the child finds %d wrong, the parent %d\n", status >> 8, differ(p, PAGES, 1));
}

static void exclusive(volatile char *p)
{
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR);
	static char mirror[PAGES * PAGE_SIZE];
	long pid;

	if (fd < 0)
		fail("/dev/hmm_dmirror0", fd);
	fill(p, PAGES, 1);
	print("exclusive: %d pages, in pagemap: 0x%x\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, (void *)p, mirror, PAGES),
	      pagemap(p) & 31);
	print("check: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, (void *)p, mirror, PAGES));
	pid = sys_fork(0);
	if (pid == 0) {
		int bad = differ(p, PAGES, 1);

		fill(p, PAGES, 100);
		exit_group(bad + differ(p, PAGES, 100));
	}
	/* fork has taken them back. */
	print("after fork, check: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, (void *)p, mirror, PAGES));
	int status = wait_for(pid);

	print("with a device: the child finds %d wrong, the parent %d\n", status >> 8, differ(p, PAGES, 1));
	syscall1(__NR_close, fd);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	volatile char *small = map_anonymous(PAGES * PAGE_SIZE);
	volatile char *area = map_anonymous(2 * HUGE);
	volatile char *huge = (volatile char *)(((unsigned long)area + HUGE - 1) & ~(HUGE - 1));

	copy_on_write("pages", small, PAGES);
	syscall3(__NR_madvise, huge, HUGE, 14 /* MADV_HUGEPAGE */);
	copy_on_write("a huge page", huge, HUGE / PAGE_SIZE);
	generations(small);
	endings();
	vforked(small);
	pipes();
	shared_files();
	advice(map_anonymous(4 * PAGE_SIZE));
	if (argc > 1 && string_equal(argv[1], "all")) {
		swapped(map_anonymous(PAGES * PAGE_SIZE));
		exclusive(map_anonymous(PAGES * PAGE_SIZE));
	}
	return 0;
}
