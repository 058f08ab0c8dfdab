/*
 * names: files that get names, exchange them and keep them; what processes share that are no threads; seals on who may
 * execute; what descriptors tell of themselves, and modes and limits of processes. Prints the same on any Linux of 6.3 and newer.
 */
#include "process.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define AT_FDCWD (-100)
#define AT_SYMLINK_FOLLOW 0x400
#define AT_EMPTY_PATH 0x1000
#define O_TMPFILE 020200000
#define O_EXCL 0200
#define O_CREAT 0100
#define O_DIRECTORY 0200000
#define F_ADD_SEALS 1033
#define F_SEAL_EXEC 32
#define MFD_ALLOW_SEALING 2

static long make(const char *name)
{
	return syscall1(__NR_close, syscall4(__NR_openat, AT_FDCWD, name, O_CREAT | O_RDWR, 0644));
}

static long rename_(const char *from, const char *to, unsigned int flags)
{
	return syscall5(__NR_renameat2, AT_FDCWD, from, AT_FDCWD, to, flags);
}

static long link_fd(long fd, const char *to)
{
	return syscall5(__NR_linkat, fd, "", AT_FDCWD, to, AT_EMPTY_PATH);
}

static const char *fd_path(long fd)
{
	static char path[] = "/proc/self/fd/0";

	path[sizeof(path) - 2] = (char)('0' + fd);
	return path;
}

static long is_directory(const char *name)
{
	long fd = sys_open(name, O_RDONLY | O_DIRECTORY);

	syscall1(__NR_close, fd);
	return fd >= 0;
}

static void renames(void)
{
	make("a");
	make("b");
	syscall3(__NR_mkdirat, AT_FDCWD, "d", 0755);
	syscall3(__NR_mkdirat, AT_FDCWD, "d/e", 0755);
	SHOW("onto what is there", rename_("a", "b", 1));
	SHOW("onto nothing", rename_("a", "c", 1));
	SHOW("exchange with nothing", rename_("c", "a", 2));
	SHOW("exchange", rename_("c", "d", 2));
	SHOW("c is a directory", is_directory("c"));
	SHOW("d is one", is_directory("d"));
	SHOW("exchange with one below", rename_("c", "c/e", 2));
	SHOW("exchange with one above", rename_("c/e", "c", 2));
	SHOW("exchange across", rename_("c/e", "b", 2));
	SHOW("b is a directory", is_directory("b"));
	SHOW("both", rename_("b", "d", 3));
	SHOW("unknown", rename_("b", "d", 8));
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, "b", 0x200));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "c/e", 0));
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, "c", 0x200));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "d", 0));
}

static void links(void)
{
	long fd = syscall4(__NR_openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600);
	long unnamed = syscall4(__NR_openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR | O_EXCL, 0600);

	SHOW("by its descriptor", link_fd(fd, "t"));
	SHOW("again", link_fd(fd, "t"));
	SHOW("by /proc", syscall5(__NR_linkat, AT_FDCWD, fd_path(fd), AT_FDCWD, "u", AT_SYMLINK_FOLLOW));
	SHOW("without following", syscall5(__NR_linkat, AT_FDCWD, fd_path(fd), AT_FDCWD, "v", 0));
	SHOW("one that never gets a name", link_fd(unnamed, "w"));
	SHOW("no flag", syscall5(__NR_linkat, fd, "", AT_FDCWD, "x", 0));
	SHOW("unknown", syscall5(__NR_linkat, AT_FDCWD, "t", AT_FDCWD, "x", 1));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "t", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "u", 0));
	SHOW("gone for good", link_fd(fd, "t"));
	SHOW("syncfs", syscall1(__NR_syncfs, fd));
	SHOW("sync_file_range", syscall4(__NR_sync_file_range, fd, 0, 0, 7));
	SHOW("unknown", syscall4(__NR_sync_file_range, fd, 0, 0, 8));
}

static void seals(void)
{
	long fd = syscall2(__NR_memfd_create, "s", MFD_ALLOW_SEALING);

	SHOW("chmod", syscall2(__NR_fchmod, fd, 0644));
	SHOW("seal", syscall3(__NR_fcntl, fd, F_ADD_SEALS, F_SEAL_EXEC));
	SHOW("chmod", syscall2(__NR_fchmod, fd, 0600));
	SHOW("chmod for who executes", syscall2(__NR_fchmod, fd, 0700));
}

static void share(unsigned long flags)
{
	char cwd[64];
	long pid;

	syscall1(__NR_chdir, "/");
	syscall1(__NR_umask, 022);
	pid = syscall6(__NR_clone, (long)(flags | SIGCHLD), 0, 0, 0, 0, 0);
	if (pid == 0) {
		syscall1(__NR_chdir, "/dev");
		syscall1(__NR_umask, 077);
		exit_group(0);
	}
	wait_(pid);
	syscall2(__NR_getcwd, cwd, sizeof(cwd));
	print("cwd %s umask %x\n", cwd, syscall1(__NR_umask, 022));
}

static void barriers(void)
{
	SHOW("not registered", syscall3(__NR_membarrier, 8, 0, 0));
	SHOW("register", syscall3(__NR_membarrier, 16, 0, 0));
	SHOW("registered", syscall3(__NR_membarrier, 8, 0, 0));
	if (fork_() == 0) {
		SHOW("in a child", syscall3(__NR_membarrier, 8, 0, 0));
		exit_group(0);
	}
	wait_(-1);
}

/* What comes behind the lines that every descriptor has. */
static void fdinfo(long fd)
{
	static char path[] = "/proc/self/fdinfo/0", text[512];
	long in, n, lines = 0;

	path[sizeof(path) - 2] = (char)('0' + fd);
	in = sys_open(path, O_RDONLY);
	n = syscall3(__NR_read, in, text, sizeof(text) - 1);
	text[n > 0 ? n : 0] = 0;
	for (char *p = text; *p; p++)
		if (*p == '\n' && ++lines == 4)
			print("%s", p + 1);
	syscall1(__NR_close, in);
}

static void descriptors(void)
{
	unsigned long mask = 1ul << 9 | 1ul << 33;
	long time[4] = { 3, 5, 0, 0 };
	long signals = syscall4(__NR_signalfd4, -1, &mask, 8, 0), timer = syscall2(__NR_timerfd_create, 1, 0);

	fdinfo(signals);
	fdinfo(timer);
	time[2] = time[3] = 0;
	syscall4(__NR_timerfd_settime, timer, 1, time, 0);
	fdinfo(timer);
	syscall1(__NR_close, timer);
	syscall1(__NR_close, signals);
}

/* What a child may still do that is to read and write alone. */
static long strict(int by_call)
{
	long pid = fork_();

	if (pid == 0) {
		if (by_call)
			syscall3(__NR_seccomp, 0, 0, 0);
		else
			syscall5(__NR_prctl, 22, 1, 0, 0, 0);
		print("it writes\n");
		syscall0(__NR_getpid);
		print("it lives\n");
		exit_group(0);
	}
	return wait_(pid);
}

static void modes(void)
{
	SHOW("strict", strict(0));
	SHOW("strict", strict(1));
	SHOW("no mode", syscall5(__NR_prctl, 22, 7, 0, 0, 0));
	SHOW("flags", syscall3(__NR_seccomp, 0, 1, 0));
	SHOW("personality", syscall1(__NR_personality, 0x40000));
	SHOW("personality", syscall1(__NR_personality, 0xffffffff));
	if (fork_() == 0) {
		SHOW("of a child", syscall1(__NR_personality, 0));
		exit_group(0);
	}
	wait_(-1);
	SHOW("personality", syscall1(__NR_personality, 0));
}

static void limit(long resource, unsigned long value)
{
	unsigned long both[2] = { value, value };

	syscall4(__NR_prlimit64, 0, resource, both, 0);
}

/* How large files may be, and how many processes a user may have. */
static void limits(void)
{
	static char data[5000];
	unsigned long ignore[4] = { 1, 0, 0, 0 };
	long fd, pid = fork_();

	if (pid == 0) {
		fd = syscall4(__NR_openat, AT_FDCWD, "/dev/shm", O_TMPFILE | O_RDWR, 0600);
		limit(1, 8192);
		syscall4(__NR_rt_sigaction, 25, ignore, 0, 8);
		SHOW("write", syscall3(__NR_write, fd, data, 5000));
		SHOW("up to the limit", syscall3(__NR_write, fd, data, 5000));
		SHOW("beyond", syscall3(__NR_write, fd, data, 1));
		SHOW("within", syscall4(__NR_pwrite64, fd, data, 10, 8190));
		SHOW("ftruncate", syscall2(__NR_ftruncate, fd, 8193));
		SHOW("fallocate", syscall4(__NR_fallocate, fd, 0, 0, 8193));
		SHOW("no larger", syscall2(__NR_ftruncate, fd, 8192));
		limit(6, 2);
		syscall3(__NR_setresuid, 4711, 4711, 4711);
		pid = fork_();
		if (pid == 0) {
			SHOW("one too many", fork_());
			exit_group(0);
		}
		wait_(pid);
		ignore[0] = 0;
		syscall4(__NR_rt_sigaction, 25, ignore, 0, 8);
		syscall3(__NR_write, fd, data, 1);
		syscall4(__NR_pwrite64, fd, data, 1, 8192);
		exit_group(0);
	}
	SHOW("SIGXFSZ", wait_(pid) & 127);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	syscall1(__NR_chdir, "/dev/shm");
	renames();
	links();
	seals();
	share(0);
	share(CLONE_FS);
	barriers();
	descriptors();
	modes();
	limits();
	return 0;
}
