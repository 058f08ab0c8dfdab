/*
 * uprobe: probes of the program's own code, and of code that it maps, by perf_event_open(2): what they count, what the
 * code looks like meanwhile, and what is refused. Prints the same on any Linux, as root.
 */
#include <linux/perf_event.h>

#include "process.h"
#include "smaps.h"
#include "thread.h"

#define FUTEX_WAIT 0
#define FILE_PATH "/proc/self/fd/10"

static unsigned long type;
static char stack[STACK_SIZE] __attribute__((aligned(16)));
static unsigned int alive;

/* Code of each kind that a kernel may treat in its own way: what begins with it returns the same everywhere. */
#if defined(__riscv)
__asm__(".text\n.balign 8\n"
	"add_one: addi a0, a0, 1\n ret\n"
	".balign 8\nshort_one: c.addi a0, 1\n c.addi a0, 1\n ret\n"
	".balign 8\nword_one: addiw a0, a0, 1\n ret\n"
	".balign 8\nbranches: bge a0, zero, 1f\n li a0, -1\n ret\n 1: li a0, 1\n ret\n"
	".balign 8\nzero_branches: c.beqz a0, 1f\n li a0, 1\n ret\n 1: li a0, 2\n ret\n"
	".balign 8\njumps: .option push\n .option norvc\n j 1f\n .option pop\n li a0, 0\n ret\n 1: addi a0, a0, 3\n ret\n"
	".balign 8\nshort_jumps: c.j 1f\n li a0, 0\n ret\n 1: addi a0, a0, 4\n ret\n"
	".balign 8\nrelative: auipc a1, 0\n la a0, relative\n sub a0, a1, a0\n ret\n"
	".balign 8\nreturns: c.jr ra\n"
	".balign 8\nloads: ld a0, 0(a0)\n ret\n"
	".balign 8\nstores: sd a1, 0(a0)\n ret\n"
	".balign 8\nswaps: amoswap.d a0, a1, (a0)\n ret\n"
	".balign 8\ncalls: mv a2, ra\n"
	".balign 8\ncall: jal ra, add_one\n mv ra, a2\n addi a0, a0, 5\n ret\n"
	".balign 8\ncalls_there: mv a2, ra\n la a1, add_one\n"
	".balign 8\ncall_there: .option push\n .option norvc\n jalr ra, 0(a1)\n .option pop\n mv ra, a2\n ret\n"
	".balign 8\nshort_calls: mv a2, ra\n la a1, add_one\n"
	".balign 8\nshort_call: c.jalr a1\n mv ra, a2\n ret\n"
	".balign 8\nanswers: li a0, 1\n ret\n"
	".balign 8\nanswers_2: li a0, 2\n ret\n"
	".balign 8\nanswers_3: li a0, 3\n ret\n"
	".balign 8\nown_trap: ebreak\n li a0, 6\n ret\n"
	"code_end:\n");
#define SWBP 0x9002
typedef uint16_t opcode_t;
#elif defined(__x86_64__)
__asm__(".text\n.balign 16\n"
	"add_one: lea 1(%rdi), %rax\n ret\n"
	"short_one: mov %rdi, %rax\n add $2, %rax\n ret\n"
	"word_one: lea 1(%rdi), %eax\n movslq %eax, %rax\n ret\n"
	"branches: test %rdi, %rdi\n mov $1, %rax\n jns 1f\n mov $-1, %rax\n 1: ret\n"
	"zero_branches: test %rdi, %rdi\n mov $1, %rax\n jnz 1f\n mov $2, %rax\n 1: ret\n"
	"jumps: jmp 1f\n xor %eax, %eax\n ret\n 1: lea 3(%rdi), %rax\n ret\n"
	"short_jumps: jmp 1f\n xor %eax, %eax\n ret\n 1: lea 4(%rdi), %rax\n ret\n"
	"relative: lea relative(%rip), %rax\n lea relative(%rip), %rcx\n sub %rcx, %rax\n ret\n"
	"returns: mov %rdi, %rax\n ret\n"
	"loads: mov (%rdi), %rax\n ret\n"
	"stores: mov %rsi, (%rdi)\n mov %rdi, %rax\n ret\n"
	"swaps: xchg %rsi, (%rdi)\n mov %rsi, %rax\n ret\n"
	"calls: nop\n call: call add_one\n add $5, %rax\n ret\n"
	"calls_there: lea add_one(%rip), %rcx\n call_there: call *%rcx\n ret\n"
	"short_calls: lea add_one(%rip), %rcx\n short_call: call *%rcx\n ret\n"
	".balign 8\nanswers: mov $1, %eax\n ret\n"
	".balign 8\nanswers_2: mov $2, %eax\n ret\n"
	".balign 8\nanswers_3: mov $3, %eax\n ret\n"
	".balign 8\nown_trap: int3\n mov $6, %rax\n ret\n"
	"code_end:\n");
#define SWBP 0xcc
typedef uint8_t opcode_t;
#endif
long add_one(long), short_one(long), word_one(long), branches(long), zero_branches(long), jumps(long), short_jumps(long);
long relative(long), returns(long), loads(const long *), stores(long *, long), swaps(long *, long), calls(long), calls_there(long), short_calls(long), own_trap(long);
long answers(void), answers_2(void), answers_3(void);
extern char call[], call_there[], short_call[];
extern char code_end[];

static long perf_open(struct perf_event_attr *attr, long pid, long cpu, long group, long flags)
{
	return syscall5(__NR_perf_event_open, attr, pid, cpu, group, flags);
}

/* Where an address of the program's lies in its file. */
static unsigned long offset_of(const void *address)
{
	slurp("/proc/self/maps");
	for (const char *line = text; *line != 0;) {
		const char *s = line;
		uintptr_t from = hex(&s);
		uintptr_t to;

		s++;
		to = hex(&s);
		s += 6;
		if ((uintptr_t)address >= from && (uintptr_t)address < to)
			return (uintptr_t)address - from + hex(&s);
		while (*line != 0 && *line++ != '\n')
			;
	}
	fail("offset", 0);
}

static long probe_file(const char *path, unsigned long offset, int on_return, int inherit, long pid)
{
	struct perf_event_attr attr = {
		.type = (unsigned int)type, .size = sizeof(attr), .config = (unsigned long)on_return, .inherit = inherit != 0,
		.uprobe_path = (uintptr_t)path, .probe_offset = offset,
	};

	return perf_open(&attr, pid, -1, -1, 0);
}

static long probe(const void *function, int on_return)
{
	long fd = probe_file("/proc/self/exe", offset_of(function), on_return, 0, 0);

	if (fd < 0)
		print("  cannot be probed: %d\n", fd);
	return fd;
}

static unsigned long count(long fd)
{
	unsigned long n = 77;
	long got = syscall3(__NR_read, fd, &n, sizeof(n));

	return got == (long)sizeof(n) ? n : (unsigned long)got;
}

static void done(long fd)
{
	syscall1(__NR_close, fd);
}

static const char *code(const void *at)
{
	opcode_t opcode = *(const volatile opcode_t *)at;

	return opcode == (opcode_t)SWBP ? "a breakpoint" : "code";
}

static long map_code(int prot, int flags)
{
	return syscall6(__NR_mmap, 0, PAGE_SIZE, prot, flags, 10, 0);
}

/* Every kind of instruction. */
static void kinds(void)
{
	static long word = 40;
	static const struct {
		const char *name;
		const void *function, *at;
	} each[] = {
		{ "add", add_one, add_one }, { "short add", short_one, short_one }, { "word add", word_one, word_one }, { "branch", branches, branches },
		{ "branch at zero", zero_branches, zero_branches }, { "jump", jumps, jumps }, { "short jump", short_jumps, short_jumps },
		{ "relative", relative, relative }, { "return", returns, returns }, { "call", calls, call }, { "call there", calls_there, call_there },
		{ "short call", short_calls, short_call },
	};

	for (size_t i = 0; i < sizeof(each) / sizeof(each[0]); i++) {
		long (*function)(long) = (long (*)(long))(uintptr_t)each[i].function;
		long plain[3] = { function(-2), function(0), function(7) };
		long fd = probe(each[i].at, 0);
		long probed[3] = { function(-2), function(0), function(7) };

		print("%s: %d %d %d, probed %d %d %d, count %u\n", each[i].name, plain[0], plain[1], plain[2], probed[0], probed[1], probed[2], count(fd));
		done(fd);
	}
	long fd[3] = { probe(loads, 0), probe(stores, 0), probe(swaps, 0) };

	print("load: %d", loads(&word));
	stores(&word, 41);
	print(", store: %d", word);
	print(", swap: %d", swaps(&word, 42));
	print(" and %d; counts %u %u %u\n", word, count(fd[0]), count(fd[1]), count(fd[2]));
	for (int i = 0; i < 3; i++)
		done(fd[i]);
}

/* What an event counts, when, and what a read of it has. */
static void counts(void)
{
	struct perf_event_attr attr = {
		.type = (unsigned int)type, .size = sizeof(attr), .disabled = 1, .exclude_kernel = 1, .uprobe_path = (uintptr_t)"/proc/self/exe",
		.probe_offset = offset_of(add_one),
		.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING | PERF_FORMAT_ID | PERF_FORMAT_LOST,
	};
	unsigned long values[6] = { 9, 9, 9, 9, 9, 9 };
	unsigned long id = 0;
	long fd = perf_open(&attr, 0, -1, -1, 0);
	long other = probe(add_one, 0);
	long after = probe(add_one, 1);

	add_one(1);
	print("disabled: %d bytes,", syscall3(__NR_read, fd, values, sizeof(values)));
	print(" count %u, times %u %u, has an id %d, lost %u\n", values[0], values[1], values[2], values[3] != 0, values[4]);
	print("enable: %d\n", syscall3(__NR_ioctl, fd, PERF_EVENT_IOC_ENABLE, 0));
	add_one(1);
	add_one(1);
	syscall3(__NR_read, fd, values, sizeof(values));
	print("enabled: count %u, time runs %d, all of it %d\n", values[0], values[1] != 0, values[1] == values[2]);
	print("id: %d,", syscall3(__NR_ioctl, fd, PERF_EVENT_IOC_ID, &id));
	print(" the same %d\n", id == values[3]);
	print("disable: %d\n", syscall3(__NR_ioctl, fd, PERF_EVENT_IOC_DISABLE, 0));
	add_one(1);
	syscall3(__NR_read, fd, values, sizeof(values));
	print("disabled again: count %u\n", values[0]);
	print("reset: %d\n", syscall3(__NR_ioctl, fd, PERF_EVENT_IOC_RESET, 0));
	syscall3(__NR_read, fd, values, sizeof(values));
	print("reset: count %u\n", values[0]);
	print("another event: %u, of returns: %u\n", count(other), count(after));
	print("refresh: %d, an unknown ioctl: %d\n", syscall3(__NR_ioctl, fd, PERF_EVENT_IOC_REFRESH, 1), syscall3(__NR_ioctl, fd, 0x2499, 0));
	print("a read of 8 bytes: %d, a write: %d, a seek: %d\n", syscall3(__NR_read, fd, values, 8), syscall3(__NR_write, fd, values, 8),
	      syscall3(__NR_lseek, fd, 0, 0));
	print("one closed: %s\n", code(add_one));
	done(fd);
	done(other);
	print("two closed: %s\n", code(add_one));
	done(after);
	print("all closed: %s, add %d\n", code(add_one), add_one(1));
}

static long factorial(long);
/* So that each call is one. */
static long (*volatile next)(long) = factorial;

static long factorial(long n)
{
	return n <= 1 ? 1 : n * next(n - 1);
}

__attribute__((noipa)) static long forks(void)
{
	return fork_();
}

/* Functions whose return is probed. */
static void returning(void)
{
	long entry = probe(factorial, 0);
	long exit = probe(factorial, 1);
	long fd;
	long pid;

	print("factorial: %d,", next(6));
	print(" entries %u, returns %u\n", count(entry), count(exit));
	done(entry);
	print("factorial: %d,", next(5));
	print(" returns %u\n", count(exit));
	done(exit);
	print("factorial: %d\n", next(4));
	fd = probe(forks, 1);
	pid = forks();
	if (pid == 0)
		exit_group(9);
	print("a child returns, too: status %x,", (unsigned long)wait_(pid));
	print(" returns %u\n", count(fd));
	done(fd);
}

/* What the pages look like, to the program and to others. */
static void looks(void)
{
	uintptr_t page = (uintptr_t)add_one & ~(PAGE_SIZE - 1);
	int mem = sys_open("/proc/self/mem", O_RDONLY);
	opcode_t read = 0;
	char *more;
	unsigned long first_cpu = 1;
	long fd;

	/* That list is a CPU's, and what earlier probes have left may be in it. */
	syscall3(__NR_sched_setaffinity, 0, sizeof(first_cpu), &first_cpu);
	syscall3(__NR_madvise, page, PAGE_SIZE, 4);
	fd = probe(add_one, 0);
	slurp("/proc/self/smaps");
	print("probed: %u kB, the program sees %s\n", field("Anonymous:", page, page + PAGE_SIZE), code(add_one));
	syscall4(__NR_pread64, mem, &read, sizeof(read), add_one);
	print("a debugger sees %s\n", read == (opcode_t)SWBP ? "a breakpoint" : "code");
	syscall1(__NR_close, mem);
	/* Until so much is done, the page waits in a list of the kernel's, which refers to it. */
	more = map_anonymous(64 * PAGE_SIZE);
	for (int i = 0; i < 64; i++)
		more[i * PAGE_SIZE] = 1;
	add_one(1);
	slurp("/proc/self/maps");
	for (const char *line = text; *line != 0;) {
		const char *s = line;
		uintptr_t from = hex(&s);
		uintptr_t to;

		s++;
		to = hex(&s);
		if (starts_with(s + 1, "--xp 00000000 00:00 0 ")) {
			while (*s != '[')
				s++;
			if (starts_with(s, "[uprobes]\n"))
				print("out of line: %u page\n", (to - from) / PAGE_SIZE);
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	done(fd);
	slurp("/proc/self/smaps");
	print("no more: %u kB, the program sees %s\n", field("Anonymous:", page, page + PAGE_SIZE), code(add_one));
}

/* What a debugger writes is what is executed. */
static void rewrites(void)
{
	int mem = sys_open("/proc/self/mem", O_RDWR);

	print("answers: %d,", answers());
	syscall4(__NR_pwrite64, mem, answers_2, 8, answers);
	print(" rewritten %d,", answers());
	syscall4(__NR_pwrite64, mem, answers_3, 8, answers);
	print(" again %d\n", answers());
	syscall1(__NR_close, mem);
}

/* Mappings of a file that is probed, made before and after. */
static void mappings(void)
{
	long (*function)(long);
	long fd;
	long memfd = syscall2(__NR_memfd_create, "code", 0);
	long p[6];

	syscall3(__NR_dup3, memfd, 10, 0);
	syscall1(__NR_close, memfd);
	syscall4(__NR_pwrite64, 10, add_one, code_end - (char *)add_one, 0);
	syscall2(__NR_ftruncate, 10, 4 * PAGE_SIZE);
	p[0] = map_code(PROT_READ | PROT_EXEC, MAP_PRIVATE);
	fd = probe_file(FILE_PATH, 0, 0, 0, 0);
	p[1] = map_code(PROT_READ | PROT_EXEC, MAP_PRIVATE);
	p[2] = map_code(PROT_READ | PROT_EXEC, MAP_SHARED);
	p[3] = map_code(PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE);
	p[4] = map_code(PROT_READ, MAP_PRIVATE);
	p[5] = map_code(PROT_READ | PROT_WRITE, MAP_PRIVATE);
	print("mapped before %s, after %s,", code((void *)p[0]), code((void *)p[1]));
	print(" shared %s, writable %s,", code((void *)p[2]), code((void *)p[3]));
	print(" readable %s\n", code((void *)p[4]));
	syscall3(__NR_mprotect, p[5], PAGE_SIZE, PROT_READ | PROT_EXEC);
	print("writable until now: %s\n", code((void *)p[5]));
	for (int i = 0; i < 4; i++) {
		function = (long (*)(long))p[i];
		print(" %d", function(1));
	}
	print(", count %u\n", count(fd));
	/* What is dropped comes back from the file, without a breakpoint. */
	syscall3(__NR_madvise, p[0], PAGE_SIZE, 4);
	print("dropped: %s\n", code((void *)p[0]));
	/* A page of its own that is not the file's any more stays one. */
	syscall3(__NR_mprotect, p[1], PAGE_SIZE, PROT_READ | PROT_WRITE);
	*(volatile char *)(p[1] + 4000) = 1;
	syscall3(__NR_mprotect, p[1], PAGE_SIZE, PROT_READ | PROT_EXEC);
	done(fd);
	slurp("/proc/self/smaps");
	print("no more: %s, what was written %d, anonymous %u kB\n", code((void *)p[1]), *(volatile char *)(p[1] + 4000),
	      field("Anonymous:", (uintptr_t)p[1], (uintptr_t)p[1] + PAGE_SIZE));
	for (int i = 0; i < 6; i++)
		syscall2(__NR_munmap, p[i], PAGE_SIZE);
}

/* An area that grows where it is merged with another, and moves back: the breakpoint moves along. */
static void moves(void)
{
	char *space = map_anonymous(12 * PAGE_SIZE);
	long fd = probe_file(FILE_PATH, 0, 0, 0, 0);
	char *first = (char *)syscall6(__NR_mmap, (long)space, 10 * PAGE_SIZE, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, 10, 0);
	char *second = (char *)syscall5(__NR_mremap, first, PAGE_SIZE, 2 * PAGE_SIZE, 3, first + 5 * PAGE_SIZE);

	print("moved and grown: %s,", code(second));
	second = (char *)syscall5(__NR_mremap, second, PAGE_SIZE, PAGE_SIZE, 3, first);
	print(" moved back: %s,", code(second));
	print(" calls %d,", ((long (*)(long))second)(2));
	print(" count %u\n", count(fd));
	done(fd);
	print("no more: %s\n", code(second));
	syscall2(__NR_munmap, space, 12 * PAGE_SIZE);
}

static void worker(void)
{
	add_one(1);
	add_one(1);
	syscall1(__NR_exit, 0);
}

static void run_thread(void)
{
	start_thread(stack, &alive, worker);
	while (*(volatile unsigned int *)&alive != 0)
		syscall6(__NR_futex, (long)&alive, FUTEX_WAIT, 1, 0, 0, 0);
}

/* Threads and children. */
static void others(void)
{
	long alone = probe(add_one, 0);
	long inherited = probe_file("/proc/self/exe", offset_of(add_one), 0, 1, 0);
	long pid;

	run_thread();
	print("a thread: %u, inherited %u\n", count(alone), count(inherited));
	pid = fork_();
	if (pid == 0) {
		add_one(1);
		exit_group(code(add_one)[0] == 'a' ? 1 : 2);
	}
	print("a child: status %x,", (unsigned long)wait_(pid));
	print(" %u, inherited %u\n", count(alone), count(inherited));
	done(inherited);
	pid = fork_();
	if (pid == 0) {
		int before = code(add_one)[0] == 'a';

		/* Nobody wants it here: that is found out when it is hit. */
		add_one(1);
		exit_group(before * 2 + (code(add_one)[0] == 'a'));
	}
	print("a child of who is not inherited: status %x, %u\n", (unsigned long)wait_(pid), count(alone));
	pid = fork_();
	if (pid == 0) {
		while (*(volatile int *)&alive == 0)
			sleep_ms(1);
		exit_group(0);
	}
	inherited = probe_file("/proc/self/exe", offset_of(add_one), 0, 0, pid);
	add_one(1);
	print("of a child: %d, count %u;", inherited >= 0, count(inherited));
	print(" alone %u\n", count(alone));
	syscall2(__NR_kill, pid, SIGKILL);
	wait_(pid);
	done(inherited);
	done(alone);
}

struct action {
	void (*handler)(int, void *, void *);
	unsigned long flags;
#if defined(__x86_64__)
	void (*restorer)(void);
#endif
	unsigned long mask;
};

#if defined(__x86_64__)
void restore(void);
__asm__("restore: mov $15, %eax\n syscall\n");
#endif

static char *hole;
static volatile int signals, last_code;

static void repair(int signal, void *info, void *context)
{
	(void)signal;
	(void)context;
	signals++;
	last_code = ((int *)info)[2];
	if (hole != NULL)
		syscall6(__NR_mmap, (long)hole, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static void handle(int signal)
{
	struct action action = { .handler = repair, .flags = 4 };

#if defined(__x86_64__)
	action.flags |= 0x04000000;
	action.restorer = restore;
#endif
	syscall4(__NR_rt_sigaction, signal, &action, NULL, 8);
}

/* A breakpoint that is the program's own. */
static void own_breakpoint(const char *what)
{
	long pid = fork_();

	if (pid == 0)
		exit_group((int)own_trap(0));
	print("a breakpoint of its own, %s: signal %d\n", what, wait_(pid) & 127);
}

/* Signals that come while a probed instruction is executed. */
static void ticks(void)
{
	long every[4] = { 0, 50, 0, 50 };
	long none[4] = { 0, 0, 0, 0 };
	long fd = probe(short_one, 0);
	long sum = 0;
	long n = 0;

	handle(SIGALRM);
	signals = 0;
	syscall3(__NR_setitimer, 0, every, NULL);
	while (signals < 50) {
		sum = short_one(sum);
		n++;
	}
	syscall3(__NR_setitimer, 0, none, NULL);
	print("with signals: all counted %d, all done %d\n", (unsigned long)n == count(fd), sum == 2 * n);
	done(fd);
}

/* Probed instructions that fault, and breakpoints that are nobody's. */
static void faults(void)
{
	long fd = probe(loads, 0);
	long trap;
	struct perf_event_attr attr = { .type = (unsigned int)type, .size = sizeof(attr), .uprobe_path = (uintptr_t)"/proc/self/exe", .probe_offset = offset_of(own_trap) };

	handle(SIGSEGV);
	hole = map_anonymous(PAGE_SIZE);
	syscall2(__NR_munmap, hole, PAGE_SIZE);
	print("a load from nowhere: %d,", loads((const long *)hole));
	print(" signals %d, code %d, count %u\n", (long)signals, (long)last_code, count(fd));
	hole = NULL;
	own_breakpoint("with probes");
	trap = perf_open(&attr, 0, -1, -1, 0);
	print("of a breakpoint: %d\n", trap);
	done(fd);
	ticks();
}

static long with_size(unsigned int size, unsigned int *told)
{
	static union {
		struct perf_event_attr attr;
		char bytes[4096];
	} given;
	long error;

	memset(&given, 0, sizeof(given));
	given.attr.type = (unsigned int)type;
	given.attr.size = size;
	given.attr.uprobe_path = (uintptr_t)"/proc/self/exe";
	given.attr.probe_offset = offset_of(add_one);
	if (size == 4096)
		given.bytes[4000] = 1;
	error = perf_open(&given.attr, 0, -1, -1, 0);
	if (told != NULL)
		*told = given.attr.size;
	if (error >= 0)
		done(error);
	return error < 0 ? error : 0;
}

static void refused(void)
{
	unsigned int told = 0;
	struct perf_event_attr attr = { .type = (unsigned int)type, .size = sizeof(attr), .uprobe_path = (uintptr_t)"/proc/self/exe" };
	static char long_path[5000];

	print("sizes: 0 %d, 8 %d, 63 %d, 72 %d, 128 %d,", with_size(0, NULL), with_size(8, NULL), with_size(63, NULL), with_size(72, NULL), with_size(128, NULL));
	print(" 4088 %d, 4096 with more %d, 5000 %d", with_size(4088, NULL), with_size(4096, &told), with_size(5000, NULL));
	print(", told %d\n", told >= 128 && told < 200);
	print("no memory: %d\n", perf_open(NULL, 0, -1, -1, 0));
	print("flags: %d\n", perf_open(&attr, 0, -1, -1, 16));
	print("nobody: %d, no CPU: %d, neither: %d\n", perf_open(&attr, 4000000, -1, -1, 0), perf_open(&attr, 0, 4096, -1, 0), perf_open(&attr, -1, -1, -1, 0));
	print("a group that is none: %d %d\n", perf_open(&attr, 0, -1, 77, 0), perf_open(&attr, 0, -1, 1, 0));
	attr.probe_offset = 1ul << 40;
	print("behind the end: %d\n", perf_open(&attr, 0, -1, -1, 0));
	attr.probe_offset = 0;
	attr.uprobe_path = 0;
	print("no path: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"";
	print(" an empty one: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"/no/such/file";
	print(" no file: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"/proc";
	print(" a directory: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"/dev/zero";
	print(" a device: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"/proc/self/status";
	print(" one without pages: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = 8;
	print(" no memory: %d,", perf_open(&attr, 0, -1, -1, 0));
	memset(long_path, 'x', sizeof(long_path) - 1);
	attr.uprobe_path = (uintptr_t)long_path;
	print(" too long: %d\n", perf_open(&attr, 0, -1, -1, 0));
	attr.uprobe_path = (uintptr_t)"/proc/self/exe";
	attr.type = 12345;
	print("an unknown type: %d\n", perf_open(&attr, 0, -1, -1, 0));
	attr.type = (unsigned int)type;
	attr.read_format = 1 << 5;
	print("an unknown format: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.read_format = 0;
	attr.sample_type = 1ul << 25;
	print(" sample: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.sample_type = 0;
	attr.sample_period = 1ul << 63;
	print(" period: %d\n", perf_open(&attr, 0, -1, -1, 0));
	attr.sample_period = 0;
	syscall3(__NR_setresuid, 1000, 1000, 1000);
	print("nobody in particular: %d,", perf_open(&attr, 0, -1, -1, 0));
	attr.exclude_kernel = 1;
	print(" without the kernel: %d\n", perf_open(&attr, 0, -1, -1, 0));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	type = read_number("/sys/bus/event_source/devices/uprobe/type");
	print("retprobe: %s", (slurp("/sys/bus/event_source/devices/uprobe/format/retprobe"), text));
	own_breakpoint("without probes");
	kinds();
	counts();
	returning();
	looks();
	rewrites();
	mappings();
	moves();
	others();
	faults();
	refused();
	return 0;
}
