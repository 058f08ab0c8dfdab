/*
 * collapse: MADV_COLLAPSE on all kinds of anonymous memory. Prints what each call answers and what smaps
 * says then, and checks every word. Without an argument it does what any Linux can do, to compare with;
 * with "all", what needs swap and the test device too.
 */
#include "dmirror.h"
#include "huge.h"
#include "smaps.h"

static void show(const char *what, char *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("%s: Rss %u Anonymous %u AnonHugePages %u Swap %u\n", what,
	      field("Rss:", start, start + size), field("Anonymous:", start, start + size),
	      field("AnonHugePages:", start, start + size), field("Swap:", start, start + size));
}

/* Memory at a multiple of 2 MiB, in a mapping of its own. */
static char *map_aligned(size_t size)
{
	uintptr_t p = (uintptr_t)map_anonymous(size + 2 * HUGE);
	uintptr_t aligned = (p + 2 * HUGE - 1) & ~(HUGE - 1);

	syscall2(__NR_munmap, p, aligned - p);
	syscall2(__NR_munmap, aligned + size, p + 2 * HUGE - aligned);
	return (char *)aligned;
}

static void protect(char *p, size_t size, int prot)
{
	long error = syscall3(__NR_mprotect, p, size, prot);

	if (error != 0)
		fail("mprotect", error);
}

static void kinds(void)
{
	char *p = map_aligned(2 * HUGE);

	collapse("never touched", p, 2 * HUGE);
	(void)*(volatile char *)p;
	collapse("only read", p, HUGE);
	show("only read", p, 2 * HUGE);
	fill(p, PAGE_SIZE, 2 * PAGE_SIZE);
	collapse("one page", p, HUGE);
	show("one page", p, 2 * HUGE);
	check(p, PAGE_SIZE, 2 * PAGE_SIZE);
	print("the others: %u %u\n", *(uint64_t *)p, *(uint64_t *)(p + HUGE - PAGE_SIZE));
	collapse("again", p, HUGE);
	collapse("nothing below the next", p + HUGE, HUGE);
	collapse("both", p, 2 * HUGE);
	show("both", p, 2 * HUGE);
	fill(p, HUGE, 2 * HUGE);
	collapse("all pages", p + HUGE, HUGE);
	show("all pages", p, 2 * HUGE);
	check(p, HUGE, 2 * HUGE);
	advise("MADV_DONTNEED", p, 2 * HUGE, MADV_DONTNEED);
	show("given back", p, 2 * HUGE);
	collapse("given back", p, 2 * HUGE);
	fill(p, 0, 2 * HUGE);
	protect(p, PAGE_SIZE, PROT_READ);
	collapse("two VMAs", p, HUGE);
	collapse("two VMAs and the next", p, 2 * HUGE);
	show("two VMAs and the next", p, 2 * HUGE);
	protect(p, HUGE, PROT_READ);
	collapse("read-only", p, HUGE);
	show("read-only", p, 2 * HUGE);
	check(p, 0, 2 * HUGE);
	protect(p, HUGE, PROT_NONE);
	collapse("no access, huge", p, HUGE);
	protect(p, HUGE, PROT_RW);
	check(p, 0, 2 * HUGE);
	fill(p, 0, HUGE);
	syscall2(__NR_munmap, p, 2 * HUGE);

	p = map_aligned(HUGE);
	fill(p, 0, HUGE);
	protect(p, HUGE, PROT_NONE);
	collapse("no access", p, HUGE);
	protect(p, HUGE, PROT_RW);
	show("no access", p, HUGE);
	check(p, 0, HUGE);
	syscall2(__NR_munmap, p, HUGE);
}

static void arguments(void)
{
	char *p = map_aligned(4 * HUGE);

	fill(p, 0, 4 * HUGE);
	collapse("a page", p, PAGE_SIZE);
	collapse("nothing", p, 0);
	collapse("less than 2 MiB", p, HUGE - PAGE_SIZE);
	collapse("2 MiB across", p + PAGE_SIZE, HUGE);
	collapse("a page in the middle", p + MIB, PAGE_SIZE);
	collapse("up to the border", p + MIB, MIB);
	collapse("across it", p + MIB, 2 * MIB);
	collapse("not at a page", p + 1, HUGE);
	collapse("size not of whole pages", p, HUGE - 1);
	show("before", p, 4 * HUGE);
	collapse("more than 2 MiB across", p + PAGE_SIZE, 2 * HUGE - PAGE_SIZE);
	show("the second one", p, 4 * HUGE);
	syscall2(__NR_munmap, p + 3 * HUGE, HUGE);
	collapse("into a hole", p + 2 * HUGE, 2 * HUGE);
	show("up to the hole", p, 3 * HUGE);
	collapse("in a hole", p + 3 * HUGE, HUGE);
	syscall2(__NR_munmap, p + HUGE, PAGE_SIZE);
	collapse("with a hole", p, 3 * HUGE);
	show("with a hole", p, 3 * HUGE);
	syscall2(__NR_munmap, p, 3 * HUGE);

	p = map_aligned(HUGE);
	fill(p, 0, PAGE_SIZE);
	advise("MADV_NOHUGEPAGE", p, HUGE, MADV_NOHUGEPAGE);
	collapse("not wanted", p, HUGE);
	advise("MADV_HUGEPAGE", p, HUGE, MADV_HUGEPAGE);
	collapse("wanted", p, HUGE);
	show("wanted", p, HUGE);
	syscall2(__NR_munmap, p, HUGE);
}

static void pieces(void)
{
	char *p = map_aligned(2 * HUGE);

	advise("MADV_HUGEPAGE", p, 2 * HUGE, MADV_HUGEPAGE);
	fill(p, 0, 2 * HUGE);
	show("huge by a fault", p, 2 * HUGE);
	advise("MADV_DONTNEED", p + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	show("a page given back", p, 2 * HUGE);
	collapse("a folio mapped in part", p, HUGE);
	show("collapsed", p, 2 * HUGE);
	check(p, 0, PAGE_SIZE);
	print("%u\n", *(uint64_t *)(p + PAGE_SIZE));
	check(p, 2 * PAGE_SIZE, 2 * HUGE);
	protect(p + HUGE, PAGE_SIZE, PROT_READ);
	protect(p + HUGE, PAGE_SIZE, PROT_RW);
	show("split and whole", p, 2 * HUGE);
	collapse("a folio mapped page by page", p + HUGE, HUGE);
	show("collapsed", p, 2 * HUGE);
	check(p, 2 * PAGE_SIZE, 2 * HUGE);
	syscall2(__NR_munmap, p, 2 * HUGE);

	/* Zeros, by the huge page and by single ones. */
	p = map_aligned(HUGE);
	advise("MADV_HUGEPAGE", p, HUGE, MADV_HUGEPAGE);
	(void)*(volatile char *)p;
	show("zeros", p, HUGE);
	collapse("zeros", p, HUGE);
	advise("MADV_DONTNEED", p, PAGE_SIZE, MADV_DONTNEED);
	collapse("zeros page by page", p, HUGE);
	show("zeros page by page", p, HUGE);
	print("%u\n", *(uint64_t *)(p + HUGE - PAGE_SIZE));
	fill(p, 0, HUGE);
	check(p, 0, HUGE);
	syscall2(__NR_munmap, p, HUGE);

	/* What moved is not where it was mapped first. */
	p = map_aligned(2 * HUGE);
	fill(p, 0, HUGE);
	syscall6(__NR_mremap, (long)p, 16 * PAGE_SIZE, 16 * PAGE_SIZE, 3, (long)(p + HUGE + 16 * PAGE_SIZE), 0);
	collapse("what moved", p + HUGE, HUGE);
	collapse("what was left", p, HUGE);
	show("moved", p, 2 * HUGE);
	syscall2(__NR_munmap, p, 2 * HUGE);
}

/* Waits for a child that ends with a status. */
static void reap(long pid)
{
	int status = 0;

	syscall4(__NR_wait4, pid, &status, 0, 0);
	if (status != 0)
		print("the child: %x\n", (unsigned long)status);
}

static long fork(void)
{
	return syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

static void shared(void)
{
	char *p = map_aligned(HUGE);
	long pid;

	fill(p, 0, HUGE);
	pid = fork();
	if (pid == 0) {
		collapse("child", p, HUGE);
		show("child", p, HUGE);
		check(p, 0, HUGE);
		*(volatile uint64_t *)p = 7;
		exit_group(0);
	}
	reap(pid);
	show("parent", p, HUGE);
	check(p, 0, HUGE);
	collapse("parent", p, HUGE);
	show("parent", p, HUGE);
	check(p, 0, HUGE);

	/* Now a child has the huge page of its parent. */
	pid = fork();
	if (pid == 0) {
		show("child", p, HUGE);
		*(volatile uint64_t *)p = 9;
		show("child has written", p, HUGE);
		collapse("child", p, HUGE);
		show("child", p, HUGE);
		print("%u\n", *(uint64_t *)p);
		check(p, PAGE_SIZE, HUGE);
		exit_group(0);
	}
	reap(pid);
	show("parent", p, HUGE);
	check(p, 0, HUGE);
	syscall2(__NR_munmap, p, HUGE);
}

/* prctl(PR_SET_THP_DISABLE), since 6.18 with a flag for who asks for huge pages. */
static void disabled(unsigned long how, unsigned long flags)
{
	print("PR_SET_THP_DISABLE %u %u: %d", how, flags, syscall6(__NR_prctl, 41, (long)how, (long)flags, 0, 0, 0));
	print(" %d\n", syscall6(__NR_prctl, 42, 0, 0, 0, 0, 0));
	for (int advice = 0; advice < 3; advice++) {
		char *p = map_aligned(HUGE);

		if (advice > 0)
			advise("advice", p, HUGE, advice == 1 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
		fill(p, 0, PAGE_SIZE);
		show(advice == 0 ? "no advice" : advice == 1 ? "wanted" : "not wanted", p, HUGE);
		collapse("collapsed", p, HUGE);
		syscall2(__NR_munmap, p, HUGE);
	}
}

static void swapped(void)
{
	char *p = map_aligned(HUGE);

	fill(p, 0, HUGE);
	advise("MADV_PAGEOUT", p, 100 * PAGE_SIZE, MADV_PAGEOUT);
	advise("MADV_PAGEOUT", p, 100 * PAGE_SIZE, MADV_PAGEOUT);
	show("paged out", p, HUGE);
	collapse("pages in swap", p, HUGE);
	show("collapsed", p, HUGE);
	check(p, 0, HUGE);
	advise("MADV_PAGEOUT", p, HUGE, MADV_PAGEOUT);
	advise("MADV_PAGEOUT", p, HUGE, MADV_PAGEOUT);
	show("all paged out", p, HUGE);
	collapse("all in swap", p, HUGE);
	show("collapsed", p, HUGE);
	check(p, 0, HUGE);
	syscall2(__NR_munmap, p, HUGE);
}

static void exclusive(void)
{
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
	char *p = map_aligned(HUGE);
	unsigned char *mirror = map_anonymous(HUGE);

	if (fd < 0)
		fail("/dev/hmm_dmirror1", fd);
	fill(p, 0, HUGE);
	print("EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, p, mirror, 16));
	collapse("pages of a device", p, HUGE);
	show("collapsed", p, HUGE);
	check(p, 0, HUGE);
	dmirror(fd, HMM_DMIRROR_SNAPSHOT, p, mirror, 512);
	print("snapshot: %x %x\n", (unsigned long)mirror[0], (unsigned long)mirror[511]);
	print("READ: %d\n", dmirror(fd, HMM_DMIRROR_READ, p, mirror, 512));
	check((char *)mirror, 0, HUGE);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	kinds();
	arguments();
	pieces();
	shared();
	disabled(1, 0);
	disabled(1, 2);
	disabled(1, 1);
	disabled(0, 2);
	disabled(0, 0);
	if (argc > 1 && string_equal(argv[1], "all")) {
		swapped();
		exclusive();
	}
	return 0;
}
