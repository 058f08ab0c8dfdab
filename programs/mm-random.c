/*
 * Random calls on a small range of addresses, and after each what is mapped there and what it holds: the
 * same on every Linux. mm-random SEED STEPS [quiet]; a sum at the end stands for all of it.
 */
#include "smaps.h"

#define AREA 48ul
#define RW (PROT_READ | PROT_WRITE)
#define P(n) ((n) * PAGE_SIZE)

static uint64_t state;
static uint64_t sum;
static int quiet;
static char *area;
static long file;

static unsigned long pick(unsigned long n)
{
	state = state * 6364136223846793005ul + 1442695040888963407ul;
	return (state >> 33) % n;
}

static void mix(uint64_t value)
{
	sum = (sum ^ value) * 0x100000001b3ul;
	sum ^= sum >> 29;
}

static int telling(const char *flag)
{
	static const char known[] = "gd lo sr rr dc de ac nr wf dd hg nh dp sl ";

	for (const char *k = known; *k != 0; k += 3)
		if (k[0] == flag[0] && k[1] == flag[1])
			return 1;
	return 0;
}

static void say(const char *text_)
{
	if (!quiet)
		print("%s", text_);
	for (; *text_ != 0; text_++)
		mix((unsigned char)*text_);
}

static void number(const char *prefix, long n)
{
	if (!quiet)
		print("%s%d", prefix, n);
	mix((uint64_t)n);
}

/* A letter for each page: what pagemap says of it, and mincore. */
static void pages_shown(void)
{
	static uint64_t entries[AREA];
	static unsigned char core;
	char letters[AREA + 1];
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);

	syscall4(__NR_pread64, fd, entries, sizeof(entries), (uint64_t)area / 4096 * 8);
	syscall1(__NR_close, fd);
	for (unsigned long i = 0; i < AREA; i++) {
		int present = (int)(entries[i] >> 63) & 1;
		int of_file = (int)(entries[i] >> 61) & 1;
		int alone = (int)(entries[i] >> 56) & 1;
		int guard = (int)(entries[i] >> 58) & 1;
		long r = syscall3(__NR_mincore, area + P(i), P(1), &core);

		/* Present: shared or of zeros, one's own, of a file; else unmapped, in memory, or not. */
		letters[i] = guard ? 'g' : present ? "saFf"[of_file * 2 + alone] : r != 0 ? ' ' : (core & 1) != 0 ? '-' : '.';
	}
	letters[AREA] = 0;
	say("  ");
	say(letters);
}

/* What smaps says of the area: bounds, permissions, offsets in files, resident pages, flags. */
static void show(void)
{
	uintptr_t base = (uintptr_t)area;
	int inside = 0;

	slurp("/proc/self/smaps");
	for (const char *line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s);
			uintptr_t to;

			s++;
			to = hex(&s);
			inside = from < base + P(AREA) && to > base;
			if (inside) {
				char perms[5] = {s[1], s[2], s[3], s[4], 0};

				s += 6;
				number("  [", ((long)from - (long)base) / 4096);
				number(",", ((long)to - (long)base) / 4096);
				say(") ");
				say(perms);
				number(" ", (long)hex(&s) / 4096);
			}
		} else if (inside && (starts_with(line, "Rss:") || starts_with(line, "Locked:") || starts_with(line, "Anonymous:"))) {
			long n = 0;

			for (const char *s = line; *s != '\n'; s++)
				if (*s >= '0' && *s <= '9')
					n = 10 * n + (*s - '0');
			number(" ", n / 4);
		} else if (inside && starts_with(line, "VmFlags:")) {
			for (const char *s = line; *s != '\n'; s++) {
				char flag[4] = {' ', s[1], s[2], 0};

				if (s[0] == ' ' && telling(flag + 1))
					say(flag);
			}
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	pages_shown();
	say("\n");
}

static const int PROTS[] = {PROT_NONE, PROT_READ, RW, RW, RW, RW | PROT_EXEC};
static const int ADVICE[] = {0, 1, 2, 3, 4, 4, 8, 10, 11, 15, 16, 17, 18, 19, 20, 22, 23, 23, 24, 9};
static const int MREMAPS[] = {0, 1, 1, 3, 3, 3, 7, 5};

/* Writes to a page without being hurt where that cannot be. */
static long store(char *p, char value)
{
	int fd = sys_open("/dev/zero", O_RDONLY);
	long done = syscall3(__NR_read, fd, p, 1);

	syscall1(__NR_close, fd);
	if (done == 1)
		*p = value;
	return done;
}

static long load(char *p)
{
	static int pipe[2];
	char c;

	if (pipe[1] == 0)
		syscall2(__NR_pipe2, pipe, 0);
	if (syscall3(__NR_write, pipe[1], p, 1) != 1)
		return -1;
	syscall3(__NR_read, pipe[0], &c, 1);
	return c;
}

static void step(int depth, unsigned long *left);

static void steps(int depth, unsigned long *left)
{
	while (*left > 0) {
		--*left;
		step(depth, left);
		show();
	}
}

static void step(int depth, unsigned long *left)
{
	unsigned long at = pick(AREA - 1);
	unsigned long pages = 1 + pick(pick(3) == 0 ? AREA - at : (AREA - at < 8 ? AREA - at : 8));
	char *p = area + P(at);
	size_t n = P(pages);
	long r = 0;

	number("at ", (long)at);
	number("+", (long)pages);
	switch (pick(22)) {
	case 0:
	case 1:
	case 2: {
		int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED;
		int prot = PROTS[pick(6)];

		if (pick(6) == 0)
			flags |= MAP_NORESERVE;
		if (pick(12) == 0)
			flags |= MAP_LOCKED;
		if (pick(8) == 0)
			flags |= MAP_POPULATE;
		number(" mmap ", prot);
		number(" ", flags);
		r = syscall6(__NR_mmap, (long)p, (long)n, prot, flags, -1, 0);
		r = r == (long)p ? 0 : r;
		break;
	}
	case 3: {
		int shared = pick(2) != 0;
		unsigned long offset = pick(8);
		int prot = PROTS[pick(5)];

		number(shared ? " shared " : " private ", (long)offset);
		number(" ", prot);
		r = syscall6(__NR_mmap, (long)p, (long)n, prot, (shared ? MAP_SHARED : MAP_PRIVATE) | MAP_FIXED, file, P(offset));
		r = r == (long)p ? 0 : r;
		break;
	}
	case 4:
		say(" munmap");
		r = syscall2(__NR_munmap, p, n);
		break;
	case 5:
	case 6:
	case 7: {
		int prot = PROTS[pick(6)];

		number(" mprotect ", prot);
		r = syscall3(__NR_mprotect, p, n, prot);
		break;
	}
	case 8:
	case 9:
	case 10: {
		int flags = MREMAPS[pick(8)];
		unsigned long to = pick(AREA - 1);
		unsigned long pages_new = pick(3) != 0 ? pages : 1 + pick(AREA - to < 10 ? AREA - to : 10);

		/* Where it goes must not depend on the rest of the address space. */
		if ((flags & 2) == 0)
			flags = 0;
		if (to + pages_new > AREA)
			pages_new = AREA - to;
		number(" mremap ", flags);
		number(" to ", (long)to);
		number("+", (long)pages_new);
		r = syscall6(__NR_mremap, (long)p, (long)n, (long)P(pages_new), flags, (long)(area + P(to)), 0);
		if (r >= 0 || r < -4095)
			r = 1000 + (r - (long)area) / 4096;
		break;
	}
	case 11:
	case 12: {
		int advice = ADVICE[pick(sizeof(ADVICE) / sizeof(*ADVICE))];

		number(" madvise ", advice);
		r = syscall3(__NR_madvise, p, n, advice);
		break;
	}
	case 13:
		say(" mlock");
		r = syscall2(__NR_mlock, p, n);
		break;
	case 14:
		if (pick(2) == 0) {
			say(" mlock2 on fault");
			r = syscall3(__NR_mlock2, p, n, 1);
		} else {
			say(" munlock");
			r = syscall2(__NR_munlock, p, n);
		}
		break;
	case 15:
	case 16:
	case 17:
		for (unsigned long i = 0; i < pages && i < 4; i++)
			number(" store ", store(p + P(i), (char)pick(100)));
		break;
	case 18:
		for (unsigned long i = 0; i < pages; i++)
			number(" load ", load(p + P(i)));
		break;
	case 19: {
		/* Of private memory alone: what they do to mappings of files was not always the same. */
		unsigned long from = pick(pages);

		r = syscall6(__NR_mmap, (long)p, (long)n, RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
		if (r == (long)p)
			r = syscall3(__NR_madvise, p + P(from), P(pages - from), 102);
		number(" guard from ", (long)from);
		break;
	}
	case 20: {
		static const int modes[] = {1, 2, 3, 5, 6, 7};
		int mode = modes[pick(6)];

		if (pick(3) != 0) {
			say(" munlockall");
			r = syscall0(__NR_munlockall);
		} else {
			number(" mlockall ", mode);
			r = syscall1(__NR_mlockall, mode);
		}
		break;
	}
	default:
		if (depth < 3 && pick(2) == 0) {
			long pid;
			int status;

			say(" fork\n");
			pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
			if (pid == 0) {
				unsigned long some = *left < 12 ? *left : 12;

				show();
				steps(depth + 1, &some);
				exit_group((int)(sum & 127));
			}
			syscall4(__NR_wait4, pid, &status, 0, NULL);
			number("child ", (status >> 8) & 255);
			/* Both go on alike. */
			pick(2);
		} else {
			r = -syscall2(__NR_ftruncate, file, P(2 + pick(8)));
			say(" truncate");
		}
	}
	number(" = ", r);
	say(":");
}

int main(int argc, char **argv, char **envp)
{
	unsigned long left = parse_number(argc > 2 ? argv[2] : NULL, 100);

	(void)envp;
	state = parse_number(argc > 1 ? argv[1] : NULL, 1) * 2654435761ul;
	quiet = argc > 3;
	file = syscall2(__NR_memfd_create, "random", 0);
	syscall2(__NR_ftruncate, file, P(12));
	/* At the same place within 2 MiB everywhere: what is mapped around a fault depends on that. */
	area = (char *)syscall6(__NR_mmap, 0, 4 * MIB, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	syscall2(__NR_munmap, area, 4 * MIB);
	area = (char *)(((uintptr_t)area + 2 * MIB - 1) & ~(2 * MIB - 1)) + P(8);
	steps(0, &left);
	print("sum %x\n", sum);
	return 0;
}
