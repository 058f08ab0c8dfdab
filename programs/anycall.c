/*
 * anycall: makes system calls at random, whatever their numbers and arguments, in one process after
 * another; what becomes of those is all the same. Prints how many it has made. Two arguments: a seed, and
 * how many calls.
 */
#include "start.h"

#define ARENA 0x1000000000ul
#define ARENA_PAGES 64ul
#define CALLS_OF_ONE 100
#define NUMBERS 480
/* Patience with one process, in milliseconds, of the machine's. */
#define PATIENCE 20
#define SIGKILL_ 9
#define WNOHANG_ 1

static uint64_t state;

static uint64_t next(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static uint64_t below(uint64_t n)
{
	return next() % n;
}

static const char *const paths[] = {
	"/tmp/a", "/tmp/b", "/tmp/d/c", "/tmp", ".", "..", "/", "", "/dev/zero", "/dev/null", "/dev/hmm_dmirror0", "/dev/hmm_dmirror1",
	"/dev/userfaultfd", "/proc/self/maps", "/proc/self/smaps", "/proc/self/pagemap", "/proc/self/mem", "/proc/self/fd", "/proc/self/comm",
	"/proc/self/clear_refs", "/proc/self/status", "/proc/meminfo", "/proc/kpageflags", "/proc/sys/vm/drop_caches", "/proc/sys/vm/nr_hugepages",
	"/sys/kernel/mm/transparent_hugepage/enabled", "/sys/fs/cgroup/memory.stat", "/tmp/does/not/exist",
};
#define PATHS (sizeof(paths) / sizeof(paths[0]))

/* Structures for calls to read: any of what arguments may be, too. */
static uint64_t words[64];

static uint64_t argument(void)
{
	static const uint64_t sizes[] = { 0, 1, 4, 8, 16, 24, 64, 100, 4095, 4096, 4097, 8192, 65536, 1 << 21, 1ul << 32, 1ul << 38, -1ul, -4096ul, 1ul << 63 };

	switch (below(12)) {
	case 0:
		return below(16);
	case 1:
		return 3 + below(8);
	case 2:
	case 3:
		return ARENA + below(ARENA_PAGES + 8) * PAGE_SIZE;
	case 4:
		return ARENA + below(ARENA_PAGES * PAGE_SIZE);
	case 5:
	case 6:
		return sizes[below(sizeof(sizes) / sizeof(sizes[0]))];
	case 7:
		return (uint64_t)(uintptr_t)paths[below(PATHS)];
	case 8:
	case 9:
		return (uint64_t)(uintptr_t)&words[below(60)];
	case 10:
		return 1ul << below(64) | (below(2) == 0 ? 1ul << below(32) : 0);
	default:
		return next();
	}
}

/* What would end the rest of the machine, or whoever waits for us. */
static int spares_others(long number, uint64_t *args, long self)
{
	switch (number) {
#if defined(__NR_kill)
	case __NR_kill:
	case __NR_tkill:
	case __NR_tgkill:
	case __NR_rt_sigqueueinfo:
	case __NR_rt_tgsigqueueinfo:
	case __NR_prlimit64:
	case __NR_process_vm_writev:
		args[0] = (uint64_t)self;
		return 1;
	case __NR_clone:
		/* CLONE_PARENT would make siblings that nobody waits for. */
		args[0] &= ~0x8000ul;
		return below(4) == 0;
	case __NR_clone3:
		return below(4) == 0;
	case __NR_vhangup:
	case __NR_reboot:
		return 0;
#endif
	default:
		return 1;
	}
}

static _Noreturn void make_calls(unsigned long calls)
{
	long self = syscall0(__NR_getpid);

	syscall2(__NR_setpgid, 0, 0);
	for (int fd = 0; fd < 3; fd++)
		syscall1(__NR_close, fd);
	for (int fd = 0; fd < 3; fd++)
		sys_open("/dev/null", O_RDWR);
	syscall6(__NR_mmap, ARENA, ARENA_PAGES * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (uint64_t i = 0; i < 8; i++)
		sys_open(paths[below(PATHS)], O_RDWR);
	for (unsigned long i = 0; i < calls; i++) {
		/* Half of them about memory. */
		long number = (long)(below(2) == 0 ? 213 + below(26) : below(NUMBERS));
		uint64_t args[6];

		for (int k = 0; k < 6; k++)
			args[k] = argument();
		for (int k = 0; k < 64; k++)
			words[k] = argument();
		if (spares_others(number, args, self))
			syscall6(number, (long)args[0], (long)args[1], (long)args[2], (long)args[3], (long)args[4], (long)args[5]);
	}
	exit_group(0);
}

/* Waits for a process, but not for ever; then ends it, and what it has left. */
static void end(long pid)
{
	const long millisecond[2] = { 0, 1000000 };

	for (int i = 0; i < PATIENCE; i++) {
		if (syscall4(__NR_wait4, pid, NULL, WNOHANG_, NULL) != 0)
			break;
		syscall2(__NR_nanosleep, millisecond, NULL);
	}
	syscall2(__NR_kill, -pid, SIGKILL_);
	syscall2(__NR_kill, pid, SIGKILL_);
	while (syscall4(__NR_wait4, pid, NULL, 0, NULL) == -4)
		;
}

int main(int argc, char **argv, char **envp)
{
	unsigned long calls = parse_number(argc > 2 ? argv[2] : NULL, 1000);

	(void)envp;
	state = 0x9e3779b97f4a7c15ul ^ parse_number(argc > 1 ? argv[1] : NULL, 1) * 0xbf58476d1ce4e5b9ul;
	for (unsigned long done = 0; done < calls; done += CALLS_OF_ONE) {
		long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

		if (pid == 0)
			make_calls(CALLS_OF_ONE);
		if (pid < 0)
			fail("fork", pid);
		/* The next one does something else. */
		for (int i = 0; i < 100; i++)
			next();
		end(pid);
	}
	print("%u calls\n", calls);
	/* Whoever is left of them. */
	syscall2(__NR_kill, -1, SIGKILL_);
	return 0;
}
