/*
 * files [SEED [OPERATIONS [swap]]]: a memfd, and shared anonymous memory, that are mapped, written to by
 * mappings and by write(), truncated, punched, filled, moved and shared with children, at random. After
 * each operation it prints what that gave and what the mappings, the file and mincore() have: the same on
 * any Linux. With "swap", pages go to swap in between, and mincore() is not asked.
 */
#include "start.h"
#include <linux/falloc.h>

#define PAGES 12
#define PROT_RW (PROT_READ | PROT_WRITE)
#define MFD_ALLOW_SEALING 2
#define F_ADD_SEALS 1033
#define F_GET_SEALS 1034
#define STAT_SIZE_AT 6
#define STAT_BLOCKS_AT 8

static unsigned int state;
static int with_swap;
static long memfd;
static volatile unsigned char *shared;
static volatile unsigned char *private_map;
static volatile unsigned char *anonymous;

static unsigned long draw(unsigned long n)
{
	state = state * 1103515245u + 12345u;
	return (state >> 8) % n;
}

static long file_size(long *blocks)
{
	long st[18];
	long error = syscall4(__NR_newfstatat, memfd, "", st, 0x1000);

	if (error < 0)
		fail("fstat", error);
	/* Where the size stands is the same for both ABIs; that of blocks too. */
	*blocks = st[STAT_BLOCKS_AT];
	return st[STAT_SIZE_AT];
}

/* A byte as the kernel sees it: -14 (EFAULT) where a load would get a signal. */
static long peek(volatile unsigned char *p)
{
	static int ends[2];
	unsigned char value = 0;
	long n;

	if (ends[1] == 0 && syscall2(__NR_pipe2, ends, 0) != 0)
		fail("pipe2", 0);
	n = syscall3(__NR_write, ends[1], p, 1);
	if (n < 0)
		return n;
	syscall3(__NR_read, ends[0], &value, 1);
	return value;
}

static long poke(volatile unsigned char *p, unsigned char value)
{
	static int ends[2];

	if (ends[1] == 0 && syscall2(__NR_pipe2, ends, 0) != 0)
		fail("pipe2", 0);
	syscall3(__NR_write, ends[1], &value, 1);
	long n = syscall3(__NR_read, ends[0], p, 1);

	/* What could not be delivered is in the pipe yet. */
	if (n < 0)
		syscall3(__NR_read, ends[0], &value, 1);
	return n;
}

static void show(const char *name, volatile unsigned char *p)
{
	unsigned char vec[PAGES];
	unsigned long sum = 0;
	unsigned long bits = 0;
	unsigned long faults = 0;
	long error = with_swap ? -1 : syscall3(__NR_mincore, p, PAGES * PAGE_SIZE, vec);

	for (int i = 0; i < PAGES; i++)
		bits |= error == 0 ? (unsigned long)(vec[i] & 1) << i : 0;
	for (int i = 0; i < PAGES; i++) {
		/* Not all pages, so that some are not faulted in. */
		if (draw(3) != 0)
			continue;
		for (int at = 0; at < 4096; at += 1365) {
			long byte = peek(p + (size_t)i * PAGE_SIZE + at);

			if (byte < 0)
				faults |= 1ul << i;
			sum = sum * 31 + (unsigned long)byte + 20;
		}
	}
	print("  %s: mincore 0x%x, %u, 0x%x fault\n", name, bits, sum, faults);
}

static volatile unsigned char *some_map(void)
{
	unsigned long which = draw(3);

	return which == 0 ? shared : which == 1 ? private_map : anonymous;
}

static volatile unsigned char *map_file(int flags)
{
	long p = syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, PROT_RW, flags, memfd, 0);

	if (p < 0 && p > -4096)
		fail("mmap", p);
	return (volatile unsigned char *)p;
}

static long in_child(volatile unsigned char *p, unsigned long page, unsigned char value)
{
	int status = 0;
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid == 0) {
		poke(p + page * PAGE_SIZE, value);
		exit_group((int)peek(p + page * PAGE_SIZE) & 127);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	return status;
}

static long remap(volatile unsigned char **map)
{
	long to = syscall6(__NR_mremap, (long)*map, PAGES * PAGE_SIZE, 2 * PAGES * PAGE_SIZE, MREMAP_MAYMOVE, 0, 0);

	if (to < 0 && to > -4096)
		return to;
	*map = (volatile unsigned char *)to;
	return syscall2(__NR_munmap, to + (long)(PAGES * PAGE_SIZE), PAGES * PAGE_SIZE);
}

static long shuffle(void)
{
	volatile unsigned char *p = some_map();
	volatile unsigned char **map = p == shared ? &shared : p == private_map ? &private_map : &anonymous;

	return remap(map);
}

static long operate(unsigned long op)
{
	unsigned long page = draw(PAGES);
	unsigned long length = 1 + draw(4);
	unsigned long odd = draw(2) ? 0 : draw(4096);
	unsigned char value = (unsigned char)(1 + draw(250));
	volatile unsigned char *p = some_map();
	unsigned char buffer[5000];

	print("%u %u+%u %u:", op, page, length, odd);
	switch (op) {
	case 0:
	case 1:
		return poke(p + page * PAGE_SIZE + odd, value);
	case 2:
		memset(buffer, value, sizeof(buffer));
		return syscall4(__NR_pwrite64, memfd, buffer, 1 + draw(sizeof(buffer)), page * PAGE_SIZE + odd);
	case 3:
		memset(buffer, 0, sizeof(buffer));
		return syscall4(__NR_pread64, memfd, buffer, 1 + draw(sizeof(buffer)), page * PAGE_SIZE + odd) + buffer[0] + buffer[4096];
	case 4:
		return syscall2(__NR_ftruncate, memfd, page * PAGE_SIZE + odd);
	case 5:
		return syscall4(__NR_fallocate, memfd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, page * PAGE_SIZE + odd, length * PAGE_SIZE - odd / 2);
	case 6:
		return syscall4(__NR_fallocate, memfd, draw(2) ? FALLOC_FL_KEEP_SIZE : 0, page * PAGE_SIZE + odd, length * PAGE_SIZE);
	case 7:
		return syscall3(__NR_madvise, p + page * PAGE_SIZE, (page + length > PAGES ? PAGES - page : length) * PAGE_SIZE, MADV_DONTNEED);
	case 8:
		return syscall3(__NR_madvise, p + page * PAGE_SIZE, (page + length > PAGES ? PAGES - page : length) * PAGE_SIZE, MADV_REMOVE);
	case 9:
		return in_child(p, page, value);
	case 10:
		return shuffle();
	case 11:
		syscall3(__NR_mprotect, p + page * PAGE_SIZE, PAGE_SIZE, PROT_READ);
		return poke(p + page * PAGE_SIZE, value) * 1000 + syscall3(__NR_mprotect, p + page * PAGE_SIZE, PAGE_SIZE, PROT_RW);
	case 12:
		return syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, with_swap ? MADV_PAGEOUT : MADV_COLD);
	case 13:
		return syscall3(__NR_lseek, memfd, page * PAGE_SIZE + odd, 3 + draw(2));
	case 14:
		syscall2(__NR_munmap, private_map, PAGES * PAGE_SIZE);
		private_map = map_file(MAP_PRIVATE);
		return 0;
	default:
		return syscall3(__NR_madvise, p + page * PAGE_SIZE, PAGE_SIZE, draw(2) ? MADV_POPULATE_READ : MADV_POPULATE_WRITE);
	}
}

static void seals(void)
{
	long fd = syscall2(__NR_memfd_create, "sealed", MFD_ALLOW_SEALING);
	long p;

	syscall2(__NR_ftruncate, fd, 2 * PAGE_SIZE);
	p = syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED, fd, 0);
	print("write: %d while it is mapped\n", syscall3(__NR_fcntl, fd, F_ADD_SEALS, 8));
	syscall2(__NR_munmap, p, PAGE_SIZE);
	print("shrink: %d\n", syscall3(__NR_fcntl, fd, F_ADD_SEALS, 2));
	print("smaller %d, larger %d\n", syscall2(__NR_ftruncate, fd, 1), syscall2(__NR_ftruncate, fd, 3 * PAGE_SIZE));
	print("future write: %d\n", syscall3(__NR_fcntl, fd, F_ADD_SEALS, 16));
	print("write() %d, punch %d\n", syscall3(__NR_write, fd, "x", 1), syscall4(__NR_fallocate, fd, 3, 0, PAGE_SIZE));
	p = syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_RW, MAP_SHARED, fd, 0);
	print("shared to write %d\n", p);
	p = syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);
	print("shared to read, later to write: %d\n", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_RW));
	print("grow and seal: %d\n", syscall3(__NR_fcntl, fd, F_ADD_SEALS, 5));
	print("larger %d, another seal %d, seals %d\n", syscall2(__NR_ftruncate, fd, 8 * PAGE_SIZE), syscall3(__NR_fcntl, fd, F_ADD_SEALS, 8), syscall3(__NR_fcntl, fd, F_GET_SEALS, 0));
}

int main(int argc, char **argv, char **envp)
{
	unsigned long seed = parse_number(argc > 1 ? argv[1] : NULL, 1);
	unsigned long operations = parse_number(argc > 2 ? argv[2] : NULL, 60);
	long blocks;
	long size;

	(void)envp;
	with_swap = argc > 3;
	state = (unsigned int)seed;
	if (seed == 1)
		seals();
	memfd = syscall2(__NR_memfd_create, "files", 0);
	syscall2(__NR_ftruncate, memfd, 7 * PAGE_SIZE + 100);
	shared = map_file(MAP_SHARED);
	private_map = map_file(MAP_PRIVATE);
	anonymous = (volatile unsigned char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	for (unsigned long i = 0; i < operations; i++) {
		print(" %d\n", operate(draw(16)));
		show("shared", shared);
		show("private", private_map);
		show("anonymous", anonymous);
		size = file_size(&blocks);
		/* Of pages of zeros, reclaim lets go without writing them. */
		print("  %d bytes, %d blocks\n", size, with_swap ? 0 : blocks);
	}
	return 0;
}
