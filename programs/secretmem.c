/*
 * secretmem: memfd_secret(2). What can be done with such a file, which is to map it and little else, and who cannot
 * read its pages. The same on any Linux since 7.3 whose kernel can take pages out of its own map.
 */
#include "memory.h"
#include "smaps.h"

#ifndef __NR_memfd_secret
#define __NR_memfd_secret 447
#endif
#define RLIMIT_MEMLOCK 8
#define LOCKED_PAGES 4

struct iov {
	void *base;
	size_t length;
};

static int out[2];

static char *map_secret(int fd, size_t pages, int prot, int kind)
{
	return (char *)syscall6(__NR_mmap, 0, (long)(pages * PAGE_SIZE), prot, kind, fd, 0);
}

static long advise(char *p, int advice)
{
	return syscall3(__NR_madvise, p, PAGE_SIZE, advice);
}

/* By way of the kernel's own copy, so that what would be a signal is EFAULT. */
static long reach(const char *p)
{
	char byte;
	long n = syscall3(__NR_write, out[1], p, 1);

	if (n == 1)
		syscall3(__NR_read, out[0], &byte, 1);
	return n;
}

static void file(int fd)
{
	char byte = 0;
	uint64_t stat[16] = { 0 };
	char path[] = "/proc/self/fd/0";

	path[14] = (char)('0' + fd);
	print("flags 1: %d, 2: %d\n", syscall1(__NR_memfd_secret, 1), syscall1(__NR_memfd_secret, 2));
	print("fstatfs: %d", syscall2(__NR_fstatfs, fd, stat));
	print(", magic %x\n", stat[0]);
	print("read: %d, write: %d\n", syscall3(__NR_read, fd, &byte, 1), syscall3(__NR_write, fd, &byte, 1));
	print("pread: %d, pwrite: %d\n", syscall4(__NR_pread64, fd, &byte, 1, 0), syscall4(__NR_pwrite64, fd, &byte, 1, 0));
	print("lseek: %d\n", syscall3(__NR_lseek, fd, 0, 0));
	print("fallocate: %d\n", syscall4(__NR_fallocate, fd, 0, 0, PAGE_SIZE));
	print("fsync: %d\n", syscall1(__NR_fsync, fd));
	print("open: %d\n", (long)sys_open(path, O_RDWR));
	print("private: %d\n", (long)map_secret(fd, 1, PROT_RW, MAP_PRIVATE));
	print("to execute: %d\n", (long)map_secret(fd, 1, PROT_READ | PROT_EXEC, MAP_SHARED));
	print("size: %d", syscall2(__NR_ftruncate, fd, 8 * PAGE_SIZE));
	print(", again: %d", syscall2(__NR_ftruncate, fd, 8 * PAGE_SIZE));
	print(", none: %d\n", syscall2(__NR_ftruncate, fd, 0));
}

static void memory(char *p)
{
	struct iov to = { p, 1 }, fresh = { p + 2 * PAGE_SIZE, 1 }, from = { (char[1]){ 0 }, 1 };
	unsigned char in[8];
	int fd = sys_open("/proc/self/mem", O_RDWR);
	long pid = syscall0(__NR_getpid);

	p[0] = 1;
	p[PAGE_SIZE] = 2;
	slurp("/proc/self/smaps");
	print("Rss %u, dirty %u, Locked %u\n", field("Rss:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE),
	      field("Private_Dirty:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE),
	      field("Locked:", (uintptr_t)p, (uintptr_t)p + 8 * PAGE_SIZE));
	print("there: %d, beyond the end: %d\n", reach(p), reach(p + 9 * PAGE_SIZE));
	print("vmsplice: %d\n", syscall4(__NR_vmsplice, out[1], &to, 1, 0));
	print("vmsplice, new: %d\n", syscall4(__NR_vmsplice, out[1], &fresh, 1, 0));
	print("process_vm_readv: %d, writev: %d\n", syscall6(__NR_process_vm_readv, pid, (long)&from, 1, (long)&to, 1, 0),
	      syscall6(__NR_process_vm_writev, pid, (long)&from, 1, (long)&to, 1, 0));
	print("/proc/self/mem: %d, %d\n", syscall4(__NR_pread64, fd, from.base, 1, p), syscall4(__NR_pwrite64, fd, from.base, 1, p));
	syscall1(__NR_close, fd);
	print("mlock: %d, munlock: %d\n", syscall2(__NR_mlock, p, PAGE_SIZE), syscall2(__NR_munlock, p, PAGE_SIZE));
	print("POPULATE_READ: %d, WRITE: %d\n", advise(p, 22), advise(p, 23));
	print("PAGEOUT: %d, COLD: %d, FREE: %d, REMOVE: %d\n", advise(p, 21), advise(p, 20), advise(p, 8), advise(p, 9));
	print("DONTNEED: %d, DODUMP: %d\n", advise(p, 4), advise(p, 17));
	print("SOFT_OFFLINE: %d\n", advise(p, 101));
	print("mprotect to execute: %d\n", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ | PROT_EXEC));
	print("mincore: %d", syscall3(__NR_mincore, p, 8 * PAGE_SIZE, in));
	print(" %u%u%u\n", in[0] & 1, in[1] & 1, in[2] & 1);
	print("still %d %d\n", p[0], p[PAGE_SIZE]);
}

static void shared(char *p)
{
	int status;
	long pid = syscall5(__NR_clone, 17, 0, 0, 0, 0);

	if (pid == 0) {
		print("a child reads %d\n", p[0]);
		p[0] = 7;
		syscall1(__NR_exit_group, 0);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	print("and writes %d\n", p[0]);
}

/* All files of a user together. */
static void limits(char *p, int fd)
{
	uint64_t limit[2] = { LOCKED_PAGES * PAGE_SIZE, LOCKED_PAGES * PAGE_SIZE };
	int other = (int)syscall1(__NR_memfd_secret, 02000000);
	char *q;

	syscall2(__NR_ftruncate, other, PAGE_SIZE);
	q = map_secret(other, 1, PROT_RW, MAP_SHARED);
	syscall4(__NR_prlimit64, 0, RLIMIT_MEMLOCK, limit, 0);
	for (size_t i = 0; i < 6; i++)
		print(" %d", reach(p + i * PAGE_SIZE));
	print("\nof another: %d\n", reach(q));
	syscall2(__NR_munmap, p, 10 * PAGE_SIZE);
	print("unmapped: %d\n", reach(q));
	syscall1(__NR_close, fd);
	print("closed: %d\n", reach(q));
}

int main(int argc, char **argv, char **envp)
{
	int fd = (int)syscall1(__NR_memfd_secret, 0);
	char *p;

	(void)argc;
	(void)argv;
	(void)envp;
	if (fd < 0)
		fail("memfd_secret", fd);
	syscall2(__NR_pipe2, out, 0);
	file(fd);
	p = map_secret(fd, 10, PROT_RW, MAP_SHARED);
	memory(p);
	shared(p);
	limits(p, fd);
	return 0;
}
