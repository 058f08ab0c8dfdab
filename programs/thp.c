/*
 * thp: what becomes of transparent huge pages when their memory is protected, given back, paged
 * out or made exclusive to a device piece by piece. Prints what smaps says at each step, and checks
 * every word. Without an argument it does what any Linux can do, to compare with; with "all", what
 * needs swap and the test device too.
 */
#include "dmirror.h"
#include "huge.h"
#include "smaps.h"

static void show(const char *what, char *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("%s: Rss %u Anonymous %u AnonHugePages %u Swap %u THPeligible %u\n", what,
	      field("Rss:", start, start + size), field("Anonymous:", start, start + size),
	      field("AnonHugePages:", start, start + size), field("Swap:", start, start + size),
	      field("THPeligible:", start, start + size));
}

/* Memory at a multiple of 2 MiB, advised. */
static char *map_huge(size_t size, int advice)
{
	uintptr_t p = (uintptr_t)map_anonymous(size + HUGE);
	char *aligned = (char *)((p + HUGE - 1) & ~(HUGE - 1));
	long error = syscall3(__NR_madvise, aligned, size, advice);

	if (error < 0)
		fail("madvise", error);
	return aligned;
}

static void protect(char *p, size_t size, int prot)
{
	long error = syscall3(__NR_mprotect, p, size, prot);

	if (error != 0)
		fail("mprotect", error);
}

static void faults_and_permissions(void)
{
	char *p = map_huge(2 * HUGE, MADV_HUGEPAGE);
	volatile char *byte = p;

	show("fresh", p, 2 * HUGE);
	byte[5] = 1;
	show("a byte written", p, 2 * HUGE);
	(void)byte[3 * MIB];
	show("another read", p, 2 * HUGE);
	fill(p, 0, 2 * HUGE);
	show("filled", p, 2 * HUGE);
	protect(p + MIB, PAGE_SIZE, PROT_READ);
	show("a page read-only", p, 2 * HUGE);
	check(p, 0, 2 * HUGE);
	protect(p + HUGE, HUGE, PROT_READ);
	show("2 MiB read-only", p, 2 * HUGE);
	protect(p, 2 * HUGE, PROT_NONE);
	show("no access", p, 2 * HUGE);
	protect(p, 2 * HUGE, PROT_RW);
	check(p, 0, 2 * HUGE);
	fill(p, 0, 2 * HUGE);
	show("writable again", p, 2 * HUGE);
}

static void pieces_given_back(void)
{
	char *p = map_huge(2 * HUGE, MADV_HUGEPAGE);

	fill(p, 0, 2 * HUGE);
	advise("MADV_DONTNEED", p + HUGE + PAGE_SIZE, 2 * PAGE_SIZE, MADV_DONTNEED);
	show("two pages given back", p, 2 * HUGE);
	print("they read %u and %u\n", (unsigned long)p[HUGE + PAGE_SIZE], (unsigned long)p[HUGE + 2 * PAGE_SIZE]);
	check(p, 0, HUGE + PAGE_SIZE);
	check(p, HUGE + 3 * PAGE_SIZE, 2 * HUGE);
	advise("MADV_DONTNEED", p, HUGE, MADV_DONTNEED);
	show("2 MiB given back", p, 2 * HUGE);
	fill(p, 0, HUGE);
	show("filled again", p, 2 * HUGE);
	syscall2(__NR_munmap, p + MIB, 3 * PAGE_SIZE);
	show("a hole", p, 2 * HUGE);
	check(p, 0, MIB);
	check(p, MIB + 3 * PAGE_SIZE, HUGE);

	p = map_huge(2 * HUGE, MADV_HUGEPAGE);
	fill(p, 0, 2 * HUGE);
	advise("MADV_FREE", p, HUGE, MADV_FREE);
	show("2 MiB lazily free", p, 2 * HUGE);
	advise("MADV_FREE", p + HUGE, MIB, MADV_FREE);
	show("1 MiB lazily free", p, 2 * HUGE);
	check(p, 0, 2 * HUGE);
}

static void zeros(void)
{
	char *p = map_huge(2 * HUGE, MADV_HUGEPAGE);
	volatile char *byte = p;

	(void)byte[0];
	(void)byte[HUGE + 5];
	show("read only", p, 2 * HUGE);
	byte[PAGE_SIZE] = 7;
	show("one written", p, 2 * HUGE);
	print("%u %u\n", (unsigned long)byte[0], (unsigned long)byte[PAGE_SIZE]);
	protect(p + HUGE, PAGE_SIZE, PROT_READ);
	show("zeros in part read-only", p, 2 * HUGE);
	print("%u\n", (unsigned long)byte[3 * MIB]);
	p = map_huge(2 * HUGE, MADV_NOHUGEPAGE);
	fill(p, 0, 2 * HUGE);
	show("not wanted", p, 2 * HUGE);
}

static void swapped(void)
{
	char *p = map_huge(2 * HUGE, MADV_HUGEPAGE);

	fill(p, 0, 2 * HUGE);
	advise("MADV_PAGEOUT", p, 2 * HUGE, MADV_PAGEOUT);
	advise("MADV_PAGEOUT", p, 2 * HUGE, MADV_PAGEOUT);
	show("paged out", p, 2 * HUGE);
	check(p, 0, 2 * HUGE);
	show("read back", p, 2 * HUGE);
	p = map_huge(2 * HUGE, MADV_HUGEPAGE);
	fill(p, 0, 2 * HUGE);
	advise("MADV_DONTNEED", p + PAGE_SIZE, PAGE_SIZE, MADV_DONTNEED);
	advise("MADV_PAGEOUT", p, MIB, MADV_PAGEOUT);
	advise("MADV_PAGEOUT", p, MIB, MADV_PAGEOUT);
	show("1 MiB paged out", p, 2 * HUGE);
	check(p, 2 * PAGE_SIZE, 2 * HUGE);
}

static void exclusive(void)
{
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
	char *p = map_huge(2 * HUGE, MADV_HUGEPAGE);
	unsigned char *mirror = map_anonymous(HUGE);
	unsigned long count[256] = { 0 };

	if (fd < 0)
		fail("/dev/hmm_dmirror1", fd);
	fill(p, 0, 2 * HUGE);
	dmirror(fd, HMM_DMIRROR_SNAPSHOT, p, mirror, 512);
	print("snapshot of 2 MiB: %x %x\n", (unsigned long)mirror[0], (unsigned long)mirror[511]);
	print("EXCLUSIVE of 2 MiB: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, p, mirror, 512));
	show("exclusive", p, 2 * HUGE);
	check((char *)mirror, 0, HUGE);
	*(volatile uint64_t *)(p + 7 * PAGE_SIZE) = 7 * PAGE_SIZE + 1;
	dmirror(fd, HMM_DMIRROR_SNAPSHOT, p, mirror, 512);
	for (size_t i = 0; i < 512; i++)
		count[mirror[i]]++;
	for (size_t i = 0; i < 256; i++)
		if (count[i] > 0)
			print("pages of snapshot %x: %u\n", i, count[i]);
	check(p, 0, 2 * HUGE);
	show("taken back", p, 2 * HUGE);
	dmirror(fd, HMM_DMIRROR_EXCLUSIVE, p + HUGE, mirror, 16);
	advise("MADV_PAGEOUT", p, 2 * HUGE, MADV_PAGEOUT);
	check(p, 0, 2 * HUGE);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	faults_and_permissions();
	pieces_given_back();
	zeros();
	if (argc > 1 && string_equal(argv[1], "all")) {
		swapped();
		exclusive();
	}
	return 0;
}
