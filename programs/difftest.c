/*
 * difftest: does what a list of operations says, with up to four processes one after the other, and
 * after each prints what came of it and how the address space of who did it looks. The same on any
 * Linux; packages/cli/src/difftest makes the lists, and compares.
 *
 * Input, in words of 4 bytes, any number of times: how many operations, then ten words for each: its
 * number, the process that does it, and eight of its own. Pages are counted from the arena's first.
 *
 * Output: "f" and what this Linux can do; then "# N" for the Nth list, and for each operation a line
 * `OPERATION PROCESS RESULT`, then lines for what has changed since the process was last looked at: "F"
 * files, each `FILE:SIZE/BLOCKS/SEALS` and where it has data; "h" the pool of huge pages; "m" mincore, "p"
 * pagemap, both by runs of equal pages; "v" for all mappings, one a line.
 */
#include "pagemap_scan.h"
#include "pool.h"
#include "set_mm.h"
#include "uffd.h"
#include <asm/sigcontext.h>
#include <asm/stat.h>
#include <asm/ucontext.h>
#include <linux/resource.h>

/* Aligned to 2 MiB, below the program itself, so that its mappings come first in smaps. */
#define ARENA 0x1000000000ul
#define ARENA_PAGES 2048ul
#define ARENA_END (ARENA + ARENA_PAGES * PAGE_SIZE)
#define PROCESSES 4
#define OPERATIONS_MAX 4096
#define TRANSFER_MAX (8 * PAGE_SIZE)

/* Huge pages in the pool when a list begins that is about them, and how many more there may be. */
#define POOL_PAGES 4
#define POOL_OVERCOMMIT 1

#define MFD_ALLOW_SEALING 2
#define MFD_HUGETLB_2MB (4 | 21 << 26)
#define MAP_HUGETLB_2MB (0x40000 | 21 << 26)
#define O_TMPFILE_RDWR 020200002
#define SEEK_DATA 3
#define SEEK_HOLE 4
#define F_SETFL 4
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034

#define BUS_ADRERR_ 2
#define BUS_MCEERR_AR_ 4

/* Newer than some headers. */
#define __NR_mseal_ 462

enum kind {
	MAP, UNMAP, PROTECT, REMAP, ADVISE, FORK, REAP, STORE, LOAD, SEND, RECEIVE, CHECK, MSYNC, MLOCK, MUNLOCK, MLOCK2,
	MAPFILE, PWRITE, PREAD, WRITEFROM, READINTO, TRUNCATE, FALLOCATE, SEAL, FADVISE,
	UFFD, REGISTER, UNREGISTER, COPY, ZEROPAGE, CONTINUE, WRITEPROTECT, POISON, MOVE, WAKE,
	SCAN, CLEARREFS, PADVISE, PEEK, POKE, MSEAL,
	MAPHUGE, HEAP, BRK, LIMIT, SETFL, REMAPFILE,
};

struct operation {
	uint32_t kind, process, a, b, c, d, e, f, g, h;
};

static struct operation list[OPERATIONS_MAX];
static uint32_t operations;

/* What the program prints, a piece at a time. */
static char out[1 << 18];
static size_t out_length;

static void flush(void)
{
	for (size_t done = 0; done < out_length;) {
		long n = syscall3(__NR_write, 1, out + done, out_length - done);

		if (n <= 0)
			exit_group(98);
		done += (size_t)n;
	}
	out_length = 0;
}

static void put(char c)
{
	if (out_length == sizeof(out))
		flush();
	out[out_length++] = c;
}

static void puts_(const char *s)
{
	while (*s != 0)
		put(*s++);
}

static void put_number(unsigned long value, unsigned base)
{
	char digits[24];
	int k = 0;

	do {
		digits[k++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (k > 0)
		put(digits[--k]);
}

static void put_signed(long value)
{
	if (value < 0) {
		put('-');
		value = -value;
	}
	put_number((unsigned long)value, 10);
}

/* Loads and stores that may fault: then they give -1, and `fault` says with which signal and code. */
long probe_load(const void *at);
long probe_store(void *at, long value);
void probe_recover(void);
#if defined(__riscv)
__asm__(".text\n"
	"probe_load:\n	lbu a0, 0(a0)\n	ret\n"
	"probe_store:\n	sb a1, 0(a0)\n	li a0, 0\n	ret\n"
	"probe_recover:\n	li a0, -1\n	ret\n");
#define CONTEXT_PC(u) ((u)->uc_mcontext.sc_regs.pc)
#elif defined(__x86_64__)
__asm__(".text\n"
	"probe_load:\n	movzbl (%rdi), %eax\n	ret\n"
	"probe_store:\n	movb %sil, (%rdi)\n	xor %eax, %eax\n	ret\n"
	"probe_recover:\n	mov $-1, %rax\n	ret\n"
	"restore:\n	mov $15, %eax\n	syscall\n");
void restore(void);
#define CONTEXT_PC(u) ((u)->uc_mcontext.rip)
#elif defined(__aarch64__)
__asm__(".text\n"
	"probe_load:\n	ldrb w0, [x0]\n	ret\n"
	"probe_store:\n	strb w1, [x0]\n	mov x0, #0\n	ret\n"
	"probe_recover:\n	mov x0, #-1\n	ret\n");
#define CONTEXT_PC(u) ((u)->uc_mcontext.pc)
#endif

static volatile int fault_signal, fault_code;

static void on_fault(int signal, void *info, void *context)
{
	fault_signal = signal;
	/* Poison is told of as any other SIGBUS where there is no CONFIG_MEMORY_FAILURE. */
	fault_code = ((int *)info)[2] == BUS_MCEERR_AR_ ? BUS_ADRERR_ : ((int *)info)[2];
	CONTEXT_PC((struct ucontext *)context) = (unsigned long)probe_recover;
}

static void catch_faults(void)
{
	struct {
		void (*handler)(int, void *, void *);
		unsigned long flags;
#if defined(__x86_64__)
		void (*restorer)(void);
#endif
		uint64_t mask;
	} action = { .handler = on_fault, .flags = SA_SIGINFO };

#if defined(__x86_64__)
	action.flags |= 0x04000000;
	action.restorer = restore;
#endif
	syscall4(__NR_rt_sigaction, SIGSEGV, &action, NULL, 8);
	syscall4(__NR_rt_sigaction, SIGBUS, &action, NULL, 8);
}

/* Which processes there are, which came from which, and the pipe that wakes each. */
static int alive[PROCESSES], parent[PROCESSES];
/* In memory that all of them share. */
static volatile long *pids;
static int wake[PROCESSES][2];
static int data_pipe[2];
static int self;

/* What was last seen of this process, so that only changes are printed. */
struct text {
	char now[1 << 14], before[1 << 14];
	size_t length, length_before;
};

static struct text files_text, pool_text, mincore_text, pagemap_text, mappings_text;

static void add(struct text *t, char c)
{
	if (t->length < sizeof(t->now))
		t->now[t->length++] = c;
}

static void add_string(struct text *t, const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		add(t, s[i]);
}

static void add_number(struct text *t, unsigned long value, unsigned base)
{
	char digits[24];
	int k = 0;

	do {
		digits[k++] = "0123456789abcdef"[value % base];
		value /= base;
	} while (value != 0);
	while (k > 0)
		add(t, digits[--k]);
}

/* ` FROM+PAGES=VALUE` for a run of equal pages. */
static void add_run(struct text *t, unsigned long page, unsigned long pages, unsigned long value)
{
	add(t, ' ');
	add_number(t, page, 10);
	add(t, '+');
	add_number(t, pages, 10);
	add(t, '=');
	add_number(t, value, 16);
}

static void print_changed(struct text *t, char name)
{
	int same = t->length == t->length_before;

	for (size_t i = 0; same && i < t->length; i++)
		same = t->now[i] == t->before[i];
	if (!same) {
		put(name);
		for (size_t i = 0; i < t->length; i++)
			put(t->now[i]);
		put('\n');
		memcpy(t->before, t->now, t->length);
		t->length_before = t->length;
	}
	t->length = 0;
}

static unsigned char residency[ARENA_PAGES];
static uint64_t entries[ARENA_PAGES];
static int pagemap_fd = -1, smaps_fd = -1;

/* One mapping, by its first and last page in the arena: what mincore and pagemap say. */
static void look_at(unsigned long page, unsigned long pages)
{
	long got = syscall3(__NR_mincore, ARENA + page * PAGE_SIZE, pages * PAGE_SIZE, residency);

	for (unsigned long i = 0, run = 0; i < pages; i = run) {
		while (run < pages && residency[run] == residency[i])
			run++;
		add_run(&mincore_text, page + i, run - i, got < 0 ? 0xf : residency[i]);
	}
	got = syscall4(__NR_pread64, pagemap_fd, entries, pages * 8, (ARENA / PAGE_SIZE + page) * 8);
	if (got != (long)(pages * 8))
		fail("pagemap", got);
	/* The flags alone: where a page is differs from machine to machine. */
	for (unsigned long i = 0, run = 0; i < pages; i = run) {
		while (run < pages && entries[run] >> 55 == entries[i] >> 55)
			run++;
		add_run(&pagemap_text, page + i, run - i, entries[i] >> 55);
	}
}

static int is_hex(char c)
{
	return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
}

static unsigned long parse_hex(const char **s)
{
	unsigned long n = 0;

	for (; is_hex(**s); (*s)++)
		n = 16 * n + (unsigned long)(**s <= '9' ? **s - '0' : **s - 'a' + 10);
	return n;
}

/* Fields that do not depend on the machine, and are shown unless they are 0. */
static const char *const fields[] = {
	"Rss", "Pss", "Pss_Dirty", "Shared_Clean", "Shared_Dirty", "Private_Clean", "Private_Dirty", "Referenced", "Anonymous",
	"LazyFree", "AnonHugePages", "ShmemPmdMapped", "FilePmdMapped", "Shared_Hugetlb", "Private_Hugetlb", "Swap", "SwapPss",
	"Locked", "THPeligible", "VmFlags",
};

static void add_field(const char *line, size_t length)
{
	size_t name = 0, value;

	while (name < length && line[name] != ':')
		name++;
	for (value = name + 1; value < length && line[value] == ' ';)
		value++;
	if (value < length && line[value] == '0' && (value + 1 == length || line[value + 1] == ' '))
		return;
	for (size_t f = 0; f < sizeof(fields) / sizeof(fields[0]); f++) {
		if (string_length(fields[f]) != name)
			continue;
		size_t i = 0;
		while (i < name && line[i] == fields[f][i])
			i++;
		if (i < name)
			continue;
		add(&mappings_text, ' ');
		add_string(&mappings_text, line, name);
		add(&mappings_text, '=');
		for (; value < length && line[value] != ' '; value++)
			add(&mappings_text, line[value]);
		/* VmFlags are several words. */
		for (; name == 7 && f == sizeof(fields) / sizeof(fields[0]) - 1 && value + 2 < length; value += 3) {
			add(&mappings_text, ',');
			add_string(&mappings_text, line + value + 1, 2);
		}
		return;
	}
}

/* A line of smaps; 0 when it is about what lies behind the arena. */
static int smaps_line(const char *line, size_t length)
{
	const char *s = line;

	if (length == 0 || !is_hex(line[0])) {
		add_field(line, length);
		return 1;
	}
	unsigned long start = parse_hex(&s);
	if (*s != '-') {
		add_field(line, length);
		return 1;
	}
	s++;
	unsigned long end = parse_hex(&s);
	if (start >= ARENA_END)
		return 0;
	unsigned long page = (start - ARENA) / PAGE_SIZE;
	look_at(page, (end - start) / PAGE_SIZE);
	add_string(&mappings_text, "\n ", 2);
	add_number(&mappings_text, page, 10);
	add(&mappings_text, '+');
	add_number(&mappings_text, (end - start) / PAGE_SIZE, 10);
	add_string(&mappings_text, s, 5);
	add(&mappings_text, '@');
	s += 6;
	add_number(&mappings_text, parse_hex(&s) / PAGE_SIZE, 10);
	return 1;
}

/* What a list has of files, all of them empty at first, and what opens them. */
enum file { SEALABLE, UNNAMED, UNNAMED_READ_ONLY, HUGE, FILES };
#define FILES_FD 100
#define UNNAMED_FD_NAME "101"
/* Whether any operation of the list is about them, or about huge pages of the pool. */
static int with_files, with_pool;

static int open_files(void)
{
	/* Nothing is left of the second behind the last process. */
	const long opened[FILES] = {
		syscall2(__NR_memfd_create, "difftest", MFD_ALLOW_SEALING),
		syscall4(__NR_openat, AT_FDCWD, "/dev/shm", O_TMPFILE_RDWR, 0600),
		[HUGE] = with_pool ? syscall2(__NR_memfd_create, "difftest", MFD_ALLOW_SEALING | MFD_HUGETLB_2MB) : -1,
	};

	for (int i = 0; i < FILES; i++) {
		if (i == HUGE && !with_pool)
			continue;
		long fd = i == UNNAMED_READ_ONLY ? sys_open("/proc/self/fd/" UNNAMED_FD_NAME, O_RDONLY) : opened[i];

		if (fd < 0 || syscall3(__NR_dup3, fd, FILES_FD + i, 0) < 0)
			return 0;
		syscall1(__NR_close, fd);
	}
	return 1;
}

static void look_at_files(void)
{
	for (int i = 0; with_files && i < FILES; i++) {
		struct stat stat;
		long at = 0;

		/* It is another's descriptor. */
		if (i == UNNAMED_READ_ONLY || syscall2(__NR_fstat, FILES_FD + i, &stat) < 0 || (stat.st_size == 0 && stat.st_blocks == 0))
			continue;
		add(&files_text, ' ');
		add_number(&files_text, (unsigned long)i, 10);
		add(&files_text, ':');
		add_number(&files_text, (unsigned long)stat.st_size, 10);
		add(&files_text, '/');
		add_number(&files_text, (unsigned long)stat.st_blocks, 10);
		add(&files_text, '/');
		add_number(&files_text, (unsigned long)syscall2(__NR_fcntl, FILES_FD + i, F_GET_SEALS), 16);
		for (;;) {
			long data = syscall3(__NR_lseek, FILES_FD + i, at, SEEK_DATA);

			if (data < 0)
				break;
			at = syscall3(__NR_lseek, FILES_FD + i, data, SEEK_HOLE);
			add(&files_text, ',');
			add_number(&files_text, (unsigned long)data, 10);
			add(&files_text, '-');
			add_number(&files_text, (unsigned long)at, 10);
		}
	}
}

static void look_at_pool(void)
{
	static const char *const files[] = { POOL "free_hugepages", POOL "resv_hugepages", POOL "surplus_hugepages" };

	for (size_t i = 0; with_pool && i < sizeof(files) / sizeof(files[0]); i++) {
		add(&pool_text, ' ');
		add_number(&pool_text, read_number(files[i]), 10);
	}
}

/* Never touched. */
static char scratch[2 * PAGE_SIZE];

static void look_around(void)
{
	static char buffer[8192];
	size_t have = 0;
	int on = 1;

	/* What waits for the LRU on this CPU gets there now, whatever else has run on it: MADV_COLD sees to that. */
	syscall3(__NR_madvise, ((uintptr_t)scratch + PAGE_SIZE - 1) & -PAGE_SIZE, PAGE_SIZE, 20);
	/* Both belong to the process that opened them. */
	pagemap_fd = sys_open("/proc/self/pagemap", O_RDONLY);
	smaps_fd = sys_open("/proc/self/smaps", O_RDONLY);
	if (pagemap_fd < 0 || smaps_fd < 0)
		fail("open", pagemap_fd < 0 ? pagemap_fd : smaps_fd);
	while (on) {
		long got = syscall3(__NR_read, smaps_fd, buffer + have, sizeof(buffer) - have);
		size_t start = 0, end;

		if (got <= 0)
			break;
		have += (size_t)got;
		for (end = 0; on && end < have; end++) {
			if (buffer[end] != '\n')
				continue;
			on = smaps_line(buffer + start, end - start);
			start = end + 1;
		}
		memcpy(buffer, buffer + start, have - start);
		have -= start;
	}
	syscall1(__NR_close, pagemap_fd);
	syscall1(__NR_close, smaps_fd);
	look_at_files();
	look_at_pool();
	print_changed(&files_text, 'F');
	print_changed(&pool_text, 'h');
	print_changed(&mincore_text, 'm');
	print_changed(&pagemap_text, 'p');
	print_changed(&mappings_text, 'v');
}

static char *address(uint32_t page)
{
	return (char *)(ARENA + (unsigned long)page * PAGE_SIZE);
}

/* The bytes at one place of each page that can be read, as one number; pages that cannot count as such. */
static long check(uint32_t page, uint32_t pages, uint32_t offset)
{
	uint64_t hash = 0xcbf29ce484222325ul;

	for (uint32_t i = 0; i < pages; i++) {
		long value = probe_load(address(page + i) + offset);

		hash = (hash ^ (uint64_t)(value + 1)) * 0x100000001b3ul;
	}
	return (long)(hash >> 2);
}

static void reap(int process)
{
	char end = 'x';

	syscall3(__NR_write, wake[process][1], &end, 1);
	while (syscall4(__NR_wait4, pids[process], NULL, 0, NULL) == -4)
		;
}

static int descends(int process, int from)
{
	while (process != from && process != 0)
		process = parent[process];
	return process == from;
}

/* Marks a process and all that came of it as gone. */
static void forget(int process)
{
	alive[process] = 0;
	for (int i = 0; i < PROCESSES; i++)
		if (alive[i] && parent[i] == process)
			forget(i);
}

static _Noreturn void leave(void)
{
	for (int i = PROCESSES - 1; i >= 0; i--)
		if (alive[i] && parent[i] == self && i != self)
			reap(i);
	exit_group(0);
}

/* Whoever ends the program ends all of them, whatever they are at. */
static void end_with_parent(void)
{
	syscall2(__NR_prctl, PR_SET_PDEATHSIG, SIGKILL);
}

/* Waits for its turn, or for its end. */
static void await_turn(void)
{
	char c;

	while (syscall3(__NR_read, wake[self][0], &c, 1) != 1)
		;
	if (c == 'x')
		leave();
}

/* What an operation has done beside its result; 0 is not printed. */
static long more;

/* Who does an operation: whoever it says, if there is such a process, else the first. */
static int owner(const struct operation *op)
{
	return alive[op->process] ? (int)op->process : 0;
}

/* The sum of bytes, each weighted by its place. */
static long sum_of(const char *p, long n)
{
	long sum = 0;

	for (long i = 0; i < n; i++)
		sum += (i + 1) * (unsigned char)p[i];
	return sum;
}

/* Operations with a file: `a` says which, `c` and `g` where, `b` and `h` how much. */
static long with_file(const struct operation *op)
{
	static char transfer[TRANSFER_MAX];
	int fd = FILES_FD + (int)(op->a % FILES);
	long offset = (long)op->c * (long)PAGE_SIZE + (int)op->g;
	long length = (long)op->b * (long)PAGE_SIZE + (int)op->h;
	size_t some = length > (long)TRANSFER_MAX ? TRANSFER_MAX : length < 0 ? 0 : (size_t)length;

	switch (op->kind) {
	case PWRITE:
		memset(transfer, (int)op->d, some);
		return syscall4(__NR_pwrite64, fd, transfer, some, offset);
	case PREAD: {
		long n = syscall4(__NR_pread64, fd, transfer, some, offset);

		more = n > 0 ? sum_of(transfer, n) : 0;
		return n;
	}
	case TRUNCATE:
		return syscall2(__NR_ftruncate, fd, length);
	case FALLOCATE:
		return syscall4(__NR_fallocate, fd, op->d, offset, length);
	case SEAL:
		return syscall3(__NR_fcntl, fd, F_ADD_SEALS, op->b);
	case SETFL:
		return syscall3(__NR_fcntl, fd, F_SETFL, op->b);
	default:
		return syscall4(__NR_fadvise64, fd, offset, length, op->d);
	}
}

/* Nobody ever waits for an answer: faults that somebody would have to answer end in SIGBUS. */
#define UFFD_FD 110
#define UFFD_FEATURES (1ul << 7)

/* Operations with the process's userfaultfd, or the one that it has come by at its fork. */
static long with_uffd(const struct operation *op, char *at, unsigned long length)
{
	long result;

	uffd_done = 0;
	switch (op->kind) {
	case UFFD: {
		long fd = syscall1(__NR_userfaultfd, O_CLOEXEC);

		if (fd < 0)
			return fd;
		result = uffd_api((int)fd, op->a | UFFD_FEATURES);
		syscall3(__NR_dup3, fd, UFFD_FD, 0);
		syscall1(__NR_close, fd);
		break;
	}
	case REGISTER: {
		unsigned long ioctls = 0;

		result = uffd_register(UFFD_FD, at, length, op->c, &ioctls);
		more = (long)ioctls;
		return result;
	}
	case UNREGISTER:
		result = uffd_unregister(UFFD_FD, at, length);
		break;
	case COPY:
		result = uffd_copy(UFFD_FD, at, address(op->d) + op->e, length, op->c);
		break;
	case ZEROPAGE:
		result = uffd_zeropage(UFFD_FD, at, length, op->c);
		break;
	case CONTINUE:
		result = uffd_continue(UFFD_FD, at, length, op->c);
		break;
	case WRITEPROTECT:
		result = uffd_writeprotect(UFFD_FD, at, length, op->c);
		break;
	case POISON:
		result = uffd_poison(UFFD_FD, at, length, op->c);
		break;
	case MOVE:
		result = uffd_move(UFFD_FD, at, address(op->d) + op->e, length, op->c);
		break;
	default:
		result = uffd_wake(UFFD_FD, at, length);
	}
	more = uffd_done;
	return result;
}

/* PAGEMAP_SCAN: `d` has the masks, of ten bits each; what it finds is told as a number. */
static long scan(const struct operation *op, char *at, unsigned long length)
{
	static struct page_region regions[32];
	struct pm_scan_arg arg = {
		.size = sizeof(arg), .flags = op->c, .start = (uintptr_t)at, .end = (uintptr_t)at + length,
		.vec = (uintptr_t)regions, .vec_len = op->f & 31, .max_pages = op->f >> 5,
		.category_mask = op->d & 1023, .category_inverted = op->d >> 10 & 1023, .category_anyof_mask = op->d >> 20 & 1023,
		.return_mask = op->e,
	};
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);
	long n = syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg);
	uint64_t hash = arg.walk_end;

	for (long i = 0; i < n; i++) {
		hash = (hash ^ regions[i].start) * 0x100000001b3ul;
		hash = (hash ^ regions[i].end) * 0x100000001b3ul;
		hash = (hash ^ regions[i].categories) * 0x100000001b3ul;
	}
	syscall1(__NR_close, fd);
	more = (long)(hash >> 2);
	return n;
}

static long clear_refs(char what)
{
	int fd = sys_open("/proc/self/clear_refs", 1);
	long result = syscall3(__NR_write, fd, &what, 1);

	syscall1(__NR_close, fd);
	return result;
}

/*
 * What one process does with the memory of another: `c` says which, ESRCH where there is none, and where it is its own
 * and the bytes of a page go to where they have yet to be read.
 */
static long with_other(const struct operation *op, char *at, unsigned long length)
{
	int other = (int)op->c % PROCESSES;
	uintptr_t here[2] = { (uintptr_t)at, length };
	uintptr_t there[2] = { (uintptr_t)address(op->d), length };
	long fd, result;

	if (!alive[other] || (op->kind == PEEK && other == self && here[0] > there[0] && here[0] < there[0] + PAGE_SIZE))
		return -3;
	if (op->kind != PADVISE)
		return syscall6(op->kind == PEEK ? __NR_process_vm_readv : __NR_process_vm_writev, pids[other], (long)here, 1, (long)there, 1, 0);
	fd = syscall2(__NR_pidfd_open, pids[other], 0);
	result = syscall5(__NR_process_madvise, fd, here, 1, op->d, 0);
	syscall1(__NR_close, fd);
	return result;
}

/* Another soft limit: of data and address space so many pages more than there are, of stacks the size; 0xffff is as many as may be. */
static long set_limit(int which, unsigned long pages)
{
	struct rlimit limit;
	unsigned long bytes = pages * PAGE_SIZE;

	if (which == RLIMIT_DATA || which == RLIMIT_AS)
		bytes += 1024 * number_in("/proc/self/status", which == RLIMIT_AS ? "VmSize:" : "VmData:");
	syscall4(__NR_prlimit64, 0, which, NULL, &limit);
	limit.rlim_cur = pages == 0xffff || bytes > limit.rlim_max ? limit.rlim_max : bytes;
	return syscall4(__NR_prlimit64, 0, which, &limit, NULL);
}

static long perform(const struct operation *op)
{
	static char bytes[64];
	char *at = address(op->a) + (int)op->g;
	unsigned long length = (unsigned long)op->b * PAGE_SIZE + (unsigned long)(long)(int)op->h;

	switch (op->kind) {
	case MAP:
	case MAPHUGE: {
		uint32_t huge = op->kind == MAPHUGE ? MAP_HUGETLB_2MB : 0;
		long p = syscall6(__NR_mmap, (long)at, (long)length, op->c, op->d | MAP_ANONYMOUS | huge, -1, 0);

		return p < 0 && p > -4096 ? p : p - (long)at;
	}
	case MAPFILE: {
		long p = syscall6(__NR_mmap, (long)at, (long)length, op->c, op->d, FILES_FD + (int)(op->e % FILES), (long)op->f * (long)PAGE_SIZE);

		return p < 0 && p > -4096 ? p : p - (long)at;
	}
	case UNMAP:
		return syscall2(__NR_munmap, at, length);
	case PROTECT:
		return syscall3(__NR_mprotect, at, length, op->c);
	case REMAP: {
		long p = syscall6(__NR_mremap, (long)at, (long)length, (long)op->c * (long)PAGE_SIZE, op->d, (long)address(op->e), 0);

		return p < 0 && p > -4096 ? p : p - (long)ARENA;
	}
	case ADVISE:
		return syscall3(__NR_madvise, at, length, op->c);
	case STORE:
		for (uint32_t i = 0; i < op->b; i++)
			if (probe_store(address(op->a + i) + op->c, op->d + i) < 0)
				return -1000 - 10 * fault_signal - fault_code;
		return op->b;
	case LOAD: {
		long sum = 0;

		for (uint32_t i = 0; i < op->b; i++) {
			long value = probe_load(address(op->a + i) + op->c);

			if (value < 0)
				return -1000 - 10 * fault_signal - fault_code;
			sum += value;
		}
		return sum;
	}
	case SEND: {
		long n = syscall3(__NR_write, data_pipe[1], at, length);

		for (long left = n; left > 0;) {
			long got = syscall3(__NR_read, data_pipe[0], bytes, left < (long)sizeof(bytes) ? left : (long)sizeof(bytes));

			if (got <= 0)
				break;
			left -= got;
		}
		return n;
	}
	case RECEIVE: {
		long n, left = (long)length;

		memset(bytes, (int)op->c, sizeof(bytes));
		while (left > 0) {
			n = syscall3(__NR_write, data_pipe[1], bytes, left < (long)sizeof(bytes) ? left : (long)sizeof(bytes));
			if (n <= 0)
				break;
			left -= n;
		}
		n = syscall3(__NR_read, data_pipe[0], at, length);
		/* What a bad address has left there. */
		for (left = (long)length - (n > 0 ? n : 0); left > 0;) {
			long got = syscall3(__NR_read, data_pipe[0], bytes, left < (long)sizeof(bytes) ? left : (long)sizeof(bytes));

			if (got <= 0)
				break;
			left -= got;
		}
		return n;
	}
	case CHECK:
		return check(op->a, op->b, op->c);
	case MSYNC:
		return syscall3(__NR_msync, at, length, op->c);
	case MLOCK:
		return syscall2(__NR_mlock, at, length);
	case MUNLOCK:
		return syscall2(__NR_munlock, at, length);
	case MLOCK2:
		return syscall3(__NR_mlock2, at, length, op->c);
	case WRITEFROM:
		return syscall4(__NR_pwrite64, FILES_FD + (int)(op->c % FILES), at, length, (long)op->d * (long)PAGE_SIZE + (int)op->e);
	case READINTO:
		return syscall4(__NR_pread64, FILES_FD + (int)(op->c % FILES), at, length, (long)op->d * (long)PAGE_SIZE + (int)op->e);
	case SCAN:
		return scan(op, at, length);
	case CLEARREFS:
		return clear_refs((char)('0' + op->a % 10));
	case PADVISE:
	case PEEK:
	case POKE:
		return with_other(op, at, length);
	case MSEAL:
		return syscall3(__NR_mseal_, at, length, op->c);
	case HEAP: {
		struct prctl_mm_map map = mm_map((unsigned long)at, (unsigned long)at + length);

		return set_mm(&map);
	}
	case BRK:
		return syscall1(__NR_brk, at) - (long)ARENA;
	case LIMIT:
		return set_limit((int)op->a, op->b);
	case REMAPFILE:
		return syscall5(__NR_remap_file_pages, at, length, op->c, op->d, op->e);
	case SETFL:
		return with_file(op);
	default:
		return op->kind >= UFFD ? with_uffd(op, at, length) : with_file(op);
	}
}

/* The operations from the first on that are this process's; the others wake each other. */
static _Noreturn void run(uint32_t first)
{
	int last = first == 0 ? 0 : -1;

	for (uint32_t i = first; i < operations; i++) {
		const struct operation *op = &list[i];
		int mine = owner(op) == self;
		int other = (int)op->a % PROCESSES;
		long result = 0;

		if (mine && last != self)
			await_turn();
		last = owner(op);
		if (op->kind == FORK) {
			int possible = !alive[other];

			if (possible) {
				alive[other] = 1;
				parent[other] = last;
			}
			if (!mine)
				continue;
			if (possible) {
				result = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
				if (result < 0)
					fail("fork", result);
				if (result == 0) {
					end_with_parent();
					self = other;
					last = -1;
					files_text.length_before = pool_text.length_before = mincore_text.length_before = pagemap_text.length_before = mappings_text.length_before = -1ul;
					continue;
				}
				pids[other] = result;
				result = 0;
			}
		} else if (op->kind == REAP) {
			int possible = alive[other] && parent[other] == last && other != last;

			/* What comes behind its own end is not its business: it waits to be told. */
			while (possible && descends(self, other))
				await_turn();
			if (possible && mine)
				reap(other);
			if (possible)
				forget(other);
			if (!mine)
				continue;
			result = possible;
		} else if (mine) {
			result = perform(op);
		} else {
			continue;
		}
		put_number(i, 10);
		put(' ');
		put_number((unsigned long)self, 10);
		put(' ');
		put_signed(result);
		if (more != 0) {
			put(' ');
			put_signed(more);
		}
		more = 0;
		put('\n');
		look_around();
		flush();
		/* The first process ends the others, when the last operation is done. */
		int next = i + 1 < operations ? owner(&list[i + 1]) : 0;
		if (next != self)
			syscall3(__NR_write, wake[next][1], "", 1);
	}
	if (self == 0) {
		if (last != 0)
			await_turn();
		leave();
	}
	for (;;)
		await_turn();
}

static int is_about_files(const struct operation *op)
{
	return (op->kind >= MAPFILE && op->kind <= FADVISE) || op->kind == SETFL;
}

/* Whether it is about huge pages of the pool, or a file of them. */
static int is_about_pool(const struct operation *op)
{
	uint32_t file = op->kind == MAPFILE ? op->e : op->kind == WRITEFROM || op->kind == READINTO ? op->c : op->a;

	return op->kind == MAPHUGE || (is_about_files(op) && file % FILES == HUGE);
}

/* What depends on how the kernel was built: the program that compares leaves out what one side has not. */
static void print_features(void)
{
	char *at = map_anonymous(PAGE_SIZE);
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);
	uint64_t entry = 0;
	struct prctl_mm_map map = mm_map(ARENA, ARENA);
	struct pool was;

	*at = 1;
	syscall4(__NR_pread64, fd, &entry, 8, (uintptr_t)at / PAGE_SIZE * 8);
	long uffd = syscall1(__NR_userfaultfd, O_CLOEXEC);
	with_pool = take_pool(&was, POOL_PAGES, POOL_OVERCOMMIT);
	print("f soft-dirty=%d thp=%d files=%d userfaultfd=%d hugetlb=%d heap=%d\n", (long)(entry >> 55 & 1),
	      (long)(syscall3(__NR_madvise, at, PAGE_SIZE, 14) == 0), (long)open_files(), (long)(uffd_api((int)uffd, 0x1ffb1) == 0),
	      (long)with_pool, (long)(set_mm(&map) == 0));
	syscall1(__NR_close, uffd);
	for (int i = 0; i < FILES; i++)
		syscall1(__NR_close, FILES_FD + i);
	if (with_pool)
		give_pool(&was);
	syscall1(__NR_close, fd);
	syscall2(__NR_munmap, at, PAGE_SIZE);
}

static long input(void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		long n = syscall3(__NR_read, 0, (char *)to + done, size - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (long)done;
}

int main(int argc, char **argv, char **envp)
{
	uint64_t one_cpu = 1;
	struct pool was;

	(void)argc, (void)argv, (void)envp;
	/* Pages that wait for the LRU do so per CPU. */
	syscall3(__NR_sched_setaffinity, 0, sizeof(one_cpu), &one_cpu);
	print_features();
	for (unsigned long n = 0; input(&operations, sizeof(operations)) == sizeof(operations); n++) {
		int status = 0;

		if (operations > OPERATIONS_MAX || input(list, operations * sizeof(list[0])) != (long)(operations * sizeof(list[0])))
			fail("input", 0);
		puts_("# ");
		put_number(n, 10);
		put('\n');
		flush();
		with_files = with_pool = 0;
		for (uint32_t i = 0; i < operations; i++) {
			with_files |= is_about_files(&list[i]);
			with_pool |= is_about_pool(&list[i]);
		}
		if (with_pool && !take_pool(&was, POOL_PAGES, POOL_OVERCOMMIT))
			fail("the pool of huge pages", 0);
		long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
		if (pid < 0)
			fail("fork", pid);
		if (pid == 0) {
			end_with_parent();
			for (int i = 0; i < PROCESSES; i++)
				if (syscall2(__NR_pipe2, wake[i], 0) < 0)
					fail("pipe", 0);
			if (syscall2(__NR_pipe2, data_pipe, 04000) < 0)
				fail("pipe", 0);
			catch_faults();
			if (with_pool)
				syscall4(__NR_rt_sigprocmask, 2, &was.signals, NULL, 8);
			if (with_files && !open_files())
				fail("files", 0);
			pids = (volatile long *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
			pids[0] = syscall0(__NR_getpid);
			alive[0] = 1;
			run(0);
		}
		while (syscall4(__NR_wait4, pid, &status, 0, NULL) == -4)
			;
		if (with_pool)
			give_pool(&was);
		if (status != 0)
			fail("a list", status);
	}
	return 0;
}
