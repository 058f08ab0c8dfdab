/*
 * Who pays for pages that userfaultfd puts into the memory of another process: the cgroup of that
 * process, and not the one of the process that calls.
 */
#include "smaps.h"
#include "uffd.h"

#define PAGES 64
#define FILLED "/sys/fs/cgroup/filled"
#define FILLER "/sys/fs/cgroup/filler"

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

static void fill(int fd, char *p)
{
	long filled, filler;

	join(FILLER, FILLER "/cgroup.procs");
	memset(source, 7, PAGE_SIZE);
	/* Once before, so that nothing of this process itself is new in between. */
	anon(FILLED "/memory.stat");
	uffd_copy(fd, p, source, PAGE_SIZE, 0);
	filled = anon(FILLED "/memory.stat");
	filler = anon(FILLER "/memory.stat");
	for (size_t i = 1; i < PAGES; i++)
		uffd_copy(fd, p + i * PAGE_SIZE, source, PAGE_SIZE, 0);
	filled = anon(FILLED "/memory.stat") - filled;
	filler = anon(FILLER "/memory.stat") - filler;
	print("pages charged to the cgroup of the filled memory: %d, of the filling process: %d\n", filled, filler);
	exit_group(0);
}

int main(int argc, char **argv, char **envp)
{
	char *p = map_anonymous(PAGES * PAGE_SIZE);
	int fd = uffd_open(O_CLOEXEC | 1, 0), status = 0;
	long pid;

	(void)argc;
	(void)argv;
	(void)envp;
	join(FILLED, FILLED "/cgroup.procs");
	uffd_register(fd, p, PAGES * PAGE_SIZE, MISSING, NULL);
	pid = syscall6(__NR_clone, 17, 0, 0, 0, 0, 0);
	if (pid == 0)
		fill(fd, p);
	syscall4(__NR_wait4, pid, &status, 0, 0);
	print("the last page: %d\n", p[(PAGES - 1) * PAGE_SIZE]);
	return status;
}
