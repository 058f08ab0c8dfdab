/*
 * refusals: makes the system calls it reads from its standard input, each in a process of its own,
 * and prints what came of them: 0, an errno, or the signal that ended the process as 1000 and more.
 *
 * Input, in words of 8 bytes: how many bytes of data, the data padded to words, then seven words for
 * each call, its number and six arguments. Where things lie is also in
 * packages/riscv/test/surface_calls.ts.
 */
#include "start.h"

#define ARENA 0x1000000000ul
#define READ_ONLY (ARENA + 0x100000)
#define DATA (ARENA + 0x300000)
#define DATA_SIZE 0x20000ul
#define O_WRONLY 1
#define O_CREAT 0100
#define HOME "/tmp/faultline-refusals"

static long input(void *to, size_t size)
{
	size_t done = 0;

	while (done < size) {
		long n = syscall3(__NR_read, 0, (char *)to + done, size - done);

		if (n <= 0)
			break;
		done += (size_t)n;
	}
	return (long)done;
}

static void map_at(unsigned long at, size_t size, int prot)
{
	long p = syscall6(__NR_mmap, (long)at, (long)size, prot, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != (long)at)
		fail("mmap", p);
}

static void clean(void)
{
	static const char *const names[] = { "new", "file", "link", "sub" };

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		syscall3(__NR_unlinkat, AT_FDCWD, names[i], 0);
		syscall3(__NR_unlinkat, AT_FDCWD, names[i], 0x200);
	}
}

/* In the working directory: a file, a symbolic link to it, an empty directory; descriptors 3 to 8. */
static void prepare(void)
{
	int ends[2];
	long fd;

	clean();
	syscall3(__NR_mkdirat, AT_FDCWD, "sub", 0755);
	syscall3(__NR_symlinkat, "file", AT_FDCWD, "link");
	fd = syscall4(__NR_openat, AT_FDCWD, "file", O_RDWR | O_CREAT, 0644);
	syscall3(__NR_write, fd, ARENA + PAGE_SIZE, 2 * PAGE_SIZE);
	syscall3(__NR_lseek, fd, 0, 0);
	if (fd != 3 || sys_open(".", O_RDONLY) != 4 || syscall2(__NR_pipe2, ends, 0) != 0 || ends[1] != 6 ||
	    sys_open("file", O_RDONLY) != 7 || sys_open("file", O_WRONLY) != 8)
		fail("descriptors", 0);
}

static void make(const long *call)
{
	/* Two seconds, then SIGALRM. */
	const long timer[4] = { 0, 0, 2, 0 };
	long result;

	syscall3(__NR_setitimer, 0, timer, NULL);
	prepare();
	result = syscall6(call[0], call[1], call[2], call[3], call[4], call[5], call[6]);
	exit_group(result < 0 && result > -4096 ? (int)-result : 0);
}

int main(int argc, char **argv, char **envp)
{
	long size, call[7];

	(void)argc, (void)argv, (void)envp;

	syscall3(__NR_mkdirat, AT_FDCWD, HOME, 0755);
	if (syscall1(__NR_chdir, HOME) < 0)
		fail("chdir", 0);
	map_at(ARENA, 16 * PAGE_SIZE, PROT_READ | PROT_WRITE);
	map_at(READ_ONLY, PAGE_SIZE, PROT_READ);
	map_at(DATA, DATA_SIZE, PROT_READ | PROT_WRITE);
	memset((void *)ARENA, 0, PAGE_SIZE);
	if (input(&size, sizeof(size)) != sizeof(size) || input((void *)DATA, (size_t)size) != size)
		fail("input", 0);
	while (input(call, sizeof(call)) == sizeof(call)) {
		int status = 0;
		long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

		if (pid == 0)
			make(call);
		if (pid < 0)
			fail("fork", pid);
		/* A child of the call itself may come first. */
		while (syscall4(__NR_wait4, pid, &status, 0, NULL) == -4)
			;
		print("%d\n", (long)((status & 127) != 0 ? 1000 + (status & 127) : status >> 8));
	}
	clean();
	syscall1(__NR_chdir, "/");
	syscall3(__NR_unlinkat, AT_FDCWD, HOME, 0x200);
	return 0;
}
