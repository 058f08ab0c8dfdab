/*
 * split: huge pages split by way of /sys/kernel/debug/split_huge_pages, into parts of each size, equal ones
 * or halves around a page. Prints how many folios of which size there are then, and checks every word.
 */
#include "smaps.h"

#define HUGE (2 * MIB)
#define SPLIT "/sys/kernel/debug/split_huge_pages"
#define THP "/sys/kernel/mm/transparent_hugepage/hugepages-"

static char line[128];

static char *append(char *to, const char *from)
{
	while (*from != 0)
		*to++ = *from++;
	*to = 0;
	return to;
}

static char *append_number(char *to, unsigned long n, unsigned long base)
{
	char digits[24];
	char *s = digits + sizeof(digits) - 1;

	*s = 0;
	do {
		*--s = "0123456789abcdef"[n % base];
		n /= base;
	} while (n != 0);
	return append(to, s);
}

static long command(const char *what)
{
	int fd = sys_open(SPLIT, 1);
	long n;

	if (fd < 0)
		fail(SPLIT, fd);
	n = syscall3(__NR_write, fd, what, string_length(what) + 1);
	syscall1(__NR_close, fd);
	return n < 0 ? n : 0;
}

static long split(char *p, size_t size, int order, long offset)
{
	char *s = append_number(line, (unsigned long)syscall0(__NR_getpid), 10);

	s = append_number(append(s, ",0x"), (unsigned long)p, 16);
	s = append_number(append(s, ",0x"), (unsigned long)p + size, 16);
	s = append_number(append(s, ","), (unsigned long)order, 10);
	if (offset >= 0)
		append_number(append(s, ","), (unsigned long)offset, 10);
	return command(line);
}

static void show(char *p)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("  Rss %u AnonHugePages %u; folios", field("Rss:", start, start + HUGE),
	      field("AnonHugePages:", start, start + HUGE));
	for (unsigned long order = 2; order <= 9; order++) {
		append(append_number(append(line, THP), 4ul << order, 10), "kB/stats/nr_anon");
		print(" %u", read_number(line));
	}
	print("\n");
}

static char *map_filled(void)
{
	uintptr_t p = (uintptr_t)map_anonymous(2 * HUGE);
	char *aligned = (char *)((p + HUGE - 1) & ~(HUGE - 1));

	syscall2(__NR_munmap, p, (uintptr_t)aligned - p);
	syscall2(__NR_munmap, aligned + HUGE, p + HUGE - (uintptr_t)aligned);
	syscall3(__NR_madvise, aligned, HUGE, MADV_HUGEPAGE);
	for (size_t i = 0; i < HUGE; i += PAGE_SIZE)
		*(volatile uint64_t *)(aligned + i) = i + 1;
	return aligned;
}

static void check(const char *p)
{
	for (size_t i = 0; i < HUGE; i += PAGE_SIZE) {
		uint64_t value = *(const volatile uint64_t *)(p + i);

		if (value != i + 1)
			print("at %x: %u instead of %u\n", i, value, i + 1);
	}
}

static void to_order(int order, long offset)
{
	char *p = map_filled();

	print("order %d, around %d: %d\n", (long)order, offset, split(p, PAGE_SIZE, order, offset));
	show(p);
	check(p);
	for (size_t i = 0; i < HUGE; i += PAGE_SIZE)
		*(volatile uint64_t *)(p + i) = i + 1;
	syscall2(__NR_munmap, p, HUGE);
}

static void refused(const char *what)
{
	print("\"%s\": %d\n", what, command(what));
}

int main(int argc, char **argv, char **envp)
{
	char *p;

	(void)argc;
	(void)argv;
	(void)envp;
	for (int order = 8; order >= 0; order--)
		to_order(order, -1);
	to_order(9, -1);
	to_order(0, 0);
	to_order(0, 511);
	to_order(2, 300);
	to_order(5, 512);
	to_order(8, 256);

	/* Twice, and what cannot be split any more. */
	p = map_filled();
	print("all, twice: %d", split(p, HUGE, 4, -1));
	print(" %d\n", split(p, HUGE, 2, -1));
	show(p);
	check(p);
	syscall3(__NR_madvise, p, HUGE, MADV_COLLAPSE);
	show(p);
	check(p);
	print("everything: %d\n", command("1"));
	show(p);
	check(p);

	refused("");
	refused("2");
	refused("1,0x1000");
	refused("999999,0x1000,0x2000");
	refused("3,0x1000,0x2000");
	refused("1,4096,8192");
	refused("/nowhere,0x0,0x10");
	refused("/tmp,0,10");
	return 0;
}
