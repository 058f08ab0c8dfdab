/*
 * protnone: what smaps and move_pages(2) say of memory that nobody may access just now, and what a debugger's read of it
 * (/proc/self/mem, FOLL_FORCE) brings, of 2 MiB that are mapped as one and of single pages. Its entries look like those that wait
 * for a NUMA hinting fault.
 */
#include "huge.h"
#include "memory.h"
#include "smaps.h"

static void protect(char *p, size_t size, int prot)
{
	long error = syscall3(__NR_mprotect, p, size, prot);

	if (error != 0)
		fail("mprotect", error);
}

static void show(const char *what, char *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;
	void *page = p + PAGE_SIZE;
	int status = -1;
	long error = syscall6(__NR_move_pages, 0, 1, (long)&page, 0, (long)&status, 0);

	if (error != 0)
		fail("move_pages", error);
	slurp("/proc/self/smaps");
	print("%s: Rss %u Anonymous %u AnonHugePages %u; move_pages: %d\n", what, field("Rss:", start, start + size),
	      field("Anonymous:", start, start + size), field("AnonHugePages:", start, start + size), (long)status);
}

static void look(const char *what, char *p, size_t size)
{
	uint64_t word = 0;
	int mem = sys_open("/proc/self/mem", O_RDONLY);
	long n;

	fill(p, 0, size);
	print("%s\n", what);
	show("  readable", p, size);
	protect(p, size, PROT_NONE);
	show("  no access", p, size);
	n = syscall4(__NR_pread64, mem, &word, sizeof(word), (uintptr_t)p + PAGE_SIZE);
	print("  /proc/self/mem: %d bytes, %u\n", n, word);
	show("  after that", p, size);
	protect(p, size, PROT_RW);
	check(p, 0, size);
	show("  readable again", p, size);
	syscall1(__NR_close, mem);
}

int main(int argc, char **argv, char **envp)
{
	uintptr_t p = (uintptr_t)map_anonymous(2 * HUGE);
	char *huge = (char *)((p + HUGE - 1) & ~(HUGE - 1));

	(void)argc;
	(void)argv;
	(void)envp;
	advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
	look("2 MiB as one", huge, HUGE);
	look("single pages", map_at(room(16), 16, PROT_RW), 16 * PAGE_SIZE);
	return 0;
}
