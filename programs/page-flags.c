/*
 * page-flags: what /proc/kpageflags, kpagecount and kpagecgroup say of pages in each state, found by their
 * frame numbers. Prints the same natively on Linux; with "all" what needs swap too.
 */
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define HUGE (2 * MIB)

static const char *const kpf[] = {
	"locked", NULL, "referenced", "uptodate", "dirty", "lru", "active", "slab", "writeback", "reclaim", "buddy", "mmap",
	"anon", "swapcache", "swapbacked", "head", "tail", "huge", "unevictable", "hwpoison", "nopage", "ksm", "thp", "offline",
	"zero", NULL, "pgtable", NULL, NULL, NULL, NULL, NULL, "reserved", "mlocked", "owner_2", "private", "private_2",
	"owner_1", NULL, NULL, NULL, NULL, NULL,
};

static int flags_fd, count_fd, cgroup_fd;

static uint64_t word(int fd, unsigned long pfn)
{
	uint64_t value = 0;

	if (syscall4(__NR_pread64, fd, &value, 8, pfn * 8) != 8)
		return -1ul;
	return value;
}

static unsigned long pfn_of(const char *p)
{
	return pagemap_entry(p) & ((1ul << 55) - 1);
}

/* The flags of the page mapped at an address; "-" for one that is not there. */
static void show(const char *what, const char *p)
{
	uint64_t flags;
	unsigned long pfn;
	char out[300];
	size_t n = 0;

	if ((pagemap_entry(p) & PM_PRESENT) == 0) {
		print("%s: -\n", what);
		return;
	}
	pfn = pfn_of(p);
	flags = word(flags_fd, pfn);
	for (size_t i = 0; i < sizeof(kpf) / sizeof(kpf[0]); i++) {
		if ((flags >> i & 1) == 0 || kpf[i] == NULL)
			continue;
		out[n++] = ' ';
		for (const char *s = kpf[i]; *s != 0; s++)
			out[n++] = *s;
	}
	out[n] = 0;
	print("%s:%s, mapped %u times\n", what, out, word(count_fd, pfn));
}

static char *map(size_t pages, int prot, int flags, int fd)
{
	long p = syscall6(__NR_mmap, 0, (long)(pages * PAGE_SIZE), prot, flags, fd, 0);

	if (p < 0 && p > -4096)
		fail("mmap", p);
	return (char *)p;
}

/* Pages go from this CPU's batches to the LRU lists, as before any advice about pages being cold. */
static void drain(void)
{
	static char *page;

	if (page == NULL)
		page = map(1, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	syscall3(__NR_madvise, page, PAGE_SIZE, MADV_COLD);
}

static void anonymous(void)
{
	char *p = map(8, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	int status;
	long pid;

	for (int i = 0; i < 5; i++)
		write_page(p, i);
	read_page(p, 6);
	drain();
	show("written", p);
	show("zeros", p + 6 * PAGE_SIZE);
	syscall3(__NR_madvise, p + PAGE_SIZE, PAGE_SIZE, MADV_POPULATE_WRITE);
	show("populated", p + PAGE_SIZE);
	syscall3(__NR_madvise, p + PAGE_SIZE, PAGE_SIZE, MADV_POPULATE_WRITE);
	drain();
	show("populated again", p + PAGE_SIZE);
	syscall3(__NR_madvise, p + PAGE_SIZE, PAGE_SIZE, MADV_COLD);
	drain();
	show("cold", p + PAGE_SIZE);
	syscall3(__NR_madvise, p + 2 * PAGE_SIZE, PAGE_SIZE, MADV_FREE);
	drain();
	show("lazily free", p + 2 * PAGE_SIZE);
	syscall2(__NR_mlock, p + 3 * PAGE_SIZE, PAGE_SIZE);
	drain();
	show("locked", p + 3 * PAGE_SIZE);
	syscall2(__NR_munlock, p + 3 * PAGE_SIZE, PAGE_SIZE);
	drain();
	show("unlocked", p + 3 * PAGE_SIZE);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("shared with a child", p);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	show("alone again", p);
}

static void files(int fd, const char *what)
{
	char *p, *q;

	syscall2(__NR_ftruncate, fd, 4 * PAGE_SIZE);
	p = map(4, PROT_RW, MAP_SHARED, fd);
	q = map(4, PROT_RW, MAP_PRIVATE, fd);
	print("== %s\n", what);
	write_page(p, 0);
	drain();
	show("written", p);
	read_page(q, 0);
	show("read by another mapping", q);
	write_page(q, 0);
	drain();
	show("copied by it", q);
	show("the first", p);
	read_page(p, 1);
	drain();
	show("a hole read", p + PAGE_SIZE);
	syscall2(__NR_mlock, p, 2 * PAGE_SIZE);
	drain();
	show("locked", p + PAGE_SIZE);
}

static void huge(void)
{
	char *raw = map(3 * HUGE / PAGE_SIZE, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	read_page(p, 0);
	show("huge zeros", p);
	show("the tail of them", p + 511 * PAGE_SIZE);
	write_page(p, 0);
	drain();
	show("huge", p);
	show("its tail", p + 5 * PAGE_SIZE);
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ);
	show("mapped page by page", p);
	show("its tail", p + 5 * PAGE_SIZE);
	syscall2(__NR_mlock, p, HUGE);
	drain();
	show("locked", p + 5 * PAGE_SIZE);
}

static void frames(void)
{
	static uint64_t words[4096];
	unsigned long flags = 0, count = 0;
	unsigned long pfn = pfn_of((char *)(((uintptr_t)words + PAGE_SIZE - 1) & -PAGE_SIZE));
	char *p = map(1, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	(void)pfn;
	write_page(p, 0);
	pfn = pfn_of(p);
	print("far away: flags %d, count %d\n", word(flags_fd, 1ul << 45), word(count_fd, 1ul << 45));
	for (unsigned long size = 0; size < 20; size++) {
		long got = syscall4(__NR_pread64, flags_fd, words, size, pfn * 8);

		print("%u bytes: %d;", size, got);
	}
	print("\n8 bytes at 4: %d\n", syscall4(__NR_pread64, flags_fd, words, 8, pfn * 8 + 4));
	print("seek to 64: %d\n", syscall3(__NR_lseek, flags_fd, 64, 0));
	print("seek by 8: %d\n", syscall3(__NR_lseek, flags_fd, 8, 1));
	print("seek from the end: %d\n", syscall3(__NR_lseek, flags_fd, 0, 2));
	syscall2(__NR_munmap, p, PAGE_SIZE);
	drain();
	/* What is free: nearly all of it is in blocks whose every page says so. */
	for (unsigned long at = 0;;) {
		long got = syscall4(__NR_pread64, flags_fd, words, sizeof(words), at * 8);

		if (got <= 0)
			break;
		for (long i = 0; i < got / 8; i++) {
			flags += words[i] >> 10 & 1;
			count++;
		}
		at += (unsigned long)got / 8;
	}
	slurp("/proc/meminfo");
	for (const char *s = text; *s != 0; s++)
		if (starts_with(s, "MemFree:")) {
			unsigned long kb = 0;

			for (s += 8; *s == ' '; s++)
				;
			for (; *s >= '0' && *s <= '9'; s++)
				kb = 10 * kb + (unsigned long)(*s - '0');
			print("free pages are in the buddy lists: %s\n", flags > kb / 4 * 9 / 10 && flags <= kb / 4 + 4096 ? "yes" : "no");
			if (flags <= kb / 4 * 9 / 10 || flags > kb / 4 + 4096)
				print("%u of %u\n", flags, kb / 4);
			break;
		}
}

static void cgroups(void)
{
	char *p = map(1, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);
	uint64_t stat[16];
	long error = syscall4(__NR_newfstatat, AT_FDCWD, "/sys/fs/cgroup", stat, 0);

	write_page(p, 0);
	print("charged to the cgroup with inode %s\n", error == 0 && word(cgroup_fd, pfn_of(p)) == stat[1] ? "of the root" : "of another");
}

static void swapping(void)
{
	long second[2] = { 1, 0 };
	char *p = map(4, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1);

	for (int i = 0; i < 4; i++)
		write_page(p, i);
	syscall3(__NR_madvise, p, 4 * PAGE_SIZE, MADV_PAGEOUT);
	show("paged out", p);
	syscall2(__NR_nanosleep, second, NULL);
	read_page(p, 0);
	drain();
	show("read back", p);
	write_page(p, 0);
	drain();
	show("written", p);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	flags_fd = sys_open("/proc/kpageflags", O_RDONLY);
	count_fd = sys_open("/proc/kpagecount", O_RDONLY);
	cgroup_fd = sys_open("/proc/kpagecgroup", O_RDONLY);
	if (flags_fd < 0 || count_fd < 0)
		fail("open", flags_fd);
	anonymous();
	files((int)syscall2(__NR_memfd_create, "a", 0), "memfd");
	huge();
	frames();
	if (argc > 1 && string_equal(argv[1], "all")) {
		cgroups();
		swapping();
	}
	return 0;
}
