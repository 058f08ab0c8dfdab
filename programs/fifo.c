/*
 * fifo: pipes that have names: who waits for whom when they are opened, what is read and written, and what
 * becomes of it. Prints the same on any Linux where /tmp can be written.
 */
#include "process.h"
#include <linux/poll.h>
#include <linux/resource.h>
#include <linux/stat.h>

#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_NONBLOCK 04000
#define O_DIRECTORY 0200000
#define O_PATH 010000000
#define F_GETFL 3
#define F_SETFL 4
#define F_GETPIPE_SZ 1032
#define F_SETPIPE_SZ 1031
#define DIR "/tmp/faultline-fifo"
#define FIFO DIR "/fifo"
#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define NOBODY 65534

static long open_(const char *path, int flags)
{
	return syscall4(__NR_openat, AT_FDCWD, path, flags, 0600);
}

static long make(const char *path, int mode)
{
	return syscall4(__NR_mknodat, AT_FDCWD, path, mode, 0);
}

static long remove_(const char *path)
{
	return syscall3(__NR_unlinkat, AT_FDCWD, path, 0);
}

static void show_stat(const char *what, const char *path)
{
	struct statx st;

	syscall5(__NR_statx, AT_FDCWD, path, 0x100, STATX_BASIC_STATS, &st);
	print("%s: mode %x, nlink %u, size %u, blocks %u\n", what, (unsigned long)st.stx_mode, (unsigned long)st.stx_nlink, (unsigned long)st.stx_size, (unsigned long)st.stx_blocks);
}

static void names(void)
{
	SHOW("a fifo", make(FIFO, S_IFIFO | 0666));
	show_stat("it", FIFO);
	SHOW("again", make(FIFO, S_IFIFO | 0666));
	SHOW("in no directory", make(DIR "/no/fifo", S_IFIFO | 0600));
	SHOW("behind a slash", make(DIR "/slash/", S_IFIFO | 0600));
	SHOW("a file", make(DIR "/file", 0640));
	show_stat("it", DIR "/file");
	SHOW("one more", make(DIR "/file2", S_IFREG | 0604));
	SHOW("a socket", make(DIR "/socket", S_IFSOCK | 0600));
	show_stat("it", DIR "/socket");
	SHOW("open of it", open_(DIR "/socket", O_RDWR));
	SHOW("a directory", make(DIR "/dir", S_IFDIR | 0600));
	SHOW("a link", make(DIR "/link", S_IFLNK | 0600));
	SHOW("what is nothing", make(DIR "/x", 0170000));
	SHOW("hard link", syscall5(__NR_linkat, AT_FDCWD, FIFO, AT_FDCWD, DIR "/other", 0));
	show_stat("it", FIFO);
	SHOW("rename", syscall5(__NR_renameat2, AT_FDCWD, DIR "/other", AT_FDCWD, DIR "/moved", 0));
	SHOW("chmod", syscall4(__NR_fchmodat, AT_FDCWD, FIFO, 0600, 0));
	show_stat("it", FIFO);
	SHOW("truncate", syscall2(__NR_truncate, FIFO, 0));
	SHOW("unlink", remove_(DIR "/moved"));
	SHOW("unlink", remove_(DIR "/file"));
	SHOW("unlink", remove_(DIR "/file2"));
	SHOW("unlink", remove_(DIR "/socket"));
}

static void show_poll(const char *what, long fd, int events)
{
	struct pollfd one = { (int)fd, (short)events, 0 };
	long zero[2] = { 0, 0 };

	syscall5(__NR_ppoll, &one, 1, zero, NULL, 0);
	print("%s: %x\n", what, (unsigned long)(unsigned short)one.revents);
}

static void without_waiting(void)
{
	char c[8] = "abc";

	SHOW("to write to nobody", open_(FIFO, O_WRONLY | O_NONBLOCK));
	long in = open_(FIFO, O_RDONLY | O_NONBLOCK);

	SHOW("to read from nobody", in >= 0);
	SHOW("read", syscall3(__NR_read, in, c, 3));
	show_poll("before anybody writes", in, POLLIN);
	long out = open_(FIFO, O_WRONLY | O_NONBLOCK);

	SHOW("to write", out >= 0);
	SHOW("read", syscall3(__NR_read, in, c, 3));
	show_poll("with nothing in it", in, POLLIN);
	show_poll("to write", out, POLLOUT);
	SHOW("write to the end that reads", syscall3(__NR_write, in, c, 3));
	SHOW("read from the end that writes", syscall3(__NR_read, out, c, 3));
	SHOW("write", syscall3(__NR_write, out, c, 3));
	show_poll("with three bytes", in, POLLIN);
	show_stat("it", FIFO);
	SHOW("lseek", syscall3(__NR_lseek, in, 0, 0));
	SHOW("pread", syscall4(__NR_pread64, in, c, 3, 0));
	SHOW("ftruncate", syscall2(__NR_ftruncate, out, 0));
	SHOW("fallocate", syscall4(__NR_fallocate, out, 0, 0, 4096));
	SHOW("fsync", syscall1(__NR_fsync, out));
	SHOW("mmap", syscall6(__NR_mmap, 0, 4096, PROT_READ, MAP_SHARED, in, 0));
	SHOW("size", syscall3(__NR_fcntl, in, F_GETPIPE_SZ, 0));
	SHOW("a larger one", syscall3(__NR_fcntl, out, F_SETPIPE_SZ, 128 * 1024));
	SHOW("size", syscall3(__NR_fcntl, in, F_GETPIPE_SZ, 0));
	syscall1(__NR_close, out);
	show_poll("without who writes", in, POLLIN);
	SHOW("read", syscall3(__NR_read, in, c, 8));
	print("what was read: %s\n", c);
	SHOW("read", syscall3(__NR_read, in, c, 8));
	show_poll("at the end", in, POLLIN);
	out = open_(FIFO, O_WRONLY | O_TRUNC);
	SHOW("written again", syscall3(__NR_write, out, "xy", 2));
	syscall1(__NR_close, in);
	show_poll("without who reads", out, POLLOUT);
	SHOW("write to nobody", syscall3(__NR_write, out, c, 3));
	in = open_(FIFO, O_RDONLY | O_NONBLOCK);
	SHOW("what is left", syscall3(__NR_read, in, c, 8));
	syscall1(__NR_close, in);
	syscall1(__NR_close, out);
	in = open_(FIFO, O_RDONLY | O_NONBLOCK);
	SHOW("size of a new one", syscall3(__NR_fcntl, in, F_GETPIPE_SZ, 0));
	syscall1(__NR_close, in);

	long both = open_(FIFO, O_RDWR);

	SHOW("both", both >= 0);
	SHOW("write", syscall3(__NR_write, both, "12", 2));
	show_poll("both", both, POLLIN | POLLOUT);
	SHOW("read", syscall3(__NR_read, both, c, 8));
	syscall3(__NR_fcntl, both, F_SETFL, O_NONBLOCK);
	SHOW("read", syscall3(__NR_read, both, c, 8));
	SHOW("flags", (syscall3(__NR_fcntl, both, F_GETFL, 0) & 3) == O_RDWR);
	out = open_(FIFO, O_WRONLY | O_NONBLOCK);
	SHOW("to write, as there is who reads", out >= 0);
	syscall1(__NR_close, out);
	syscall1(__NR_close, both);
	SHOW("as a directory", open_(FIFO, O_RDONLY | O_DIRECTORY));
	SHOW("made already", open_(FIFO, O_RDONLY | O_CREAT | O_EXCL));
	both = open_(FIFO, O_RDWR | O_CREAT);
	SHOW("opened, not made", both >= 0);
	syscall1(__NR_close, both);
	long path = open_(FIFO, O_PATH);

	SHOW("its path", path >= 0);
	SHOW("read", syscall3(__NR_read, path, c, 1));
	syscall1(__NR_close, path);
	char *argv[] = { FIFO, NULL };

	SHOW("execve", syscall3(__NR_execve, FIFO, argv, argv + 1));
}

/* Waits for a child that has gone to sleep in an open, and opens the other end. */
static void waiting(void)
{
	char c[8] = "";
	long pid = fork_();

	if (pid == 0) {
		/* It speaks when the other end is closed. */
		long in = open_(FIFO, O_RDONLY);
		long first = syscall3(__NR_read, in, c, 8), second = syscall3(__NR_read, in, c, 8);

		SHOW("  a reader", in >= 0);
		SHOW("  it reads", first);
		SHOW("  it reads", second);
		exit_group(0);
	}
	until_asleep(pid);
	print("a reader waits\n");
	long out = open_(FIFO, O_WRONLY | O_NONBLOCK);

	SHOW("  written", syscall3(__NR_write, out, "hello", 5));
	syscall1(__NR_close, out);
	wait_(pid);

	pid = fork_();
	if (pid == 0) {
		out = open_(FIFO, O_WRONLY);
		SHOW("  a writer", out >= 0);
		syscall3(__NR_write, out, "there", 5);
		exit_group(0);
	}
	until_asleep(pid);
	print("a writer waits\n");
	long in = open_(FIFO, O_RDONLY);

	wait_(pid);
	SHOW("  read", syscall3(__NR_read, in, c, 8));
	syscall1(__NR_close, in);

	/* One that is opened and closed again wakes the other as well. */
	pid = fork_();
	if (pid == 0) {
		in = open_(FIFO, O_RDONLY);
		SHOW("  woken", in >= 0);
		SHOW("  it reads", syscall3(__NR_read, in, c, 8));
		exit_group(0);
	}
	until_asleep(pid);
	syscall1(__NR_close, open_(FIFO, O_WRONLY | O_NONBLOCK));
	wait_(pid);

	pid = fork_();
	if (pid == 0) {
		SHOW("  both ways", open_(FIFO, O_WRONLY) >= 0);
		exit_group(0);
	}
	until_asleep(pid);
	print("a writer waits\n");
	long both = open_(FIFO, O_RDWR);

	wait_(pid);
	syscall1(__NR_close, both);

	pid = fork_();
	if (pid == 0) {
		open_(FIFO, O_RDONLY);
		exit_group(0);
	}
	until_asleep(pid);
	syscall2(__NR_kill, pid, SIGTERM);
	SHOW("killed while it waits", wait_(pid));
	SHOW("nobody reads", open_(FIFO, O_WRONLY | O_NONBLOCK));

	pid = fork_();
	if (pid == 0) {
		in = open_(FIFO, O_RDONLY);
		long n = syscall3(__NR_read, in, c, 8);

		SHOW("  of a name that is gone", in >= 0);
		SHOW("  it reads", n);
		exit_group(0);
	}
	until_asleep(pid);
	out = open_(FIFO, O_WRONLY);
	SHOW("unlink", remove_(FIFO));
	syscall3(__NR_write, out, "gone", 4);
	syscall1(__NR_close, out);
	wait_(pid);
	SHOW("to open", open_(FIFO, O_RDONLY));
}

/* An open pipe without a name opens again by its descriptor. */
static void without_name(void)
{
	int fds[2];
	char c[8];

	syscall2(__NR_pipe2, fds, 0);
	char path[] = "/proc/self/fd/0";

	path[14] = (char)('0' + fds[0]);
	long out = open_(path, O_WRONLY);

	SHOW("a pipe's reading end, to write", out >= 0);
	SHOW("written", syscall3(__NR_write, out, "more", 4));
	SHOW("read", syscall3(__NR_read, fds[0], c, 8));
	syscall1(__NR_close, fds[1]);
	syscall1(__NR_close, out);
	SHOW("read", syscall3(__NR_read, fds[0], c, 8));
	out = open_(path, O_WRONLY | O_NONBLOCK);
	SHOW("without who writes, to write", out >= 0);
	syscall1(__NR_close, fds[0]);
	syscall1(__NR_close, out);
}

static void permissions(void)
{
	make(FIFO, S_IFIFO | 0666);
	syscall4(__NR_fchmodat, AT_FDCWD, FIFO, 0640, 0);
	long pid = fork_();

	if (pid == 0) {
		syscall3(__NR_setresuid, NOBODY, NOBODY, NOBODY);
		SHOW("another's, to read", open_(FIFO, O_RDONLY | O_NONBLOCK));
		SHOW("another's, both ways", open_(FIFO, O_RDWR));
		SHOW("a device", make(DIR "/device", S_IFCHR | 0600));
		exit_group(0);
	}
	wait_(pid);
	SHOW("unlink", remove_(FIFO));
}

int main(int argc, char **argv, char **envp)
{
	struct { void *handler; unsigned long flags; void *restorer; unsigned long mask; } ignore = { (void *)1, 0, NULL, 0 };

	(void)argc, (void)argv, (void)envp;
	syscall4(__NR_rt_sigaction, SIGPIPE, &ignore, NULL, 8);
	syscall1(__NR_umask, 022);
	SHOW("folder", syscall3(__NR_mkdirat, AT_FDCWD, DIR, 0755));
	names();
	without_waiting();
	waiting();
	without_name();
	permissions();
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, DIR, 0x200));
	return 0;
}
