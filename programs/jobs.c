/*
 * jobs: children that stop, go on and end, what their parents hear of them, process groups, and
 * descriptors of processes. Prints the same on any Linux.
 */
#include "thread.h"
#include <linux/wait.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define SIGSTOP_ 19
#define SIGCONT_ 18
#define SIGTSTP_ 20
#define P_PIDFD_ 3
#define WEXITED_ 4
#define O_NONBLOCK 04000
#define SELF_GROUP (-10001)

struct action {
	void *handler;
	unsigned long flags;
#if defined(__x86_64__)
	void *restorer;
#endif
	unsigned long mask;
};

struct info {
	int signo, error, code, pad;
	int pid, uid, status;
	int rest[25];
};

static long fork_process(long flags)
{
	return syscall6(__NR_clone, SIGCHLD | flags, 0, 0, 0, 0, 0);
}

static void pause_for_ever(void)
{
	for (;;)
		syscall4(__NR_ppoll, NULL, 0, NULL, NULL);
}

static void nap(long ms)
{
	long time[2] = { ms / 1000, ms % 1000 * 1000000 };

	syscall2(__NR_nanosleep, time, NULL);
}

static void send(long pid, int signo)
{
	syscall2(__NR_kill, pid, signo);
}

/* What wait4 says, with the child's id as 1. */
static void wait_show(const char *what, long pid, int options)
{
	int status = -1;
	long got = syscall4(__NR_wait4, pid, &status, options, NULL);

	print("%s: %d, status %x\n", what, got == pid ? 1 : got, (long)(status & 0xffff));
}

static void waitid_show(const char *what, int type, long id, long pid, int options)
{
	struct info info = { .signo = -1 };
	long got = syscall6(__NR_waitid, type, id, (long)&info, options, 0, 0);

	print("%s: %d, signal %d, code %d, the child %d, status %d\n", what, got, info.signo, info.code, info.pid == pid, info.status);
}

static void set_action(int signo, void *handler, unsigned long flags)
{
	struct action action = { .handler = handler, .flags = flags };

	syscall4(__NR_rt_sigaction, signo, &action, NULL, 8);
}

/* SIGCHLD is blocked: what has come of it. */
static void child_signal(const char *what)
{
	unsigned long set = 1ul << (SIGCHLD - 1);
	long none[2] = { 0, 0 };
	struct info info = { .signo = -1 };
	long got = syscall4(__NR_rt_sigtimedwait, &set, &info, none, 8);

	print("  %s: %d, code %d, status %d\n", what, got, info.code, got > 0 ? info.status : 0);
}

static void stopping(void)
{
	long pid = fork_process(0);

	if (pid == 0)
		pause_for_ever();
	wait_show("nothing yet", pid, WNOHANG | WUNTRACED | WCONTINUED);
	send(pid, SIGSTOP_);
	waitid_show("stopped, looked at", 1, pid, pid, WSTOPPED | WNOWAIT);
	child_signal("signal");
	wait_show("stopped", pid, WUNTRACED);
	wait_show("told once", pid, WNOHANG | WUNTRACED);
	send(pid, SIGSTOP_);
	wait_show("stopped again", pid, WNOHANG | WUNTRACED);
	send(pid, SIGCONT_);
	waitid_show("goes on", 1, pid, pid, WCONTINUED);
	nap(2);
	child_signal("signal");
	wait_show("told once", pid, WNOHANG | WUNTRACED | WCONTINUED);
	send(pid, SIGCONT_);
	wait_show("went on already", pid, WNOHANG | WCONTINUED);
	send(pid, SIGSTOP_);
	wait_show("stopped", pid, WUNTRACED);
	send(pid, 15);
	nap(5);
	wait_show("SIGTERM waits", pid, WNOHANG);
	send(pid, SIGCONT_);
	wait_show("ended", pid, WUNTRACED);
	child_signal("signal");

	pid = fork_process(0);
	if (pid == 0)
		pause_for_ever();
	send(pid, SIGSTOP_);
	wait_show("stopped", pid, WUNTRACED);
	send(pid, 9);
	wait_show("SIGKILL does not wait", pid, 0);
	child_signal("signal");
}

static void handler(int signo)
{
	(void)signo;
}

static void block(int signo)
{
	unsigned long set = 1ul << (signo - 1);

	syscall4(__NR_rt_sigprocmask, 0, &set, NULL, 8);
}

static int pending(int signo)
{
	unsigned long set = 0;

	syscall2(__NR_rt_sigpending, &set, 8);
	return (set >> (signo - 1)) & 1;
}

/* Stops itself, with threads. */
static void threads(void)
{
	char *stacks = map_anonymous(2 * STACK_SIZE);
	static unsigned int alive[2];
	long pid = fork_process(0);

	if (pid == 0) {
		start_thread(stacks, &alive[0], pause_for_ever);
		start_thread(stacks + STACK_SIZE, &alive[1], pause_for_ever);
		send(syscall0(__NR_getpid), SIGSTOP_);
		exit_group(7);
	}
	wait_show("with threads, stopped", pid, WUNTRACED);
	send(pid, SIGCONT_);
	wait_show("with threads, ended", pid, 0);
	child_signal("signal");
}

/* A sleep goes on after a stop; what is pending is taken away by the opposite. */
static void interrupted(void)
{
	long pid = fork_process(0);

	if (pid == 0) {
		long time[2] = { 0, 40000000 }, before[2], after[2];

		syscall2(__NR_clock_gettime, 1, before);
		long result = syscall2(__NR_nanosleep, time, NULL);

		syscall2(__NR_clock_gettime, 1, after);
		long ms = (after[0] - before[0]) * 1000 + (after[1] - before[1]) / 1000000;

		exit_group(result != 0 ? 1 : ms < 40 ? 2 : ms > 70 ? 3 : 4);
	}
	nap(10);
	send(pid, SIGSTOP_);
	wait_show("a sleeper, stopped", pid, WUNTRACED);
	nap(10);
	send(pid, SIGCONT_);
	wait_show("slept its time", pid, 0);
	child_signal("signal");

	pid = fork_process(0);
	if (pid == 0) {
		set_action(SIGCONT_, handler, 0);
		block(SIGTSTP_);
		block(SIGCONT_);
		send(syscall0(__NR_getpid), SIGTSTP_);
		send(syscall0(__NR_getpid), SIGCONT_);
		int first = pending(SIGCONT_) && !pending(SIGTSTP_);

		send(syscall0(__NR_getpid), SIGTSTP_);
		exit_group(first * 2 + (pending(SIGTSTP_) && !pending(SIGCONT_)));
	}
	wait_show("SIGCONT and SIGTSTP take each other away", pid, 0);
	child_signal("signal");
}

static void quiet(void)
{
	long pid;

	/* SA_NOCLDSTOP */
	set_action(SIGCHLD, handler, 1);
	pid = fork_process(0);
	if (pid == 0)
		pause_for_ever();
	send(pid, SIGSTOP_);
	wait_show("without a signal", pid, WUNTRACED);
	child_signal("signal");
	send(pid, 9);
	wait_show("ended", pid, 0);
	child_signal("signal");
	set_action(SIGCHLD, NULL, 0);
}

static void groups(void)
{
	long pid, other;
	int pipe[2];
	char byte;

	syscall2(__NR_pipe2, pipe, 0);
	pid = fork_process(0);
	if (pid == 0)
		pause_for_ever();
	SHOW("a group of its own", syscall2(__NR_setpgid, pid, 0));
	SHOW("which it is", syscall1(__NR_getpgid, pid) == pid);
	other = fork_process(0);
	if (other == 0)
		pause_for_ever();
	SHOW("another one in it", syscall2(__NR_setpgid, other, pid));
	SHOW("a group that is not there", syscall2(__NR_setpgid, other, 4000000));
	SHOW("init", syscall2(__NR_setpgid, 1, 0));
	SHOW("a negative group", syscall2(__NR_setpgid, 0, -1));
	SHOW("a signal for the group", syscall2(__NR_kill, -pid, 10));
	int status = -1;

	long first = syscall4(__NR_wait4, -pid, &status, 0, NULL);

	print("one of them: %d, status %x\n", first == pid || first == other, (long)status);
	first = syscall4(__NR_wait4, -pid, &status, 0, NULL);
	print("the other: %d, status %x\n", first == pid || first == other, (long)status);
	wait_show("nobody in the group", -pid, 0);
	SHOW("no group any more", syscall2(__NR_kill, -pid, 0));
	child_signal("signal");

	pid = fork_process(0);
	if (pid == 0) {
		SHOW("a session", syscall0(__NR_setsid) == syscall0(__NR_getpid));
		SHOW("not twice", syscall0(__NR_setsid));
		SHOW("its leader's group stays", syscall2(__NR_setpgid, 0, 0));
		syscall3(__NR_write, pipe[1], "x", 1);
		pause_for_ever();
	}
	syscall3(__NR_read, pipe[0], &byte, 1);
	SHOW("a child in another session", syscall2(__NR_setpgid, pid, 0));
	send(pid, 9);
	wait_show("ended", pid, 0);
	child_signal("signal");
}

static void descriptors(void)
{
	struct {
		int fd;
		short events, revents;
	} poll;
	long none[2] = { 0, 0 }, args[11] = { 0 };
	struct info details = { .signo = 12, .code = -1 };
	int fd, given = -1;
	long pid = fork_process(0), thread;

	if (pid == 0)
		pause_for_ever();
	fd = (int)syscall2(__NR_pidfd_open, pid, 0);
	poll.fd = fd;
	poll.events = 1;
	SHOW("alive", syscall5(__NR_ppoll, &poll, 1, none, NULL, 8));
	SHOW("close on exec", syscall3(__NR_fcntl, fd, 1, 0));
	SHOW("flags", syscall3(__NR_fcntl, fd, 3, 0));
	SHOW("read", syscall3(__NR_read, fd, &poll, 1));
	SHOW("mrelease of the living", syscall2(__NR_process_mrelease, fd, 0));
	long copy = syscall3(__NR_pidfd_getfd, fd, 1, 0);
	SHOW("its descriptor", copy > fd);
	SHOW("none there", syscall3(__NR_pidfd_getfd, fd, 77, 0));
	SHOW("signal 0", syscall4(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW("as if from the kernel", syscall4(__NR_pidfd_send_signal, fd, 12, &(struct info){ .signo = 12 }, 0));
	SHOW("with details", syscall4(__NR_pidfd_send_signal, fd, 12, &details, 0));
	poll.revents = 0;
	SHOW("polled for its end", syscall5(__NR_ppoll, &poll, 1, NULL, NULL, 8));
	SHOW("ready", poll.revents);
	SHOW("its descriptor", syscall3(__NR_pidfd_getfd, fd, 1, 0));
	SHOW("signal 0", syscall4(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW("mrelease of the dead", syscall2(__NR_process_mrelease, fd, 0));
	waitid_show("waited for", P_PIDFD_, fd, pid, WEXITED_);
	SHOW("signal 0", syscall4(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	syscall5(__NR_ppoll, &poll, 1, none, NULL, 8);
	SHOW("ready", poll.revents);
	waitid_show("no more", P_PIDFD_, fd, pid, WEXITED_);
	syscall1(__NR_close, fd);
	child_signal("signal");

	pid = syscall6(__NR_clone, SIGCHLD | CLONE_PIDFD, 0, (long)&given, 0, 0, 0);
	if (pid == 0)
		pause_for_ever();
	SHOW("from clone", given >= 0);
	SHOW("end it", syscall4(__NR_pidfd_send_signal, given, 9, NULL, 0));
	waitid_show("ended", P_PIDFD_, given, pid, WEXITED_);
	syscall1(__NR_close, given);
	child_signal("signal");

	args[0] = CLONE_PIDFD;
	args[1] = (long)&given;
	args[4] = SIGCHLD;
	pid = syscall2(__NR_clone3, args, 88);
	if (pid == 0)
		exit_group(3);
	waitid_show("from clone3", P_PIDFD_, given, pid, WEXITED_);
	syscall1(__NR_close, given);
	child_signal("signal");

	pid = fork_process(0);
	if (pid == 0)
		pause_for_ever();
	fd = (int)syscall2(__NR_pidfd_open, pid, O_NONBLOCK);
	waitid_show("does not sleep", P_PIDFD_, fd, pid, WEXITED_);
	waitid_show("does not sleep, nor complain", P_PIDFD_, fd, pid, WEXITED_ | WNOHANG);
	send(pid, 9);
	wait_show("ended", pid, 0);
	syscall1(__NR_close, fd);
	child_signal("signal");

	static unsigned int alive;

	thread = start_thread(map_anonymous(STACK_SIZE), &alive, pause_for_ever);
	SHOW("of a thread", syscall2(__NR_pidfd_open, thread, 0));
	fd = (int)syscall2(__NR_pidfd_open, thread, 0200);
	SHOW("of a thread, asked for", fd > 0);
	SHOW("signal 0", syscall4(__NR_pidfd_send_signal, fd, 0, NULL, 0));
	SHOW("oneself", syscall4(__NR_pidfd_send_signal, SELF_GROUP, 0, NULL, 0));
}

/* Children of a child go to whoever asked for them; who made them may be heard to end. */
static void adoption(void)
{
	int pipe[2];
	long pids[2];
	long pid;

	syscall2(__NR_pipe2, pipe, 0);
	SHOW("subreaper", syscall5(__NR_prctl, 36, 1, 0, 0, 0));
	pid = fork_process(0);
	if (pid == 0) {
		long parent = syscall0(__NR_getpid), grandchild = fork_process(0);

		if (grandchild == 0) {
			block(10);
			syscall5(__NR_prctl, 1, 10, 0, 0, 0);
			while (syscall0(__NR_getppid) == parent)
				nap(1);
			pids[0] = syscall0(__NR_getpid);
			pids[1] = syscall0(__NR_getppid);
			syscall3(__NR_write, pipe[1], pids, sizeof(pids));
			exit_group(pending(10));
		}
		nap(5);
		exit_group(0);
	}
	wait_show("the child", pid, 0);
	syscall3(__NR_read, pipe[0], pids, sizeof(pids));
	SHOW("the grandchild is mine", pids[1] == syscall0(__NR_getpid));
	wait_show("and has been told", pids[0], 0);
	SHOW("no more", syscall5(__NR_prctl, 36, 0, 0, 0, 0));
}

/* A group that has stopped, and that nobody looks after any more. */
static void orphans(void)
{
	int pipe[2];
	char byte = 0;
	long pid;

	syscall2(__NR_pipe2, pipe, 0);
	pid = fork_process(0);
	if (pid == 0) {
		long grandchild = fork_process(0);

		if (grandchild == 0) {
			block(1);
			syscall2(__NR_setpgid, 0, 0);
			send(syscall0(__NR_getpid), SIGTSTP_);
			byte = (char)('0' + pending(1));
			syscall3(__NR_write, pipe[1], &byte, 1);
			exit_group(0);
		}
		int status;

		syscall4(__NR_wait4, grandchild, &status, WUNTRACED, NULL);
		print("stopped: %x\n", (long)status);
		exit_group(0);
	}
	wait_show("the child", pid, 0);
	syscall3(__NR_read, pipe[0], &byte, 1);
	SHOW("hung up", byte);
	child_signal("signal");
}

int main(int argc, char **argv, char **envp)
{
	unsigned long set = 1ul << (SIGCHLD - 1);

	(void)argc, (void)argv, (void)envp;
	syscall4(__NR_rt_sigprocmask, 0, &set, NULL, 8);
	stopping();
	threads();
	interrupted();
	quiet();
	groups();
	adoption();
	child_signal("signal");
	orphans();
	descriptors();
	return 0;
}
