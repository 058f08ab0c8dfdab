/*
 * Fills most of memory with locked pieces of 1 MiB, gives every other one back, and asks for as many huge
 * pages as there can be: what is left has to move for them. Says whether a third of what was free could be
 * had, and whether the pieces still have what was written to them.
 */
#include "smaps.h"

#define PIECE MIB
#define HUGE (2 * MIB)
#define PIECES_MAX 4096

static char *pieces[PIECES_MAX];

static void set_number(const char *file, const char *value)
{
	int fd = sys_open(file, 1);
	long wrote = syscall3(__NR_write, fd, value, string_length(value));

	if (wrote < 0)
		fail(file, wrote);
	syscall1(__NR_close, fd);
}

static unsigned long wrong_pages(size_t n)
{
	unsigned long wrong = 0;

	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; pieces[i] != NULL && at < PIECE; at += PAGE_SIZE)
			wrong += *(volatile uint64_t *)(pieces[i] + at) != (uint64_t)(pieces[i] + at);
	return wrong;
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	set_number("/proc/sys/vm/nr_hugepages", "0");
	unsigned long free_kb = number_in("/proc/meminfo", "MemFree:") / 10 * 8;
	size_t n = free_kb / 1024;

	if (n > PIECES_MAX)
		n = PIECES_MAX;
	for (size_t i = 0; i < n; i++) {
		long p = syscall6(__NR_mmap, 0, PIECE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_LOCKED, -1, 0);

		if (p < 0 && p > -4096)
			fail("mmap", p);
		pieces[i] = (char *)p;
		for (size_t at = 0; at < PIECE; at += PAGE_SIZE)
			*(volatile uint64_t *)(pieces[i] + at) = (uint64_t)(pieces[i] + at);
	}
	for (size_t i = 0; i < n; i += 2) {
		syscall2(__NR_munmap, pieces[i], PIECE);
		pieces[i] = NULL;
	}
	set_number("/proc/sys/vm/nr_hugepages", "100000");
	unsigned long huge_kb = number_in("/proc/meminfo", "HugePages_Total:") * (HUGE / 1024);

	print("a third as huge pages: %s\n", huge_kb * 3 >= free_kb ? "yes" : "no");
	print("wrong pages: %u\n", wrong_pages(n));
	set_number("/proc/sys/vm/nr_hugepages", "0");
	set_number("/proc/sys/vm/compact_memory", "1");
	print("wrong pages: %u\n", wrong_pages(n));
	return 0;
}
