/*
 * gup: what /sys/kernel/debug/gup_test gets of memory of each kind, what a pin sees of what is written later,
 * and what fork() does to pinned pages. "gup move" pins for ever what lies in movable memory.
 */
#include "huge.h"
#include "pagemap.h"
#include "smaps.h"

#define GUP_TEST "/sys/kernel/debug/gup_test"

struct gup_test {
	uint64_t get_delta_usec, put_delta_usec, addr, size;
	uint32_t nr_pages_per_call, gup_flags, test_flags, which_pages[8];
};

struct pin_longterm_test {
	uint64_t addr, size;
	uint32_t flags;
};

#define GUP_FAST 0xc0506701ul
#define PIN_FAST 0xc0506702ul
#define PIN_LONGTERM 0xc0506703ul
#define GUP_BASIC 0xc0506704ul
#define PIN_BASIC 0xc0506705ul
#define DUMP_PAGES 0xc0506706ul
#define START 0x40186707ul
#define STOP 0x6708ul
#define READ 0x40086709ul

#define USE_WRITE 1
#define USE_FAST 2

#define FOLL_WRITE (1 << 0)
#define FOLL_GET (1 << 1)
#define FOLL_DUMP (1 << 2)
#define FOLL_FORCE (1 << 3)
#define FOLL_NOFAULT (1 << 5)
#define FOLL_ANON (1 << 7)
#define FOLL_LONGTERM (1 << 8)
#define FOLL_SPLIT_PMD (1 << 9)
#define FOLL_HONOR_NUMA_FAULT (1 << 12)
#define FOLL_TOUCH (1 << 16)
#define FOLL_PIN (1 << 19)

static int fd;

/* How many pages of so many one command gets, or its errno. */
static long get(unsigned long cmd, void *p, size_t pages, unsigned flags)
{
	struct gup_test t = { .addr = (uintptr_t)p, .size = pages * PAGE_SIZE, .nr_pages_per_call = 1, .gup_flags = flags };
	long error = syscall3(__NR_ioctl, fd, cmd, &t);

	return error < 0 ? error : (long)(t.size / PAGE_SIZE);
}

static long start(void *p, size_t size, unsigned flags)
{
	struct pin_longterm_test t = { .addr = (uintptr_t)p, .size = size, .flags = flags };

	return syscall3(__NR_ioctl, fd, START, &t);
}

static void stop(void)
{
	syscall2(__NR_ioctl, fd, STOP);
}

static uint64_t out[2 * HUGE / 8];

/* The first word of what is pinned. */
static long pinned_word(void)
{
	uint64_t to = (uintptr_t)out;
	long error = syscall3(__NR_ioctl, fd, READ, &to);

	return error < 0 ? error : (long)out[0];
}

static unsigned long counter(const char *name)
{
	return number_in("/proc/vmstat", name);
}

/* By each way, for reading and for writing. */
static void ways(const char *what, void *p, size_t pages)
{
	static const unsigned long commands[] = { GUP_FAST, GUP_BASIC, PIN_FAST, PIN_BASIC, PIN_LONGTERM };

	print("%s:", what);
	for (size_t i = 0; i < sizeof(commands) / sizeof(*commands); i++)
		print(" %d/%d", get(commands[i], p, pages, 0), get(commands[i], p, pages, FOLL_WRITE));
	print("\n");
}

static void refusals(void)
{
	char *p = map_at(room(4), 4, PROT_RW);

	print("unknown: %d\n", syscall3(__NR_ioctl, fd, 0xc050670aul, out));
	print("no structure: %d %d %d\n", syscall3(__NR_ioctl, fd, GUP_FAST, 8), syscall3(__NR_ioctl, fd, START, 8), syscall3(__NR_ioctl, fd, READ, 8));
	print("nothing pinned: %d, stop %d\n", pinned_word(), syscall2(__NR_ioctl, fd, STOP));
	print("unaligned %d %d, empty %d, flags %d, huge %d\n", start(p + 1, PAGE_SIZE, 0), start(p, 100, 0), start(p, 0, 0), start(p, PAGE_SIZE, 4), start(p, 1ul << 50, 0));
	print("hole: %d %d\n", start((void *)PAGE_SIZE, PAGE_SIZE, 0), start((void *)PAGE_SIZE, PAGE_SIZE, USE_FAST));
	print("no user address: %d %d\n", start((void *)-(2 * PAGE_SIZE), PAGE_SIZE, 0), start((void *)-(2 * PAGE_SIZE), PAGE_SIZE, USE_FAST));
	print("partly: %d, then %d\n", start(p + 2 * PAGE_SIZE, 4 * PAGE_SIZE, 0), pinned_word());
	print("twice: %d %d\n", start(p, PAGE_SIZE, 0), start(p, PAGE_SIZE, 0));
	stop();
	print("read %d, seek %d\n", syscall3(__NR_read, fd, out, 8), syscall3(__NR_lseek, fd, 0, 0));
	/* Flags that are GUP's own, or make no sense. */
	print("flags: touch %d, pin %d, long term of a reference %d, both %d\n", get(GUP_BASIC, p, 1, FOLL_TOUCH), get(GUP_BASIC, p, 1, FOLL_PIN),
	      get(GUP_BASIC, p, 1, FOLL_LONGTERM), get(PIN_BASIC, p, 1, FOLL_GET));
	print("none a call: %d\n", ({ struct gup_test t = { .addr = (uintptr_t)p, .size = PAGE_SIZE }; syscall3(__NR_ioctl, fd, GUP_FAST, &t) < 0 ? -1 : (long)t.size; }));
}

static void kinds(void)
{
	char *p = map_at(room(4), 4, PROT_RW);
	char *huge = (char *)(((uintptr_t)map_at(NULL, 1024, PROT_RW) + HUGE - 1) & -HUGE);
	long file = syscall2(__NR_memfd_create, "gup", 0);

	ways("fresh", p, 4);
	ways("no access, from the first on", p + 4 * PAGE_SIZE, 1);
	syscall2(__NR_munmap, p + 3 * PAGE_SIZE, PAGE_SIZE);
	ways("a hole behind two", p + PAGE_SIZE, 4);
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ);
	ways("read-only", p, 1);
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_NONE);
	ways("no access", p, 1);
	print("by force: %d %d\n", get(GUP_BASIC, p, 1, FOLL_FORCE), get(GUP_BASIC, p, 1, FOLL_FORCE | FOLL_WRITE));
	print("honest about hints: %d\n", get(GUP_BASIC, p + PAGE_SIZE, 1, FOLL_HONOR_NUMA_FAULT));

	syscall2(__NR_ftruncate, file, 4 * PAGE_SIZE);
	char *shared = (char *)syscall6(__NR_mmap, 0, 4 * PAGE_SIZE, PROT_RW, MAP_SHARED, file, 0);
	char *copy = (char *)syscall6(__NR_mmap, 0, 4 * PAGE_SIZE, PROT_RW, MAP_PRIVATE, file, 0);
	char *looks = (char *)syscall6(__NR_mmap, 0, 4 * PAGE_SIZE, PROT_READ, MAP_SHARED, file, 0);

	ways("a file, shared", shared, 4);
	ways("a file, private", copy, 4);
	ways("a file, to look at", looks, 1);
	print("written by force: %d, private %d\n", get(GUP_BASIC, looks, 1, FOLL_FORCE | FOLL_WRITE), get(GUP_BASIC, copy, 1, FOLL_FORCE | FOLL_WRITE));
	print("anonymous only: %d %d\n", get(GUP_BASIC, shared, 1, FOLL_ANON), get(GUP_BASIC, p + PAGE_SIZE, 1, FOLL_ANON));
	print("behind the end: %d\n", get(GUP_BASIC, (char *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED, file, 16 * PAGE_SIZE), 1, 0));

	char *none = map_at(NULL, 2, PROT_RW);
	print("without a fault: %d", get(GUP_BASIC, none, 1, FOLL_NOFAULT));
	read_page(none, 0);
	print(" %d %d\n", get(GUP_BASIC, none, 1, FOLL_NOFAULT), get(GUP_BASIC, none, 1, FOLL_NOFAULT | FOLL_WRITE));
	print("for a dump: zeros %d, nothing %d", get(GUP_BASIC, none, 1, FOLL_DUMP), get(GUP_BASIC, none + PAGE_SIZE, 1, FOLL_DUMP));
	write_page(none, 0);
	print(", a page %d\n", get(GUP_BASIC, none, 1, FOLL_DUMP));

	advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
	fill(huge, 0, HUGE);
	slurp("/proc/self/smaps");
	print("huge: %u kB, %d %d", field("AnonHugePages:", (uintptr_t)huge, (uintptr_t)huge + HUGE), get(GUP_FAST, huge, 512, FOLL_WRITE), get(PIN_BASIC, huge + 3 * PAGE_SIZE, 2, 0));
	slurp("/proc/self/smaps");
	print(", %u kB, split %d", field("AnonHugePages:", (uintptr_t)huge, (uintptr_t)huge + HUGE), get(GUP_BASIC, huge + 5 * PAGE_SIZE, 1, FOLL_SPLIT_PMD));
	slurp("/proc/self/smaps");
	print(", %u kB\n", field("AnonHugePages:", (uintptr_t)huge, (uintptr_t)huge + HUGE));
	check(huge, 0, HUGE);
}

static void counts(void)
{
	char *p = map_at(NULL, 8, PROT_RW);
	unsigned long acquired = counter("nr_foll_pin_acquired");
	unsigned long released = counter("nr_foll_pin_released");

	fill(p, 0, 8 * PAGE_SIZE);
	start(p, 8 * PAGE_SIZE, USE_WRITE);
	print("pinned: %u acquired, %u released", counter("nr_foll_pin_acquired") - acquired, counter("nr_foll_pin_released") - released);
	stop();
	print(", then %u\n", counter("nr_foll_pin_released") - released);
	/* The page of zeros is not pinned at all; a short-term pin takes it as it is. */
	char *zero = map_at(NULL, 1, PROT_RW);
	read_page(zero, 0);
	acquired = counter("nr_foll_pin_acquired");
	print("zeros: %d", get(PIN_BASIC, zero, 1, 0));
	print(" acquired %u, for ever %d", counter("nr_foll_pin_acquired") - acquired, get(PIN_LONGTERM, zero, 1, 0));
	print(" acquired %u: %s\n", counter("nr_foll_pin_acquired") - acquired, pagemap_text(zero));
}

static void finish(long pid, int *ends)
{
	syscall3(__NR_write, ends[1], "x", 1);
	syscall4(__NR_wait4, pid, 0, 0, 0);
	syscall1(__NR_close, ends[0]);
	syscall1(__NR_close, ends[1]);
}

#define ALONE 0
#define CHILD_HAS 1
#define CHILD_HAD 2

/* A pin for reading, and whether it sees what is written later. A child has the memory as well, or has had it. */
static void sees(const char *what, char *p, size_t size, unsigned flags, int child)
{
	int ends[2];
	char c;
	long pid = 0;

	if (child != ALONE) {
		syscall2(__NR_pipe2, ends, 0);
		pid = syscall5(__NR_clone, 17, 0, 0, 0, 0);
		if (pid == 0) {
			syscall3(__NR_read, ends[0], &c, 1);
			exit_group(0);
		}
		if (child == CHILD_HAD)
			finish(pid, ends);
	}
	long error = start(p, size, flags);
	*(volatile uint64_t *)p = 77;
	long word = pinned_word();
	stop();
	if (child == CHILD_HAS)
		finish(pid, ends);
	print("%s: %d, sees %d\n", what, error, word);
}

static void unshares(void)
{
	long file = syscall2(__NR_memfd_create, "gup", 0);

	syscall2(__NR_ftruncate, file, 4 * PAGE_SIZE);
	for (unsigned flags = 0; flags <= USE_FAST; flags += USE_FAST) {
		char *huge = (char *)(((uintptr_t)map_at(NULL, 1024, PROT_RW) + HUGE - 1) & -HUGE);
		char *p = map_at(NULL, 4, PROT_RW);

		print("%s\n", flags != 0 ? "without locks:" : "with locks:");
		write_page(p, 0);
		sees(" a page", p, PAGE_SIZE, flags, ALONE);
		sees(" one that a child has", p, PAGE_SIZE, flags, CHILD_HAS);
		sees(" one that a child has had", p, PAGE_SIZE, flags, CHILD_HAD);
		read_page(p, 1);
		sees(" zeros", p + PAGE_SIZE, PAGE_SIZE, flags, ALONE);
		sees(" nothing yet", p + 2 * PAGE_SIZE, PAGE_SIZE, flags, ALONE);
		advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
		read_page(huge, 0);
		sees(" huge zeros", huge, HUGE, flags, ALONE);
		sees(" a huge page that a child has had", huge, HUGE, flags, CHILD_HAD);
		sees(" a huge page that a child has", huge, HUGE, flags, CHILD_HAS);
		char *copy = (char *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_PRIVATE, file, 0);
		read_page(copy, 0);
		sees(" a file, private", copy, PAGE_SIZE, flags, ALONE);
		char *shared = (char *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED, file, 0);
		read_page(shared, 0);
		sees(" a file, shared", shared, PAGE_SIZE, flags, ALONE);
	}
}

/* fork() while something is pinned: parent and child each see their own writes, and the pin the parent's. */
static void forks(const char *what, char *p, size_t size, unsigned flags)
{
	int status;

	for (size_t i = 0; i < size; i += PAGE_SIZE)
		*(volatile uint64_t *)(p + i) = 1;
	long error = start(p, size, flags);
	long pid = syscall5(__NR_clone, 17, 0, 0, 0, 0);

	if (pid == 0) {
		int wrong = 0;

		for (size_t i = 0; i < size; i += PAGE_SIZE) {
			wrong |= *(volatile uint64_t *)(p + i) != 1;
			*(volatile uint64_t *)(p + i) = 5;
		}
		exit_group(wrong);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	long child = *(volatile uint64_t *)p;
	*(volatile uint64_t *)p = 9;
	print("%s: %d, child %d, parent has %d, pin sees %d\n", what, error, (long)(status >> 8), child, pinned_word());
	stop();
}

/* Words of pages in movable memory, pinned for ever: each frame is another then, and holds what it held. */
static void moves(const char *what, char *p, size_t size)
{
	size_t pages = size / PAGE_SIZE;
	size_t moved = 0;
	uint64_t first = pagemap_entry(p);

	start(p, size, USE_WRITE);
	for (size_t i = 0; i < pages; i++)
		moved += (pagemap_entry(p + i * PAGE_SIZE) & 0x7fffffffffffff) != (first & 0x7fffffffffffff) + i;
	check(p, 0, size);
	print("%s: %s, first word %d\n", what, moved == pages ? "moved" : "stayed", pinned_word());
	stop();
}

static void move(void)
{
	char *huge = (char *)(((uintptr_t)map_at(NULL, 1024, PROT_RW) + HUGE - 1) & -HUGE);
	char *p = map_at(NULL, 16, PROT_RW);
	char *fresh = map_at(NULL, 16, PROT_RW);

	write_page(p, 0);
	fill(p, 0, PAGE_SIZE);
	moves("a page", p, PAGE_SIZE);
	moves("again", p, PAGE_SIZE);
	advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
	fill(huge, 0, HUGE);
	moves("a huge page", huge, HUGE);
	moves("again", huge, HUGE);
	/* What the pin itself faults in lies where it can stay: nothing is moved. */
	unsigned long before = counter("pgmigrate_success");
	print("nothing yet: %d", start(fresh, 16 * PAGE_SIZE, USE_WRITE));
	stop();
	print(", migrated %u\n", counter("pgmigrate_success") - before);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	fd = sys_open(GUP_TEST, O_RDWR);
	if (fd < 0)
		fail(GUP_TEST, fd);
	if (argc > 1 && string_equal(argv[1], "move")) {
		move();
		return 0;
	}
	refusals();
	kinds();
	counts();
	unshares();
	char *huge = (char *)(((uintptr_t)map_at(NULL, 1024, PROT_RW) + HUGE - 1) & -HUGE);
	forks("fork, a page for writing", map_at(NULL, 1, PROT_RW), PAGE_SIZE, USE_WRITE);
	forks("fork, a page for reading", map_at(NULL, 1, PROT_RW), PAGE_SIZE, USE_FAST);
	advise("MADV_HUGEPAGE", huge, HUGE, MADV_HUGEPAGE);
	forks("fork, a huge page", huge, HUGE, USE_WRITE | USE_FAST);
	return 0;
}
