/*
 * Mappings under advice and seals: what madvise(), mseal() and their neighbours answer, and what is
 * mapped afterwards. Prints the same natively on Linux.
 */
#include "layout.h"

#define PAGES 8ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#ifndef __NR_mseal
#define __NR_mseal 462
#endif
#define MADV_GUARD_INSTALL 102
#define MADV_GUARD_REMOVE 103

#define SHOW(call) print(#call " = %d\n", (long)(call))
#define P(n) ((n) * PAGE_SIZE)
#define madvise(p, n, a) syscall3(__NR_madvise, p, n, a)
#define munmap(p, n) syscall2(__NR_munmap, p, n)
#define mprotect(p, n, prot) syscall3(__NR_mprotect, p, n, prot)
#define mseal(p, n, f) syscall3(__NR_mseal, p, n, f)
#define mremap(p, o, n, f, a) syscall6(__NR_mremap, (long)(p), o, n, f, (long)(a), 0)
#define mmap(p, n, prot, f) syscall6(__NR_mmap, (long)(p), (long)(n), prot, f, -1, 0)

static char *area;

/* Pages of nobody, to map things over; those in the middle are mapped. */
static char *fresh(int prot)
{
	if (area != NULL)
		munmap(area, P(64));
	area = (char *)mmap(0, P(64), PROT_NONE, ANON);
	mmap(area + P(16), P(PAGES), prot, ANON | MAP_FIXED);
	return area + P(16);
}

static long fork(void)
{
	return syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

/* The signal by which a child ends that touches memory; 0 for none. */
static long touch(volatile char *p, int write)
{
	int status = 0;
	long pid = fork();

	if (pid == 0) {
		if (write)
			*p = 1;
		else
			(void)*p;
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	return status & 127;
}

static void arguments(void)
{
	char *p = fresh(RW);

	SHOW(madvise(p, 0, MADV_NORMAL));
	SHOW(madvise(p, 0, 1234));
	SHOW(madvise(p + 1, 0, MADV_NORMAL));
	SHOW(madvise(p + 1, 1, MADV_NORMAL));
	SHOW(madvise(p, 1, MADV_NORMAL));
	SHOW(madvise(p, -1ul, MADV_NORMAL));
	SHOW(madvise(p, -4096ul, MADV_NORMAL));
	SHOW(madvise(p, -8192ul, MADV_DONTNEED));
	SHOW(madvise(0, 4096, MADV_NORMAL));
	SHOW(madvise(-4096ul, 4096, MADV_NORMAL));
	SHOW(madvise(-8192ul, 4096, MADV_NORMAL));
	SHOW(madvise(-8192ul, 16384, MADV_NORMAL));
	for (int a = 0; a < 30; a++)
		if (a != 21)
			print("advice %d = %d\n", (long)a, madvise(p, P(1), a));
	layout("after all of it", p, PAGES);
	munmap(p + P(2), P(2));
	SHOW(madvise(p, P(PAGES), MADV_RANDOM));
	SHOW(madvise(p + P(2), P(2), MADV_DONTNEED));
	SHOW(madvise(p + P(6), P(4), MADV_DONTFORK));
	SHOW(madvise(p + P(1), P(2), 22));
	layout("with a hole", p, PAGES);
}

static void flags(void)
{
	char *p = fresh(RW);

	madvise(p + P(2), P(2), MADV_SEQUENTIAL);
	layout("sequential", p, PAGES);
	madvise(p + P(3), P(2), MADV_RANDOM);
	layout("random", p, PAGES);
	madvise(p + P(2), P(3), MADV_NORMAL);
	layout("normal", p, PAGES);
	madvise(p, P(1), MADV_DONTDUMP);
	madvise(p + P(1), P(1), MADV_DONTFORK);
	madvise(p + P(2), P(1), MADV_WIPEONFORK);
	madvise(p + P(3), P(1), MADV_MERGEABLE);
	madvise(p + P(4), P(1), MADV_HUGEPAGE);
	madvise(p + P(5), P(1), MADV_NOHUGEPAGE);
	layout("one each", p, PAGES);
	memset(p, 5, P(PAGES));
	if (fork() == 0) {
		layout("child", p, PAGES);
		print("child has %d %d %d\n", (long)p[0], (long)p[P(2)], (long)p[P(3)]);
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, NULL, 0, NULL);
	madvise(p, P(1), MADV_DODUMP);
	madvise(p + P(1), P(1), MADV_DOFORK);
	madvise(p + P(2), P(1), MADV_KEEPONFORK);
	madvise(p + P(3), P(1), MADV_UNMERGEABLE);
	layout("taken back", p, PAGES);
}

static void shared(void)
{
	char *p = (char *)mmap(0, P(8), RW, MAP_SHARED | MAP_ANONYMOUS);

	for (int a = 0; a < 26; a++)
		if (a != 21 && a != 25)
			print("shared, advice %d = %d\n", (long)a, madvise(p, P(1), a));
	layout("after all of it", p, 8);
	memset(p, 4, P(8));
	SHOW(madvise(p + P(2), P(2), MADV_GUARD_INSTALL));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(madvise(p + P(2), P(2), MADV_REMOVE));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(madvise(p, P(8), MADV_GUARD_REMOVE));
	print("contents: %d %d %d\n", (long)p[P(1)], (long)p[P(2)], (long)p[P(4)]);
	mprotect(p, P(8), PROT_READ);
	SHOW(madvise(p, P(1), MADV_REMOVE));
	SHOW(mseal(p, P(8), 0));
	SHOW(madvise(p, P(1), MADV_DONTNEED));
	SHOW(madvise(p, P(1), MADV_REMOVE));
	SHOW(munmap(p, P(1)));
	layout("sealed", p, 8);
}

static void populate(void)
{
	char *p = fresh(RW);

	SHOW(madvise(p, P(2), 22));
	layout("read", p, PAGES);
	SHOW(madvise(p + P(1), P(2), 23));
	layout("written", p, PAGES);
	mprotect(p, P(4), PROT_READ);
	SHOW(madvise(p, P(PAGES), 23));
	SHOW(madvise(p, P(PAGES), 22));
	layout("partly", p, PAGES);
	mprotect(p + P(4), P(1), PROT_NONE);
	SHOW(madvise(p, P(PAGES), 22));
	mprotect(p + P(4), P(1), PROT_WRITE);
	SHOW(madvise(p, P(PAGES), 22));
	SHOW(madvise(p + P(4), P(PAGES) - P(4), 23));
	mprotect(p + P(4), P(1), PROT_EXEC);
	SHOW(madvise(p, P(PAGES), 22));
	munmap(p + P(5), P(1));
	SHOW(madvise(p + P(5), P(1), 22));
	SHOW(madvise(p + P(3), P(1), -22));
}

struct usage {
	struct {
		long sec, usec;
	} user, system;
	long maxrss, rest[3], minflt, majflt, more[8];
};

static long faults(void)
{
	struct usage u;

	syscall2(__NR_getrusage, 0, &u);
	return u.minflt;
}

static void counts(void)
{
	char *p = fresh(RW);
	long before = faults();

	madvise(p, P(PAGES), 23);
	print("populated: %d faults\n", faults() - before);
	p = fresh(RW);
	before = faults();
	syscall2(__NR_mlock, p, P(PAGES));
	print("locked: %d faults\n", faults() - before);
	before = faults();
	p = (char *)mmap(0, P(20), RW, ANON | MAP_POPULATE);
	print("mapped: %d faults\n", faults() - before);
	before = faults();
	memset(p, 1, P(20));
	print("touched: %d faults\n", faults() - before);
	munmap(p, P(20));
}

#define mincore(p, n, v) syscall3(__NR_mincore, p, n, v)
#define msync(p, n, f) syscall3(__NR_msync, p, n, f)
#define remap_file_pages(p, n, prot, o, f) syscall6(__NR_remap_file_pages, (long)(p), (long)(n), prot, o, f, 0)

static void smaller(void)
{
	char *p = fresh(RW);
	char v[16];

	memset(v, 7, sizeof(v));
	p[P(1)] = 1;
	SHOW(mincore(p + 1, P(1), v));
	SHOW(mincore(p, 0, v));
	SHOW(mincore(p, -1ul, v));
	SHOW(mincore(p, -4096ul, v));
	SHOW(mincore(p, P(2), 8));
	SHOW(mincore(-4096ul, P(1), v));
	SHOW(mincore(-4096ul, P(2), v));
	SHOW(mincore(0, P(1), v));
	SHOW(mincore(p, P(3) - 1, v));
	print("%d %d %d %d\n", (long)v[0], (long)v[1], (long)v[2], (long)v[3]);
	munmap(p + P(3), P(1));
	SHOW(mincore(p, P(PAGES), v));
	print("%d %d %d %d\n", (long)v[0], (long)v[1], (long)v[2], (long)v[3]);
	SHOW(msync(p, P(PAGES), 4));
	SHOW(msync(p, P(2), 4));
	SHOW(msync(p, -1ul, 4));
	SHOW(msync(p, -4096ul, 1));
	SHOW(msync(p, 0, 4));
	SHOW(msync(p + 1, 0, 4));
	SHOW(msync(p, P(1), 5));
	SHOW(msync(p, P(1), 8));
	syscall2(__NR_mlock, p, P(1));
	SHOW(msync(p, P(2), 2));
	SHOW(msync(p, P(PAGES), 2));
	SHOW(remap_file_pages(p, P(1), 0, 0, 0));
	p = (char *)mmap(0, P(8), RW, MAP_SHARED | MAP_ANONYMOUS);
	for (int i = 0; i < 8; i++)
		p[P(i)] = (char)i;
	SHOW(remap_file_pages(p, P(1), 0, 3, 0));
	SHOW(remap_file_pages(p + P(1), P(2), 0, 5, 0));
	print("%d %d %d %d\n", (long)p[0], (long)p[P(1)], (long)p[P(2)], (long)p[P(3)]);
	SHOW(remap_file_pages(p + P(1), P(2), 1, 5, 0));
	SHOW(remap_file_pages(p + P(1), P(20), 0, 5, 0));
	SHOW(remap_file_pages(p + P(1) + 1, 100, 0, 5, 0));
	SHOW(remap_file_pages(p + P(1), 0, 0, 5, 0));
	layout("remapped", p, 8);
}

static void guards(void)
{
	char *p = fresh(RW);
	long q;

	memset(p, 7, P(PAGES));
	SHOW(madvise(p + P(2), P(3), MADV_GUARD_INSTALL));
	SHOW(madvise(p + P(3), P(3), MADV_GUARD_INSTALL));
	layout("installed", p, PAGES);
	print("signals: %d %d %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0), touch(p + P(5), 1), touch(p + P(6), 1));
	SHOW(madvise(p, P(PAGES), MADV_DONTNEED));
	SHOW(madvise(p, P(PAGES), MADV_FREE));
	SHOW(madvise(p, P(PAGES), MADV_COLD));
	SHOW(madvise(p, P(PAGES), 22));
	SHOW(madvise(p + P(2), P(1), 23));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(mprotect(p, P(PAGES), PROT_READ));
	SHOW(mprotect(p, P(PAGES), RW));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(syscall2(__NR_mlock, p, P(2)));
	SHOW(syscall2(__NR_mlock, p, P(3)));
	SHOW(madvise(p, P(2), MADV_GUARD_INSTALL));
	SHOW(madvise(p + P(2), P(1), MADV_GUARD_REMOVE));
	SHOW(syscall2(__NR_munlock, p, P(PAGES)));
	SHOW(madvise(p + P(2), P(1), MADV_GUARD_INSTALL));
	q = mremap(p, P(PAGES), P(PAGES), 3, area + P(40));
	p = (char *)q;
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(madvise(p, P(PAGES), MADV_GUARD_REMOVE));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	SHOW(madvise(p, P(PAGES), MADV_GUARD_INSTALL));
	munmap(p + P(2), P(2));
	mmap(p + P(2), P(2), RW, ANON | MAP_FIXED);
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(2), 0));
	munmap(p + P(3), P(1));
	SHOW(madvise(p, P(PAGES), MADV_GUARD_REMOVE));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(4), 0));
	SHOW(madvise(p, P(PAGES), MADV_GUARD_INSTALL));
	print("signals: %d %d\n", touch(p + P(1), 0), touch(p + P(4), 0));
	layout("at the end", p, PAGES);
	p = (char *)mmap(0, P(4), PROT_READ, ANON);
	SHOW(madvise(p, P(4), MADV_GUARD_INSTALL));
	print("signals: %d\n", touch(p + P(1), 0));
	p = (char *)mmap(0, P(4), RW, ANON | MAP_LOCKED);
	SHOW(madvise(p, P(4), MADV_GUARD_INSTALL));
	SHOW(madvise(p, P(4), MADV_GUARD_REMOVE));
	munmap(p, P(4));
	/* Over a huge page, where there are any. */
	p = (char *)mmap(0, 4 * MIB, RW, ANON);
	p = (char *)(((uintptr_t)p + 2 * MIB - 1) & ~(2 * MIB - 1));
	madvise(p, 2 * MIB, MADV_HUGEPAGE);
	memset(p, 3, 2 * MIB);
	SHOW(madvise(p + P(8), P(8), MADV_GUARD_INSTALL));
	print("around it: %d %d, signals %d\n", (long)p[P(7)], (long)p[P(16)], touch(p + P(8), 0));
	SHOW(madvise(p, 2 * MIB, MADV_GUARD_INSTALL));
	SHOW(madvise(p, 2 * MIB, MADV_GUARD_REMOVE));
	print("behind it: %d\n", (long)p[P(7)]);
	munmap(p, 2 * MIB);
}

static void seals(void)
{
	char *p = fresh(RW);

	SHOW(mseal(p, P(1), 1));
	SHOW(mseal(p + 1, P(1), 0));
	SHOW(mseal(p, 0, 0));
	SHOW(mseal(p, -1ul, 0));
	SHOW(mseal(p, -4096ul, 0));
	SHOW(mseal(0, P(1), 0));
	munmap(p + P(7), P(1));
	SHOW(mseal(p, P(PAGES), 0));
	layout("nothing sealed", p, PAGES);
	mmap(p + P(7), P(1), RW, ANON | MAP_FIXED);
	memset(p, 9, P(PAGES));
	SHOW(mseal(p + P(2), P(4) - 5, 0));
	layout("sealed", p, PAGES);
	SHOW(mseal(p + P(3), P(1), 0));
	SHOW(munmap(p + P(3), P(1)));
	SHOW(munmap(p, P(3)));
	layout("not unmapped", p, PAGES);
	SHOW(munmap(p + P(5), P(3)));
	SHOW(mprotect(p, P(PAGES), PROT_READ));
	layout("protected up to it", p, PAGES);
	SHOW(mprotect(p, P(2), RW));
	SHOW(mprotect(p + P(3), P(1), RW));
	SHOW(mremap(p + P(2), P(2), P(1), 0, 0));
	SHOW(mremap(p + P(2), P(2), P(2), 0, 0));
	SHOW(mremap(p + P(2), P(4), P(8), 1, 0));
	SHOW(mremap(p + P(2), P(1), P(1), 3, area));
	SHOW(mremap(p, P(1), P(1), 3, p + P(3)));
	SHOW(mremap(p, P(2), P(1), 0, 0) == (long)p);
	mmap(p + P(1), P(1), RW, ANON | MAP_FIXED);
	print("map over it: %d\n", mmap(p + P(3), P(1), RW, ANON | MAP_FIXED));
	print("map over more: %d\n", mmap(p + P(1), P(2), RW, ANON | MAP_FIXED));
	layout("as it was", p, PAGES);
	for (int a = 0; a < 26; a++)
		if (a != 21 && a != 25)
			print("advice %d = %d\n", (long)a, madvise(p + P(2), P(4), a));
	SHOW(madvise(p + P(2), P(1), MADV_GUARD_INSTALL));
	SHOW(madvise(p + P(2), P(1), MADV_GUARD_REMOVE));
	layout("advised", p, PAGES);
	p = fresh(RW);
	memset(p, 9, P(PAGES));
	mprotect(p, P(PAGES), PROT_READ);
	mseal(p, P(4), 0);
	for (int a = 0; a < 26; a++)
		if (a != 21 && a != 25)
			print("advice %d = %d\n", (long)a, madvise(p, P(1), a));
	SHOW(madvise(p, P(1), MADV_GUARD_INSTALL));
	SHOW(madvise(p, P(1), MADV_GUARD_REMOVE));
	SHOW(madvise(p, P(PAGES), MADV_DONTNEED));
	SHOW(syscall2(__NR_mlock, p, P(1)));
	SHOW(syscall2(__NR_munlock, p, P(1)));
	layout("read only", p, PAGES);
	if (fork() == 0) {
		layout("child", p, PAGES);
		SHOW(munmap(p, P(1)));
		exit_group(0);
	}
	syscall4(__NR_wait4, -1, NULL, 0, NULL);
	area = NULL;
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	arguments();
	flags();
	shared();
	populate();
	counts();
	smaller();
	guards();
	seals();
	return 0;
}
