/*
 * pagemap-wp: PAGEMAP_SCAN of memory whose writes userfaultfd tracks by asynchronous write protection: what was
 * written, and protecting it again in one go.
 */
#include "memory.h"
#include "pagemap.h"
#include "pagemap_scan.h"

#include <linux/userfaultfd.h>

#define HUGE (2 * MIB)

#ifndef UFFD_FEATURE_WP_UNPOPULATED
#define UFFD_FEATURE_WP_UNPOPULATED (1 << 13)
#endif
#ifndef UFFD_FEATURE_WP_ASYNC
#define UFFD_FEATURE_WP_ASYNC (1 << 15)
#endif
#define ALL (511 - 128)
#define WP PM_SCAN_WP_MATCHING
#define WP_CHECKED (PM_SCAN_WP_MATCHING | PM_SCAN_CHECK_WPASYNC)

static int pagemap;
static int uffd;
static struct page_region regions[64];

static void scan(const char *what, const char *p, size_t pages, unsigned long flags, unsigned long vec_len,
		 unsigned long max_pages, unsigned long mask, unsigned long returned)
{
	struct pm_scan_arg arg = { 0 };
	long n;

	arg.size = sizeof(arg);
	arg.flags = flags;
	arg.start = (uintptr_t)p;
	arg.end = (uintptr_t)p + pages * PAGE_SIZE;
	arg.vec = vec_len == 0 ? 0 : (uintptr_t)regions;
	arg.vec_len = vec_len;
	arg.max_pages = max_pages;
	arg.category_mask = mask;
	arg.return_mask = returned;
	n = syscall3(__NR_ioctl, pagemap, PAGEMAP_SCAN, &arg);
	print("%s: %d, to page %d:", what, n, ((long)arg.walk_end - (long)p) / (long)PAGE_SIZE);
	for (long i = 0; i < n; i++)
		print(" %u+%u:%x", (regions[i].start - (uintptr_t)p) / PAGE_SIZE,
		      (regions[i].end - regions[i].start) / PAGE_SIZE, regions[i].categories);
	print("\n");
}

static void written(const char *what, const char *p, size_t pages)
{
	scan(what, p, pages, 0, 64, 0, PAGE_IS_WRITTEN, ALL);
}

static void reset(const char *what, const char *p, size_t pages)
{
	scan(what, p, pages, WP_CHECKED, 64, 0, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
}

static long open_uffd(unsigned long features)
{
	struct uffdio_api api = { UFFD_API, features, 0 };

	uffd = (int)syscall1(__NR_userfaultfd, 02004000 | 1);
	if (uffd < 0)
		fail("userfaultfd", uffd);
	return syscall3(__NR_ioctl, uffd, UFFDIO_API, &api);
}

static void watch(char *p, size_t pages)
{
	struct uffdio_register reg = { { (uintptr_t)p, pages * PAGE_SIZE }, UFFDIO_REGISTER_MODE_WP, 0 };
	struct uffdio_writeprotect wp = { { (uintptr_t)p, pages * PAGE_SIZE }, UFFDIO_WRITEPROTECT_MODE_WP };
	long error = syscall3(__NR_ioctl, uffd, UFFDIO_REGISTER, &reg);

	if (error != 0)
		fail("UFFDIO_REGISTER", error);
	error = syscall3(__NR_ioctl, uffd, UFFDIO_WRITEPROTECT, &wp);
	if (error != 0)
		fail("UFFDIO_WRITEPROTECT", error);
}

static void small(void)
{
	char *p = map_at(room(20), 16, PROT_RW);

	map_at(p + 16 * PAGE_SIZE, 4, PROT_RW);
	write_page(p, 1);
	read_page(p, 2);
	scan("not watched", p, 16, WP, 64, 0, 0, ALL);
	scan("which must be", p, 16, PM_SCAN_CHECK_WPASYNC, 64, 0, 0, ALL);
	watch(p, 16);
	show_pages("pagemap", p, 20);
	scan("all", p, 20, 0, 64, 0, 0, ALL);
	written("written", p, 16);
	write_page(p, 1);
	write_page(p, 4);
	write_page(p, 5);
	read_page(p, 8);
	written("1, 4, 5 written, 8 read", p, 16);
	show_pages("pagemap", p, 16);
	scan("one page of them protected", p, 16, WP_CHECKED, 64, 1, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
	written("the others", p, 16);
	scan("one region", p, 16, WP_CHECKED, 1, 0, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
	reset("all", p, 16);
	written("none", p, 16);
	write_page(p, 4);
	write_page(p, 9);
	scan("present and written", p, 16, WP, 64, 0, PAGE_IS_WRITTEN | PAGE_IS_PRESENT, ALL);
	write_page(p, 4);
	write_page(p, 15);
	scan("without a word", p, 16, WP, 0, 0, 0, 0);
	written("none", p, 16);
	write_page(p, 3);
	scan("without a word, those that are swapped", p, 16, WP, 0, 0, PAGE_IS_SWAPPED, 0);
	written("none, all the same", p, 16);
	write_page(p, 3);
	scan("for write protection", p, 20, 0, 64, 0, PAGE_IS_WPALLOWED, ALL);
	scan("beyond what is watched", p, 20, WP, 64, 0, PAGE_IS_WRITTEN, ALL);
	scan("which must be", p, 20, WP_CHECKED, 64, 0, PAGE_IS_WRITTEN, ALL);
	syscall3(__NR_madvise, p, 4 * PAGE_SIZE, MADV_DONTNEED);
	show_pages("given back", p, 16);
	written("written", p, 16);
	syscall3(__NR_mprotect, p + 6 * PAGE_SIZE, 2 * PAGE_SIZE, PROT_READ);
	syscall3(__NR_mprotect, p + 6 * PAGE_SIZE, 2 * PAGE_SIZE, PROT_RW);
	reset("all", p, 16);
	write_page(p, 6);
	written("6 written", p, 16);
}

static void holes(void)
{
	char *p = map_at(room(3000), 3000, PROT_RW);

	syscall3(__NR_madvise, p, 3000 * PAGE_SIZE, MADV_NOHUGEPAGE);
	write_page(p, 1500);
	watch(p, 3000);
	written("a lot of nothing", p, 3000);
	write_page(p, 10);
	write_page(p, 2999);
	written("10 and 2999", p, 3000);
	reset("reset", p, 3000);
	written("none", p, 3000);
	syscall2(__NR_munmap, p + 700 * PAGE_SIZE, 100 * PAGE_SIZE);
	write_page(p, 699);
	write_page(p, 800);
	reset("around a hole", p, 3000);
}

static void huge(void)
{
	char *raw = map_at(NULL, 3 * HUGE / PAGE_SIZE, PROT_RW);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	write_page(p, 0);
	watch(p, 512);
	written("huge", p, 512);
	show_pages("pagemap", p, 512);
	write_page(p, 100);
	written("100 written", p, 512);
	reset("reset", p, 512);
	written("none", p, 512);
	write_page(p, 200);
	scan("3 pages of it", p, 512, WP_CHECKED, 64, 3, PAGE_IS_WRITTEN, ALL);
	written("the others", p, 512);
	scan("5 in the middle", p + 100 * PAGE_SIZE, 5, WP_CHECKED, 64, 0, PAGE_IS_WRITTEN, ALL);
	written("the others", p, 512);
}

static void forked(void)
{
	char *p = map_at(room(4), 4, PROT_RW);
	int status;
	long pid;

	write_page(p, 0);
	write_page(p, 1);
	watch(p, 4);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		pagemap = sys_open("/proc/self/pagemap", O_RDONLY);
		show_pages("child", p, 4);
		scan("child", p, 4, 0, 64, 0, 0, ALL);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	write_page(p, 0);
	written("0 written", p, 4);
}

static void swapped(void)
{
	char *p = map_at(room(4), 4, PROT_RW);

	for (int i = 0; i < 4; i++)
		write_page(p, i);
	watch(p, 4);
	write_page(p, 1);
	syscall3(__NR_madvise, p, 4 * PAGE_SIZE, MADV_PAGEOUT);
	show_pages("paged out", p, 4);
	scan("paged out", p, 4, 0, 64, 0, 0, ALL);
	reset("reset", p, 4);
	scan("paged out", p, 4, 0, 64, 0, 0, ALL);
	read_page(p, 0);
	write_page(p, 1);
	scan("0 read, 1 written", p, 4, 0, 64, 0, 0, ALL);
}

int main(int argc, char **argv, char **envp)
{
	long error;

	(void)envp;
	pagemap = sys_open("/proc/self/pagemap", O_RDONLY);
	error = open_uffd(UFFD_FEATURE_WP_ASYNC | UFFD_FEATURE_WP_UNPOPULATED);
	if (error != 0)
		fail("UFFDIO_API", error);
	small();
	holes();
	huge();
	forked();
	if (argc > 1 && string_equal(argv[1], "all"))
		swapped();
	return 0;
}
