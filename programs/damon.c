/*
 * DAMON (/sys/kernel/mm/damon/admin): what its files take, and what it finds out about memory of which a part is used all the time.
 * "paddr": the same as seen from the page frames; "vaddr": of a child, whose memory it finds by itself.
 */
#include "memory.h"
#include "pagemap.h"
#include "process.h"
#include "smaps.h"
#include "sysfs.h"

#define HOT 128
#define COLD 384
#define ROUNDS 300
/* Of a machine of 64 MiB, which begin at a multiple of that. */
#define RAM_PAGES 16384

#define KDAMOND "/sys/kernel/mm/damon/admin/kdamonds/0/"
#define CONTEXT KDAMOND "contexts/0/"

static char where[256];

static const char *path_of(const char *dir, const char *name)
{
	size_t n = string_length(dir), m = string_length(name);

	memcpy(where, dir, n);
	memcpy(where + n, name, m + 1);
	return where;
}

static long put(const char *path, const char *value)
{
	long n = write_text(path, value);

	return n < 0 ? n : 0;
}

static long set(const char *name, const char *value)
{
	return put(path_of(CONTEXT, name), value);
}

static const char *decimal(unsigned long value)
{
	static char digits[24];
	size_t at = sizeof(digits) - 1;

	do
		digits[--at] = (char)('0' + value % 10);
	while ((value /= 10) > 0);
	return digits + at;
}

static void must(const char *name, const char *value)
{
	long error = set(name, value);

	if (error != 0)
		fail(name, error);
}

static long state(const char *command)
{
	return put(KDAMOND "state", command);
}

static void show(const char *path)
{
	slurp(path);
	print("%s: %s", path + string_length("/sys/kernel/mm/damon/admin/kdamonds/"), text);
}

static void refusals(void)
{
	print("a context too many: %d\n", put(KDAMOND "contexts/nr_contexts", "2"));
	print("fewer than none: %d\n", put("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "-1"));
	print("unknown operations: %d, action: %d, command: %d\n", set("operations", "haddr"), set("schemes/0/action", "forget"), state("go"));
	print("no number: %d, too large: %d\n", set("monitoring_attrs/intervals/sample_us", "5ms"), set("schemes/0/access_pattern/age/max", "4294967296"));
	print("what needs a thread: %d, %d, %d\n", state("off"), state("commit"), state("update_schemes_stats"));
	must("monitoring_attrs/nr_regions/min", "2");
	print("too few regions: %d\n", state("on"));
	must("monitoring_attrs/nr_regions/min", "10");
	must("targets/0/pid_target", "30000");
	print("nobody's pid: %d\n", state("on"));
	print("state: ");
	show(KDAMOND "state");
	show(KDAMOND "pid");
}

static void use(char *p)
{
	/* What is cached says nothing of a use: CPUs forget it where permissions change. */
	syscall3(__NR_mprotect, p, HOT * PAGE_SIZE, PROT_READ);
	syscall3(__NR_mprotect, p, HOT * PAGE_SIZE, PROT_READ | PROT_WRITE);
	for (size_t i = 0; i < HOT; i++)
		write_page(p, i);
	sleep_ms(1);
}

static size_t swapped(const char *p, size_t pages)
{
	slurp("/proc/self/smaps");
	return field("Swap:", (uintptr_t)p, (uintptr_t)p + pages * PAGE_SIZE) / 4;
}

static unsigned long number(const char *name)
{
	return read_number(path_of(CONTEXT, name));
}

/* How much of a range the regions have that a scheme has been tried on. */
static unsigned long tried(unsigned long from, unsigned long to)
{
	unsigned long pages = 0;

	for (unsigned long i = 0; i < 1000; i++) {
		static char dir[256];
		size_t n = string_length(CONTEXT "schemes/0/tried_regions/");
		unsigned long start, end;
		int fd;

		memcpy(dir, CONTEXT "schemes/0/tried_regions/", n);
		memcpy(dir + n, decimal(i), 8);
		n = string_length(dir);
		memcpy(dir + n, "/start", 7);
		fd = sys_open(dir, O_RDONLY);
		if (fd < 0)
			break;
		syscall1(__NR_close, fd);
		start = read_number(dir);
		memcpy(dir + n, "/end", 5);
		end = read_number(dir);
		if (start < from)
			start = from;
		if (end > to)
			end = to;
		if (start < end)
			pages += (end - start) / PAGE_SIZE;
	}
	return pages;
}

static void pattern(const char *accesses_min, const char *accesses_max, const char *age)
{
	must("schemes/0/access_pattern/sz/max", "18446744073709551615");
	must("schemes/0/access_pattern/nr_accesses/min", accesses_min);
	must("schemes/0/access_pattern/nr_accesses/max", accesses_max);
	must("schemes/0/access_pattern/age/min", age);
	must("schemes/0/access_pattern/age/max", "4294967295");
}

static void begin(const char *operations, unsigned long pid, unsigned long start, unsigned long end)
{
	must("operations", operations);
	must("targets/0/pid_target", decimal(pid));
	must("targets/0/regions/nr_regions", start < end ? "1" : "0");
	if (start < end) {
		must("targets/0/regions/0/start", decimal(start));
		must("targets/0/regions/0/end", decimal(end));
	}
	must("monitoring_attrs/intervals/sample_us", "1000");
	must("monitoring_attrs/intervals/aggr_us", "20000");
	if (state("on") != 0)
		fail("on", state("on"));
}

int main(int argc, char **argv, char **envp)
{
	const char *how = argc > 1 ? argv[1] : "";
	char *p = map_at(room(HOT + COLD), HOT + COLD, PROT_RW);
	unsigned long start = (unsigned long)p, middle = start + HOT * PAGE_SIZE, end = middle + COLD * PAGE_SIZE;
	unsigned long first;
	long child = 0;

	(void)envp;
	syscall3(__NR_madvise, p, (HOT + COLD) * PAGE_SIZE, MADV_NOHUGEPAGE);
	for (size_t i = 0; i < HOT + COLD; i++)
		write_page(p, i);
	first = (pagemap_entry(p) & ((1ul << 55) - 1)) / RAM_PAGES * RAM_PAGES;
	put("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "1");
	put(KDAMOND "contexts/nr_contexts", "1");
	must("targets/nr_targets", "1");
	must("schemes/nr_schemes", "1");
	if (string_equal(how, "vaddr")) {
		child = fork_();
		if (child == 0)
			for (;;)
				use(p);
	} else if (!string_equal(how, "paddr")) {
		refusals();
	}

	/* What is used, and what is not: first only looked at. */
	pattern("0", "0", "2");
	if (string_equal(how, "paddr"))
		begin("paddr", 0, first * PAGE_SIZE, (first + RAM_PAGES) * PAGE_SIZE);
	else
		begin(child != 0 ? "vaddr" : "fvaddr", child != 0 ? child : syscall1(__NR_getpid, 0), start, child != 0 ? start : end);
	print("busy: %d, %d\n", state("on"), put("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "1"));
	show(KDAMOND "state");
	for (int i = 0; i < ROUNDS; i++) {
		if (child == 0)
			use(p);
		else
			sleep_ms(1);
	}
	print("update: %d\n", state("update_schemes_tried_regions"));
	if (!string_equal(how, "paddr")) {
		print("hot pages among what is not used: %s\n", tried(start, middle) < HOT / 8 ? "hardly any" : "many");
		print("cold pages among what is not used: %s\n", tried(middle, end) > COLD * 3 / 4 ? "nearly all" : "too few");
	}
	print("all bytes are those of the regions: %d\n", number("schemes/0/tried_regions/total_bytes") == tried(0, -1ul) * PAGE_SIZE);
	print("clear: %d, left %d\n", state("clear_schemes_tried_regions"), tried(0, -1ul));

	/* And then paged out. */
	must("schemes/0/action", "pageout");
	print("commit: %d\n", state("commit"));
	for (int i = 0; i < ROUNDS; i++) {
		if (child == 0)
			use(p);
		else
			sleep_ms(1);
	}
	print("stats: %d\n", state("update_schemes_stats"));
	print("tried: %d, applied: %d\n", number("schemes/0/stats/nr_tried") > 0, number("schemes/0/stats/sz_applied") > 0);
	if (child == 0)
		print("swapped out: %s\n", swapped(p, HOT + COLD) > COLD * 3 / 4 ? "what is cold" : "too little");
	print("off: %d, again: %d\n", state("off"), state("off"));
	show(KDAMOND "state");
	show(KDAMOND "pid");
	if (child != 0) {
		/* With the process its monitoring ends. */
		begin("vaddr", child, 0, 0);
		syscall2(__NR_kill, child, 9);
		wait_(child);
		for (int i = 0; i < 20; i++)
			sleep_ms(1);
		show(KDAMOND "state");
	}
	print("none: %d\n", put("/sys/kernel/mm/damon/admin/kdamonds/nr_kdamonds", "0"));
	return 0;
}
