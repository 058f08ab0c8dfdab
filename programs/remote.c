/*
 * Memory of others: process_vm_readv() and process_vm_writev(), /proc/PID/mem, and what PROCMAP_QUERY
 * says of mappings. Prints the same natively on Linux.
 */
#include <linux/fs.h>
#include <linux/uio.h>

#include "layout.h"

#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)
#define P(n) ((n) * PAGE_SIZE)
#define SHOW(call) print(#call " = %d\n", (long)(call))
#define munmap(p, n) syscall2(__NR_munmap, p, n)
#define mprotect(p, n, prot) syscall3(__NR_mprotect, p, n, prot)

static char *mmap(void *p, size_t n, int prot, int flags)
{
	return (char *)syscall6(__NR_mmap, (long)p, (long)n, prot, flags, -1, 0);
}

static long transfer(int nr, long pid, struct iovec *l, unsigned long nl, struct iovec *r, unsigned long nr_remote, long flags)
{
	return syscall6(nr, pid, (long)l, (long)nl, (long)r, (long)nr_remote, flags);
}

#define readv(pid, l, nl, r, nr, f) transfer(__NR_process_vm_readv, pid, l, nl, r, nr, f)
#define writev(pid, l, nl, r, nr, f) transfer(__NR_process_vm_writev, pid, l, nl, r, nr, f)

static char sum(const char *p, size_t n)
{
	char s = 0;

	while (n-- > 0)
		s += *p++;
	return s;
}

/* A child that waits until it is killed. */
static long child(void)
{
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid == 0) {
		struct {
			long sec, nsec;
		} forever = {1000, 0};

		for (;;)
			syscall2(__NR_nanosleep, &forever, NULL);
	}
	return pid;
}

static void end(long pid)
{
	syscall2(__NR_kill, pid, 9);
	syscall4(__NR_wait4, pid, NULL, 0, NULL);
}

static void vectors(void)
{
	char *p = mmap(0, P(8), RW, ANON);
	char *l = mmap(0, P(8), RW, ANON);
	struct iovec local[4], remote[4];
	long pid;
	long self = syscall0(__NR_getpid);

	memset(p, 3, P(8));
	munmap(p + P(5), P(1));
	mprotect(p + P(3), P(1), PROT_READ);
	mprotect(p + P(4), P(1), PROT_NONE);
	pid = child();
	memset(p, 4, P(2));
	local[0] = (struct iovec){l, P(8)};
	remote[0] = (struct iovec){p + 100, P(2)};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	print("sum %d\n", (long)sum(l, P(3)));
	remote[0] = (struct iovec){p + 100, P(8)};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	remote[0] = (struct iovec){p + P(4), 8};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	remote[0] = (struct iovec){p + P(5), 8};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	remote[0] = (struct iovec){p + P(5) - 4, 8};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	/* Pieces of unequal size on both sides. */
	memset(l, 0, P(8));
	local[0] = (struct iovec){l, 3};
	local[1] = (struct iovec){l + 4000, 200};
	local[2] = (struct iovec){l, 0};
	local[3] = (struct iovec){l + P(2), P(1)};
	remote[0] = (struct iovec){p + 10, 0};
	remote[1] = (struct iovec){p + 4095, 2};
	remote[2] = (struct iovec){p + 1, 5000};
	SHOW(readv(pid, local, 4, remote, 3, 0));
	print("sum %d\n", (long)sum(l, P(8)));
	/* Writes: to memory that was shared until now, and not to what is read only. */
	memset(l, 9, P(8));
	local[0] = (struct iovec){l, P(4)};
	remote[0] = (struct iovec){p + P(2) + 50, P(1)};
	SHOW(writev(pid, local, 1, remote, 1, 0));
	remote[0] = (struct iovec){p + P(1), P(1)};
	SHOW(writev(pid, local, 1, remote, 1, 0));
	print("ours is %d\n", (long)p[P(1)]);
	local[0] = (struct iovec){l, P(1)};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	print("theirs is %d\n", (long)l[0]);
	remote[0] = (struct iovec){p + P(3), 8};
	SHOW(writev(pid, local, 1, remote, 1, 0));
	/* To memory of one's own that is not there. */
	local[0] = (struct iovec){p + P(5), 8};
	remote[0] = (struct iovec){p, 8};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	local[0] = (struct iovec){l, 8};
	local[1] = (struct iovec){p + P(5), 8};
	remote[0] = (struct iovec){p, 16};
	SHOW(readv(pid, local, 2, remote, 1, 0));
	local[0] = (struct iovec){(void *)-4096l, 8};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	local[0] = (struct iovec){l, -1ul};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	local[0] = (struct iovec){l, 16};
	remote[0] = (struct iovec){p, -1ul};
	SHOW(readv(pid, local, 1, remote, 1, 0));
	remote[0] = (struct iovec){p, 16};
	SHOW(readv(pid, local, 1, remote, 1, 1));
	SHOW(readv(pid, local, 1025, remote, 1, 0));
	SHOW(readv(pid, local, 1, remote, 1025, 0));
	SHOW(readv(pid, local, 0, remote, 1, 0));
	SHOW(readv(pid, local, 0, remote, 1025, 0));
	SHOW(readv(pid, local, 1, remote, 0, 0));
	SHOW(readv(pid, (struct iovec *)8, 1, remote, 1, 0));
	SHOW(readv(pid, local, 1, (struct iovec *)8, 1, 0));
	SHOW(readv(9999999, local, 1, remote, 1, 0));
	SHOW(readv(9999999, local, 1, remote, 0, 0));
	SHOW(readv(-1, local, 1, remote, 1, 0));
	SHOW(readv(self, local, 1, remote, 1, 0));
	end(pid);
	SHOW(readv(pid, local, 1, remote, 1, 0));
	munmap(p, P(8));
	munmap(l, P(8));
}

#define process_madvise(fd, v, n, a, f) syscall6(__NR_process_madvise, fd, (long)(v), n, a, f, 0)

static void advice(void)
{
	char *p = mmap(0, P(8), RW, ANON);
	struct iovec v[4];
	long pid;
	long fd;
	long own = syscall2(__NR_pidfd_open, syscall0(__NR_getpid), 0);

	memset(p, 1, P(8));
	v[0] = (struct iovec){p, P(1)};
	v[1] = (struct iovec){p + P(3), P(2)};
	v[2] = (struct iovec){p + P(7), 100};
	SHOW(process_madvise(own, v, 3, MADV_DONTNEED, 0));
	layout("three pieces", p, 8);
	v[1] = (struct iovec){p + P(3) + 1, P(2)};
	SHOW(process_madvise(own, v, 3, MADV_DONTNEED, 0));
	SHOW(process_madvise(own, v + 1, 2, MADV_DONTNEED, 0));
	munmap(p + P(6), P(1));
	v[1] = (struct iovec){p + P(5), P(3)};
	SHOW(process_madvise(own, v, 3, MADV_DONTNEED, 0));
	SHOW(process_madvise(own, v + 1, 1, MADV_DONTNEED, 0));
	SHOW(process_madvise(own, v, 1, 1234, 0));
	SHOW(process_madvise(own, v, 1, MADV_DONTNEED, 1));
	SHOW(process_madvise(own, v, 0, MADV_DONTNEED, 0));
	SHOW(process_madvise(own, v, 1025, MADV_DONTNEED, 0));
	SHOW(process_madvise(own, 8, 1, MADV_DONTNEED, 0));
	SHOW(process_madvise(-1, v, 1, MADV_DONTNEED, 0));
	SHOW(process_madvise(0, v, 1, MADV_DONTNEED, 0));
	v[0] = (struct iovec){p, -1ul};
	SHOW(process_madvise(own, v, 1, MADV_DONTNEED, 0));
	v[0] = (struct iovec){p + P(1), P(2)};
	SHOW(process_madvise(own, v, 1, 102, 0));
	SHOW(process_madvise(own, v, 1, 103, 0));
	pid = child();
	fd = syscall2(__NR_pidfd_open, pid, 0);
	for (int a = 0; a < 25; a++)
		print("of a child, advice %d = %d\n", (long)a, process_madvise(fd, v, 1, a, 0));
	SHOW(process_madvise(fd, v, 1, 102, 0));
	end(pid);
	SHOW(process_madvise(fd, v, 1, MADV_DONTNEED, 0));
	SHOW(process_madvise(fd, v, 1, 20, 0));
	munmap(p, P(8));
}

#define pread(fd, b, n, at) syscall6(__NR_pread64, fd, (long)(b), n, (long)(at), 0, 0)
#define pwrite(fd, b, n, at) syscall6(__NR_pwrite64, fd, (long)(b), n, (long)(at), 0, 0)
#define lseek(fd, to, whence) syscall3(__NR_lseek, fd, to, whence)

static void memory(void)
{
	int fd = sys_open("/proc/self/mem", O_RDWR);
	char *p = mmap(0, P(8), RW, ANON);
	char *shared = mmap(0, P(2), RW, MAP_SHARED | MAP_ANONYMOUS);
	static char buffer[8 * 4096];
	char path[32] = "/proc/";
	char digits[12];
	int n = 0;
	int at = 6;
	long pid;

	memset(p, 5, P(8));
	memset(shared, 6, P(2));
	munmap(p + P(6), P(1));
	mprotect(p, P(1), PROT_READ);
	mprotect(p + P(1), P(1), PROT_NONE);
	mprotect(shared, P(1), PROT_READ);
	SHOW(pread(fd, buffer, 16, p));
	SHOW(pread(fd, buffer, P(7), p));
	SHOW(pread(fd, buffer, P(7), p + 1));
	print("%d %d\n", (long)buffer[0], (long)buffer[P(1)]);
	SHOW(pread(fd, buffer, 16, p + P(6)));
	SHOW(pread(fd, buffer, 16, p + P(6) - 3));
	SHOW(pread(fd, buffer, 16, 0));
	SHOW(pread(fd, buffer, 0, 0));
	memset(buffer, 8, sizeof(buffer));
	SHOW(pwrite(fd, buffer, 16, p));
	SHOW(pwrite(fd, buffer, 16, p + P(1)));
	print("read only: %d %d\n", (long)p[0], (long)p[16]);
	mprotect(p + P(1), P(1), PROT_READ);
	print("no access: %d %d\n", (long)p[P(1)], (long)p[P(1) + 16]);
	SHOW(pwrite(fd, buffer, 16, shared));
	SHOW(pwrite(fd, buffer, 16, shared + P(1)));
	print("shared: %d %d\n", (long)shared[0], (long)shared[P(1)]);
	SHOW(pwrite(fd, buffer, P(8), p + P(5)));
	SHOW(pwrite(fd, buffer, 16, p + P(6)));
	SHOW(pwrite(fd, (void *)8, 16, p));
	SHOW(pread(fd, (void *)8, 16, p));
	layout("it stays", p, 8);
	/* Into the program's own text. */
	SHOW(pread(fd, buffer, 16, memory) == 16 && *(long *)buffer == *(long *)memory);
	SHOW(pwrite(fd, buffer, 16, memory));
	SHOW(lseek(fd, p + P(2), 0) == (long)(p + P(2)));
	SHOW(syscall3(__NR_read, fd, buffer, 100));
	SHOW(lseek(fd, 0, 1) - (long)(p + P(2)));
	SHOW(lseek(fd, -50, 1) - (long)(p + P(2)));
	SHOW(lseek(fd, 0, 2));
	SHOW(lseek(fd, 0, 5));
	SHOW(lseek(fd, 1ul << 62, 0) == 1l << 62);
	SHOW(syscall3(__NR_read, fd, buffer, 100));

	mmap(p, P(1), RW, ANON | MAP_FIXED);
	p[0] = 1;
	pid = child();
	for (long rest = pid; rest > 0; rest /= 10)
		digits[n++] = (char)('0' + rest % 10);
	while (n > 0)
		path[at++] = digits[--n];
	path[at++] = '/';
	path[at++] = 'm';
	path[at++] = 'e';
	path[at++] = 'm';
	path[at] = 0;
	fd = sys_open(path, O_RDWR);
	buffer[0] = 42;
	SHOW(pwrite(fd, buffer, 1, p));
	print("ours is %d\n", (long)p[0]);
	buffer[0] = 0;
	SHOW(pread(fd, buffer, 1, p));
	print("theirs is %d\n", (long)buffer[0]);
	end(pid);
	SHOW(pread(fd, buffer, 1, p));
	SHOW(pwrite(fd, buffer, 1, p));
	SHOW(sys_open(path, O_RDONLY));
}

struct query {
	uint64_t size, flags, addr, start, end, vma_flags, page_size, offset, inode;
	uint32_t major, minor, name_size, build_id_size;
	uint64_t name, build_id;
};

static char *base;

static void query(int fd, const char *what, struct query *q)
{
	static char name[64];
	long r;

	memset(name, 0, sizeof(name));
	q->size = sizeof(*q);
	if (q->name_size != 0)
		q->name = (uint64_t)name;
	r = syscall3(__NR_ioctl, fd, 0xc0686611, q);
	print("%s: %d", what, r);
	if (r == 0)
		print(" [%d,%d) flags %x, page %u, offset %x, name %u %s, build id %u", ((long)q->start - (long)base) / 4096,
		      ((long)q->end - (long)base) / 4096, q->vma_flags, q->page_size, q->offset, (unsigned long)q->name_size, name,
		      (unsigned long)q->build_id_size);
	print("\n");
}

static void queries(void)
{
	int fd = sys_open("/proc/self/maps", O_RDONLY);
	struct query q;
	char wide[4200];

	base = mmap(0, P(16), PROT_NONE, ANON);
	munmap(base, P(16));
	mmap(base, P(2), PROT_READ, ANON | MAP_FIXED);
	mmap(base + P(2), P(2), RW, ANON | MAP_FIXED);
	mmap(base + P(6), P(2), RW | PROT_EXEC, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED);
#define Q(text, a, f) (q = (struct query){.addr = (uint64_t)(a), .flags = f}, query(fd, text, &q))
	Q("the first", base + 5, 0);
	Q("the second", base + P(3), 0);
	Q("a hole", base + P(4), 0);
	Q("a hole, or the next", base + P(4), 16);
	Q("readable", base, 1);
	Q("writable", base, 2);
	Q("writable, or the next", base, 2 | 16);
	Q("executable, or the next", base, 4 | 16);
	Q("shared, or the next", base, 8 | 16);
	Q("shared, executable and writable", base + P(6), 2 | 4 | 8);
	Q("of a file", base, 32);
	Q("of a file, or the next", base, 32 | 16);
	Q("unknown flag", base, 64);
	Q("of the kernel", -4096l, 16);
	q = (struct query){.addr = (uint64_t)base, .name_size = 64};
	query(fd, "no name", &q);
	{
		uint64_t stack = (uint64_t)&q;

		q = (struct query){.addr = stack, .name_size = 64};
		q.size = sizeof(q);
		q.name = (uint64_t)wide;
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		print("%s %u\n", wide, (unsigned long)q.name_size);
		q = (struct query){.addr = stack, .name_size = 4};
		q.size = sizeof(q);
		q.name = (uint64_t)wide;
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		q = (struct query){.addr = stack, .size = sizeof(q), .name_size = 4};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		q = (struct query){.addr = stack, .size = sizeof(q), .name = 8};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		q = (struct query){.addr = stack, .size = sizeof(q), .build_id_size = 20, .build_id = (uint64_t)wide};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		print("build id %u\n", (unsigned long)q.build_id_size);
		q = (struct query){.addr = stack, .size = 23};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		q = (struct query){.addr = stack, .size = 24};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		print("nothing written: %d\n", (long)(q.start == 0));
		q = (struct query){.addr = stack, .size = 40};
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, &q));
		print("start and end written: %d\n", (long)(q.start != 0 && q.end != 0 && q.vma_flags == 0));
		memset(wide, 0, sizeof(wide));
		((struct query *)wide)->addr = stack;
		((struct query *)wide)->size = 200;
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, wide));
		wide[150] = 1;
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, wide));
		((struct query *)wide)->size = 4097;
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, wide));
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686611, 8));
		SHOW(syscall3(__NR_ioctl, fd, 0xc0686612, &q));
	}
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	vectors();
	advice();
	memory();
	queries();
	return 0;
}
