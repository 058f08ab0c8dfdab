/*
 * users: ids, and what who is no longer root can do. Prints the same on any Linux, run as root.
 */
#include "start.h"
#include <linux/wait.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))

static void ids(const char *what)
{
	unsigned int u[3], g[3];

	syscall3(__NR_getresuid, &u[0], &u[1], &u[2]);
	syscall3(__NR_getresgid, &g[0], &g[1], &g[2]);
	print("%s: %d %d %d, %d %d %d, %d %d %d %d\n", what, (long)u[0], (long)u[1], (long)u[2], (long)g[0], (long)g[1], (long)g[2],
	      syscall0(__NR_getuid), syscall0(__NR_geteuid), syscall0(__NR_getgid), syscall0(__NR_getegid));
}

static void capabilities(const char *what)
{
	unsigned int head[2] = { 0x20080522, 0 }, sets[6];

	syscall2(__NR_capget, head, sets);
	print("%s: effective %d, permitted %d\n", what, (long)(sets[0] != 0), (long)(sets[1] != 0));
}

static void child(void (*body)(long), long argument)
{
	int status = -1;
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid == 0) {
		body(argument);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	print("status %d\n", (long)status);
}

static void for_a_while(long target)
{
	int groups[2] = { 7, 8 };

	SHOW("groups", syscall2(__NR_setgroups, 2, groups));
	SHOW("how many", syscall2(__NR_getgroups, 0, NULL));
	SHOW("no room", syscall2(__NR_getgroups, 1, groups));
	SHOW("group", syscall3(__NR_setresgid, 100, 100, 100));
	SHOW("effective", syscall3(__NR_setresuid, -1, 1000, -1));
	ids("for a while");
	capabilities("for a while");
	SHOW("dumpable", syscall1(__NR_prctl, 3));
	SHOW("file system", syscall1(__NR_setfsuid, -1));
	SHOW("a signal to root", syscall2(__NR_kill, target, 0));
	SHOW("to oneself", syscall2(__NR_kill, syscall0(__NR_getpid), 0));
	SHOW("a thread's signal to root", syscall3(__NR_tgkill, target, target, 0));
	SHOW("somebody else", syscall1(__NR_setuid, 2000));
	SHOW("root again", syscall3(__NR_setresuid, -1, 0, -1));
	capabilities("root again");
	SHOW("a signal", syscall2(__NR_kill, target, 0));
}

static void for_good(long target)
{
	SHOW("for good", syscall1(__NR_setuid, 1000));
	ids("for good");
	capabilities("for good");
	SHOW("root again", syscall1(__NR_setuid, 0));
	SHOW("root again", syscall2(__NR_setreuid, -1, 0));
	SHOW("root again", syscall3(__NR_setresuid, 0, 0, 0));
	SHOW("group", syscall1(__NR_setgid, 5));
	SHOW("groups", syscall2(__NR_setgroups, 0, NULL));
	SHOW("the same", syscall3(__NR_setresuid, 1000, 1000, 1000));
	SHOW("a signal to root", syscall2(__NR_kill, target, 0));
	SHOW("SIGCONT to the session", syscall2(__NR_kill, target, 18));
}

static void swapped(long target)
{
	(void)target;
	SHOW("swap", syscall2(__NR_setreuid, 1000, 2000));
	ids("swapped");
	SHOW("back", syscall2(__NR_setreuid, 2000, 1000));
	ids("back");
	SHOW("saved", syscall2(__NR_setreuid, -1, 2000));
	ids("saved");
}

int main(int argc, char **argv, char **envp)
{
	long self = syscall0(__NR_getpid);

	(void)argc, (void)argv, (void)envp;
	ids("at first");
	capabilities("at first");
	SHOW("no id", syscall1(__NR_setuid, -1));
	child(for_a_while, self);
	child(for_good, self);
	child(swapped, self);
	ids("at last");
	return 0;
}
