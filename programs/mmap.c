/*
 * Where mappings come to lie, what they merge with, and when there are none: mmap(), brk(), mprotect() and
 * the limits on them. Prints the same natively on Linux.
 */
#include <linux/resource.h>

#include "layout.h"
#include "set_mm.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define DROPPABLE 8

#define SHOW(call) print(#call " = %d\n", (long)(call))
#define P(n) ((n) * PAGE_SIZE)
#define madvise(p, n, a) syscall3(__NR_madvise, p, n, a)
#define munmap(p, n) syscall2(__NR_munmap, p, n)
#define mprotect(p, n, prot) syscall3(__NR_mprotect, p, n, prot)
#define mremap(p, o, n, f, a) syscall6(__NR_mremap, (long)(p), o, n, f, (long)(a), 0)
#define mmap(p, n, prot, f) syscall6(__NR_mmap, (long)(p), (long)(n), prot, f, -1, 0)

static char *area;

/* 64 pages of nobody. */
static char *fresh(void)
{
	if (area != NULL)
		munmap(area, P(64));
	area = (char *)mmap(0, P(64), PROT_NONE, ANON | MAP_NORESERVE);
	return area;
}

static long fork(void)
{
	return syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

static void arguments(void)
{
	char *p = fresh() + P(8);
	char *top = area + P(64);

	SHOW(mmap(0, 0, RW, ANON));
	SHOW(mmap(0, -1ul, RW, ANON));
	SHOW(mmap(0, -8192ul, RW, ANON));
	SHOW(mmap(0, 1ul << 47, RW, ANON));
	for (int type = 0; type < 16; type++) {
		long r = mmap(p, P(1), RW, type | MAP_ANONYMOUS | MAP_FIXED);

		print("type %d = %d\n", (long)type, r == (long)p ? 0 : r);
		r = mmap(p, P(1), RW, type | MAP_ANONYMOUS | MAP_FIXED | MAP_GROWSDOWN);
		print("type %d, grows down = %d\n", (long)type, r == (long)p ? 0 : r);
	}
	for (int bit = 4; bit < 31; bit++) {
		long r;

		/* x86's own, and huge pages */
		if (bit == 6 || bit == 7 || bit == 18)
			continue;
		mmap(p, P(1), PROT_NONE, ANON | MAP_FIXED | MAP_NORESERVE);
		r = mmap(p, P(1), RW, ANON | MAP_FIXED | (1 << bit));
		print("bit %d = %d\n", (long)bit, r == (long)p ? 0 : r);
		layout("gives", p, 1);
		if (r == (long)p)
			munmap(p, P(1));
	}
	for (int bit = 0; bit < 32; bit++) {
		long r = mmap(p, P(1), 1ul << bit, ANON | MAP_FIXED);

		if (bit < 4 || r != (long)p)
			print("prot %d = %d\n", (long)bit, r == (long)p ? 0 : r);
	}
	SHOW(mmap(p, P(1), RW, DROPPABLE | MAP_ANONYMOUS | MAP_FIXED) == (long)p);
	SHOW(mmap(p, P(1), RW, DROPPABLE | MAP_ANONYMOUS | MAP_FIXED | MAP_LOCKED));
	layout("droppable", p, 1);
	SHOW(madvise(p, P(1), MADV_KEEPONFORK));
	SHOW(madvise(p, P(1), MADV_DODUMP));
	SHOW(madvise(p, P(1), MADV_DOFORK));
	SHOW(madvise(p, P(1), MADV_MERGEABLE));
	SHOW(syscall2(__NR_mlock, p, P(1)));
	SHOW(syscall1(__NR_mlockall, 2));
	SHOW(mmap(p + P(2), P(1), RW, DROPPABLE | MAP_ANONYMOUS | MAP_FIXED) == (long)(p + P(2)));
	SHOW(syscall0(__NR_munlockall));
	layout("droppable", p, 3);
	SHOW(mmap(p + 1, P(1), RW, ANON | MAP_FIXED));
	SHOW(mmap(p + 1, P(1), RW, ANON | 0x100000));
	SHOW(mmap(-4096ul, P(1), RW, ANON | MAP_FIXED));
	SHOW(mmap(-4096ul, P(2), RW, ANON | MAP_FIXED));
	SHOW(mmap(-4097ul, P(1), RW, ANON | MAP_FIXED));
	SHOW(mmap(area, P(64), RW, ANON | 0x100000));
	SHOW(mmap(top - P(1), P(2), RW, ANON | 0x100000));
	/* Hints: taken where they can be, cut to pages, and not more. */
	munmap(p, P(8));
	SHOW((char *)mmap(p, P(4), RW, ANON) == p);
	munmap(p, P(4));
	SHOW((char *)mmap(p + 5, P(4), RW, ANON) == p);
	SHOW((char *)mmap(p + 4095, P(1), RW, ANON) == p);
	SHOW((char *)mmap(p + P(7), P(2), RW, ANON) == p + P(7));
	SHOW((char *)mmap(p + P(7) - 1, P(1), RW, ANON) == p + P(6));
	SHOW(munmap(p + 1, P(1)));
	SHOW(munmap(p, 0));
	SHOW(munmap(p, -1ul));
	SHOW(munmap(p, 1ul << 48));
	SHOW(munmap(-4096ul, 4096));
	SHOW(munmap(p, 1));
	SHOW(munmap(p, P(8)));
	SHOW(munmap(p, P(8)));
}

static void merges(void)
{
	char *p = fresh() + P(8);

	mmap(p, P(4), RW, ANON | MAP_FIXED);
	mmap(p + P(4), P(4), RW, ANON | MAP_FIXED);
	layout("side by side", p, 8);
	mmap(p - P(2), P(2), RW, ANON | MAP_FIXED);
	layout("below", p, 8);
	munmap(p + P(2), P(2));
	mmap(p + P(2), P(2), RW, ANON | MAP_FIXED);
	layout("between", p, 8);
	mprotect(p + P(2), P(2), PROT_READ);
	layout("read only", p, 8);
	p[0] = 1;
	mprotect(p + P(2), P(2), RW);
	layout("back, below touched", p, 8);
	mprotect(p + P(2), P(2), PROT_READ);
	p[P(6)] = 1;
	mprotect(p + P(2), P(2), RW);
	layout("both touched", p, 8);

	/* Touched apart, so that each has its own, and then joined by what lies between. */
	p = fresh() + P(8);
	mmap(p, P(2), RW, ANON | MAP_FIXED);
	mmap(p + P(4), P(2), RW, ANON | MAP_FIXED);
	p[0] = 1;
	p[P(4)] = 1;
	mmap(p + P(2), P(2), RW, ANON | MAP_FIXED);
	layout("two of their own", p, 6);
	mprotect(p, P(6), PROT_READ);
	layout("read only", p, 6);

	/* Permissions that differ when the second is touched. */
	p = fresh() + P(8);
	mmap(p, P(4), RW, ANON | MAP_FIXED);
	p[0] = 1;
	mprotect(p + P(2), P(2), PROT_READ);
	mmap(p + P(4), P(2), PROT_READ | PROT_WRITE | PROT_EXEC, ANON | MAP_FIXED);
	p[P(4)] = 1;
	mprotect(p + P(4), P(2), PROT_READ);
	layout("neighbours touched", p, 6);
	mprotect(p, P(2), PROT_READ);
	layout("all alike", p, 6);

	/* Moved. */
	p = fresh() + P(8);
	mmap(p, P(6), RW, ANON | MAP_FIXED);
	p[0] = 1;
	mremap(p + P(2), P(2), P(2), 3, area + P(32));
	layout("a part moved away", p, 6);
	mremap(area + P(32), P(2), P(2), 3, p + P(2));
	layout("and back", p, 6);
	mremap(p, P(2), P(2), 3, area + P(32));
	mmap(area + P(34), P(2), RW, ANON | MAP_FIXED);
	layout("next to one that was never moved", area + P(32), 4);
	mmap(p, P(2), RW, ANON | MAP_FIXED);
	layout("the old place taken", p, 6);

	/* In a child nothing joins what came from the parent. */
	p = fresh() + P(8);
	mmap(p, P(4), RW, ANON | MAP_FIXED);
	p[0] = 1;
	if (fork() == 0) {
		mmap(p + P(4), P(2), RW, ANON | MAP_FIXED);
		layout("child, touched by the parent", p, 6);
		mprotect(p, P(2), PROT_READ);
		layout("child, cut", p, 6);
		mprotect(p, P(2), RW);
		layout("child, joined again", p, 6);
		p[P(4)] = 1;
		layout("child, touched", p, 6);
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, NULL, 0, NULL);
	mmap(p + P(4), P(2), RW, ANON | MAP_FIXED);
	layout("parent", p, 6);
	mprotect(p + P(2), P(1), PROT_READ);
	if (fork() == 0) {
		mprotect(p + P(2), P(1), RW);
		layout("child of three", p, 6);
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, NULL, 0, NULL);
	mprotect(p + P(2), P(1), RW);
	layout("parent", p, 6);

	/* All of it for KSM, as a child asks for it. */
	p = fresh() + P(8);
	if (fork() == 0) {
		mmap(p, P(2), RW, ANON | MAP_FIXED);
		SHOW(syscall6(__NR_prctl, 67, 1, 0, 0, 0, 0));
		mmap(p + P(2), P(2), RW, ANON | MAP_FIXED);
		mmap(p + P(4), P(1), RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
		layout("mergeable", p, 6);
		SHOW(madvise(p + P(1), P(1), MADV_UNMERGEABLE));
		layout("but for a page", p, 6);
		SHOW(syscall6(__NR_prctl, 67, 0, 0, 0, 0, 0));
		layout("not any more", p, 6);
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, NULL, 0, NULL);

	/* Promises of memory. */
	p = fresh() + P(8);
	mmap(p, P(4), PROT_READ, ANON | MAP_FIXED);
	mmap(p + P(4), P(4), RW, ANON | MAP_FIXED);
	layout("one of them promised", p, 8);
	mprotect(p + P(4), P(4), PROT_READ);
	layout("taken back", p, 8);
	mprotect(p, P(8), RW);
	p[P(1)] = 1;
	mprotect(p, P(8), PROT_READ);
	layout("touched", p, 8);
	mmap(p + P(8), P(2), RW, ANON | MAP_FIXED | MAP_NORESERVE);
	mprotect(p + P(8), P(2), PROT_READ);
	layout("beside one without", p, 10);
}

static void protections(void)
{
	char *p = fresh() + P(8);

	mmap(p, P(4), RW, ANON | MAP_FIXED);
	SHOW(mprotect(p + 1, P(1), RW));
	SHOW(mprotect(p, 0, -1));
	SHOW(mprotect(p, 0, RW));
	SHOW(mprotect(p, -1ul, PROT_READ));
	SHOW(mprotect(p, -4096ul, PROT_READ));
	SHOW(mprotect(p, 1, 16));
	SHOW(mprotect(p, 1, 8 | PROT_READ));
	layout("one page", p, 4);
	SHOW(mprotect(p, P(4), RW));
	munmap(p + P(2), P(1));
	SHOW(mprotect(p, P(4), PROT_READ));
	layout("up to the hole", p, 4);
	SHOW(mprotect(p + P(2), P(1), PROT_READ));
	SHOW(mprotect(p, P(1), PROT_READ | 0x01000000));
	SHOW(mprotect(p, P(1), PROT_READ | 0x02000000));
	SHOW(mprotect(p, P(1), PROT_READ | 0x03000000));
	p = fresh() + P(32);
	mmap(p, P(4), RW, ANON | MAP_FIXED | MAP_GROWSDOWN);
	p[0] = 1;
	SHOW(mprotect(p + P(2), P(1), PROT_READ | 0x01000000));
	layout("a stack, downwards", p, 4);
	SHOW(mprotect(p + P(3), P(1), PROT_READ | 0x01000000));
	layout("all of it", p, 4);
}

static void stacks(void)
{
	char *p = fresh();
	char *top;
	int status;

	munmap(p, P(64));
	p = (char *)mmap(0, P(1024), PROT_NONE, ANON | MAP_NORESERVE);
	munmap(p, P(1024));
	top = p + P(1020);
	mmap(top, P(2), RW, ANON | MAP_FIXED | MAP_GROWSDOWN);
	top[-1] = 1;
	layout("grown by one", top - P(1), 3);
	top[-P(16)] = 1;
	layout("grown", top - P(16), 18);
	/* Something that can be used keeps its distance; what cannot does not. */
	mmap(top - P(400), P(1), PROT_READ, ANON | MAP_FIXED);
	if (fork() == 0) {
		top[-P(143)] = 1;
		layout("up to the gap", top - P(143), 145);
		top[-P(144)] = 1;
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, &status, 0, NULL);
	print("signal %d\n", (long)(status & 127));
	mprotect(top - P(400), P(1), PROT_NONE);
	top[-P(399)] = 1;
	layout("next to it", top - P(399), 401);
	SHOW((char *)mmap(top - P(410), P(2), RW, ANON) == top - P(410));
	munmap(p, P(1024));
	area = NULL;
}

static void limit(int which, unsigned long bytes)
{
	struct rlimit l;

	syscall4(__NR_prlimit64, 0, which, NULL, &l);
	l.rlim_cur = bytes;
	syscall4(__NR_prlimit64, 0, which, &l, NULL);
}

static void limits(void)
{
	char *p = fresh();
	long brk = syscall1(__NR_brk, 0);

	limit(RLIMIT_AS, number_in("/proc/self/status", "VmSize:") * 1024 + P(8));
	SHOW(mmap(0, P(9), PROT_NONE, ANON));
	SHOW(mmap(0, P(8), PROT_NONE, ANON) > 0);
	SHOW(mmap(0, P(1), PROT_NONE, ANON));
	SHOW(mmap(p, P(4), RW, ANON | MAP_FIXED) == (long)p);
	SHOW(syscall1(__NR_brk, brk + 8192) == brk);
	SHOW(mremap(p, P(4), P(5), 1, 0));
	limit(RLIMIT_AS, ~0ul);
	limit(RLIMIT_DATA, number_in("/proc/self/status", "VmData:") * 1024 + P(4));
	SHOW(mmap(0, P(5), RW, ANON));
	SHOW(mmap(0, P(5), PROT_READ, ANON) > 0);
	SHOW(mmap(0, P(5), RW, MAP_SHARED | MAP_ANONYMOUS) > 0);
	p = (char *)mmap(0, P(16), PROT_READ, ANON);
	SHOW(mprotect(p, P(5), RW));
	SHOW(mprotect(p, P(4), RW));
	SHOW(mprotect(p + P(4), P(1), RW));
	SHOW(mprotect(p, P(4), PROT_READ));
	SHOW(syscall1(__NR_brk, brk + 64 * 4096) == brk);
	limit(RLIMIT_DATA, ~0ul);
	SHOW(syscall1(__NR_brk, brk + 4097) - brk);
	SHOW(syscall1(__NR_brk, brk + 100) - brk);
	SHOW(syscall1(__NR_brk, 0) - brk);
	SHOW(syscall1(__NR_brk, 1) - brk);
	SHOW(syscall1(__NR_brk, -1ul) - brk);
	SHOW(syscall1(__NR_brk, brk) - brk);
	/* Something in the way: a page is left free below it. */
	brk = (brk + 4095) & ~4095l;
	syscall1(__NR_brk, brk);
	mmap(brk + 8 * 4096, P(1), PROT_NONE, ANON | MAP_FIXED);
	SHOW(syscall1(__NR_brk, brk + 8 * 4096) - brk);
	SHOW(syscall1(__NR_brk, brk + 7 * 4096 + 1) - brk);
	SHOW(syscall1(__NR_brk, brk + 7 * 4096) - brk);
	munmap(brk + 8 * 4096, P(1));
	SHOW(syscall1(__NR_brk, brk + 8 * 4096) - brk);
	/* What lies above does not become one with the heap. */
	mmap(brk + 8 * 4096, P(1), RW, ANON | MAP_FIXED);
	layout("heap", (void *)brk, 9);
	munmap(brk + 4 * 4096, P(1));
	SHOW(syscall1(__NR_brk, brk + 2 * 4096) - brk);
	layout("heap", (void *)brk, 9);
}

/* A heap among other mappings, where it is said to be. */
static void moved_heap(void)
{
	char *p = fresh() + P(8);
	long brk = (long)p;
	struct prctl_mm_map map = mm_map(brk, brk), wrong;
	unsigned int size = 0;

	munmap(p, P(32));
	SHOW(syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP_SIZE, (long)&size, 0, 0, 0));
	SHOW(size);
	SHOW(syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (long)&map, sizeof(map) - 1, 0, 0));
	SHOW(syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, 8, sizeof(map), 0, 0));
	SHOW(syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (long)&map, sizeof(map), 1, 0));
	SHOW(syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_BRK, brk, 1, 0, 0));
	for (int i = 0; i < 11; i++) {
		wrong = map;
		((__u64 *)&wrong)[i] = 4096;
		print("%d: %d", (long)i, set_mm(&wrong));
		((__u64 *)&wrong)[i] = 1ul << 56;
		print(" %d", set_mm(&wrong));
		((__u64 *)&wrong)[i] = (__u64)brk + P(2);
		print(" %d\n", set_mm(&wrong));
	}
	wrong = map;
	wrong.auxv_size = 16;
	SHOW(set_mm(&wrong));
	wrong.auxv = (__u64 *)8;
	SHOW(set_mm(&wrong));
	wrong.auxv = (__u64 *)&map;
	wrong.auxv_size = 4096;
	SHOW(set_mm(&wrong));
	wrong = map;
	wrong.exe_fd = 77;
	SHOW(set_mm(&wrong));
	limit(RLIMIT_DATA, P(4));
	wrong.exe_fd = -1u;
	wrong.brk += P(4) + 1;
	SHOW(set_mm(&wrong));
	limit(RLIMIT_DATA, ~0ul);
	SHOW(set_mm(&map));
	SHOW(syscall1(__NR_brk, brk + P(2) + 5) - brk);
	p[P(2)] = 1;
	layout("a heap", p, 12);
	mmap(p + P(8), P(2), RW, ANON | MAP_FIXED);
	/* A page is left free below what lies above. */
	SHOW(syscall1(__NR_brk, brk + P(8)) - brk);
	SHOW(syscall1(__NR_brk, brk + P(7)) - brk);
	/* Parts of it may be anything. */
	munmap(p + P(1), P(1));
	mprotect(p + P(3), P(1), PROT_READ);
	layout("with a hole", p, 12);
	SHOW(syscall1(__NR_brk, brk + P(2)) - brk);
	layout("shorter", p, 12);
	mmap(p + P(2), P(1), RW, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
	SHOW(syscall1(__NR_brk, brk + P(3)) - brk);
	SHOW(syscall1(__NR_brk, brk + 1) - brk);
	SHOW(syscall1(__NR_brk, brk + P(4)) - brk);
	layout("something above", p, 12);
	/* What is said to be the heap and is none goes with it. */
	map.brk = (__u64)brk + P(9);
	SHOW(set_mm(&map));
	SHOW(syscall1(__NR_brk, brk) - brk);
	layout("all of it", p, 12);
}

/* How much is promised: for a machine whose settings are known. */
static void promises(void)
{
	unsigned long got = 0;
	char *p;

	SHOW(mmap(0, 1ul << 30, RW, ANON) > 0);
	SHOW(mmap(0, 1ul << 30, PROT_READ, ANON) > 0);
	p = (char *)mmap(0, 1ul << 30, PROT_READ, ANON);
	SHOW(mprotect(p, 1ul << 30, RW));
	p = (char *)mmap(0, 8 * MIB, RW, ANON | MAP_NORESERVE);
	layout("without a promise", p, 2048);
	for (; got < 64; got++)
		if (mmap(0, 8 * MIB, RW, ANON) < 0)
			break;
	print("%u MiB\n", 8 * got);
	if (got < 64) {
		SHOW(mmap(0, 8 * MIB, RW, MAP_SHARED | MAP_ANONYMOUS));
		SHOW(syscall1(__NR_brk, syscall1(__NR_brk, 0) + 8 * MIB) - syscall1(__NR_brk, 0));
	}
	print("fork: %s\n", fork() < 0 ? "fails" : "succeeds");
	exit_group(0);
}

int main(int argc, char **argv, char **envp)
{
	(void)argv;
	(void)envp;
	if (argc > 1)
		promises();
	arguments();
	merges();
	protections();
	stacks();
	limits();
	moved_heap();
	return 0;
}
