/*
 * device-thp: 2 MiB that are mapped as one go to the memory of a test device and back, whole or in
 * parts, with allocations that fail where the test driver is asked for that.
 * Prints what is where after each step.
 */
#include "dmirror.h"
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define PAGES 512

static char *mirror;
static int fd;

static void show(const char *what, unsigned long nr, void *addr, size_t npages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr, .ptr = (uintptr_t)mirror, .npages = npages, .cpages = 9999, .faults = 99,
	};
	long error = syscall3(__NR_ioctl, fd, nr, &cmd);

	print("%s: %d cpages %d\n", what, error, (long)cmd.cpages);
}

static void fill(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(int *)(p + i * PAGE_SIZE) = (int)i + 1;
}

static void check(const char *p, size_t first, size_t end)
{
	for (size_t i = first; i < end; i++) {
		if (*(int *)(p + i * PAGE_SIZE) != (int)i + 1) {
			print("  page %d has %d\n", i, *(int *)(p + i * PAGE_SIZE));
			return;
		}
	}
	print("  data is all there\n");
}

/* 2 MiB of memory at a multiple of that, with or without contents. */
static char *huge(int filled)
{
	char *p = map_at(NULL, 2 * PAGES, PROT_RW);
	char *at = (char *)(((uintptr_t)p + PAGES * PAGE_SIZE - 1) & ~(PAGES * PAGE_SIZE - 1));

	syscall3(__NR_madvise, p, 2 * PAGES * PAGE_SIZE, MADV_HUGEPAGE);
	if (filled)
		fill(at, PAGES);
	return at;
}

static void whole(void)
{
	char *p = huge(1);

	dmirror_snapshot(fd, p, PAGES);
	show("a huge page to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	print("  the copy ends with %d\n", *(int *)(mirror + 511 * PAGE_SIZE));
	dmirror_snapshot(fd, p, PAGES);
	show_pages("  pagemap", p, PAGES);
	slurp("/proc/self/smaps");
	print("  smaps: Rss %d AnonHugePages %d Swap %d\n", field("Rss:", (uintptr_t)p, (uintptr_t)p + PAGES * PAGE_SIZE),
	      field("AnonHugePages:", (uintptr_t)p, (uintptr_t)p + PAGES * PAGE_SIZE), field("Swap:", (uintptr_t)p, (uintptr_t)p + PAGES * PAGE_SIZE));
	show("and back", HMM_DMIRROR_MIGRATE_TO_SYS, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	p[5 * PAGE_SIZE] = 6;
	print("a CPU writes");
	dmirror_snapshot(fd, p, PAGES);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	syscall3(__NR_mprotect, p, PAGES * PAGE_SIZE, PROT_READ);
	print("read-only");
	dmirror_snapshot(fd, p, PAGES);
	syscall3(__NR_mprotect, p, PAGES * PAGE_SIZE, PROT_RW);
	show("RELEASE", HMM_DMIRROR_RELEASE, p, 1);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);
}

static void empty(void)
{
	char *p = huge(0);

	show("nothing to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);
	p = huge(0);
	print("zeros: %d\n", p[0]);
	dmirror_snapshot(fd, p, PAGES);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);
}

static void parts(void)
{
	char *p = huge(1);

	show("a part to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, 100);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);

	p = huge(1);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	syscall2(__NR_munmap, p + 128 * PAGE_SIZE, 256 * PAGE_SIZE);
	print("the middle is gone");
	dmirror_snapshot(fd, p, PAGES);
	print("  page 3 is %d\n", *(int *)(p + 3 * PAGE_SIZE));
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, 128);
	check(p, 384, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);

	p = huge(1);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	{
		int status = 0;
		long child = syscall6(__NR_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);

		if (child == 0) {
			check(p, 0, PAGES);
			p[0] = 99;
			syscall1(__NR_exit_group, 0);
		}
		syscall4(__NR_wait4, child, &status, 0, 0);
		print("after fork, status %d", status);
	}
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	print("MADV_DONTNEED of a part: %d\n", syscall3(__NR_madvise, p, 10 * PAGE_SIZE, MADV_DONTNEED));
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);
}

static void failures(void)
{
	char *p = huge(1);

	show("the next allocation fails", HMM_DMIRROR_FLAGS, p, HMM_DMIRROR_FLAG_FAIL_ALLOC);
	show("a huge page to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);

	p = huge(1);
	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	show("the next allocation fails", HMM_DMIRROR_FLAGS, p, HMM_DMIRROR_FLAG_FAIL_ALLOC);
	show("and back", HMM_DMIRROR_MIGRATE_TO_SYS, p, PAGES);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);

	p = map_at(NULL, 4, PROT_RW);
	fill(p, 4);
	show("the next allocation fails", HMM_DMIRROR_FLAGS, p, HMM_DMIRROR_FLAG_FAIL_ALLOC);
	show("four pages to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, 4);
	dmirror_snapshot(fd, p, 4);
	check(p, 0, 4);
	show("FLAGS of nothing", HMM_DMIRROR_FLAGS, p, 0);
}

/* What else finds 2 MiB that a device has as one. */
static void others(void)
{
	char *p = huge(1);
	int refs;

	show("to the device", HMM_DMIRROR_MIGRATE_TO_DEV, p, PAGES);
	print("MADV_COLLAPSE: %d", syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, MADV_COLLAPSE));
	dmirror_snapshot(fd, p, PAGES);
	refs = sys_open("/proc/self/clear_refs", O_RDWR);
	print("clear_refs: %d\n", syscall3(__NR_write, refs, "4", 1));
	syscall1(__NR_close, refs);
	show_pages("  pagemap", p, PAGES);
	show("two pages exclusive", HMM_DMIRROR_EXCLUSIVE, p + 3 * PAGE_SIZE, 2);
	dmirror_snapshot(fd, p, PAGES);
	check(p, 0, PAGES);
	syscall2(__NR_munmap, p, PAGES * PAGE_SIZE);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	mirror = map_at(NULL, PAGES, PROT_RW);
	fd = sys_open("/dev/hmm_dmirror0", O_RDWR);
	if (fd < 0)
		fail("open", fd);
	whole();
	empty();
	parts();
	failures();
	others();
	print("close: %d\n", syscall1(__NR_close, fd));
	return 0;
}
