/*
 * device-memory: moves pages to the memory of the test devices and back, and prints after each step
 * what is where: a line for each question, as a driver on a real kernel would answer it.
 */
#include "dmirror.h"
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define SNAPSHOT_MAX 64
#define MREMAP_MAYMOVE 1

static char *mirror;

static void show(const char *what, int fd, unsigned long nr, void *addr, size_t npages)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = (uintptr_t)addr, .ptr = (uintptr_t)mirror, .npages = npages, .cpages = 99, .faults = 99,
	};
	long error = syscall3(__NR_ioctl, fd, nr, &cmd);

	print("%s: %d cpages %d faults %d\n", what, error, (long)cmd.cpages, (long)cmd.faults);
}

static void fill(char *p, size_t pages, char first)
{
	for (size_t i = 0; i < pages; i++)
		p[i * PAGE_SIZE] = (char)(first + (char)i);
}

static void check(const char *what, const char *p, size_t pages, char first)
{
	for (size_t i = 0; i < pages; i++) {
		if (p[i * PAGE_SIZE] != (char)(first + (char)i)) {
			print("  %s: page %d has %d instead of %d\n", what, i, p[i * PAGE_SIZE], (char)(first + (char)i));
			return;
		}
	}
	print("  %s: all there\n", what);
}

static void protect(void *addr, size_t npages, int prot)
{
	long error = syscall3(__NR_mprotect, addr, npages * PAGE_SIZE, prot);

	if (error < 0)
		fail("mprotect", error);
}

static int open_device(const char *path)
{
	int fd = sys_open(path, O_RDWR);

	if (fd < 0)
		fail(path, fd);
	return fd;
}

/* The same with either kind of memory. */
static void migrate(const char *first, const char *second)
{
	int fd = open_device(first);
	int other = open_device(second);
	char *p = map_at(NULL, 8, PROT_RW);
	char *ro;

	fill(p, 4, 1);
	show("to the device, half of it untouched", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	check("the copy", mirror, 4, 1);
	dmirror_snapshot(fd, p, 8);
	print("  from the other device");
	dmirror_snapshot(other, p, 8);
	show_pages("  pagemap", p, 8);
	slurp("/proc/self/smaps");
	print("  smaps: Rss %d Anonymous %d Swap %d\n", field("Rss:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE),
	      field("Anonymous:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE), field("Swap:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE));
	show("READ of what it has", fd, HMM_DMIRROR_READ, p, 8);
	show("to the device again", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	show("to the other device", other, HMM_DMIRROR_MIGRATE_TO_DEV, p, 2);
	dmirror_snapshot(fd, p, 8);
	print("  a CPU reads page 1: %d, and writes page 2\n", p[PAGE_SIZE]);
	p[2 * PAGE_SIZE] = 3;
	dmirror_snapshot(fd, p, 8);
	show("back", fd, HMM_DMIRROR_MIGRATE_TO_SYS, p, 8);
	dmirror_snapshot(fd, p, 8);
	check("data", p, 4, 1);
	show("back once more", fd, HMM_DMIRROR_MIGRATE_TO_SYS, p, 8);
	show("READ by the other device", other, HMM_DMIRROR_READ, p, 8);

	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	protect(p, 8, PROT_READ);
	dmirror_snapshot(fd, p, 8);
	show("WRITE after mprotect", fd, HMM_DMIRROR_WRITE, p, 8);
	protect(p, 8, PROT_RW);
	dmirror_snapshot(fd, p, 8);
	show("RELEASE", fd, HMM_DMIRROR_RELEASE, p, 1);
	dmirror_snapshot(fd, p, 8);
	check("data", p, 4, 1);
	show("RELEASE of no page", fd, HMM_DMIRROR_RELEASE, p, 0);

	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	show("READ by the other device", other, HMM_DMIRROR_READ, p, 4);
	dmirror_snapshot(fd, p, 8);
	show("EXCLUSIVE", fd, HMM_DMIRROR_EXCLUSIVE, p, 8);
	dmirror_snapshot(fd, p, 8);
	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	dmirror_snapshot(fd, p, 8);
	check("data", p, 4, 1);
	fill(p, 8, 1);

	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	print("MADV_PAGEOUT %d MADV_FREE of two pages %d\n", syscall3(__NR_madvise, p, 8 * PAGE_SIZE, MADV_PAGEOUT),
	      syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_FREE));
	dmirror_snapshot(fd, p, 8);
	{
		unsigned char in_core[8];

		print("mincore %d:", syscall3(__NR_mincore, p, 8 * PAGE_SIZE, in_core));
		for (int i = 0; i < 8; i++)
			print(" %d", in_core[i] & 1);
		print("\n");
	}
	print("mlock of two pages %d\n", syscall3(__NR_mlock, p + 4 * PAGE_SIZE, 2 * PAGE_SIZE, 0));
	dmirror_snapshot(fd, p, 8);
	show("locked pages to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	dmirror_snapshot(fd, p, 8);
	print("MADV_POPULATE_READ %d\n", syscall3(__NR_madvise, p, 8 * PAGE_SIZE, MADV_POPULATE_READ));
	dmirror_snapshot(fd, p, 8);
	check("data", p, 4, 1);

	ro = map_at(NULL, 3, PROT_READ);
	read_page(ro, 0);
	show("zeros, and nothing, of read-only memory", fd, HMM_DMIRROR_MIGRATE_TO_DEV, ro, 3);
	dmirror_snapshot(fd, ro, 3);
	print("  zeros: %d %d\n", ro[0], ro[2 * PAGE_SIZE]);
	syscall2(__NR_munmap, ro + PAGE_SIZE, PAGE_SIZE);
	show("a hole", fd, HMM_DMIRROR_MIGRATE_TO_DEV, ro, 3);
	show("back, with a hole", fd, HMM_DMIRROR_MIGRATE_TO_SYS, ro, 3);
	protect(ro, 1, PROT_NONE);
	show("memory of no access", fd, HMM_DMIRROR_MIGRATE_TO_DEV, ro, 1);

	print("munlock %d\n", syscall3(__NR_munlock, p, 8 * PAGE_SIZE, 0));
	print("DONTNEED %d\n", syscall3(__NR_madvise, p, 8 * PAGE_SIZE, MADV_DONTNEED));
	fill(p, 8, 11);
	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	p = (char *)syscall6(__NR_mremap, (long)p, 8 * PAGE_SIZE, 16 * PAGE_SIZE, MREMAP_MAYMOVE, 0, 0);
	print("moved and grown");
	dmirror_snapshot(fd, p, 10);
	check("data", p, 8, 11);
	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 8);
	print("close: %d\n", syscall1(__NR_close, other));
	print("close: %d\n", syscall1(__NR_close, fd));
	fd = open_device(first);
	dmirror_snapshot(fd, p, 8);
	check("data", p, 8, 11);
	print("close: %d\n", syscall1(__NR_close, fd));
	syscall2(__NR_munmap, p, 16 * PAGE_SIZE);
}

/* What smaps says of pages that others may have as well: in kB. */
static void sharing(const char *what, const char *p, size_t pages)
{
	static const char *const fields[] = { "Rss:", "Pss:", "Shared_Clean:", "Shared_Dirty:", "Private_Clean:", "Private_Dirty:" };

	slurp("/proc/self/smaps");
	print("  smaps %s:", what);
	for (size_t i = 0; i < sizeof(fields) / sizeof(*fields); i++)
		print(" %s %u", fields[i], field(fields[i], (uintptr_t)p, (uintptr_t)p + pages * PAGE_SIZE));
	print("\n");
}

static uint64_t of_frame(const char *path, uint64_t pfn)
{
	int file = sys_open(path, O_RDONLY);
	uint64_t value = 0;

	syscall4(__NR_pread64, file, &value, 8, pfn * 8);
	syscall1(__NR_close, file);
	return value;
}

/* What is told of a page's frame, and what the log has of it. */
static void frame(const char *p)
{
	struct {
		uint64_t deltas[2], addr, size;
		uint32_t pages, gup, test, which[8];
	} dump = { .addr = (uintptr_t)p, .size = PAGE_SIZE, .pages = 1, .which = { 1 } };
	int file = sys_open("/sys/kernel/debug/gup_test", 2);
	uint64_t entry = pagemap_entry(p);
	uint64_t pfn = entry & ((1ul << 55) - 1);

	if ((entry & PM_PRESENT) != 0)
		print("  kpageflags %x kpagecount %u\n", of_frame("/proc/kpageflags", pfn), of_frame("/proc/kpagecount", pfn));
	print("  dumped: %d\n", syscall3(__NR_ioctl, file, 0xc0506706, &dump));
	syscall1(__NR_close, file);
}

static void shared(const char *path)
{
	int fd = open_device(path);
	char *p = (char *)syscall6(__NR_mmap, 0, 4 * PAGE_SIZE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char *private;
	char *device;

	fill(p, 2, 1);
	show("shared memory", fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, 4);
	dmirror_snapshot(fd, p, 4);
	device = (char *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_PRIVATE, fd, 0);
	print("the device's own mapping");
	dmirror_snapshot(fd, device, 1);
	show("of it, to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, device, 1);
	print("  %d", device[0]);
	device[0] = 1;
	dmirror_snapshot(fd, device, 1);
	private = map_at(NULL, 4, PROT_RW);
	fill(private, 4, 1);
	show("private memory", fd, HMM_DMIRROR_MIGRATE_TO_DEV, private, 4);
	{
		int status = 0;
		long child = syscall6(__NR_clone, 17 /* SIGCHLD */, 0, 0, 0, 0, 0);

		if (child == 0) {
			sharing("of the child", private, 4);
			check("the child's", private, 4, 1);
			private[0] = 99;
			syscall1(__NR_exit_group, 0);
		}
		syscall4(__NR_wait4, child, &status, 0, 0);
		print("after fork, status %d", status);
	}
	dmirror_snapshot(fd, private, 4);
	check("data", private, 4, 1);
	show("to the device", fd, HMM_DMIRROR_MIGRATE_TO_DEV, private, 4);
	sharing("in the device", private, 4);
	frame(private);
	show("EXCLUSIVE", fd, HMM_DMIRROR_EXCLUSIVE, private + PAGE_SIZE, 3);
	sharing("held exclusively", private, 4);
	print("close: %d\n", syscall1(__NR_close, fd));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	mirror = map_at(NULL, 1024, PROT_RW);
	print("device-private memory\n");
	migrate("/dev/hmm_dmirror0", "/dev/hmm_dmirror1");
	print("device-coherent memory\n");
	migrate("/dev/hmm_dmirror2", "/dev/hmm_dmirror3");
	shared("/dev/hmm_dmirror0");
	shared("/dev/hmm_dmirror2");
	return 0;
}
