/*
 * bench-file WORK ROUNDS: 4,096 pages of a file in memory, again and again. "write" and "read" take
 * them through the descriptor, a page a call. "fault" unmaps them and writes through the mapping,
 * which finds each in the page cache. "punch" cuts each out of the file and writes it anew.
 */
#include "start.h"
#include <linux/falloc.h>
#include <linux/mman.h>

#define PAGES 4096ul

static char buffer[PAGE_SIZE];

static void check(const char *what, long result)
{
	if (result < 0)
		fail(what, result);
}

static void transfer(int nr, long fd)
{
	for (unsigned long i = 0; i < PAGES; i++)
		check("transfer", syscall4(nr, fd, buffer, PAGE_SIZE, i * PAGE_SIZE));
}

static void touch(volatile char *p)
{
	for (unsigned long i = 0; i < PAGES; i++)
		p[i * PAGE_SIZE] = 1;
}

int main(int argc, char **argv, char **envp)
{
	const char *work = argc > 1 ? argv[1] : "write";
	unsigned long rounds = parse_number(argc > 2 ? argv[2] : "", 1);
	long fd = syscall2(__NR_memfd_create, "bench", 0);
	char *p;

	(void)envp;
	check("memfd_create", fd);
	check("ftruncate", syscall2(__NR_ftruncate, fd, PAGES * PAGE_SIZE));
	p = (char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	touch(p);
	for (; rounds > 0; rounds--) {
		if (string_equal(work, "write")) {
			transfer(__NR_pwrite64, fd);
		} else if (string_equal(work, "read")) {
			transfer(__NR_pread64, fd);
		} else if (string_equal(work, "fault")) {
			check("madvise", syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, MADV_DONTNEED));
			touch(p);
		} else {
			for (unsigned long i = 0; i < PAGES; i++)
				check("fallocate", syscall4(__NR_fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, i * PAGE_SIZE, PAGE_SIZE));
			touch(p);
		}
	}
	return 0;
}
