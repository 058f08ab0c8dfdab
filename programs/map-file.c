/*
 * map-file PATH: maps a file that can only be read, shared and private, reads it with O_DIRECT into memory that it may
 * and may not write, and prints what it finds: the same on any Linux.
 */
#include "start.h"

#if defined(__aarch64__)
#define O_DIRECT 0200000
#else
#define O_DIRECT 040000
#endif
#define PAGES 5

static unsigned long sum(volatile unsigned char *p, size_t n)
{
	unsigned long value = 0;

	for (size_t i = 0; i < n; i++)
		value = value * 31 + p[i];
	return value;
}

static volatile unsigned char *map(long fd, int prot, int flags)
{
	return (volatile unsigned char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, prot, flags, fd, 0);
}

int main(int argc, char **argv, char **envp)
{
	static unsigned char buffer[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
	unsigned char vec[PAGES];
	long fd = argc > 1 ? sys_open(argv[1], O_RDONLY) : -1;
	long direct = argc > 1 ? sys_open(argv[1], O_RDONLY | O_DIRECT) : -1;
	volatile unsigned char *shared = map(fd, PROT_READ, MAP_SHARED);
	volatile unsigned char *mine = map(fd, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	long n;

	(void)envp;
	if (fd < 0 || direct < 0)
		fail("open", fd);
	print("shared to write: %d\n", map(fd, PROT_WRITE, MAP_SHARED));
	print("protect to write: %d\n", syscall3(__NR_mprotect, shared, PAGE_SIZE, PROT_READ | PROT_WRITE));
	print("shared %u, private %u\n", sum(shared, PAGE_SIZE), sum(mine + PAGE_SIZE, PAGE_SIZE));
	mine[3] = 'X';
	print("written: %d, the file's %d\n", (long)mine[3], (long)shared[3]);
	n = syscall3(__NR_read, direct, buffer, sizeof(buffer));
	print("direct: %d bytes, %u\n", n, sum(buffer, (size_t)n));
	print("at the end: %d\n", syscall3(__NR_read, direct, buffer, PAGE_SIZE));
	print("into read-only memory: %d\n", syscall4(__NR_pread64, direct, shared, PAGE_SIZE, 0));
	print("mincore: %d", syscall3(__NR_mincore, shared, PAGES * PAGE_SIZE, vec));
	print(" %d%d\n", (long)(vec[0] & 1), (long)(vec[1] & 1));
	syscall3(__NR_madvise, mine, PAGES * PAGE_SIZE, MADV_DONTNEED);
	print("thrown away: %d\n", (long)mine[3]);
	return 0;
}
