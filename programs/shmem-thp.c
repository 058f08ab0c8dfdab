/*
 * shmem-thp: huge pages of shared memory and of memfds, by the settings for them: faulted in, given back and
 * punched piece by piece, truncated, read, and collapsed. Prints what smaps, meminfo and vmstat say, and checks
 * every word. As root it does the same on any Linux since 6.18, whose settings it leaves as they were at boot;
 * with "all", what needs swap too.
 */
#include "huge.h"
#include "smaps.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"

/* Changes since the start, of what meminfo and vmstat count. */
static unsigned long huge_pages, pmd_mapped, allocated, mapped;

static void write_setting(const char *path, const char *value)
{
	int fd = sys_open(path, 1);
	long n;

	if (fd < 0)
		fail(path, fd);
	n = syscall3(__NR_write, fd, value, string_length(value));
	if (n < 0)
		print("%s: %s, %d\n", path, value, n);
	syscall1(__NR_close, fd);
}

static void count(void)
{
	slurp("/proc/meminfo");
	print("  ShmemHugePages %d ShmemPmdMapped %d", number_after("ShmemHugePages") - huge_pages,
	      number_after("ShmemPmdMapped") - pmd_mapped);
	slurp("/proc/vmstat");
	print(", %d allocated, %d mapped\n", number_after("thp_file_alloc") - allocated,
	      number_after("thp_file_mapped") - mapped);
}

static void show(const char *what, char *p)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("%s: Rss %u ShmemPmdMapped %u THPeligible %u\n", what, field("Rss:", start, start + 1),
	      field("ShmemPmdMapped:", start, start + 1), field("THPeligible:", start, start + 1));
}

/* Memory at a multiple of 2 MiB. */
static char *map_aligned(int fd, size_t size, int flags)
{
	long area = syscall6(__NR_mmap, 0, (long)(size + HUGE), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uintptr_t p = ((uintptr_t)area + HUGE - 1) & ~(HUGE - 1);
	long at = syscall6(__NR_mmap, (long)p, (long)size, PROT_RW, flags | MAP_FIXED, fd, 0);

	if (at != (long)p)
		fail("mmap", at);
	return (char *)p;
}

static int memfd(const char *name, size_t size)
{
	int fd = (int)syscall2(__NR_memfd_create, name, 0);

	if (fd < 0)
		fail("memfd_create", fd);
	syscall2(__NR_ftruncate, fd, size);
	return fd;
}

static void unmap(char *p, size_t size)
{
	syscall2(__NR_munmap, p, size);
}

static void check_zeros(const char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += PAGE_SIZE) {
		uint64_t value = *(const volatile uint64_t *)(p + i);

		if (value != 0)
			print("at %x: %u\n", i, value);
	}
}

static void anonymous(void)
{
	char *p = map_aligned(-1, 2 * HUGE, MAP_SHARED | MAP_ANONYMOUS);

	*(volatile char *)p = 1;
	show("never", p);
	unmap(p, 2 * HUGE);

	write_setting(THP "shmem_enabled", "advise");
	p = map_aligned(-1, 2 * HUGE, MAP_SHARED | MAP_ANONYMOUS);
	show("advise", p);
	advise("MADV_HUGEPAGE", p, 2 * HUGE, MADV_HUGEPAGE);
	show("advised", p);
	fill(p, 0, PAGE_SIZE);
	show("a page written", p);
	fill(p, 0, 2 * HUGE);
	show("filled", p);
	count();

	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ);
	show("a page read-only", p);
	show("the others", p + PAGE_SIZE);
	check(p, 0, 2 * HUGE);
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_RW);
	show("one again", p);
	check(p, 0, HUGE);

	/* The empty table goes, so that the next fault maps all at once. */
	advise("MADV_DONTNEED", p, HUGE, MADV_DONTNEED);
	show("2 MiB not needed", p);
	check(p, 0, 2 * HUGE);
	show("read", p);
	advise("MADV_DONTNEED", p + PAGE_SIZE, 2 * PAGE_SIZE, MADV_DONTNEED);
	show("two pages not needed", p);
	check(p, PAGE_SIZE, 2 * PAGE_SIZE);
	show("one read", p);

	advise("MADV_REMOVE", p + 2 * PAGE_SIZE, 3 * PAGE_SIZE, MADV_REMOVE);
	show("three pages removed", p);
	check(p, 0, 2 * PAGE_SIZE);
	check_zeros(p, 2 * PAGE_SIZE, 5 * PAGE_SIZE);
	check(p, 5 * PAGE_SIZE, 2 * HUGE);
	show("read", p);
	count();
	collapse("collapsed", p, HUGE);
	show("collapsed", p);
	check(p, 0, 2 * PAGE_SIZE);
	check_zeros(p, 2 * PAGE_SIZE, 5 * PAGE_SIZE);
	check(p, 5 * PAGE_SIZE, 2 * HUGE);
	count();
	unmap(p, 2 * HUGE);
	count();
}

static void files(void)
{
	static char bytes[8 * PAGE_SIZE];
	int fd;
	char *p, *q;

	write_setting(THP "shmem_enabled", "always");
	fd = memfd("file", 2 * HUGE + 10 * PAGE_SIZE);
	p = map_aligned(fd, 3 * HUGE, MAP_SHARED);
	fill(p, 0, HUGE + MIB);
	show("a memfd", p);
	check(p, 0, HUGE + MIB);
	q = map_aligned(fd, 3 * HUGE, MAP_PRIVATE);
	check(q, 0, PAGE_SIZE);
	show("private, read", q);
	*(volatile char *)(q + 5) = 7;
	show("private, written", q);
	check(q, PAGE_SIZE, 2 * PAGE_SIZE);
	show("private, another read", q);
	print("%u %u\n", (unsigned long)p[5], (unsigned long)q[5]);
	syscall2(__NR_ftruncate, fd, HUGE + 3 * PAGE_SIZE);
	show("truncated", p);
	show("private", q);
	check(p, 0, HUGE + 3 * PAGE_SIZE);
	syscall2(__NR_ftruncate, fd, 3 * HUGE);
	check_zeros(p, HUGE + 3 * PAGE_SIZE, 2 * HUGE);
	show("grown", p);
	count();
	print("read: %d\n", syscall4(__NR_pread64, fd, bytes, sizeof(bytes), HUGE));
	for (size_t i = 0; i < sizeof(bytes); i += PAGE_SIZE)
		print(" %u", *(uint64_t *)(bytes + i));
	print("\n");
	collapse("private", q, HUGE);
	collapse("the second", p + HUGE, HUGE);
	show("collapsed", p);
	check(p, 0, HUGE + 3 * PAGE_SIZE);
	count();
	unmap(p, 3 * HUGE);
	unmap(q, 3 * HUGE);
	syscall1(__NR_close, fd);
	count();
}

static void settings(void)
{
	int fd;
	char *p, *q;

	write_setting(THP "shmem_enabled", "within_size");
	fd = memfd("within", HUGE + PAGE_SIZE);
	p = map_aligned(fd, 2 * HUGE, MAP_SHARED);
	fill(p, 0, PAGE_SIZE);
	show("within the size", p);
	fill(p, HUGE, HUGE + PAGE_SIZE);
	show("beyond", p);
	unmap(p, 2 * HUGE);
	syscall1(__NR_close, fd);

	write_setting(THP "shmem_enabled", "never");
	fd = memfd("never", 2 * HUGE);
	p = map_aligned(fd, 2 * HUGE, MAP_SHARED);
	collapse("nothing in the file", p, HUGE);
	fill(p, 0, HUGE);
	collapse("nothing in the second half", p, 2 * HUGE);
	collapse("the first", p, HUGE);
	show("collapsed", p);
	check(p, 0, HUGE);
	count();
	write_setting(THP "shmem_enabled", "deny");
	fill(p, HUGE, HUGE + PAGE_SIZE);
	collapse("denied", p + HUGE, HUGE);
	write_setting(THP "shmem_enabled", "force");
	write_setting(THP "hugepages-64kB/shmem_enabled", "inherit");
	write_setting(THP "shmem_enabled", "never");
	unmap(p, 2 * HUGE);
	syscall1(__NR_close, fd);

	write_setting(THP "hugepages-64kB/shmem_enabled", "always");
	q = map_aligned(-1, HUGE, MAP_SHARED | MAP_ANONYMOUS);
	fill(q, 17 * PAGE_SIZE, 18 * PAGE_SIZE);
	show("64 KiB", q);
	collapse("collapsed", q, HUGE);
	show("collapsed", q);
	check(q, 17 * PAGE_SIZE, 18 * PAGE_SIZE);
	unmap(q, HUGE);
	write_setting(THP "hugepages-64kB/shmem_enabled", "never");
	count();
}

static void page_out(char *p, size_t size)
{
	/* Written at first, and taken off its lists when that is done. */
	for (int i = 0; i < 3; i++)
		advise("MADV_PAGEOUT", p, size, MADV_PAGEOUT);
}

static void swapped(void)
{
	int fd;
	char *p;

	write_setting(THP "shmem_enabled", "always");
	p = map_aligned(-1, 2 * HUGE, MAP_SHARED | MAP_ANONYMOUS);
	fill(p, 0, 2 * HUGE);
	page_out(p, 2 * HUGE);
	show("paged out", p);
	check(p, 0, 2 * HUGE);
	show("read back", p);
	count();
	page_out(p + MIB, HUGE);
	show("a part paged out", p);
	check(p, 0, 2 * HUGE);
	collapse("collapsed", p, 2 * HUGE);
	show("collapsed", p);
	check(p, 0, 2 * HUGE);
	page_out(p, 2 * HUGE);
	advise("MADV_REMOVE", p + 5 * PAGE_SIZE, 3 * PAGE_SIZE, MADV_REMOVE);
	check(p, 0, 5 * PAGE_SIZE);
	check_zeros(p, 5 * PAGE_SIZE, 8 * PAGE_SIZE);
	check(p, 8 * PAGE_SIZE, 2 * HUGE);
	show("removed from swap", p);
	count();
	unmap(p, 2 * HUGE);

	fd = memfd("swapped", 4 * HUGE);
	p = map_aligned(fd, 4 * HUGE, MAP_SHARED);
	fill(p, 0, 4 * HUGE);
	page_out(p, 4 * HUGE);
	syscall2(__NR_ftruncate, fd, HUGE + 7 * PAGE_SIZE);
	check(p, 0, HUGE + 7 * PAGE_SIZE);
	syscall2(__NR_ftruncate, fd, 4 * HUGE);
	check_zeros(p, HUGE + 7 * PAGE_SIZE, 4 * HUGE);
	show("truncated in swap", p);
	unmap(p, 4 * HUGE);
	syscall1(__NR_close, fd);
	count();
	write_setting(THP "shmem_enabled", "never");
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	slurp("/proc/meminfo");
	huge_pages = number_after("ShmemHugePages");
	pmd_mapped = number_after("ShmemPmdMapped");
	slurp("/proc/vmstat");
	allocated = number_after("thp_file_alloc ");
	mapped = number_after("thp_file_mapped ");
	anonymous();
	files();
	settings();
	if (argc > 1 && string_equal(argv[1], "all"))
		swapped();
	return 0;
}
