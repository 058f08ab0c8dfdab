/*
 * soft-dirty: which writes pagemap's soft-dirty bit tells of after /proc/self/clear_refs, through
 * mprotect, mremap, fork, huge pages and (with "all", where there is swap) reclaim.
 */
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define HUGE (2 * MIB)
#define MREMAP_BOTH (MREMAP_MAYMOVE | MREMAP_FIXED)

static long clear_refs(const char *what)
{
	int fd = sys_open("/proc/self/clear_refs", 1);
	long wrote;

	if (fd < 0)
		fail("/proc/self/clear_refs", fd);
	wrote = syscall3(__NR_write, fd, what, string_length(what));
	syscall1(__NR_close, fd);
	return wrote;
}

static void protect(char *p, size_t pages, int prot)
{
	long error = syscall3(__NR_mprotect, p, pages * PAGE_SIZE, prot);

	if (error != 0)
		fail("mprotect", error);
}

/* Whether "sd" stands among the VmFlags of the mapping at an address. */
static const char *vma_flag(char *p)
{
	int here = 0;

	slurp("/proc/self/smaps");
	for (const char *line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s);

			s++;
			here = from <= (uintptr_t)p && (uintptr_t)p < hex(&s);
		} else if (here && starts_with(line, "VmFlags:")) {
			for (; *line != '\n'; line++)
				if (starts_with(line, " sd "))
					return "sd";
			return "no sd";
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	return "no mapping";
}

static void words(void)
{
	static const char *const tried[] = { "0", "1", "2", "3", "4", "5", "6", "-1", "", "x", "4\n", " 4 ", "4x", "04", "0x4",
					     "+4", "4 4", "1234567890123", "4          x" };

	for (size_t i = 0; i < sizeof(tried) / sizeof(tried[0]); i++)
		print("clear_refs of %u bytes %s: %d\n", string_length(tried[i]), tried[i], clear_refs(tried[i]));
	print("opened for reading: %s\n", sys_open("/proc/self/clear_refs", O_RDONLY) >= 0 ? "yes" : "no");
}

static void writes(void)
{
	char *p = map_at(room(6), 6, PROT_RW);

	show_pages("fresh", p, 6);
	print("%s\n", vma_flag(p));
	write_page(p, 0);
	read_page(p, 1);
	show_pages("0 written, 1 read", p, 6);
	clear_refs("4");
	print("%s\n", vma_flag(p));
	show_pages("cleared", p, 6);
	read_page(p, 0);
	read_page(p, 2);
	show_pages("0 and 2 read", p, 6);
	write_page(p, 1);
	write_page(p, 3);
	show_pages("1 and 3 written", p, 6);
	write_page(p, 0);
	show_pages("0 written", p, 6);
	clear_refs("1");
	clear_refs("2");
	clear_refs("3");
	show_pages("referenced cleared", p, 6);
	clear_refs("4");
	show_pages("cleared again", p, 6);
	syscall3(__NR_madvise, p, 6 * PAGE_SIZE, MADV_POPULATE_READ);
	show_pages("populated by reading", p, 6);
	syscall3(__NR_madvise, p, 3 * PAGE_SIZE, MADV_POPULATE_WRITE);
	show_pages("3 by writing", p, 6);
	clear_refs("4");
	syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_DONTNEED);
	show_pages("2 given back", p, 6);
}

static void permissions(void)
{
	char *p = map_at(room(4), 4, PROT_RW);

	for (size_t i = 0; i < 4; i++)
		write_page(p, i);
	clear_refs("4");
	protect(p, 4, PROT_READ);
	protect(p, 4, PROT_RW);
	show_pages("read-only and back", p, 4);
	write_page(p, 1);
	protect(p + PAGE_SIZE, 2, PROT_NONE);
	show_pages("no access", p, 4);
	protect(p, 4, PROT_RW);
	write_page(p, 2);
	show_pages("1 and 2 written", p, 4);
	clear_refs("4");
	protect(p + 3 * PAGE_SIZE, 1, PROT_NONE);
	protect(p, 4, PROT_RW);
	write_page(p, 3);
	show_pages("3 written", p, 4);
}

static void merging(void)
{
	char *p = room(8);

	map_at(p, 2, PROT_RW);
	clear_refs("4");
	print("cleared: %s\n", vma_flag(p));
	map_at(p + 2 * PAGE_SIZE, 2, PROT_RW);
	show_pages("another mapped behind", p, 4);
	print("%s %s\n", vma_flag(p), vma_flag(p + 2 * PAGE_SIZE));
	clear_refs("4");
	map_at(p + 6 * PAGE_SIZE, 2, PROT_RW);
	print("apart: %s %s\n", vma_flag(p), vma_flag(p + 6 * PAGE_SIZE));
	syscall6(__NR_mremap, (long)(p + 6 * PAGE_SIZE), PAGE_SIZE, PAGE_SIZE, MREMAP_BOTH, (long)(p + 4 * PAGE_SIZE), 0);
	print("one moved up to it: %s %s\n", vma_flag(p), vma_flag(p + 4 * PAGE_SIZE));
	show_pages("all", p, 8);
	clear_refs("4");
	map_at(p + 5 * PAGE_SIZE, 2, PROT_READ);
	print("of other permissions: %s %s\n", vma_flag(p), vma_flag(p + 5 * PAGE_SIZE));
	protect(p, 5, PROT_READ);
	print("of the same: %s %s\n", vma_flag(p), vma_flag(p + 5 * PAGE_SIZE));
	clear_refs("4");
	protect(p + PAGE_SIZE, 1, PROT_RW);
	map_at(p, 1, PROT_RW);
	print("mapped anew: %s %s %s\n", vma_flag(p), vma_flag(p + PAGE_SIZE), vma_flag(p + 2 * PAGE_SIZE));
}

static void moving(void)
{
	char *p = map_at(room(4), 4, PROT_RW);
	char *to = room(12);

	write_page(p, 0);
	read_page(p, 1);
	clear_refs("4");
	syscall6(__NR_mremap, (long)p, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_BOTH, (long)to, 0);
	show_pages("moved", to, 4);
	print("%s\n", vma_flag(to));
	clear_refs("4");
	syscall6(__NR_mremap, (long)to, 4 * PAGE_SIZE, 6 * PAGE_SIZE, 0, 0, 0);
	show_pages("grown in place", to, 6);
	print("%s\n", vma_flag(to));
	syscall6(__NR_mremap, (long)to, 6 * PAGE_SIZE, 6 * PAGE_SIZE, MREMAP_BOTH | MREMAP_DONTUNMAP, (long)(to + 6 * PAGE_SIZE), 0);
	show_pages("moved, the old one kept", to, 12);
	print("%s %s\n", vma_flag(to), vma_flag(to + 6 * PAGE_SIZE));
}

static void heap(void)
{
	char *end = (char *)syscall1(__NR_brk, 0);
	char *first = (char *)(((uintptr_t)end + PAGE_SIZE - 1) & -PAGE_SIZE);

	syscall1(__NR_brk, first + 2 * PAGE_SIZE);
	clear_refs("4");
	show_pages("heap cleared", first, 2);
	syscall1(__NR_brk, first + 4 * PAGE_SIZE);
	show_pages("heap grown", first, 4);
}

static void forking(void)
{
	char *p = map_at(room(4), 4, PROT_RW);
	char *kept = map_at(room(1), 1, PROT_RW);
	long pid;
	int status;

	for (size_t i = 0; i < 4; i++)
		write_page(p, i);
	clear_refs("4");
	write_page(p, 1);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show_pages("child", p, 4);
		write_page(p, 2);
		show_pages("child, 2 written", p, 4);
		clear_refs("4");
		show_pages("child, cleared", p, 4);
		show_pages("child, never touched", kept, 1);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	show_pages("parent", p, 4);
	write_page(p, 3);
	show_pages("parent, 3 written", p, 4);
}

static void huge(void)
{
	char *raw = map_at(NULL, 3 * HUGE / PAGE_SIZE, PROT_RW);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	for (size_t i = 0; i < 512; i++)
		write_page(p, i);
	clear_refs("4");
	show_pages("huge, cleared", p, 512);
	read_page(p, 7);
	show_pages("huge, read", p, 512);
	write_page(p, 7);
	show_pages("huge, written", p, 512);
	clear_refs("4");
	protect(p, 1, PROT_READ);
	protect(p, 1, PROT_RW);
	show_pages("split", p, 512);
	write_page(p, 9);
	show_pages("split, 9 written", p, 512);

	raw = map_at(NULL, 3 * HUGE / PAGE_SIZE, PROT_RW);
	p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);
	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	clear_refs("4");
	read_page(p, 3);
	show_pages("zeros", p, 512);
	protect(p, 1, PROT_READ);
	show_pages("zeros, split", p, 512);
	protect(p, 1, PROT_RW);
	write_page(p, 3);
	show_pages("one written", p, 512);
}

static void swapping(void)
{
	char *p = map_at(room(6), 6, PROT_RW);

	for (size_t i = 0; i < 6; i++)
		write_page(p, i);
	clear_refs("4");
	write_page(p, 1);
	write_page(p, 4);
	syscall3(__NR_madvise, p, 6 * PAGE_SIZE, MADV_PAGEOUT);
	show_pages("paged out", p, 6);
	read_page(p, 0);
	read_page(p, 1);
	show_pages("0 and 1 read back", p, 2);
	write_page(p, 0);
	write_page(p, 2);
	show_pages("0 and 2 written", p, 3);
	syscall3(__NR_madvise, p, 6 * PAGE_SIZE, MADV_PAGEOUT);
	clear_refs("4");
	show_pages("paged out, cleared", p, 6);
	write_page(p, 3);
	read_page(p, 4);
	show_pages("3 written, 4 read", p + 3 * PAGE_SIZE, 2);
}

static void peak(void)
{
	char *p = map_at(NULL, 1024, PROT_RW);
	unsigned long hwm[3];

	for (size_t i = 0; i < 1024; i++)
		write_page(p, i);
	hwm[0] = number_in("/proc/self/status", "VmHWM:");
	syscall2(__NR_munmap, p, 1024 * PAGE_SIZE);
	hwm[1] = number_in("/proc/self/status", "VmHWM:");
	clear_refs("5");
	hwm[2] = number_in("/proc/self/status", "VmHWM:");
	print("VmHWM: %s, then %s\n", hwm[1] + 1024 > hwm[0] ? "kept" : "lost", hwm[2] + 3000 < hwm[1] ? "reset" : "kept");
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	words();
	writes();
	permissions();
	merging();
	moving();
	heap();
	forking();
	huge();
	peak();
	if (argc > 1 && string_equal(argv[1], "all"))
		swapping();
	return 0;
}
