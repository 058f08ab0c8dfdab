/*
 * ksm: pages with the same contents become one (MADV_MERGEABLE, PR_SET_MEMORY_MERGE), and their own again when they are written
 * or that is undone. Needs root. Prints the same natively on Linux where nobody else has mergeable memory; with "all" what needs
 * swap too.
 */
#include "ksm.h"
#include "pagemap.h"

#define MADV_MERGEABLE 12
#define MADV_UNMERGEABLE 13
#define PR_SET_MEMORY_MERGE 67
#define PR_GET_MEMORY_MERGE 68
#define MREMAP_MAYMOVE 1
#define PAGES 8

static long advise(char *p, size_t pages, int advice)
{
	return syscall3(__NR_madvise, p, pages * PAGE_SIZE, advice);
}

/* A page of one byte each. */
static void fill(char *p, size_t pages, int byte)
{
	for (size_t i = 0; i < pages * PAGE_SIZE; i++)
		p[i] = (char)byte;
}

static int all(const char *p, size_t pages, int byte)
{
	for (size_t i = 0; i < pages * PAGE_SIZE; i++)
		if (p[i] != (char)byte)
			return 0;
	return 1;
}

/* How many different frames pages have. */
static unsigned long frames(const char *p, size_t pages)
{
	unsigned long different = 0;

	for (size_t i = 0; i < pages; i++) {
		uint64_t pfn = pagemap_entry(p + i * PAGE_SIZE) & ((1ul << 55) - 1);
		size_t j = 0;

		while (j < i && (pagemap_entry(p + j * PAGE_SIZE) & ((1ul << 55) - 1)) != pfn)
			j++;
		different += j == i;
	}
	return different;
}

static void show_file(const char *file)
{
	slurp(file);
	print("%s", text);
}

static char *mergeable(size_t pages, int byte)
{
	char *p = map_at(room(pages), pages, PROT_RW);

	fill(p, pages, byte);
	if (advise(p, pages, MADV_MERGEABLE) != 0)
		fail("MADV_MERGEABLE", 0);
	return p;
}

static void unmap(char *p, size_t pages)
{
	syscall2(__NR_munmap, p, pages * PAGE_SIZE);
}

static void store(const char *file, const char *value)
{
	char path[64] = KSM;

	memcpy(path + string_length(path), file, string_length(file) + 1);
	print("%s = %s: %d, now ", file, value, write_text(path, value));
	show_file(path);
}

/* What the files take. */
static void settings(void)
{
	static const char *const rows[][2] = {
		{ "run", "3" }, { "run", "-1" }, { "run", "" }, { "run", "1x" },
		{ "pages_to_scan", "0" }, { "pages_to_scan", "4294967296" }, { "pages_to_scan", "100" },
		{ "sleep_millisecs", "x" }, { "sleep_millisecs", "7" }, { "sleep_millisecs", "20" },
		{ "max_page_sharing", "1" }, { "max_page_sharing", "-2" }, { "max_page_sharing", "2147483648" }, { "max_page_sharing", "2" }, { "max_page_sharing", "256" },
		{ "stable_node_chains_prune_millisecs", "-1" }, { "stable_node_chains_prune_millisecs", "2000" },
		{ "use_zero_pages", "2" }, { "use_zero_pages", "yes" }, { "use_zero_pages", "off" },
		{ "smart_scan", "maybe" }, { "smart_scan", "0" }, { "smart_scan", "1" },
		{ "advisor_mode", "cpu" }, { "advisor_mode", "scan-time" }, { "pages_to_scan", "200" }, { "advisor_mode", "none\n" },
		{ "advisor_target_scan_time", "0" }, { "advisor_target_scan_time", "200" },
		{ "advisor_max_cpu", "-1" }, { "advisor_max_cpu", "70" }, { "advisor_min_pages_to_scan", "500" }, { "advisor_max_pages_to_scan", "30000" },
		{ "pages_shared", "1" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		store(rows[i][0], rows[i][1]);
}

static void basics(void)
{
	char *p = mergeable(PAGES, 7);

	show_merged("before");
	wait_for_scans();
	show_merged("merged");
	print("frames: %u, the same: %d\n", frames(p, PAGES), all(p, PAGES, 7));
	slurp("/proc/self/smaps");
	print("KSM: %u kB, Rss: %u kB\n", field("KSM:", (uintptr_t)p, (uintptr_t)p + PAGES * PAGE_SIZE), field("Rss:", (uintptr_t)p, (uintptr_t)p + PAGES * PAGE_SIZE));
	print("mapped once: %d\n", (pagemap_entry(p) & PM_MMAP_EXCLUSIVE) != 0);
	p[0] = 1;
	show_merged("one written");
	print("frames: %u, %d and %d\n", frames(p, PAGES), p[0], p[PAGE_SIZE]);
	wait_for_scans();
	show_merged("scanned");
	show_file("/proc/self/ksm_merging_pages");
	print("unmergeable: %d\n", advise(p, PAGES / 2, MADV_UNMERGEABLE));
	print("frames: %u\n", frames(p, PAGES));
	wait_for_scans();
	show_merged("half of it undone");
	unmap(p, PAGES);
	wait_for_scans();
	show_merged("unmapped");
}

static void undo(void)
{
	char *p = mergeable(PAGES, 9);

	wait_for_scans();
	show_merged("merged");
	print("run = 2: %d\n", write_text(KSM "run", "2"));
	show_merged("undone");
	print("frames: %u, the same: %d\n", frames(p, PAGES), all(p, PAGES, 9));
	print("scans: %u\n", read_number(KSM "full_scans"));
	print("run = 1: %d\n", write_text(KSM "run", "1"));
	wait_for_scans();
	show_merged("merged again");
	unmap(p, PAGES);
	wait_for_scans();
}

/* Of a child. */
static void forked(void)
{
	char *p = mergeable(2, 5);
	long pid;

	wait_for_scans();
	show_merged("merged");
	pid = fork_();
	if (pid == 0) {
		p[0] = 6;
		print("child: %u frames, %d and %d\n", frames(p, 2), p[0], p[PAGE_SIZE]);
		wait_for_scans();
		show_merged("scanned");
		syscall1(__NR_exit, 0);
	}
	wait_(pid);
	wait_for_scans();
	show_merged("child gone");
	print("parent: %u frame, %d and %d\n", frames(p, 2), p[0], p[PAGE_SIZE]);
	unmap(p, 2);
	wait_for_scans();
}

/* The page of zeros. */
static void zeros(void)
{
	char *p;

	write_text(KSM "use_zero_pages", "1");
	p = mergeable(4, 0);
	wait_for_scans();
	show_merged("zeros");
	print("zero pages: %u\n", read_number(KSM "ksm_zero_pages"));
	slurp("/proc/self/smaps");
	print("Rss: %u kB\n", field("Rss:", (uintptr_t)p, (uintptr_t)p + 4 * PAGE_SIZE));
	p[0] = 1;
	print("one written: %u\n", read_number(KSM "ksm_zero_pages"));
	print("unmergeable: %d\n", advise(p + PAGE_SIZE, 1, MADV_UNMERGEABLE));
	print("one undone: %u\n", read_number(KSM "ksm_zero_pages"));
	unmap(p, 4);
	print("unmapped: %u\n", read_number(KSM "ksm_zero_pages"));
	write_text(KSM "use_zero_pages", "0");
	wait_for_scans();
}

/* More mappings than one page may have. */
static void many(void)
{
	char *p;

	print("max_page_sharing: %d\n", write_text(KSM "max_page_sharing", "4"));
	p = mergeable(10, 3);
	wait_for_scans();
	wait_for_scans();
	show_merged("ten");
	print("frames: %u, chains: %u, dups: %u\n", frames(p, 10), read_number(KSM "stable_node_chains"), read_number(KSM "stable_node_dups"));
	print("max_page_sharing: %d\n", write_text(KSM "max_page_sharing", "5"));
	unmap(p, 10);
	wait_for_scans();
	write_text(KSM "run", "2");
	print("max_page_sharing: %d\n", write_text(KSM "max_page_sharing", "256"));
	print("chains: %u, dups: %u\n", read_number(KSM "stable_node_chains"), read_number(KSM "stable_node_dups"));
	write_text(KSM "run", "1");
}

/* All that a process maps. */
static void any(void)
{
	char *p = map_at(room(3), 3, PROT_RW);
	char *q;

	fill(p, 3, 4);
	print("merge any: %d\n", syscall5(__NR_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0));
	print("on: %d\n", syscall5(__NR_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0));
	print("merge any: %d\n", syscall5(__NR_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0));
	q = map_at(room(3), 3, PROT_RW);
	fill(q, 3, 4);
	wait_for_scans();
	print("frames: %u\n", frames(p, 3) + frames(q, 3));
	number_in("/proc/self/ksm_stat", "ksm_merge_any");
	print("merging: %u of %u items\n", number_after("ksm_merging_pages") >= 6, number_after("ksm_rmap_items") >= 6);
	print("off: %d\n", syscall5(__NR_prctl, PR_SET_MEMORY_MERGE, 0, 0, 0, 0));
	print("frames: %u\n", frames(p, 3) + frames(q, 3));
	/* That has undone it, too. */
	mergeable(1, 0x55);
	wait_for_scans();
	show_file("/proc/self/ksm_stat");
	unmap(p, 3);
	unmap(q, 3);
}

/* What is said of a page frame, and of copies. */
static void told(void)
{
	char *p = mergeable(2, 6);
	unsigned long cow = number_in("/proc/vmstat", "cow_ksm ");
	uint64_t flags = 0;
	int fd = sys_open("/proc/kpageflags", O_RDONLY);

	wait_for_scans();
	syscall4(__NR_pread64, fd, &flags, 8, (pagemap_entry(p) & ((1ul << 55) - 1)) * 8);
	print("anon %d, ksm %d\n", (int)(flags >> 12 & 1), (int)(flags >> 21 & 1));
	p[0] = 1;
	print("cow_ksm: %u more\n", number_in("/proc/vmstat", "cow_ksm ") - cow);
	syscall4(__NR_pread64, fd, &flags, 8, (pagemap_entry(p) & ((1ul << 55) - 1)) * 8);
	print("anon %d, ksm %d\n", (int)(flags >> 12 & 1), (int)(flags >> 21 & 1));
	syscall1(__NR_close, fd);
	/* Read-only memory is merged, and undone. */
	syscall3(__NR_mprotect, p, 2 * PAGE_SIZE, PROT_NONE);
	print("PROT_NONE: %d\n", advise(p, 2, MADV_UNMERGEABLE));
	unmap(p, 2);
	wait_for_scans();
}

/* A child that becomes another program is mergeable as a whole, as its parent was. */
static void inherited(void)
{
	static char *const argv[] = { "ksm", "child", NULL }, *const envp[] = { NULL };
	long pid;

	syscall5(__NR_prctl, PR_SET_MEMORY_MERGE, 1, 0, 0, 0);
	pid = fork_();
	if (pid == 0) {
		print("forked: %d\n", syscall5(__NR_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0));
		syscall3(__NR_execve, "/proc/self/exe", argv, envp);
		syscall1(__NR_exit, 1);
	}
	print("status: %d\n", wait_(pid));
	syscall5(__NR_prctl, PR_SET_MEMORY_MERGE, 0, 0, 0, 0);
	mergeable(1, 0x55);
}

static void executed(void)
{
	char *p = map_at(room(3), 3, PROT_RW);

	print("executed: %d\n", syscall5(__NR_prctl, PR_GET_MEMORY_MERGE, 0, 0, 0, 0));
	fill(p, 3, 11);
	wait_for_scans();
	print("frames: %u\n", frames(p, 3));
}

/* Elsewhere they are the mapping's own again. */
static void moved(void)
{
	char *p = mergeable(4, 8);
	char *to = room(4);

	wait_for_scans();
	show_merged("merged");
	print("moved: %d\n", (char *)syscall5(__NR_mremap, p, 4 * PAGE_SIZE, 4 * PAGE_SIZE, MREMAP_MAYMOVE | 2, to) == to);
	print("frames: %u, the same: %d\n", frames(to, 4), all(to, 4, 8));
	wait_for_scans();
	show_merged("merged there");
	unmap(to, 4);
	wait_for_scans();
}

/* Swap brings each its own back: what was one page in memory is one slot, of which each gets a copy. */
static void swapped(void)
{
	unsigned long copies = number_in("/proc/vmstat", "ksm_swpin_copy "), slots = 0;
	char *p;

	syscall3(__NR_mkdirat, -100, "/sys/fs/cgroup/ksm", 0755);
	write_text("/sys/fs/cgroup/ksm/cgroup.procs", "0");
	p = mergeable(4, 2);
	wait_for_scans();
	show_merged("merged");
	write_text("/sys/fs/cgroup/ksm/memory.reclaim", "16K");
	for (size_t i = 0; i < 4; i++)
		slots += (pagemap_entry(p + i * PAGE_SIZE) & PM_SWAP) != 0;
	print("in swap: %u\n", slots);
	print("the same: %d\n", all(p, 4, 2));
	print("frames: %u, copied: %u\n", frames(p, 4), number_in("/proc/vmstat", "ksm_swpin_copy ") - copies);
	p[0] = 3;
	print("%d and %d\n", p[0], p[PAGE_SIZE]);
	wait_for_scans();
	show_merged("merged again");
	unmap(p, 4);
	wait_for_scans();
	show_merged("unmapped");
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	if (argc > 1 && string_equal(argv[1], "child")) {
		executed();
		return 0;
	}
	write_text(KSM "run", "2");
	settings();
	write_text(KSM "sleep_millisecs", "1");
	write_text(KSM "smart_scan", "0");
	print("run = 1: %d\n", write_text(KSM "run", "1"));
	/* Where nothing is mergeable nothing is scanned. */
	mergeable(1, 0x55);
	basics();
	undo();
	forked();
	zeros();
	many();
	any();
	moved();
	told();
	inherited();
	if (argc > 1)
		swapped();
	write_text(KSM "run", "2");
	write_text(KSM "run", "0");
	write_text(KSM "smart_scan", "1");
	write_text(KSM "sleep_millisecs", "20");
	return 0;
}
