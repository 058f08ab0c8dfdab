/*
 * Pages that are declared broken: who hears of it, what is left of them, and how they come back. Do not run
 * it on a machine that is to keep its memory: hence the argument.
 */
#include <linux/signal.h>

#include "dmirror.h"
#include "ksm.h"
#include "layout.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define P(n) ((n) * PAGE_SIZE)
#define SHOW(call) print(#call " = %d\n", (long)(call))
#define madvise(p, n, a) syscall3(__NR_madvise, p, n, a)
#define HARD 100
#define SOFT 101

static char *map(size_t pages, int flags)
{
	return (char *)syscall6(__NR_mmap, 0, (long)P(pages), RW, flags, -1, 0);
}

struct info {
	int signo, error, code, pad;
	uint64_t addr;
	short lsb;
	char rest[100];
};

static struct info last;
static int caught;
/* A load is under way that may be stepped over. */
static volatile int loading;

/* Where a ucontext of riscv64 has the program counter. */
#define UC_PC 176

static void handler(int signo, struct info *info, char *context)
{
	(void)signo;
	last = *info;
	caught++;
	if (loading)
		*(uint64_t *)(context + UC_PC) += 4;
}

static void catch_signals(void)
{
	struct {
		void (*handler)(int, struct info *, char *);
		unsigned long flags;
		uint64_t mask;
	} action = {handler, 4 /* SA_SIGINFO */, 0};

	syscall4(__NR_rt_sigaction, SIGBUS, &action, NULL, 8);
}

/* What has become of it: a result, and the signals since the last report. */
static void report(const char *what, long result, const char *base)
{
	if (caught > 0)
		print("%s: %d, signal %d, code %d, page %d, lsb %d\n", what, result, (long)last.signo, (long)last.code,
		      ((long)last.addr - (long)base) / 4096, (long)last.lsb);
	else
		print("%s: %d\n", what, result);
	caught = 0;
}

static long advise(char *p, size_t n, int advice)
{
	return madvise(p, n, advice);
}

/* A byte; -1000 where it cannot be read. */
static long touch(const char *p)
{
	long value = -1000;

	loading = 1;
#if defined(__riscv)
	__asm__ volatile(".option push\n.option norvc\nlb %0, 0(%1)\n.option pop" : "+r"(value) : "r"(p) : "memory");
#else
	value = *p;
#endif
	loading = 0;
	return value;
}

static uint64_t word(const char *path, uint64_t index)
{
	int fd = sys_open(path, O_RDONLY);
	uint64_t value = 0;

	syscall4(__NR_pread64, fd, &value, 8, index * 8);
	syscall1(__NR_close, fd);
	return value;
}

static uint64_t pagemap(const char *p)
{
	return word("/proc/self/pagemap", (uint64_t)p / 4096);
}

static unsigned long corrupted(void)
{
	return number_in("/proc/meminfo", "HardwareCorrupted:");
}

static void unpoison(uint64_t pfn)
{
	int fd = sys_open("/sys/kernel/debug/hwpoison/unpoison-pfn", 1);
	char digits[24] = "0x";
	int n = 2;

	for (int shift = 60; shift >= 0; shift -= 4)
		digits[n++] = "0123456789abcdef"[(pfn >> shift) & 15];
	print("unpoison = %d", syscall3(__NR_write, fd, digits, n) == n ? 0l : -1l);
	print(", poisoned %d, %u kB\n", (long)((word("/proc/kpageflags", pfn) >> 19) & 1), corrupted());
	syscall1(__NR_close, fd);
}

static void hard(void)
{
	char *p = map(4, ANON);
	uint64_t pfn;
	long pid;
	int status;
	int pipe[2];

	memset(p, 5, P(4));
	pfn = pagemap(p + P(1)) & ((1ul << 55) - 1);
	report("anonymous", advise(p + P(1), P(1), HARD), p);
	print("%u kB, poisoned %d, swapped %d, type %u\n", corrupted(), (long)((word("/proc/kpageflags", pfn) >> 19) & 1),
	      (long)((pagemap(p + P(1)) >> 62) & 1), pagemap(p + P(1)) & 31);
	layout("then", p, 4);
	report("read", touch(p + P(1)), p);
	report("its neighbour", touch(p + P(2)), p);
	report("again", advise(p + P(1), P(1), HARD), p);
	SHOW(madvise(p, P(4), 22));
	SHOW(syscall2(__NR_mlock, p, P(4)));
	syscall2(__NR_munlock, p, P(4));
	syscall2(__NR_pipe2, pipe, 0);
	SHOW(syscall3(__NR_write, pipe[1], p + P(1), 8));
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		report("a child's read", touch(p + P(1)), p);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	SHOW(madvise(p + P(1), P(1), MADV_DONTNEED));
	report("read, after MADV_DONTNEED", touch(p + P(1)), p);
	unpoison(pfn);
	/* Without a handler it is the end. */
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		struct {
			void *handler;
			unsigned long flags;
			uint64_t mask;
		} none = {0};

		syscall4(__NR_rt_sigaction, SIGBUS, &none, NULL, 8);
		madvise(p, P(1), HARD);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	print("a child ends by signal %d\n", (long)(status & 127));
	/* It had shared the page. */
	report("the parent's read", touch(p), p);
	print("%u kB\n", corrupted());
}

static void set(const char *path, char value)
{
	int fd = sys_open(path, O_RDWR);

	print("%s: %d\n", path, syscall3(__NR_write, fd, &value, 1));
	syscall1(__NR_close, fd);
}

static void soft(void)
{
	char *p = map(4, ANON);
	uint64_t pfn;
	uint64_t other;

	memset(p, 7, P(4));
	pfn = pagemap(p) & ((1ul << 55) - 1);
	report("soft", advise(p, P(1), SOFT), p);
	other = pagemap(p) & ((1ul << 55) - 1);
	print("moved %d, contents %d %d, poisoned %d, %u kB\n", (long)(pfn != other), (long)p[0], (long)p[4095],
	      (long)((word("/proc/kpageflags", pfn) >> 19) & 1), corrupted());
	unpoison(pfn);
	set("/proc/sys/vm/enable_soft_offline", '0');
	report("soft, disabled", advise(p, P(1), SOFT), p);
	print("contents %d\n", (long)p[0]);
	set("/proc/sys/vm/enable_soft_offline", '1');
}

static void huge(void)
{
	char *p = map(1024, ANON);
	uint64_t pfn;

	p = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(p, 2 * MIB, MADV_HUGEPAGE);
	memset(p, 9, 2 * MIB);
	pfn = pagemap(p + P(7)) & ((1ul << 55) - 1);
	report("of a huge page", advise(p + P(7), P(1), HARD), p);
	report("read", touch(p + P(7)), p);
	print("the others %d %d\n", touch(p + P(6)), touch(p + P(8)));
	unpoison(pfn);
	pfn = pagemap(p + P(9)) & ((1ul << 55) - 1);
	report("soft", advise(p + P(9), P(1), SOFT), p);
	print("moved %d, contents %d\n", (long)(pfn != (pagemap(p + P(9)) & ((1ul << 55) - 1))), (long)p[P(9)]);
	unpoison(pfn);
}

static void shared(void)
{
	long fd = syscall2(__NR_memfd_create, "x", 0);
	char *p;
	char *q;
	char c;
	uint64_t pfn;

	syscall2(__NR_ftruncate, fd, P(4));
	p = (char *)syscall6(__NR_mmap, 0, P(4), RW, MAP_SHARED, fd, 0);
	q = (char *)syscall6(__NR_mmap, 0, P(4), RW, MAP_PRIVATE, fd, 0);
	memset(p, 3, P(4));
	pfn = pagemap(p + P(1)) & ((1ul << 55) - 1);
	report("of a file", advise(p + P(1), P(1), HARD), p);
	report("read", touch(p + P(1)), p);
	report("by a private mapping", touch(q + P(1)), q);
	SHOW(syscall4(__NR_pread64, fd, &c, 1, P(1)));
	SHOW(syscall4(__NR_pread64, fd, &c, 1, P(2)));
	pfn = pagemap(p + P(2)) & ((1ul << 55) - 1);
	report("soft", advise(p + P(2), P(1), SOFT), p);
	print("contents %d\n", touch(p + P(2)));
	unpoison(pfn);
}

/* A page that KSM has made of several: all lose it, and the process hears of it once. */
static void merged(void)
{
	char *p = map(3, ANON);
	uint64_t pfn;

	memset(p, 4, P(3));
	madvise(p, P(3), 12);
	write_text(KSM "run", "1");
	wait_for_scans();
	pfn = pagemap(p) & ((1ul << 55) - 1);
	show_merged("merged");
	report("soft", advise(p + P(1), P(1), SOFT), p);
	print("moved %d, together %d, contents %d\n", (long)(pfn != (pagemap(p) & ((1ul << 55) - 1))),
	      (long)((pagemap(p) << 9) == (pagemap(p + P(2)) << 9)), touch(p + P(2)));
	unpoison(pfn);
	pfn = pagemap(p) & ((1ul << 55) - 1);
	report("hard", advise(p + P(1), P(1), HARD), p);
	for (size_t i = 0; i < 3; i++)
		report("read", touch(p + P(i)), p);
	unpoison(pfn);
	write_text(KSM "run", "2");
	show_merged("undone");
	write_text(KSM "run", "0");
}

/* Memory of a device: what no CPU maps comes back first, and what CPUs can address is not taken from it. */
static void of_devices(void)
{
	static char mirror[2 * 4096];
	static const char *const devices[] = { "/dev/hmm_dmirror0", "/dev/hmm_dmirror2" };

	for (int i = 0; i < 2; i++) {
		int fd = sys_open(devices[i], 2);
		char *p = map(2, ANON);

		memset(p, 6, P(2));
		print("to %s: %d\n", devices[i], dmirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, mirror, 2));
		report("soft", advise(p, P(1), SOFT), p);
		report("hard", advise(p + P(1), P(1), HARD), p);
		dmirror_snapshot(fd, p, 2);
		print("contents %d", touch(p));
		report("", touch(p + P(1)), p);
		print("back to the system: %d\n", dmirror(fd, HMM_DMIRROR_RELEASE, p, mirror, 2));
		dmirror_snapshot(fd, p, 2);
		syscall2(__NR_munmap, p, P(2));
		print("closed: %d\n", syscall1(__NR_close, fd));
	}
}

int main(int argc, char **argv, char **envp)
{
	(void)argv;
	(void)envp;
	if (argc < 2)
		return 1;
	catch_signals();
	report("nothing there", advise((char *)4096, P(1), HARD), NULL);
	hard();
	soft();
	huge();
	shared();
	merged();
	of_devices();
	return 0;
}
