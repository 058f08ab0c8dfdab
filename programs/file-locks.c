/*
 * file-locks: record locks, locks of open file descriptions and of flock(), owners of files. Prints the
 * same on any Linux.
 */
#include "process.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define F_DUPFD 0
#define F_GETFL 3
#define F_GETLK_ 5
#define F_SETLK_ 6
#define F_SETLKW_ 7
#define F_SETOWN_ 8
#define F_GETOWN_ 9
#define F_SETSIG_ 10
#define F_GETSIG_ 11
#define F_SETOWN_EX_ 15
#define F_GETOWN_EX_ 16
#define F_GETOWNER_UIDS_ 17
#define OFD 31
#define F_SETLEASE_ 1024
#define F_GETLEASE_ 1025
#define F_DUPFD_QUERY_ 1027
#define F_CREATED_QUERY_ 1028
#define RDLCK 0
#define WRLCK 1
#define UNLCK 2
#define LOCK_SH_ 1
#define LOCK_EX_ 2
#define LOCK_NB_ 4
#define LOCK_UN_ 8
#define O_WRONLY 1
#define O_CREAT 0100
#define O_PATH 010000000
#define FILE_ "/tmp/faultline-locks"

struct lock {
	short type, whence;
	int pad;
	long start, length;
	int pid, pad2;
};

static int to_parent[2], to_child[2];

static long fcntl_(int fd, int command, const void *arg)
{
	return syscall3(__NR_fcntl, fd, command, arg);
}

static long lock(int fd, int command, int type, long start, long length)
{
	struct lock l = { type, 0, 0, start, length, 0, 0 };

	return fcntl_(fd, command, &l);
}

/* Whose a lock is does not matter here, but whether it is one's own child's or nobody's. */
static void test(int fd, int command, int type, long start, long length, int child)
{
	struct lock l = { type, 0, 0, start, length, 0, 0 };
	long error = fcntl_(fd, command, &l);

	print("test %d: type %d whence %d from %d length %d ", error, (long)l.type, (long)l.whence, l.start, l.length);
	print("pid %s\n", l.pid == 0 ? "none" : l.pid == -1 ? "-1" : l.pid == child ? "the child's" : "another's");
}

static void tell(int *pipe)
{
	syscall3(__NR_write, pipe[1], "x", 1);
}

static void hear(int *pipe)
{
	char c;

	syscall3(__NR_read, pipe[0], &c, 1);
}

static int open_(int flags)
{
	return (int)syscall4(__NR_openat, AT_FDCWD, FILE_, flags, 0644);
}

/* Lines of a file that are about locks on the file here, without numbers that differ. */
static void show_lines(const char *path, const char *start)
{
	static char text[1 << 14];
	int fd = sys_open(path, O_RDONLY);
	long n = syscall3(__NR_read, fd, text, sizeof(text));
	size_t k = string_length(start);

	syscall1(__NR_close, fd);
	for (long i = 0; i < n; i++) {
		long end = i, word = 0;
		int same = 1;

		while (end < n && text[end] != '\n')
			end++;
		for (size_t j = 0; j < k; j++)
			same = same && text[i + j] == start[j];
		for (long j = i; same && j < end; j++) {
			if (text[j] != ' ' && (j == i || text[j - 1] == ' ' || text[j - 1] == '\t'))
				word++;
			/* "lock:", number, kind, what, type, process and file, from, to. */
			if (word != 6 && word != 7)
				syscall3(__NR_write, 1, text + j, 1);
		}
		if (same)
			print("\n");
		i = end;
	}
}

static void records(void)
{
	int fd = open_(O_RDWR), other = open_(O_RDWR), reading = open_(O_RDONLY), writing = open_(O_WRONLY), path = open_(O_PATH);
	struct lock l = { WRLCK, 0, 0, 0, 0, 0, 0 };
	long pid;

	SHOW("write", lock(fd, F_SETLK_, WRLCK, 0, 10));
	SHOW("again, by another descriptor", lock(other, F_SETLK_, WRLCK, 0, 10));
	test(fd, F_GETLK_, WRLCK, 0, 0, 0);
	SHOW("reading for writing", lock(reading, F_SETLK_, WRLCK, 20, 1));
	SHOW("writing for reading", lock(writing, F_SETLK_, RDLCK, 20, 1));
	SHOW("a path", lock(path, F_SETLK_, RDLCK, 20, 1));
	SHOW("no such type", lock(fd, F_SETLK_, 7, 0, 1));
	l.whence = 9;
	SHOW("from nowhere", fcntl_(fd, F_SETLK_, &l));
	SHOW("before the beginning", lock(fd, F_SETLK_, WRLCK, -1, 1));
	SHOW("backwards", lock(fd, F_SETLK_, WRLCK, 100, -5));
	SHOW("backwards beyond the beginning", lock(fd, F_SETLK_, WRLCK, 4, -5));
	SHOW("too far", lock(fd, F_SETLK_, WRLCK, 0x7fffffffffffffff, 2));
	SHOW("the last", lock(fd, F_SETLK_, WRLCK, 0x7fffffffffffffff, 1));
	SHOW("bad memory", fcntl_(fd, F_SETLK_, (void *)8));
	SHOW("bad memory", fcntl_(fd, F_GETLK_, (void *)8));
	test(fd, F_GETLK_, UNLCK, 0, 0, 0);

	SHOW("read in between", lock(fd, F_SETLK_, RDLCK, 3, 4));
	SHOW("more of it", lock(fd, F_SETLK_, WRLCK, 10, 10));
	pid = fork_();
	if (pid == 0) {
		long parent = syscall0(__NR_getppid);

		test(fd, F_GETLK_, WRLCK, 0, 0, parent);
		test(fd, F_GETLK_, WRLCK, 4, 0, parent);
		test(fd, F_GETLK_, RDLCK, 4, 0, parent);
		test(fd, F_GETLK_, WRLCK, 20, 10, parent);
		test(fd, F_GETLK_, WRLCK, 94, 4, parent);
		test(fd, F_GETLK_, RDLCK, 101, 0, parent);
		SHOW("in the way", lock(fd, F_SETLK_, RDLCK, 0, 5));
		SHOW("both read", lock(fd, F_SETLK_, RDLCK, 3, 4));
		/* With any descriptor, all of a process's go. */
		syscall1(__NR_close, reading);
		tell(to_parent);
		hear(to_child);
		exit_group(0);
	}
	hear(to_parent);
	SHOW("the child's has gone", lock(fd, F_SETLK_, WRLCK, 3, 4));
	SHOW("unlock a part", lock(fd, F_SETLK_, UNLCK, 2, 3));
	show_lines("/proc/self/fdinfo/5", "lock:");
	tell(to_child);
	wait_(pid);
	syscall1(__NR_close, other);
	show_lines("/proc/self/fdinfo/5", "lock:");
	SHOW("a duplicate", fd = (int)fcntl_(fd, F_DUPFD, (void *)30));
	SHOW("locked", lock(fd, F_SETLK_, WRLCK, 0, 1));
	syscall3(__NR_dup3, 0, fd, 0);
	show_lines("/proc/self/fdinfo/5", "lock:");
	fd = 5;

	l.whence = 2, l.start = -10, l.length = 5, l.type = WRLCK;
	syscall2(__NR_ftruncate, fd, 1000);
	SHOW("before the end", fcntl_(fd, F_SETLK_, &l));
	syscall3(__NR_lseek, fd, 500, 0);
	l.whence = 1, l.start = 10, l.length = 0;
	SHOW("behind the position", fcntl_(fd, F_SETLK_, &l));
	show_lines("/proc/self/fdinfo/5", "lock:");

	/* Who waits is woken by an unlock, by a close, by an end. */
	for (int how = 0; how < 3; how++) {
		lock(fd, F_SETLK_, UNLCK, 0, 0);
		pid = fork_();
		if (pid == 0) {
			int mine = open_(O_RDWR);

			lock(mine, F_SETLK_, WRLCK, 10, 10);
			tell(to_parent);
			sleep_ms(5);
			if (how == 0)
				lock(mine, F_SETLK_, UNLCK, 15, 5);
			else if (how == 1)
				syscall1(__NR_close, fd);
			hear(to_child);
			exit_group(0);
		}
		hear(to_parent);
		if (how == 2)
			tell(to_child);
		SHOW("waited", lock(fd, F_SETLKW_, RDLCK, 15, 1));
		test(fd, F_GETLK_, RDLCK, 0, 0, pid);
		if (how < 2)
			tell(to_child);
		wait_(pid);
	}

	/* Each waits for the other. */
	lock(fd, F_SETLK_, UNLCK, 0, 0);
	lock(fd, F_SETLK_, WRLCK, 0, 1);
	pid = fork_();
	if (pid == 0) {
		lock(fd, F_SETLK_, WRLCK, 1, 1);
		tell(to_parent);
		SHOW("the other", lock(fd, F_SETLKW_, WRLCK, 0, 1));
		exit_group(0);
	}
	hear(to_parent);
	sleep_ms(20);
	show_lines("/proc/self/fdinfo/5", "lock:");
	SHOW("deadlock", lock(fd, F_SETLKW_, WRLCK, 1, 1));
	SHOW("not without waiting", lock(fd, F_SETLK_, WRLCK, 1, 1));
	lock(fd, F_SETLK_, UNLCK, 0, 1);
	wait_(pid);
	for (int i = 5; i < 10; i++)
		syscall1(__NR_close, i);
}

static void descriptions(void)
{
	int fd = open_(O_RDWR), other = open_(O_RDWR);
	struct lock l = { WRLCK, 0, 0, 0, 0, 1, 0 };
	long pid;

	SHOW("of a description", lock(fd, F_SETLK_ + OFD, WRLCK, 0, 10));
	SHOW("of another", lock(other, F_SETLK_ + OFD, RDLCK, 5, 10));
	SHOW("of the process", lock(fd, F_SETLK_, RDLCK, 5, 10));
	test(other, F_GETLK_ + OFD, RDLCK, 0, 0, 0);
	test(fd, F_GETLK_, RDLCK, 0, 0, 0);
	test(fd, F_GETLK_ + OFD, RDLCK, 0, 0, 0);
	test(fd, F_GETLK_ + OFD, UNLCK, 0, 0, 0);
	test(other, F_GETLK_ + OFD, UNLCK, 0, 0, 0);
	SHOW("with a process", fcntl_(fd, F_SETLK_ + OFD, &l));
	SHOW("with a process", fcntl_(fd, F_GETLK_ + OFD, &l));
	show_lines("/proc/self/fdinfo/5", "lock:");
	show_lines("/proc/self/fdinfo/6", "lock:");
	pid = fork_();
	if (pid == 0) {
		SHOW("the same description", lock(fd, F_SETLK_ + OFD, WRLCK, 0, 20));
		syscall1(__NR_close, fd);
		exit_group(0);
	}
	wait_(pid);
	SHOW("still", lock(other, F_SETLK_ + OFD, RDLCK, 15, 1));
	syscall1(__NR_close, fd);
	SHOW("closed", lock(other, F_SETLK_ + OFD, RDLCK, 15, 1));
	syscall1(__NR_close, other);
}

static long flock_(int fd, int operation)
{
	return syscall2(__NR_flock, fd, operation);
}

static void whole(void)
{
	int fd = open_(O_RDONLY), other = open_(O_RDWR), path = open_(O_PATH);
	long pid, error;

	SHOW("shared", flock_(fd, LOCK_SH_));
	SHOW("shared", flock_(other, LOCK_SH_));
	SHOW("not exclusive", flock_(other, LOCK_EX_ | LOCK_NB_));
	/* That one is gone now. */
	SHOW("exclusive", flock_(fd, LOCK_EX_ | LOCK_NB_));
	SHOW("not shared", flock_(other, LOCK_SH_ | LOCK_NB_));
	SHOW("nothing to do with records", lock(other, F_SETLK_, WRLCK, 0, 0));
	show_lines("/proc/self/fdinfo/5", "lock:");
	pid = fork_();
	if (pid == 0) {
		SHOW("the same description", flock_(fd, LOCK_UN_));
		tell(to_parent);
		exit_group(0);
	}
	error = flock_(other, LOCK_EX_);
	hear(to_parent);
	SHOW("waited", error);
	wait_(pid);
	SHOW("again", flock_(other, LOCK_EX_));
	SHOW("down", flock_(other, LOCK_SH_));
	SHOW("nothing to give up", flock_(fd, LOCK_UN_ | LOCK_NB_));
	SHOW("none", flock_(fd, 0));
	SHOW("two", flock_(fd, LOCK_SH_ | LOCK_EX_));
	SHOW("unknown", flock_(fd, 16));
	SHOW("mandatory", flock_(fd, 32));
	SHOW("mandatory", flock_(99, 32));
	SHOW("no descriptor", flock_(99, LOCK_SH_));
	SHOW("a path", flock_(path, LOCK_SH_));
	SHOW("a pipe", flock_(to_child[0], LOCK_EX_));
	SHOW("a pipe", flock_(to_child[1], LOCK_EX_ | LOCK_NB_));
	flock_(to_child[0], LOCK_UN_);
	for (int i = 5; i < 8; i++)
		syscall1(__NR_close, i);
}

static void owners(void)
{
	int fd = open_(O_RDWR), path = open_(O_PATH), ex[2];
	long self = syscall0(__NR_getpid);

	SHOW("nobody", fcntl_(fd, F_GETOWN_, 0));
	SHOW("self", fcntl_(fd, F_SETOWN_, (void *)self));
	SHOW("self", fcntl_(fd, F_GETOWN_, 0) == self);
	SHOW("a group", fcntl_(fd, F_SETOWN_, (void *)-syscall1(__NR_getpgid, 0)));
	SHOW("a group", fcntl_(fd, F_GETOWN_, 0) == -syscall1(__NR_getpgid, 0));
	SHOW("not there", fcntl_(fd, F_SETOWN_, (void *)9999999));
	SHOW("no group", fcntl_(fd, F_SETOWN_, (void *)0x80000000));
	SHOW("told", fcntl_(fd, F_GETOWN_EX_, ex));
	print("%d %d\n", (long)ex[0], (long)(ex[1] == syscall1(__NR_getpgid, 0)));
	ex[0] = 0, ex[1] = (int)self;
	SHOW("a thread", fcntl_(fd, F_SETOWN_EX_, ex));
	SHOW("a thread", fcntl_(fd, F_GETOWN_EX_, ex));
	print("%d %d\n", (long)ex[0], (long)(ex[1] == self));
	ex[0] = 7;
	SHOW("no such kind", fcntl_(fd, F_SETOWN_EX_, ex));
	ex[0] = 1, ex[1] = 9999999;
	SHOW("not there", fcntl_(fd, F_SETOWN_EX_, ex));
	ex[1] = 0;
	SHOW("nobody", fcntl_(fd, F_SETOWN_EX_, ex));
	SHOW("nobody", fcntl_(fd, F_GETOWN_, 0));
	SHOW("bad memory", fcntl_(fd, F_GETOWN_EX_, (void *)8));
	SHOW("users", fcntl_(fd, F_GETOWNER_UIDS_, ex));
	print("%d %d\n", (long)ex[0], (long)ex[1]);
	SHOW("no signal", fcntl_(fd, F_GETSIG_, 0));
	SHOW("a signal", fcntl_(fd, F_SETSIG_, (void *)10));
	SHOW("a signal", fcntl_(fd, F_GETSIG_, 0));
	SHOW("beyond", fcntl_(fd, F_SETSIG_, (void *)65));
	SHOW("negative", fcntl_(fd, F_SETSIG_, (void *)-1));
	SHOW("a path", fcntl_(path, F_GETOWN_, 0));
	SHOW("a path", fcntl_(path, F_GETFL, 0) == O_PATH);
	SHOW("no lease", fcntl_(fd, F_GETLEASE_, 0));
	SHOW("a lease to read what is written", fcntl_(fd, F_SETLEASE_, (void *)RDLCK));
	SHOW("no such lease", fcntl_(fd, F_SETLEASE_, (void *)7));
	SHOW("a lease of a pipe", fcntl_(to_child[0], F_SETLEASE_, (void *)RDLCK));
	SHOW("no lease to give up", fcntl_(fd, F_SETLEASE_, (void *)UNLCK));
	SHOW("the same", fcntl_(fd, F_DUPFD_QUERY_, (void *)(long)fd));
	SHOW("another", fcntl_(fd, F_DUPFD_QUERY_, (void *)(long)path));
	SHOW("none", fcntl_(fd, F_DUPFD_QUERY_, (void *)99));
	SHOW("found", fcntl_(fd, F_CREATED_QUERY_, 0));
	syscall3(__NR_unlinkat, AT_FDCWD, FILE_, 0);
	SHOW("made", fcntl_(open_(O_RDWR | O_CREAT), F_CREATED_QUERY_, 0));
	syscall3(__NR_unlinkat, AT_FDCWD, FILE_, 0);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	/* Descriptors 3 to 6, so that files are from 5 on. */
	syscall2(__NR_pipe2, to_parent, 0);
	for (int i = 0; i < 2; i++) {
		syscall3(__NR_dup3, to_parent[i], 40 + i, 0);
		syscall1(__NR_close, to_parent[i]);
		to_parent[i] = 40 + i;
	}
	syscall2(__NR_pipe2, to_child, 0);
	syscall1(__NR_close, open_(O_RDWR | O_CREAT));
	records();
	descriptions();
	whole();
	owners();
	return 0;
}
