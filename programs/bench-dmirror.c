/*
 * bench-dmirror WORK ROUNDS: a device and 4,096 pages, again and again. "exclusive": the device takes each exclusively, the CPU takes
 * it back. "migrate": they go to the device's memory, and come back by faults of the CPU. "back": the same, and back by MIGRATE_TO_SYS.
 * "snapshot": hmm_range_fault() over all of them, with nothing to fault in. "read": over memory that nobody has touched, so that
 * each is faulted in. "invalidate": mprotect() of each, there and back, which the device mirrors.
 */
#include "dmirror.h"
#include <linux/mman.h>

#define PAGES 4096ul
#define SIZE (PAGES * PAGE_SIZE)
#define CHUNK 512ul

static char bytes[PAGES];

static void command(int fd, unsigned long what, char *range, char *mirror)
{
	for (unsigned long i = 0; i < PAGES; i += CHUNK) {
		long pages = dmirror(fd, what, range + i * PAGE_SIZE, mirror, CHUNK);

		if (pages != (long)CHUNK)
			fail("pages of a command", pages);
	}
}

static void touch(volatile char *p)
{
	for (unsigned long i = 0; i < PAGES; i++)
		p[i * PAGE_SIZE] = 1;
}

static void protect(char *p, unsigned long prot)
{
	long error = syscall3(__NR_mprotect, p, PAGE_SIZE, prot);

	if (error < 0)
		fail("mprotect", error);
}

int main(int argc, char **argv, char **envp)
{
	const char *work = argc > 1 ? argv[1] : "exclusive";
	unsigned long rounds = parse_number(argc > 2 ? argv[2] : NULL, 1);
	int fd = sys_open("/dev/hmm_dmirror0", O_RDWR);
	char *range = map_anonymous(SIZE);
	char *mirror = map_anonymous(CHUNK * PAGE_SIZE);

	(void)envp;
	if (fd < 0)
		fail("open /dev/hmm_dmirror0", fd);
	syscall3(__NR_madvise, range, SIZE, MADV_NOHUGEPAGE);
	touch(range);
	for (; rounds > 0; rounds--) {
		if (string_equal(work, "exclusive")) {
			command(fd, HMM_DMIRROR_EXCLUSIVE, range, mirror);
			touch(range);
		} else if (string_equal(work, "migrate")) {
			command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, range, mirror);
			touch(range);
		} else if (string_equal(work, "back")) {
			command(fd, HMM_DMIRROR_MIGRATE_TO_DEV, range, mirror);
			command(fd, HMM_DMIRROR_MIGRATE_TO_SYS, range, mirror);
		} else if (string_equal(work, "snapshot")) {
			for (int i = 0; i < 16; i++)
				if (dmirror(fd, HMM_DMIRROR_SNAPSHOT, range, bytes, PAGES) != (long)PAGES)
					fail("SNAPSHOT", -1);
		} else if (string_equal(work, "read")) {
			syscall3(__NR_madvise, range, SIZE, MADV_DONTNEED);
			command(fd, HMM_DMIRROR_WRITE, range, mirror);
		} else if (string_equal(work, "invalidate")) {
			command(fd, HMM_DMIRROR_READ, range, mirror);
			for (unsigned long i = 0; i < PAGES; i += 2) {
				protect(range + i * PAGE_SIZE, PROT_READ);
				protect(range + i * PAGE_SIZE, PROT_READ | PROT_WRITE);
			}
		} else {
			fail(work, -1);
		}
	}
	return 0;
}
