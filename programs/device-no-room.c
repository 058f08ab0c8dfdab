/*
 * What a program gets when pages that it has in the memory of a device are to come back and there is no room
 * for them: at the limit of its cgroup without swap, and where the driver is given no page.
 */
#include "dmirror.h"
#include "memory.h"
#include "process.h"
#include "smaps.h"

#define CGROUP "/sys/fs/cgroup/limited"
#define PAGES 256

static int fd;
static char mirror[PAGES * PAGE_SIZE];

static void put(const char *path, const char *what)
{
	int file = sys_open(path, O_RDWR);

	if (file < 0 || syscall3(__NR_write, file, what, string_length(what)) != (long)string_length(what))
		fail(path, file);
	syscall1(__NR_close, file);
}

/* Fills memory and moves it to the first device. */
static char *on_the_device(size_t pages)
{
	char *p = map_at(NULL, pages, PROT_RW);
	size_t moved = 0;

	fd = sys_open("/dev/hmm_dmirror0", O_RDWR);
	if (fd < 0)
		fail("/dev/hmm_dmirror0", fd);
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE_SIZE] = (char)i;
	for (size_t i = 0; i < pages; i += PAGES) {
		long n = dmirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p + i * PAGE_SIZE, mirror, PAGES);

		if (n < 0)
			fail("MIGRATE_TO_DEV", n);
		moved += (size_t)n;
	}
	print("  on the device: %u of %u pages\n", moved, pages);
	return p;
}

static void read_back(const char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++) {
		if (p[i * PAGE_SIZE] != (char)i) {
			print("  page %u has %d\n", i, p[i * PAGE_SIZE]);
			exit_group(1);
		}
	}
	print("  came back: %u pages\n", pages);
}

static void limited(size_t more)
{
	unsigned long anon;
	char *p;

	put(CGROUP "/cgroup.procs", "0");
	/* So that only the pages themselves come in between. */
	memset(mirror, 1, sizeof(mirror));
	anon = number_in(CGROUP "/memory.stat", "anon ");
	p = on_the_device(PAGES);
	print("  charged to the cgroup for them: %u pages\n", (number_in(CGROUP "/memory.stat", "anon ") - anon) / PAGE_SIZE);
	slurp(CGROUP "/memory.current");
	put(CGROUP "/memory.max", text);
	read_back(p, PAGES);
	if (more > 0)
		memset(map_at(NULL, more, PROT_RW), 1, more * PAGE_SIZE);
	exit_group(0);
}

/* The driver gets no page for what comes back, once. */
static void no_page(void)
{
	char *p = on_the_device(PAGES);
	struct hmm_dmirror_cmd cmd = { .npages = HMM_DMIRROR_FLAG_FAIL_ALLOC };

	print("  FLAGS: %d\n", syscall3(__NR_ioctl, fd, HMM_DMIRROR_FLAGS, &cmd));
	read_back(p, PAGES);
	exit_group(0);
}

static void child(const char *what, int which)
{
	long pid, status;

	print("%s:\n", what);
	pid = fork_();
	if (pid == 0) {
		if (which == 2)
			no_page();
		limited(which == 1 ? PAGES : 0);
	}
	status = wait_(pid);
	if (status == 0)
		print("  it ends as it should\n");
	else
		print("  it ends with signal %d, exit status %d\n", status & 127, status >> 8);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	syscall3(__NR_mkdirat, AT_FDCWD, CGROUP, 0755);
	put(CGROUP "/memory.swap.max", "0");
	child("its cgroup is at its limit", 0);
	put(CGROUP "/memory.max", "max");
	child("its cgroup is at its limit, and it wants other memory besides", 1);
	put(CGROUP "/memory.max", "max");
	number_in(CGROUP "/memory.events", "oom_kill ");
	print("processes of the cgroup that were killed: %u\n", number_after("oom_kill "));
	child("its driver gets no page", 2);
	return 0;
}
