/*
 * bench-mm WORK ROUNDS: calls that change an address space, again and again. "fork": a process of
 * 256 MiB forks, its child exits at once. "cow": a child writes to 16 MiB that it shares. The rest do
 * it to 4,096 pages, one by one: "mprotect", "mremap" (to elsewhere and back), "munmap" (and a new
 * mapping, with its first fault).
 */
#include "start.h"
#include <linux/mman.h>

#define PAGES 4096ul
#define FORK_PAGES 65536ul
#define PROT_RW (PROT_READ | PROT_WRITE)

static void touch(volatile char *p, unsigned long pages)
{
	for (unsigned long i = 0; i < pages; i++)
		p[i * PAGE_SIZE] = 1;
}

/* Runs `pages` pages of writes in a child, and waits for it. */
static void in_child(volatile char *p, unsigned long pages)
{
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid < 0)
		fail("clone", pid);
	if (pid == 0) {
		touch(p, pages);
		exit_group(0);
	}
	if (syscall4(__NR_wait4, pid, 0, 0, 0) != pid)
		fail("wait4", -1);
}

static void check(const char *what, long result)
{
	if (result < 0)
		fail(what, result);
}

/* Pages that no neighbour can be merged with: every second one. */
static char *page(char *p, unsigned long i)
{
	return p + 2 * i * PAGE_SIZE;
}

int main(int argc, char **argv, char **envp)
{
	const char *work = argc > 1 ? argv[1] : "fork";
	unsigned long rounds = parse_number(argc > 2 ? argv[2] : "", 1);
	int forks = string_equal(work, "fork");
	unsigned long pages = forks ? FORK_PAGES : 2 * PAGES;
	char *p = map_anonymous(pages * PAGE_SIZE);
	char *elsewhere = map_anonymous(PAGE_SIZE);

	(void)envp;
	syscall3(__NR_madvise, p, pages * PAGE_SIZE, MADV_NOHUGEPAGE);
	touch(p, pages);
	for (; rounds > 0; rounds--) {
		if (forks) {
			in_child(p, 0);
			continue;
		}
		if (string_equal(work, "cow")) {
			in_child(p, PAGES);
			continue;
		}
		for (unsigned long i = 0; i < PAGES; i++) {
			char *it = page(p, i);

			if (string_equal(work, "mprotect")) {
				check("mprotect", syscall3(__NR_mprotect, it, PAGE_SIZE, PROT_READ));
				check("mprotect", syscall3(__NR_mprotect, it, PAGE_SIZE, PROT_RW));
			} else if (string_equal(work, "mremap")) {
				check("mremap", syscall6(__NR_mremap, (long)it, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (long)elsewhere, 0));
				check("mremap", syscall6(__NR_mremap, (long)elsewhere, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (long)it, 0));
			} else {
				check("munmap", syscall2(__NR_munmap, it, PAGE_SIZE));
				check("mmap", syscall6(__NR_mmap, (long)it, PAGE_SIZE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0));
				touch(it, 1);
			}
		}
	}
	return 0;
}
