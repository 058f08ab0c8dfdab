/*
 * pagemap: reads of /proc/self/pagemap of any size and offset, its PAGEMAP_SCAN, and what they say of
 * memory in each state. With "all", where there is swap, of what is paged out as well.
 */
#include "memory.h"
#include "pagemap.h"
#include "pagemap_scan.h"

#define HUGE (2 * MIB)

#define SOFT_DIRTY 128
#define GUARD 256
#define ALL 511

static int fd;

static void reads(void)
{
	static const unsigned long sizes[] = { 0, 1, 7, 8, 9, 16, 4096, 4104, 65536 };
	static const unsigned long offsets[] = { 0, 1, 8, 4095, 4096, 1ul << 50, (1ul << 55) - 8, 1ul << 55, (1ul << 63) - 8, 1ul << 63, -8ul };
	static char buffer[65536];

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		print("%u bytes: %d\n", sizes[i], syscall4(__NR_pread64, fd, buffer, sizes[i], 0x10000 / PAGE_SIZE * 8));
	for (size_t i = 0; i < sizeof(offsets) / sizeof(offsets[0]); i++)
		print("at %x: %d\n", offsets[i], syscall4(__NR_pread64, fd, buffer, 16, offsets[i]));
	print("seek to 24: %d\n", syscall3(__NR_lseek, fd, 24, 0));
	print("seek by 16: %d\n", syscall3(__NR_lseek, fd, 16, 1));
	print("read: %d\n", syscall3(__NR_read, fd, buffer, 8));
	print("seek by 0: %d\n", syscall3(__NR_lseek, fd, 0, 1));
	print("seek from the end: %d\n", syscall3(__NR_lseek, fd, 0, 2));
	print("write: %d\n", syscall3(__NR_write, fd, buffer, 8));
	print("into nowhere: %d\n", syscall4(__NR_pread64, fd, 8, 16, 0x10000 / PAGE_SIZE * 8));
	print("opened for writing: %d\n", (long)sys_open("/proc/self/pagemap", O_RDWR) > 0);
	print("mmap: %d\n", syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0));
}

static struct page_region regions[64];
static struct pm_scan_arg arg;

static long scan(const char *p, size_t pages, unsigned long vec_len, unsigned long max_pages)
{
	arg.size = sizeof(arg);
	arg.start = (uintptr_t)p;
	arg.end = (uintptr_t)p + pages * PAGE_SIZE;
	arg.walk_end = (uintptr_t)p + 77;
	arg.vec = vec_len == 0 ? 0 : (uintptr_t)regions;
	arg.vec_len = vec_len;
	arg.max_pages = max_pages;
	return syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg);
}

static void masks(unsigned long inverted, unsigned long all, unsigned long anyof, unsigned long returned)
{
	arg.flags = 0;
	arg.category_inverted = inverted;
	arg.category_mask = all;
	arg.category_anyof_mask = anyof;
	arg.return_mask = returned;
}

static void show(const char *what, const char *p, size_t pages, unsigned long vec_len, unsigned long max_pages)
{
	long n = scan(p, pages, vec_len, max_pages);

	print("%s: %d, to page %d:", what, n, ((long)arg.walk_end - (long)p) / (long)PAGE_SIZE);
	for (long i = 0; i < n; i++)
		print(" %u+%u:%x", (regions[i].start - (uintptr_t)p) / PAGE_SIZE,
		      (regions[i].end - regions[i].start) / PAGE_SIZE, regions[i].categories);
	print("\n");
}

/* The same once more, the arguments having been changed. */
static void again(const char *what, const char *p)
{
	long n;

	arg.walk_end = (uintptr_t)p + 77;
	n = syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg);
	print("%s: %d, to %u\n", what, n, arg.walk_end - (uintptr_t)p);
}

static void arguments(void)
{
	char *p = map_at(room(8), 8, PROT_RW);

	write_page(p, 1);
	masks(0, 0, 0, ALL & ~SOFT_DIRTY);
	show("all", p, 8, 64, 0);
	show("nothing", p, 0, 64, 0);
	show("no room", p, 8, 0, 0);
	show("one region", p, 8, 1, 0);
	show("two regions", p, 8, 2, 0);
	show("one page", p, 8, 64, 1);
	show("two pages", p, 8, 64, 2);
	show("three pages", p, 8, 64, 3);
	show("room for none, two pages", p, 8, 0, 2);
	show("backwards", p, -1ul, 64, 0);
	show("unaligned", p + 8, 4, 64, 0);
	show("from 0", NULL, 0x10, 64, 0);
	arg.size = 88;
	print("short: %d\n", syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg));
	arg.size = sizeof(arg);
	arg.start = (uintptr_t)p;
	arg.end = (uintptr_t)p + 100;
	arg.vec_len = 64;
	again("100 bytes", p);
	arg.vec = 0;
	again("room nowhere", p);
	arg.vec = 8;
	again("room at 8", p);
	arg.vec = -1ul;
	print("room at -1: %d\n", syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg));
	arg.vec = (uintptr_t)regions;
	arg.vec_len = -1ul;
	print("room without end: %d\n", syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg));
	arg.vec_len = 64;
	for (unsigned long flags = 1; flags < 5; flags++) {
		arg.flags = flags;
		again("flags", p);
	}
	for (int i = 0; i < 4; i++) {
		masks(i == 0 ? 1024 : 0, i == 1 ? 1024 : 0, i == 2 ? 1024 : 0, i == 3 ? 1024 : 0);
		print("mask %d: %d\n", (long)i, scan(p, 8, 64, 0));
	}
	print("no argument: %d\n", syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, 0));
	print("another command: %d\n", syscall3(__NR_ioctl, fd, 0x6611, 0));
	print("TCGETS: %d\n", syscall3(__NR_ioctl, fd, 0x5401, &arg));
}

static void categories(void)
{
	char *p = map_at(room(16), 8, PROT_RW);

	map_at(p + 10 * PAGE_SIZE, 6, PROT_RW);
	write_page(p, 1);
	write_page(p, 2);
	read_page(p, 4);
	write_page(p, 10);
	write_page(p, 12);
	syscall3(__NR_mprotect, p + 12 * PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	masks(0, 0, 0, ALL & ~SOFT_DIRTY);
	show("all", p, 16, 64, 0);
	masks(0, PAGE_IS_PRESENT, 0, ALL & ~SOFT_DIRTY);
	show("present", p, 16, 64, 0);
	show("present, 3 pages", p, 16, 64, 3);
	show("present, 2 pages", p, 16, 64, 2);
	show("present, 2 regions", p, 16, 2, 0);
	masks(0, PAGE_IS_PRESENT, 0, PAGE_IS_PRESENT);
	show("present, no more said", p, 16, 64, 0);
	masks(0, PAGE_IS_PRESENT, 0, 0);
	show("nothing said", p, 16, 64, 0);
	masks(PAGE_IS_PRESENT, PAGE_IS_PRESENT, 0, ALL & ~SOFT_DIRTY);
	show("not present", p, 16, 64, 0);
	masks(PAGE_IS_PFNZERO, PAGE_IS_PFNZERO | PAGE_IS_PRESENT, 0, ALL & ~SOFT_DIRTY);
	show("present, not zero", p, 16, 64, 0);
	masks(0, 0, PAGE_IS_PFNZERO | PAGE_IS_SWAPPED, ALL & ~SOFT_DIRTY);
	show("zero or swapped", p, 16, 64, 0);
	masks(0, PAGE_IS_WRITTEN, 0, PAGE_IS_WRITTEN);
	show("written", p, 16, 64, 0);
	masks(PAGE_IS_WRITTEN, PAGE_IS_WRITTEN, 0, PAGE_IS_WRITTEN);
	show("not written", p, 16, 64, 0);
	masks(0, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN, PAGE_IS_WRITTEN);
	show("written, in any case", p, 16, 64, 0);
	masks(PAGE_IS_WPALLOWED, PAGE_IS_WPALLOWED, 0, ALL & ~SOFT_DIRTY);
	show("not for write protection", p, 16, 64, 0);
	masks(0, PAGE_IS_WPALLOWED, 0, ALL & ~SOFT_DIRTY);
	show("for write protection", p, 16, 64, 0);
	masks(0, 0, PAGE_IS_WPALLOWED, ALL & ~SOFT_DIRTY);
	show("perhaps for write protection", p, 16, 64, 0);
	masks(0, 0, 0, ALL & ~SOFT_DIRTY);
	arg.flags = PM_SCAN_WP_MATCHING;
	show("protecting", p, 16, 64, 0);
	arg.flags = PM_SCAN_CHECK_WPASYNC;
	show("which must be allowed", p, 16, 64, 0);
	arg.flags = PM_SCAN_CHECK_WPASYNC | PM_SCAN_WP_MATCHING;
	show("both", p, 16, 64, 0);
	show("both, where nothing is", p + 8 * PAGE_SIZE, 2, 64, 0);
	show_pages("entries", p, 16);
}

/* More regions than the kernel collects at a time. */
static void many(void)
{
	static struct page_region big[1100];
	char *p = map_at(room(2400), 2400, PROT_RW);
	size_t pages = 0;
	long n;

	syscall3(__NR_madvise, p, 2400 * PAGE_SIZE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < 2400; i += 2)
		write_page(p, i);
	masks(0, PAGE_IS_PRESENT, 0, PAGE_IS_PRESENT);
	for (int turn = 0; turn < 3; turn++) {
		scan(p, 0, 0, 0);
		arg.end = (uintptr_t)p + 2400 * PAGE_SIZE;
		arg.vec = (uintptr_t)big;
		arg.vec_len = turn == 2 ? 1050 : 1100;
		arg.max_pages = turn == 1 ? 700 : 0;
		n = syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg);
		for (long i = pages = 0; i < n; i++)
			pages += (big[i].end - big[i].start) / PAGE_SIZE;
		print("%d regions of %u pages, to page %u\n", n, pages, (arg.walk_end - (uintptr_t)p) / PAGE_SIZE);
	}
	arg.vec_len = 1100;
	arg.vec = (uintptr_t)big;
	syscall3(__NR_mprotect, (void *)(((uintptr_t)(big + 800) & -PAGE_SIZE)), PAGE_SIZE, PROT_READ);
	again("where it cannot be written", p);
}

static char *huge_area(void)
{
	char *raw = map_at(NULL, 3 * HUGE / PAGE_SIZE, PROT_RW);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	return p;
}

static void huge(void)
{
	char *p = huge_area();

	masks(0, PAGE_IS_PRESENT, 0, ALL & ~SOFT_DIRTY);
	read_page(p, 7);
	show("zeros", p, 512, 64, 0);
	show_pages("zeros", p, 512);
	write_page(p, 7);
	show("huge", p, 512, 64, 0);
	show("5 of it", p + 3 * PAGE_SIZE, 5, 64, 0);
	show("up to 5 of it", p, 512, 64, 5);
	show_pages("huge", p, 512);
	print("frames in a row: %u\n", (unsigned long)((pagemap_entry(p) & ((1ul << 55) - 1)) + 511 == (pagemap_entry(p + 511 * PAGE_SIZE) & ((1ul << 55) - 1))));
	syscall3(__NR_mprotect, p + 8 * PAGE_SIZE, PAGE_SIZE, PROT_READ);
	show("split", p, 512, 64, 0);
	syscall3(__NR_madvise, p + 16 * PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	show("a page given back", p, 512, 64, 0);
}

static void forking(void)
{
	char *p = map_at(room(3), 3, PROT_RW);
	int status;
	long pid;

	write_page(p, 0);
	write_page(p, 1);
	show_pages("alone", p, 3);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show_pages("child", p, 3);
		write_page(p, 1);
		show_pages("child, 1 written", p, 3);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	show_pages("alone again", p, 3);
}

static void swapping(void)
{
	char *p = map_at(room(6), 6, PROT_RW);

	write_page(p, 0);
	write_page(p, 1);
	write_page(p, 3);
	read_page(p, 4);
	syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_PAGEOUT);
	show_pages("two paged out", p, 6);
	print("device %u\n", pagemap_entry(p) & 31);
	masks(0, 0, 0, ALL & ~SOFT_DIRTY);
	show("two paged out", p, 6, 64, 0);
	masks(0, PAGE_IS_SWAPPED, 0, ALL & ~SOFT_DIRTY);
	show("swapped", p, 6, 64, 0);
	read_page(p, 0);
	show_pages("one read back", p, 6);
	if (syscall3(__NR_madvise, p + 3 * PAGE_SIZE, PAGE_SIZE, 102) == 0) {
		show_pages("a guard", p, 6);
		masks(0, 0, 0, ALL & ~SOFT_DIRTY);
		show("a guard", p, 6, 64, 0);
		masks(0, GUARD, 0, ALL & ~SOFT_DIRTY);
		show("guards", p, 6, 64, 0);
	}
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	fd = sys_open("/proc/self/pagemap", O_RDONLY);
	reads();
	arguments();
	categories();
	many();
	huge();
	forking();
	if (argc > 1 && string_equal(argv[1], "all"))
		swapping();
	return 0;
}
