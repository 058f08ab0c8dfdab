/*
 * Who is killed where a cgroup is out of memory, what that is counted as, and what those get who may not be
 * killed: with memory on a device, memory that another process shares, and cgroups that go as a whole.
 */
#include "dmirror.h"
#include "process.h"
#include "smaps.h"
#include "thread.h"

#define GROUP "/sys/fs/cgroup/small/"
#define LIMIT (4 * MIB)
#define PAGES (LIMIT / PAGE_SIZE)
#define SIZE (4 * LIMIT)
#define LEFT(status) ((status) >> 8)

static char *range, *mirror, *stack;

static void put(const char *path, const char *word)
{
	int fd = sys_open(path, O_RDWR);
	long error = syscall3(__NR_write, fd, word, string_length(word));

	syscall1(__NR_close, fd);
	if (error < 0)
		fail(path, error);
}

/* The number behind a word at the start of a line. */
static long counter(const char *path, const char *key)
{
	const char *line = text;

	slurp(path);
	while (*line != 0) {
		if (starts_with(line, key))
			return (long)first_number(line);
		while (*line++ != '\n')
			;
	}
	return -1;
}

static void eat(void)
{
	for (size_t at = 0; at < SIZE; at += PAGE_SIZE)
		range[at] = 1;
	exit_group(7);
}

static void idle(void)
{
	for (;;)
		syscall4(__NR_ppoll, NULL, 0, NULL, NULL);
}

static void with_another_process(void)
{
	clone_with_stack(CLONE_VM | SIGCHLD, stack, NULL, eat);
	idle();
}

static void in_vfork(void)
{
	if (syscall6(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0, 0) == 0)
		eat();
	exit_group(3);
}

static void on_a_device(void)
{
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR);

	for (size_t page = 0; page < PAGES / 2; page += 64)
		if (dmirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, range + page * PAGE_SIZE, mirror, 64) != 64)
			fail("MIGRATE_TO_DEV", 0);
	eat();
}

/* A device fault for more than the limit: it ends where the memory does. */
static void through_a_device(void)
{
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR);

	dmirror(fd, HMM_DMIRROR_WRITE, range, range, SIZE / PAGE_SIZE);
	idle();
}

/* One of four may not be killed; the victim that was chosen is counted once more with its group. */
static void as_a_group(void)
{
	put(GROUP "memory.oom.group", "1");
	for (int i = 0; i < 3; i++) {
		if (fork_() != 0)
			continue;
		if (i == 1)
			put("/proc/self/oom_score_adj", "-1000");
		idle();
	}
	sleep_ms(10);
	eat();
}

/* 600 thousandths of what the cgroup may have, not of the machine: the child is not the worse of the two. */
static void instead_of_a_smaller_one(void)
{
	if (fork_() == 0) {
		put("/proc/self/oom_score_adj", "600");
		idle();
	}
	sleep_ms(10);
	eat();
}

static void over(const char *what, long result)
{
	/* Room to say so, and for what comes next. */
	syscall3(__NR_madvise, range, SIZE, MADV_DONTNEED);
	print("  %s: %d\n", what, result);
}

static void although_nobody_can_be_killed(void)
{
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR), zero = sys_open("/dev/zero", O_RDONLY);
	long got;

	put("/proc/self/oom_score_adj", "-1000");
	got = syscall3(__NR_read, zero, range, SIZE);
	over("read() is short", got > 0 && got < (long)SIZE);
	over("MADV_POPULATE_WRITE", syscall3(__NR_madvise, range, SIZE, MADV_POPULATE_WRITE));
	over("mlock()", syscall3(__NR_mlock, range, SIZE, 0));
	syscall3(__NR_munlock, range, SIZE, 0);
	over("WRITE", dmirror(fd, HMM_DMIRROR_WRITE, range, range, SIZE / PAGE_SIZE));
	over("EXCLUSIVE", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, range, range, SIZE / PAGE_SIZE));
	exit_group(4);
}

static void show(const char *how, void (*work)(void))
{
	long before = counter("/proc/vmstat", "oom_kill");
	long pid, status;

	print("%s\n", how);
	syscall3(__NR_mkdirat, AT_FDCWD, GROUP, 0755);
	put(GROUP "memory.max", "4M");
	put(GROUP "memory.swap.max", "0");
	pid = fork_();
	if (pid == 0) {
		put(GROUP "cgroup.procs", "0");
		work();
	}
	status = wait_(pid);
	print("  status %d, signal %d;", LEFT(status), status & 127);
	print(" max %d, oom %d,", counter(GROUP "memory.events", "max"), counter(GROUP "memory.events", "oom"));
	print(" oom_kill %d,", counter(GROUP "memory.events", "oom_kill"));
	print(" oom_group_kill %d, in vmstat %d;", counter(GROUP "memory.events", "oom_group_kill"),
	      counter("/proc/vmstat", "oom_kill") - before);
	print(" still there: %d\n", counter(GROUP "cgroup.procs", "") >= 0);
	put(GROUP "cgroup.kill", "1");
	while (counter(GROUP "cgroup.procs", "") >= 0)
		sleep_ms(1);
	status = syscall3(__NR_unlinkat, AT_FDCWD, GROUP, 0x200);
	if (status < 0)
		fail("rmdir", status);
}

/* Whose memory is the same is as bad as the other, save in a child of vfork(). */
static void shared_score(void)
{
	static char path[] = "/proc/00000000/oom_score_adj";
	long pid = clone_with_stack(CLONE_VM | SIGCHLD, stack, NULL, idle), rest = pid;

	for (int i = 13; i > 5; i--, rest /= 10)
		path[i] = (char)('0' + rest % 10);
	while (path[6] == '0')
		memcpy(path + 6, path + 7, sizeof(path) - 7);
	put("/proc/self/oom_score_adj", "300");
	print("  theirs %d,", counter(path, ""));
	put(path, "400");
	print(" ours %d,", counter("/proc/self/oom_score_adj", ""));
	syscall2(__NR_kill, pid, SIGKILL);
	wait_(pid);
	pid = syscall6(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		put("/proc/self/oom_score_adj", "700");
		exit_group(0);
	}
	wait_(pid);
	print(" after vfork() %d\n", counter("/proc/self/oom_score_adj", ""));
	put("/proc/self/oom_score_adj", "0");
}

static long now_ms(void)
{
	long time[2];

	syscall2(__NR_clock_gettime, 1, time);
	return time[0] * 1000 + time[1] / 1000000;
}

/* Twice of memory.high, with swap to go to or without. */
static void throttled(const char *swap)
{
	long pid, begin = now_ms();

	syscall3(__NR_mkdirat, AT_FDCWD, GROUP, 0755);
	put(GROUP "memory.high", "8M");
	put(GROUP "memory.swap.max", swap);
	pid = fork_();
	if (pid == 0) {
		put(GROUP "cgroup.procs", "0");
		eat();
	}
	print("  status %d,", LEFT(wait_(pid)));
	print(" high events: %d,", counter(GROUP "memory.events", "high") > 0);
	print(" peak beyond it by 1 MiB: %d,", counter(GROUP "memory.peak", "") > (long)(9 * MIB));
	print(" took ten seconds: %d\n", now_ms() - begin > 10000);
	syscall3(__NR_unlinkat, AT_FDCWD, GROUP, 0x200);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	range = map_anonymous(SIZE);
	mirror = map_anonymous(64 * PAGE_SIZE);
	stack = map_anonymous(STACK_SIZE);
	syscall3(__NR_madvise, range, SIZE, MADV_NOHUGEPAGE);
	show("one process", eat);
	show("a process whose memory another has, too", with_another_process);
	show("a process with a child that vfork() made", in_vfork);
	show("half of its pages are on a device", on_a_device);
	show("a device writes", through_a_device);
	show("memory.oom.group", as_a_group);
	show("another has oom_score_adj 600", instead_of_a_smaller_one);
	show("it has oom_score_adj -1000", although_nobody_can_be_killed);
	print("oom_score_adj of two processes\n");
	shared_score();
	print("memory.high, and swap\n");
	throttled("max");
	print("memory.high, and no swap\n");
	throttled("0");
	return 0;
}
