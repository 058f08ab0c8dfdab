/*
 * Idle page tracking (/sys/kernel/mm/page_idle/bitmap): which pages are idle, and what makes them be so no more. "device" with
 * a test device that has some of them exclusively.
 */
#include "dmirror.h"
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define KPF_IDLE 25

static int bitmap, kpageflags;

static unsigned long pfn_of(const char *p)
{
	return pagemap_entry(p) & ((1ul << 55) - 1);
}

static uint64_t word(int fd, unsigned long pos)
{
	uint64_t value = 0;
	long n = syscall4(__NR_pread64, fd, &value, 8, pos);

	if (n != 8)
		fail("pread", n);
	return value;
}

static void mark_pfn(unsigned long pfn)
{
	uint64_t value = 1ul << (pfn % 64);
	long n = syscall4(__NR_pwrite64, bitmap, &value, 8, pfn / 64 * 8);

	if (n != 8)
		fail("pwrite", n);
}

static void mark(const char *p)
{
	mark_pfn(pfn_of(p));
}

static int idle_pfn(unsigned long pfn)
{
	return word(bitmap, pfn / 64 * 8) >> (pfn % 64) & 1;
}

static int flagged(unsigned long pfn)
{
	return word(kpageflags, pfn * 8) >> KPF_IDLE & 1;
}

/* What is cached says nothing of a use: CPUs forget it where permissions change. */
static void forget(char *p, size_t pages)
{
	syscall3(__NR_mprotect, p, pages * PAGE_SIZE, PROT_READ);
	syscall3(__NR_mprotect, p, pages * PAGE_SIZE, PROT_READ | PROT_WRITE);
}

static void show(const char *what, const char *p)
{
	unsigned long pfn = pfn_of(p);
	int flag = flagged(pfn);

	print("%s: marked %d, idle %d\n", what, (long)flag, (long)idle_pfn(pfn));
}

/* Pages that wait in a batch of the CPU on their way to a list are not tracked: others push them out. */
static void settle(void)
{
	char *p = map_at(room(64), 64, PROT_RW);

	for (size_t i = 0; i < 64; i++)
		p[i * PAGE_SIZE] = 1;
}

static unsigned long referenced(const char *p, size_t pages)
{
	slurp("/proc/self/smaps");
	return field("Referenced:", (uintptr_t)p, (uintptr_t)p + pages * PAGE_SIZE) / 4;
}

static void refusals(void)
{
	static uint64_t words[1025];

	print("a position within a word: %d %d\n", syscall4(__NR_pread64, bitmap, words, 8, 4), syscall4(__NR_pwrite64, bitmap, words, 8, 4));
	print("a part of a word: %d %d\n", syscall4(__NR_pread64, bitmap, words, 12, 0), syscall4(__NR_pwrite64, bitmap, words, 12, 0));
	print("behind all frames: %d %d\n", syscall4(__NR_pread64, bitmap, words, 8, 1ul << 40), syscall4(__NR_pwrite64, bitmap, words, 8, 1ul << 40));
	print("more than a page: %d %d\n", syscall4(__NR_pread64, bitmap, words, 8200, 0), syscall4(__NR_pwrite64, bitmap, words, 8200, 0));
	print("nothing: %d %d\n", syscall4(__NR_pread64, bitmap, words, 0, 0), syscall4(__NR_pwrite64, bitmap, words, 0, 0));
}

static void pages(void)
{
	char *p = map_at(room(4), 4, PROT_RW);
	volatile char *use = p;

	p[0] = 1;
	mark(p);
	show("new, on no list", p);
	settle();
	mark(p);
	show("on a list", p);
	show("read again", p);
	use[0];
	show("used by what the CPU has cached", p);
	forget(p, 1);
	use[0];
	show("used", p);
	show("and asked again", p);
	print("referenced: %u\n", referenced(p, 4));
	mark(p);
	show("marked again", p);
	syscall6(__NR_process_vm_readv, syscall0(__NR_getpid), (long)&(uintptr_t[2]){ (uintptr_t)p + PAGE_SIZE, 8 }, 1,
		 (long)&(uintptr_t[2]){ (uintptr_t)p, 8 }, 1, 0);
	show("read by process_vm_readv()", p);
	forget(p, 1);
	mark(p);
	syscall3(__NR_madvise, p, PAGE_SIZE, MADV_COLD);
	show("cold", p);
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_NONE);
	show("not to be accessed", p);
	print("the page of zeros: %d\n", (long)((volatile char *)p)[2 * PAGE_SIZE]);
	mark(p + 2 * PAGE_SIZE);
	show("the page of zeros", p + 2 * PAGE_SIZE);
}

static void files(void)
{
	char *p = (char *)syscall6(__NR_mmap, 0, 2 * PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	p[0] = 1;
	settle();
	forget(p, 1);
	mark(p);
	show("of shared memory", p);
	((volatile char *)p)[0];
	show("used", p);
}

static void huge(void)
{
	char *room = map_anonymous(4 * MIB);
	char *p = (char *)(((uintptr_t)room + 2 * MIB - 1) & ~(2 * MIB - 1));
	unsigned long pfn;

	syscall3(__NR_madvise, p, 2 * MIB, MADV_HUGEPAGE);
	p[0] = 1;
	settle();
	forget(p, 512);
	pfn = pfn_of(p);
	mark_pfn(pfn);
	mark_pfn(pfn + 5);
	print("2 MiB mapped as one: head %d, another page %d, marked %d\n", (long)idle_pfn(pfn), (long)idle_pfn(pfn + 5), (long)flagged(pfn + 5));
	((volatile char *)p)[300 * PAGE_SIZE];
	print("one of its pages used: %d\n", (long)idle_pfn(pfn));
}

static void device(void)
{
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR);
	char *p = map_at(room(2), 2, PROT_RW);
	char *mirror = map_anonymous(PAGE_SIZE);
	unsigned long pfn;

	p[0] = 1;
	mirror[0] = 0;
	settle();
	pfn = pfn_of(p);
	print("exclusive: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, p, mirror, 1));
	mark_pfn(pfn);
	print("a device has it: marked %d, idle %d\n", (long)flagged(pfn), (long)idle_pfn(pfn));
	print("it is the device's alone: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, p, mirror, 1));
	print("and it is idle for CPUs: %d\n", (long)idle_pfn(pfn));
	p[0]++;
	print("a CPU has it back: idle %d, referenced %u\n", (long)idle_pfn(pfn), referenced(p, 1));
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	bitmap = sys_open("/sys/kernel/mm/page_idle/bitmap", O_RDWR);
	kpageflags = sys_open("/proc/kpageflags", O_RDONLY);
	if (bitmap < 0)
		fail("/sys/kernel/mm/page_idle/bitmap", bitmap);
	if (argc > 1 && argv[1][0] == 'd') {
		device();
		return 0;
	}
	refusals();
	pages();
	files();
	huge();
	return 0;
}
