/*
 * exclusive-steps [plain] [MIB]: touches a range (1 GiB unless told), makes every page of it exclusive to a
 * device (unless `plain`), asks for it to be paged out by MADV_PAGEOUT and by memory.reclaim, reads it by the
 * device and by the CPU, and asks again. Prints after each step what smaps_rollup and pagemap say.
 */
#include <linux/resource.h>

#include "dmirror.h"
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define EAGAIN 11
#define CHUNK (2 * MIB)
#define CHUNK_PAGES (CHUNK / PAGE_SIZE)

static char *range;
static size_t size;

static void show(const char *what)
{
	unsigned long rss = number_in("/proc/self/smaps_rollup", "Rss:");
	unsigned long swap = number_after("Swap:");
	uint64_t entry = pagemap_entry(range + size / 2);

	print("%s: Rss %u kB, Swap %u kB; pagemap: %s", what, rss, swap, entry >> 63 ? "present" : entry >> 62 & 1 ? "swap" : "nothing");
	if (entry >> 62 & 1)
		print(", type %u", (unsigned long)(entry & 31));
	print("\n");
}

static unsigned long swap_used(void)
{
	unsigned long total = number_in("/proc/meminfo", "SwapTotal:");

	return total - number_after("SwapFree:");
}

static void page_out(void)
{
	long error = syscall3(__NR_madvise, range, size, MADV_PAGEOUT);

	print("MADV_PAGEOUT: %d\n", error);
}

static void reclaim(void)
{
	unsigned long used = swap_used();
	unsigned long scanned = number_in("/proc/vmstat", "pgscan_proactive ");
	unsigned long stolen = number_after("pgsteal_proactive ");
	int fd = sys_open("/sys/fs/cgroup/memory.reclaim", O_RDWR);
	char digits[24];
	size_t at = sizeof(digits);
	long error;

	for (size_t rest = size; rest > 0; rest /= 10)
		digits[--at] = (char)('0' + rest % 10);
	error = syscall3(__NR_write, fd, digits + at, sizeof(digits) - at);
	if (error < 0 && error != -EAGAIN)
		fail("memory.reclaim", error);
	print("memory.reclaim: %s", error < 0 ? "EAGAIN" : "done");
	syscall1(__NR_close, fd);
	used = swap_used() - used;
	scanned = number_in("/proc/vmstat", "pgscan_proactive ") - scanned;
	stolen = number_after("pgsteal_proactive ") - stolen;
	print("; pages scanned %u, reclaimed %u; swap space taken %u kB\n", scanned, stolen, used);
}

static void read_all(void)
{
	struct rusage before, after;
	unsigned long wrong = 0;

	syscall2(__NR_getrusage, RUSAGE_SELF, &before);
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		wrong += *(volatile uint64_t *)(range + at) != at;
	syscall2(__NR_getrusage, RUSAGE_SELF, &after);
	print("the CPU reads: %u wrong; faults: %d minor, %d major\n", wrong, after.ru_minflt - before.ru_minflt,
	      after.ru_majflt - before.ru_majflt);
}

static void device_reads(int device, char *mirror)
{
	unsigned long wrong = 0;

	for (size_t at = 0; at < size; at += CHUNK) {
		long pages = dmirror(device, HMM_DMIRROR_READ, range + at, mirror, CHUNK_PAGES);

		if (pages < 0)
			fail("READ", pages);
		for (size_t i = 0; i < CHUNK; i += PAGE_SIZE)
			wrong += *(volatile uint64_t *)(mirror + i) != at + i;
	}
	print("the device reads: %u wrong\n", wrong);
}

int main(int argc, char **argv, char **envp)
{
	int plain = argc > 1 && string_equal(argv[1], "plain");
	int device = sys_open("/dev/hmm_dmirror1", O_RDWR);
	unsigned long exclusive = 0;
	char *mirror;

	(void)envp;
	size = parse_number(argc > 1 + plain ? argv[1 + plain] : NULL, 1024) * MIB;
	if (device < 0)
		fail("open /dev/hmm_dmirror1", device);
	if (size == 0 || size % CHUNK != 0) {
		print("the size must be a multiple of 2 MiB\n");
		return 2;
	}
	range = map_anonymous(size);
	syscall3(__NR_madvise, range, size, MADV_NOHUGEPAGE);
	memset(range, 1, size);
	for (size_t at = 0; at < size; at += PAGE_SIZE)
		*(uint64_t *)(range + at) = at;
	show("populated");
	mirror = map_anonymous(CHUNK);
	if (!plain) {
		for (size_t at = 0; at < size; at += CHUNK) {
			long pages = dmirror(device, HMM_DMIRROR_EXCLUSIVE, range + at, mirror, CHUNK_PAGES);

			if (pages < 0)
				fail("EXCLUSIVE", pages);
			exclusive += (unsigned long)pages;
		}
		print("EXCLUSIVE: %u pages\n", exclusive);
		show("after EXCLUSIVE");
	}
	page_out();
	show("after MADV_PAGEOUT");
	reclaim();
	show("after memory.reclaim");
	if (!plain)
		device_reads(device, mirror);
	read_all();
	show("read");
	if (!plain) {
		page_out();
		show("after MADV_PAGEOUT");
	}
	return 0;
}
