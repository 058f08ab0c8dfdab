/*
 * Who pays for pages that userfaultfd or process_vm_writev() puts into the memory of another
 * process: the cgroup of that process, and not the one of the process that calls.
 */
#include <linux/uio.h>

#include "smaps.h"
#include "uffd.h"

#define PAGES 64
#define FILLED "/sys/fs/cgroup/filled"
#define FILLER "/sys/fs/cgroup/filler"

static int uffd;
static char source[PAGE_SIZE] __attribute__((aligned(PAGE_SIZE)));

static void join(const char *directory, const char *procs)
{
	int fd;

	syscall3(__NR_mkdirat, AT_FDCWD, directory, 0755);
	fd = sys_open(procs, O_RDWR);
	if (fd < 0 || syscall3(__NR_write, fd, "0", 1) != 1)
		fail(procs, fd);
	syscall1(__NR_close, fd);
}

/* Pages of anonymous memory charged to a cgroup. */
static long anon(const char *stat)
{
	const char *s = text + 5;
	long bytes = 0;

	slurp(stat);
	if (!starts_with(text, "anon "))
		fail(stat, 0);
	while (*s >= '0' && *s <= '9')
		bytes = bytes * 10 + *s++ - '0';
	return bytes / PAGE_SIZE;
}

static void put_by_uffd(char *p)
{
	for (size_t i = 1; i < PAGES; i++)
		uffd_copy(uffd, p + i * PAGE_SIZE, source, PAGE_SIZE, 0);
}

static void put_by_writev(char *p)
{
	for (size_t i = 1; i < PAGES; i++) {
		struct iovec local = { source, 1 }, remote = { p + i * PAGE_SIZE, 1 };

		if (syscall6(__NR_process_vm_writev, syscall0(__NR_getppid), (long)&local, 1, (long)&remote, 1, 0) != 1)
			fail("process_vm_writev", 0);
	}
}

static void count(const char *how, void (*put)(char *), char *p)
{
	long filled = anon(FILLED "/memory.stat"), filler = anon(FILLER "/memory.stat");

	put(p);
	filled = anon(FILLED "/memory.stat") - filled;
	filler = anon(FILLER "/memory.stat") - filler;
	print("by %s: pages charged to the cgroup of the filled memory: %d, of the filling process: %d\n", how, filled, filler);
}

static void fill(char *p, char *q)
{
	join(FILLER, FILLER "/cgroup.procs");
	memset(source, 7, PAGE_SIZE);
	/* Once before, so that nothing of this process itself is new in between. */
	anon(FILLED "/memory.stat");
	uffd_copy(uffd, p, source, PAGE_SIZE, 0);
	count("userfaultfd", put_by_uffd, p);
	count("process_vm_writev", put_by_writev, q);
	exit_group(0);
}

int main(int argc, char **argv, char **envp)
{
	char *p = map_anonymous(PAGES * PAGE_SIZE), *q = map_anonymous(PAGES * PAGE_SIZE);
	int status = 0;
	long pid;

	(void)argc;
	(void)argv;
	(void)envp;
	uffd = uffd_open(O_CLOEXEC | 1, 0);
	join(FILLED, FILLED "/cgroup.procs");
	uffd_register(uffd, p, PAGES * PAGE_SIZE, MISSING, NULL);
	pid = syscall6(__NR_clone, 17, 0, 0, 0, 0, 0);
	if (pid == 0)
		fill(p, q);
	syscall4(__NR_wait4, pid, &status, 0, 0);
	print("the last pages: %d, %d\n", p[(PAGES - 1) * PAGE_SIZE], q[(PAGES - 1) * PAGE_SIZE]);
	return status;
}
