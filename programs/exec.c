/*
 * exec: what execve runs and refuses, and what of a process goes on in another program. Prints the
 * same on any Linux where /tmp can be written.
 */
#include "thread.h"
#include <linux/wait.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_WRONLY 1
#define O_CREAT 0100
#define O_TRUNC 01000
#define O_CLOEXEC 02000000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define AT_EMPTY_PATH 0x1000
#define AT_SYMLINK_NOFOLLOW 0x100
#define BAD ((void *)8)
#define DIR "/tmp/faultline-exec"
#define KEPT 30
#define CLOSED 31

static char buffer[4096];
static char *no_env[] = { NULL };

struct action {
	void *handler;
	unsigned long flags;
#if defined(__x86_64__)
	void *restorer;
#endif
	unsigned long mask;
};

static void set_handler(int signo, void *handler)
{
	struct action action = { .handler = handler };

	syscall4(__NR_rt_sigaction, signo, &action, NULL, 8);
}

static void make(const char *path, const char *contents, size_t length, int mode)
{
	long fd = syscall4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	syscall3(__NR_write, fd, contents, length);
	syscall2(__NR_fchmod, fd, mode);
	syscall1(__NR_close, fd);
}

static void script(const char *path, const char *contents)
{
	make(path, contents, string_length(contents), 0755);
}

static int wait_for(long pid)
{
	int status = -1;

	syscall4(__NR_wait4, pid, &status, 0, 0);
	return status;
}

/* Runs a program in a child; prints how it ended, or what execve said. */
static void run_with(const char *what, int dirfd, const char *path, int flags, char **argv, char **envp)
{
	print("%s:\n", what);
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid == 0) {
		SHOW("  refused", syscall6(__NR_execveat, dirfd, (long)path, (long)argv, (long)envp, flags, 0));
		exit_group(1);
	}
	print("  status %d\n", wait_for(pid));
}

static void run(const char *what, const char *path)
{
	char *argv[] = { "name", "said", NULL };

	run_with(what, AT_FDCWD, path, 0, argv, no_env);
}

/* The second program: says what it finds. */
static int second(int argc, char **argv, char **envp)
{
	struct action action;
	unsigned long set = 0;
	struct {
		void *sp;
		int flags;
		size_t size;
	} stack;

	syscall2(__NR_prctl, 16, buffer);
	print("  %s, %d arguments:", buffer, argc);
	for (int i = 0; i < argc; i++)
		print(" [%s]", argv[i]);
	print("%s%s\n", envp[0] == NULL ? "" : ", ", envp[0] == NULL ? "" : envp[0]);
	print("  first thread: %d\n", syscall0(__NR_getpid) == syscall0(__NR_gettid));
	for (int signo = 10; signo <= 12; signo += 2) {
		syscall4(__NR_rt_sigaction, signo, NULL, &action, 8);
		print("  signal %d: handler %u, flags %x, mask %x\n", signo, action.handler, action.flags & 0xffff, action.mask);
	}
	syscall4(__NR_rt_sigprocmask, 0, NULL, &set, 8);
	print("  blocked %x\n", set);
	syscall2(__NR_rt_sigpending, &set, 8);
	print("  pending %x\n", set);
	syscall2(__NR_sigaltstack, NULL, &stack);
	print("  alternate stack: %d\n", stack.flags);
	print("  descriptors: %d %d\n", syscall3(__NR_fcntl, KEPT, 1, 0), syscall3(__NR_fcntl, CLOSED, 1, 0));
	return 42;
}

static void sleeper(void)
{
	for (;;)
		syscall4(__NR_ppoll, NULL, 0, NULL, NULL);
}

static void replacer(void)
{
	char *argv[] = { "from-thread", "second", NULL };

	syscall3(__NR_execve, DIR "/copy", argv, no_env);
	exit_group(1);
}

static void refusals(void)
{
	char *argv[] = { "name", "said", NULL };
	char *bad[] = { "name", BAD, NULL };
	long fd, dir;

	run("missing", DIR "/missing");
	run("empty path", "");
	run_with("bad path", AT_FDCWD, BAD, 0, argv, no_env);
	run_with("bad arguments", AT_FDCWD, DIR "/copy", 0, BAD, no_env);
	run_with("bad argument", AT_FDCWD, DIR "/copy", 0, bad, no_env);
	run_with("bad environment", AT_FDCWD, DIR "/copy", 0, argv, BAD);
	run("directory", DIR);
	run("device", "/dev/null");
	make(DIR "/mode", "#!/bin/sh\n", 10, 0644);
	run("nobody may", DIR "/mode");
	script(DIR "/text", "hello\n");
	run("text", DIR "/text");
	run("below a file", DIR "/text/x");
	script(DIR "/empty", "");
	run("empty", DIR "/empty");
	make(DIR "/header", "\177ELF", 4, 0755);
	run("a header cut short", DIR "/header");
	script(DIR "/s", "#!" DIR "/missing\n");
	run("script, interpreter missing", DIR "/s");
	script(DIR "/s", "#!" DIR "/mode\n");
	run("script, interpreter not executable", DIR "/s");
	script(DIR "/s", "#! \t \n");
	run("script without interpreter", DIR "/s");
	script(DIR "/s", "#!" DIR "/s\n");
	run("script of itself", DIR "/s");
	for (size_t i = 0; i < 400; i++)
		buffer[i] = i < 2 ? "#!"[i] : i == 2 ? '/' : 'a';
	make(DIR "/s", buffer, 400, 0755);
	run("script, interpreter cut off", DIR "/s");
	fd = syscall4(__NR_openat, AT_FDCWD, DIR "/copy", O_WRONLY, 0);
	run("open for writing", DIR "/copy");
	syscall1(__NR_close, fd);
	dir = syscall4(__NR_openat, AT_FDCWD, DIR, O_RDONLY | O_DIRECTORY, 0);
	syscall3(__NR_symlinkat, "copy", dir, "link");
	run_with("symbolic link", dir, "link", AT_SYMLINK_NOFOLLOW, argv, no_env);
	run_with("unknown flags", dir, "copy", 1, argv, no_env);
	run_with("empty path, no flag", dir, "", 0, argv, no_env);
	run_with("empty path, a directory", dir, "", AT_EMPTY_PATH, argv, no_env);
	run_with("empty path, no descriptor", 99, "", AT_EMPTY_PATH, argv, no_env);
	SHOW("only asked", syscall6(__NR_execveat, dir, (long)"copy", (long)argv, (long)no_env, 0x10000, 0));
	fd = syscall4(__NR_openat, dir, "s", O_RDONLY | O_CLOEXEC, 0);
	script(DIR "/s", "#!" DIR "/copy\n");
	run_with("script, its descriptor about to close", fd, "", AT_EMPTY_PATH, argv, no_env);
	syscall1(__NR_close, fd);
	syscall1(__NR_close, dir);
}

static void sizes(void)
{
	char *big = map_anonymous(40 * PAGE_SIZE);
	char **argv = map_anonymous(PAGE_SIZE);

	argv[0] = "name";
	argv[1] = "said";
	argv[2] = big;
	for (size_t i = 0; i < 40 * PAGE_SIZE - 1; i++)
		big[i] = 'x';
	big[32 * PAGE_SIZE - 1] = 0;
	run_with("longest argument", AT_FDCWD, DIR "/copy", 0, argv, no_env);
	big[32 * PAGE_SIZE - 1] = 'x';
	run_with("too long", AT_FDCWD, DIR "/copy", 0, argv, no_env);
	big[32 * PAGE_SIZE - 1] = 0;
	for (int n = 14; n <= 16; n++) {
		for (int i = 0; i < n; i++)
			argv[2 + i] = big;
		run_with("many", AT_FDCWD, DIR "/copy", 0, argv, no_env);
	}
}

static void successes(void)
{
	char *argv[] = { "name", "second", NULL };
	char *envp[] = { "A=B", NULL };
	char *none[] = { NULL };
	struct {
		void *sp;
		int flags;
		size_t size;
	} stack = { map_anonymous(STACK_SIZE), 0, STACK_SIZE };
	unsigned long hup = 1;
	long fd, pid, from, n;

	set_handler(10, sleeper);
	set_handler(12, (void *)1);
	syscall4(__NR_rt_sigprocmask, 0, &hup, NULL, 8);
	syscall2(__NR_sigaltstack, &stack, NULL);
	fd = syscall4(__NR_openat, AT_FDCWD, "/dev/null", O_RDONLY, 0);
	syscall3(__NR_dup3, fd, KEPT, 0);
	syscall3(__NR_dup3, fd, CLOSED, O_CLOEXEC);
	run_with("a copy", AT_FDCWD, DIR "/copy", 0, argv, envp);
	run_with("by itself", AT_FDCWD, "/proc/self/exe", 0, argv, envp);
	run_with("no arguments", AT_FDCWD, DIR "/copy", 0, none, none);
	run_with("null arguments", AT_FDCWD, DIR "/copy", 0, NULL, NULL);
	fd = syscall4(__NR_openat, AT_FDCWD, DIR "/copy", O_RDONLY | O_CLOEXEC, 0);
	run_with("by descriptor", fd, "", AT_EMPTY_PATH, argv, envp);
	script(DIR "/s", "#! " DIR "/copy   second  and more \t\nrest");
	run_with("script", AT_FDCWD, DIR "/s", 0, argv, envp);
	script(DIR "/s2", "#!" DIR "/s");
	run_with("script of a script", AT_FDCWD, DIR "/s2", 0, argv, envp);

	print("with threads, by one of them:\n");
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		char *stacks = map_anonymous(4 * STACK_SIZE);
		static unsigned int alive[4];

		syscall2(__NR_kill, syscall0(__NR_getpid), 1);
		for (int i = 0; i < 4; i++)
			start_thread(stacks + i * STACK_SIZE, &alive[i], i < 3 ? sleeper : replacer);
		sleeper();
	}
	print("  status %d\n", wait_for(pid));

	/* The parent sleeps until the child has another address space. */
	print("vfork:\n");
	static volatile int reached;

	pid = syscall6(__NR_clone, CLONE_VM | CLONE_VFORK | SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		reached = 1;
		syscall3(__NR_execve, DIR "/copy", argv, envp);
		exit_group(1);
	}
	print("  status %d, reached %d\n", wait_for(pid), reached);

	print("a program that never had one:\n");
	fd = syscall2(__NR_memfd_create, "nameless", 0);
	from = sys_open(DIR "/copy", O_RDONLY);
	while ((n = syscall3(__NR_read, from, buffer, sizeof(buffer))) > 0)
		syscall3(__NR_write, fd, buffer, n);
	run_with("open for writing", fd, "", AT_EMPTY_PATH, argv, envp);
	syscall3(__NR_dup3, fd, 33, 0);
	from = sys_open("/proc/self/fd/33", O_RDONLY);
	syscall1(__NR_close, 33);
	syscall1(__NR_close, fd);
	run_with("open for reading", (int)from, "", AT_EMPTY_PATH, argv, envp);

	print("the program goes on without its name:\n");
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		char *unlinker[] = { "name", "unlink", NULL };

		syscall3(__NR_execve, DIR "/copy", unlinker, no_env);
		exit_group(1);
	}
	print("  status %d\n", wait_for(pid));
}

/* A program that takes its own name away. */
static int unlinker(void)
{
	long n;

	SHOW("  write to it", syscall4(__NR_openat, AT_FDCWD, DIR "/copy", O_WRONLY, 0));
	SHOW("  truncate it", syscall2(__NR_truncate, DIR "/copy", 0));
	syscall3(__NR_unlinkat, AT_FDCWD, DIR "/copy", 0);
	n = syscall4(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", buffer, sizeof(buffer) - 1);
	buffer[n] = 0;
	print("  %s\n", buffer);
	n = syscall4(__NR_openat, AT_FDCWD, "/proc/self/exe", O_RDONLY, 0);
	SHOW("  read it", syscall3(__NR_read, n, buffer, 4));
	return buffer[1] == 'E' ? 7 : 8;
}

int main(int argc, char **argv, char **envp)
{
	long from, to, n;

	if (argc > 1 && string_equal(argv[1], "second"))
		return second(argc, argv, envp);
	if (argc > 1 && string_equal(argv[1], "unlink"))
		return unlinker();
	if (argc > 1)
		return argc;
	if (argv[0][0] == 0) {
		print("  %d arguments, the first one empty\n", argc);
		return 3;
	}
	syscall1(__NR_umask, 022);
	syscall3(__NR_mkdirat, AT_FDCWD, DIR, 0755);
	from = sys_open("/proc/self/exe", O_RDONLY);
	to = syscall4(__NR_openat, AT_FDCWD, DIR "/copy", O_WRONLY | O_CREAT | O_TRUNC, 0755);
	while ((n = syscall3(__NR_read, from, buffer, sizeof(buffer))) > 0)
		syscall3(__NR_write, to, buffer, n);
	syscall1(__NR_close, to);
	syscall1(__NR_close, from);
	refusals();
	sizes();
	successes();
	return 0;
}
