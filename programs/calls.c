/*
 * calls: system calls with good and bad arguments, and what they answer. Prints the same on any
 * Linux where /tmp can be written.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define BAD ((void *)8)

static char buffer[256];

static void files(void)
{
	struct {
		const void *base;
		size_t length;
	} vector[2] = { { "ab", 2 }, { "cd", 2 } };

	SHOW("mkdir", syscall3(__NR_mkdirat, AT_FDCWD, "/tmp/faultline-calls", 0755));
	SHOW("mkdir again", syscall3(__NR_mkdirat, AT_FDCWD, "/tmp/faultline-calls", 0755));
	SHOW("chdir", syscall1(__NR_chdir, "/tmp/faultline-calls"));
	SHOW("getcwd", syscall2(__NR_getcwd, buffer, sizeof(buffer)));
	print("%s\n", buffer);
	SHOW("getcwd small", syscall2(__NR_getcwd, buffer, 3));
	long fd = syscall4(__NR_openat, AT_FDCWD, "f", O_RDWR | O_CREAT | O_EXCL, 0640);
	SHOW("open", fd >= 0);
	SHOW("open again", syscall4(__NR_openat, AT_FDCWD, "f", O_RDWR | O_CREAT | O_EXCL, 0640));
	SHOW("open missing", syscall4(__NR_openat, AT_FDCWD, "missing/f", O_RDONLY, 0));
	SHOW("open bad", syscall4(__NR_openat, AT_FDCWD, BAD, O_RDONLY, 0));
	SHOW("write", syscall3(__NR_write, fd, "hello world", 11));
	SHOW("lseek", syscall3(__NR_lseek, fd, 0, 0));
	SHOW("read", syscall3(__NR_read, fd, buffer, 5));
	SHOW("pwrite", syscall4(__NR_pwrite64, fd, "HE", 2, 0));
	SHOW("pread", syscall4(__NR_pread64, fd, buffer, 20, 0));
	buffer[11] = 0;
	print("%s\n", buffer);
	SHOW("where", syscall3(__NR_lseek, fd, 0, 1));
	SHOW("lseek below", syscall3(__NR_lseek, fd, -100, 0));
	SHOW("lseek end", syscall3(__NR_lseek, fd, 0, 2));
	SHOW("writev", syscall3(__NR_writev, fd, vector, 2));
	SHOW("writev too many", syscall3(__NR_writev, fd, vector, 1025));
	SHOW("truncate", syscall2(__NR_ftruncate, fd, 3));
	SHOW("size", syscall3(__NR_lseek, fd, 0, 2));
	SHOW("read nowhere", syscall3(__NR_read, fd, BAD, 1));
	syscall3(__NR_lseek, fd, 0, 0);
	SHOW("read to nowhere", syscall3(__NR_read, fd, BAD, 1));
	SHOW("write nowhere", syscall3(__NR_write, fd, BAD, 1));
	SHOW("read closed", syscall3(__NR_read, 99, buffer, 1));
	SHOW("ioctl", syscall3(__NR_ioctl, fd, 0x5401, buffer));
	long copy = syscall1(__NR_dup, fd);
	SHOW("dup", copy > fd);
	SHOW("dup3 same", syscall3(__NR_dup3, fd, fd, 0));
	SHOW("dup3", syscall3(__NR_dup3, fd, 20, 0));
	SHOW("cloexec", syscall3(__NR_fcntl, 20, 1, 0));
	SHOW("set cloexec", syscall3(__NR_fcntl, 20, 2, 1));
	SHOW("cloexec", syscall3(__NR_fcntl, 20, 1, 0));
	SHOW("access mode", syscall3(__NR_fcntl, fd, 3, 0) & 3);
	SHOW("dupfd", syscall3(__NR_fcntl, fd, 0, 30));
	SHOW("close", syscall1(__NR_close, 20));
	SHOW("close again", syscall1(__NR_close, 20));
	SHOW("symlink", syscall3(__NR_symlinkat, "f", AT_FDCWD, "l"));
	SHOW("readlink", syscall4(__NR_readlinkat, AT_FDCWD, "l", buffer, sizeof(buffer)));
	SHOW("readlink file", syscall4(__NR_readlinkat, AT_FDCWD, "f", buffer, sizeof(buffer)));
	SHOW("access", syscall3(__NR_faccessat, AT_FDCWD, "l", 4));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "l", 0));
	SHOW("access gone", syscall3(__NR_faccessat, AT_FDCWD, "l", 4));
	SHOW("rmdir busy", syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/faultline-calls", 0x200));
	SHOW("unlink file", syscall3(__NR_unlinkat, AT_FDCWD, "f", 0));
	SHOW("chdir back", syscall1(__NR_chdir, "/tmp"));
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, "faultline-calls", 0x200));
}

static void memory(void)
{
	unsigned char resident[3] = { 9, 9, 9 };
	char *p = map_anonymous(3 * PAGE_SIZE);

	p[PAGE_SIZE] = 1;
	SHOW("mincore", syscall3(__NR_mincore, p, 3 * PAGE_SIZE, resident));
	print("%d%d%d\n", (long)resident[0] & 1, (long)resident[1] & 1, (long)resident[2] & 1);
	SHOW("mprotect", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ));
	SHOW("time to read-only", syscall2(__NR_clock_gettime, 0, p));
	SHOW("munmap", syscall2(__NR_munmap, p + PAGE_SIZE, PAGE_SIZE));
	SHOW("mincore hole", syscall3(__NR_mincore, p, 3 * PAGE_SIZE, resident));
	SHOW("madvise hole", syscall3(__NR_madvise, p, 3 * PAGE_SIZE, 4));
	SHOW("msync", syscall3(__NR_msync, p, PAGE_SIZE, 4));
	SHOW("msync hole", syscall3(__NR_msync, p, 3 * PAGE_SIZE, 4));
	SHOW("munmap odd", syscall2(__NR_munmap, p + 1, PAGE_SIZE));
	SHOW("munmap nothing", syscall2(__NR_munmap, p, 0));
	SHOW("mprotect nothing there", syscall3(__NR_mprotect, 0x1000, PAGE_SIZE, PROT_READ));
	SHOW("mmap nothing", syscall6(__NR_mmap, 0, 0, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW("mmap no file", syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, -1, 0));
	SHOW("mmap too much", syscall6(__NR_mmap, 0, 1l << 62, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	SHOW("madvise unknown", syscall3(__NR_madvise, p, PAGE_SIZE, 1234));
	long end = syscall1(__NR_brk, 0);
	SHOW("brk", syscall1(__NR_brk, end + 10000) - end);
	*(volatile char *)(end + 9999) = 1;
	SHOW("brk back", syscall1(__NR_brk, end) - end);
	SHOW("brk below", syscall1(__NR_brk, 8) - end);
}

static void futexes(void)
{
	static unsigned int one, two = 5;
	long time[2] = { 0, 1000000 }, wrong[2] = { 0, 2000000000 };

	SHOW("wait other", syscall4(__NR_futex, &one, FUTEX_WAIT, 1, NULL));
	SHOW("wait timeout", syscall4(__NR_futex, &one, FUTEX_WAIT, 0, time));
	SHOW("wait bad time", syscall4(__NR_futex, &one, FUTEX_WAIT, 0, wrong));
	SHOW("wait odd", syscall4(__NR_futex, (char *)&one + 1, FUTEX_WAIT, 0, NULL));
	SHOW("wait nowhere", syscall4(__NR_futex, BAD, FUTEX_WAIT, 0, NULL));
	SHOW("wake nobody", syscall4(__NR_futex, &one, FUTEX_WAKE, 1, NULL));
	SHOW("wake nowhere", syscall4(__NR_futex, BAD, FUTEX_WAKE, 1, NULL));
	SHOW("no bitset", syscall6(__NR_futex, (long)&one, FUTEX_WAIT_BITSET, 0, 0, 0, 0));
	SHOW("requeue other", syscall6(__NR_futex, (long)&one, FUTEX_CMP_REQUEUE, 1, 1, (long)&two, 1));
	SHOW("wake op", syscall6(__NR_futex, (long)&one, FUTEX_WAKE_OP, 1, 1, (long)&two, FUTEX_OP(FUTEX_OP_ADD, 7, FUTEX_OP_CMP_EQ, 5)));
	SHOW("word", two);
	SHOW("wake op", syscall6(__NR_futex, (long)&one, FUTEX_WAKE_OP, 1, 1, (long)&two, FUTEX_OP(FUTEX_OP_ANDN, 4, FUTEX_OP_CMP_GT, 5)));
	SHOW("word", two);
	SHOW("unknown", syscall4(__NR_futex, &one, 99, 1, NULL));
}

static void processes(void)
{
	long limits[2], times[2] = { 0, -1 };
	unsigned long mask = 0;

	SHOW("pid is tid", syscall0(__NR_getpid) == syscall0(__NR_gettid));
	SHOW("wait4", syscall4(__NR_wait4, -1, 0, 0, 0));
	SHOW("limit", syscall4(__NR_prlimit64, 0, 3, NULL, limits));
	print("stack: %d\n", limits[0]);
	SHOW("limit unknown", syscall4(__NR_prlimit64, 0, 99, NULL, limits));
	SHOW("name", syscall2(__NR_prctl, 15, "a-name-that-is-too-long"));
	SHOW("name back", syscall2(__NR_prctl, 16, buffer));
	print("%s\n", buffer);
	SHOW("affinity small", syscall3(__NR_sched_getaffinity, 0, 3, &mask));
	SHOW("affinity none", syscall3(__NR_sched_setaffinity, 0, 8, &mask));
	SHOW("random", syscall3(__NR_getrandom, buffer, 16, 0));
	SHOW("random flags", syscall3(__NR_getrandom, buffer, 16, 99));
	SHOW("clock unknown", syscall2(__NR_clock_gettime, 99, times));
	SHOW("sleep wrong", syscall2(__NR_nanosleep, times, NULL));
	SHOW("sleep nowhere", syscall2(__NR_nanosleep, BAD, NULL));
	SHOW("umask", syscall1(__NR_umask, 077));
	SHOW("umask", syscall1(__NR_umask, 022));
	SHOW("robust size", syscall2(__NR_set_robust_list, buffer, 7));
	SHOW("unknown call", syscall0(9999));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	syscall1(__NR_umask, 022);
	files();
	memory();
	futexes();
	processes();
	return 3;
}
