/*
 * khugepaged-mthp: what khugepaged makes of anonymous memory where folios of 16 KiB and 64 KiB are enabled, and 2 MiB are
 * not. Prints which pages are the first of a folio (h), others of it (t), single (s), or not there (.).
 */
#include "khugepaged.h"
#include "pagemap.h"

#define PAGES 48
#define KPF_COMPOUND_HEAD (1ul << 15)
#define KPF_COMPOUND_TAIL (1ul << 16)
#define SIZE(kb) THP "hugepages-" kb "kB/"

static char letter(const char *p)
{
	uint64_t entry = pagemap_entry(p), flags = 0;
	int fd;

	if ((entry & PM_PRESENT) == 0)
		return '.';
	fd = sys_open("/proc/kpageflags", O_RDONLY);
	if (fd < 0 || syscall4(__NR_pread64, fd, &flags, 8, (entry & ((1ul << 55) - 1)) * 8) != 8)
		fail("/proc/kpageflags", fd);
	syscall1(__NR_close, fd);
	return (flags & KPF_COMPOUND_HEAD) != 0 ? 'h' : (flags & KPF_COMPOUND_TAIL) != 0 ? 't' : 's';
}

static void show(const char *what, char *p)
{
	char letters[PAGES + 1];

	for (int i = 0; i < PAGES; i++)
		letters[i] = letter(p + i * PAGE_SIZE);
	letters[PAGES] = 0;
	print("%s\n  %s\n", what, letters);
}

/* How often it has tried is up to how often it has come by: each time, before it sees that a page is large enough already. */
static void count(void)
{
	print("  folios allocated: of 16 KiB %d, of 64 KiB %d\n", read_number(SIZE("16") "stats/collapse_alloc") > 0,
	      read_number(SIZE("64") "stats/collapse_alloc") > 0);
}

/* Single pages, all of which khugepaged may make larger. */
static char *filled(size_t from, size_t to)
{
	char *p = map_aligned();

	write_text(SIZE("16") "enabled", "never");
	write_text(SIZE("64") "enabled", "never");
	fill(p, from * PAGE_SIZE, to * PAGE_SIZE);
	show("before", p);
	return p;
}

static void scan(const char *what, char *p, size_t from, size_t to)
{
	write_text(SIZE("16") "enabled", "always");
	write_text(SIZE("64") "enabled", "always");
	/* It is looked through from now on. */
	fill(p, from * PAGE_SIZE, (from + 1) * PAGE_SIZE);
	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	wait_for_rounds();
	show(what, p);
	check(p, from * PAGE_SIZE, to * PAGE_SIZE);
	count();
}

int main(int argc, char **argv, char **envp)
{
	char *p;

	(void)argc;
	(void)argv;
	(void)envp;
	write_text(SIZE("2048") "enabled", "never");
	write_number(KHUGEPAGED "scan_sleep_millisecs", 5);

	p = filled(2, 30);
	write_number(KHUGEPAGED "max_ptes_none", 0);
	scan("all of a folio must be there", p, 2, 30);
	write_number(KHUGEPAGED "max_ptes_none", 511);
	wait_for_rounds();
	show("one page will do", p);
	check(p, 2 * PAGE_SIZE, 30 * PAGE_SIZE);
	count();
	syscall2(__NR_munmap, p, HUGE);

	p = filled(0, 16);
	write_number(KHUGEPAGED "max_ptes_none", 100);
	scan("other limits are as none", p, 0, 16);
	syscall2(__NR_munmap, p, HUGE);

	p = filled(0, 32);
	syscall3(__NR_madvise, p, 16 * PAGE_SIZE, 8);
	scan("the first half is given up by MADV_FREE, but for a page that is written", p, 0, 0);
	return 0;
}
