/*
 * khugepaged: its settings, with what they refuse, and what it makes of memory by them. As root it does
 * the same on any Linux, whose settings it leaves as they were.
 */
#include "khugepaged.h"

static void try(const char *name, const char *path, const char *value)
{
	print("%s: %s, %d, ", name, value, write_text(path, value));
	slurp(path);
	for (char *s = text; *s != 0; s++)
		if (*s == '\n')
			*s = 0;
	print("%s\n", text);
}

static void show(const char *what, char *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("%s: Rss %u AnonHugePages %u\n", what, field("Rss:", start, start + size),
	      field("AnonHugePages:", start, start + size));
}

static void scan(const char *what, char *p, size_t filled)
{
	fill(p, 0, filled);
	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	wait_for_rounds();
	show(what, p, HUGE);
	check(p, 0, filled);
}

static void settings(void)
{
	try("defrag", KHUGEPAGED "defrag", "2");
	try("defrag", KHUGEPAGED "defrag", "0");
	try("defrag", KHUGEPAGED "defrag", "1");
	try("defrag", KHUGEPAGED "defrag", "yes");
	try("max_ptes_none", KHUGEPAGED "max_ptes_none", "512");
	try("max_ptes_none", KHUGEPAGED "max_ptes_none", " 5");
	try("max_ptes_none", KHUGEPAGED "max_ptes_none", "0x5");
	try("max_ptes_none", KHUGEPAGED "max_ptes_none", "+5");
	try("max_ptes_none", KHUGEPAGED "max_ptes_none", "511");
	try("max_ptes_swap", KHUGEPAGED "max_ptes_swap", "512");
	try("max_ptes_shared", KHUGEPAGED "max_ptes_shared", "-1");
	try("pages_to_scan", KHUGEPAGED "pages_to_scan", "0");
	try("pages_to_scan", KHUGEPAGED "pages_to_scan", "4294967296");
	try("enabled", THP "enabled", "sometimes");
	try("2048kB", THP "hugepages-2048kB/enabled", "inherit");
	try("shrink_underused", THP "shrink_underused", "2");
}

static void limits(void)
{
	char *p = map_aligned();
	char *q = map_aligned();
	unsigned long collapsed;

	write_number(KHUGEPAGED "max_ptes_none", 0);
	scan("one page is missing, and must not", p, HUGE - PAGE_SIZE);
	fill(p, HUGE - PAGE_SIZE, HUGE);
	collapsed = read_number(KHUGEPAGED "pages_collapsed");
	wait_for_rounds();
	show("none is missing", p, HUGE);
	check(p, 0, HUGE);
	print("it has collapsed more: %d\n", read_number(KHUGEPAGED "pages_collapsed") > collapsed);
	write_number(KHUGEPAGED "max_ptes_none", 511);
	scan("all but one are missing", q, PAGE_SIZE);
	syscall2(__NR_munmap, p, HUGE);
	syscall2(__NR_munmap, q, HUGE);

	p = map_aligned();
	fill(p, 0, PAGE_SIZE);
	syscall3(__NR_madvise, p, HUGE, MADV_NOHUGEPAGE);
	wait_for_rounds();
	show("not wanted", p, HUGE);
	syscall2(__NR_munmap, p, HUGE);
}

int main(int argc, char **argv, char **envp)
{
	unsigned long sleep = read_number(KHUGEPAGED "scan_sleep_millisecs");
	unsigned long none = read_number(KHUGEPAGED "max_ptes_none");

	(void)argc;
	(void)argv;
	(void)envp;
	settings();
	write_number(KHUGEPAGED "scan_sleep_millisecs", 5);
	limits();
	write_number(KHUGEPAGED "max_ptes_none", none);
	write_number(KHUGEPAGED "scan_sleep_millisecs", sleep);
	return 0;
}
