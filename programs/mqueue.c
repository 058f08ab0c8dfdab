/*
 * mqueue: POSIX message queues. Prints the same on any Linux on which nobody else has any, by the limits
 * that an unprivileged user has.
 */
#include "process.h"
#include <linux/mqueue.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define O_NONBLOCK 04000
#define NOBODY 65534

struct event {
	long value;
	int signo, notify, pad[12];
};

static char buffer[1 << 16];
static volatile int got_signal, got_code, got_value;

static void handler(int signo, siginfo_t *info, void *context)
{
	(void)context;
	got_signal = signo;
	got_code = info->si_code;
	got_value = info->si_value.sival_int;
}

#ifdef __x86_64__
__asm__("restorer: mov $15, %eax\nsyscall\n");
extern void restorer(void);
#endif

static void catch_(int signo)
{
#ifdef __x86_64__
	struct { void *handler; unsigned long flags; void (*restorer)(void); unsigned long mask; } action = { handler, 4 | 0x04000000, restorer, 0 };
#else
	struct { void *handler; unsigned long flags, mask; } action = { handler, 4, 0 };
#endif
	syscall4(__NR_rt_sigaction, signo, &action, 0, 8);
}

static long open_(const char *name, int flags, int mode, const struct mq_attr *attr)
{
	return syscall4(__NR_mq_open, name, flags, mode, attr);
}

static long send(long mq, const char *text, unsigned priority)
{
	return syscall5(__NR_mq_timedsend, mq, text, string_length(text), priority, 0);
}

static void receive(long mq)
{
	unsigned priority = 99;
	long n = syscall5(__NR_mq_timedreceive, mq, buffer, sizeof(buffer), &priority, 0);

	buffer[n < 0 ? 0 : n] = 0;
	print("received %d \"%s\" of %d\n", n, n < 0 ? "" : buffer, (long)priority);
}

static void show(long mq)
{
	struct mq_attr attr;

	SHOW("attributes", syscall3(__NR_mq_getsetattr, mq, 0, &attr));
	print("%x %d %d %d\n", attr.mq_flags, attr.mq_maxmsg, attr.mq_msgsize, attr.mq_curmsgs);
}

static int ready(long mq)
{
	struct { int fd; short events, revents; } poll = { (int)mq, -1, 0 };
	long none[2] = { 0, 0 };

	syscall5(__NR_ppoll, &poll, 1, none, 0, 8);
	return poll.revents;
}

static void names(void)
{
	struct mq_attr attr = { 0, 3, 16, 0, { 0 } };
	static char longest[258];
	long mq, other, pid;

	memset(longest, 'n', 256);
	SHOW("not there", open_("faultline", O_RDWR, 0, 0));
	SHOW("no name", open_("", O_RDWR | O_CREAT, 0600, 0));
	SHOW("a slash", open_("a/b", O_RDWR | O_CREAT, 0600, 0));
	SHOW("a dot", open_(".", O_RDWR | O_CREAT, 0600, 0));
	SHOW("too long", open_(longest, O_RDWR | O_CREAT, 0600, 0));
	SHOW("bad memory", open_((char *)8, O_RDWR | O_CREAT, 0600, 0));
	SHOW("bad attributes", open_("faultline", O_RDWR | O_CREAT, 0600, (void *)8));
	attr.mq_maxmsg = 0;
	SHOW("no messages", open_("faultline", O_RDWR | O_CREAT, 0600, &attr));
	attr.mq_maxmsg = 11;
	SHOW("more than the limit", open_("faultline", O_RDWR | O_CREAT, 0600, &attr));
	attr.mq_maxmsg = 3, attr.mq_msgsize = 8193;
	SHOW("larger than the limit", open_("faultline", O_RDWR | O_CREAT, 0600, &attr));
	attr.mq_msgsize = -1;
	SHOW("negative", open_("faultline", O_RDWR | O_CREAT, 0600, &attr));
	attr.mq_msgsize = 16;
	mq = open_("faultline", O_RDWR | O_CREAT | O_EXCL, 0640, &attr);
	SHOW("made", mq > 0);
	SHOW("exclusive", open_("faultline", O_RDWR | O_CREAT | O_EXCL, 0640, &attr));
	SHOW("no access", open_("faultline", 3, 0, 0));
	show(mq);
	SHOW("flags", syscall3(__NR_fcntl, mq, 3, 0));
	SHOW("closed with execve", syscall3(__NR_fcntl, mq, 1, 0));
	other = open_("faultline", O_WRONLY | O_NONBLOCK, 0, 0);
	show(other);
	attr.mq_flags = O_NONBLOCK | 1;
	SHOW("unknown flags", syscall3(__NR_mq_getsetattr, other, &attr, 0));
	attr.mq_flags = 0, attr.mq_maxmsg = 7;
	SHOW("set", syscall3(__NR_mq_getsetattr, other, &attr, &attr));
	print("were %x\n", attr.mq_flags);
	show(other);
	SHOW("of a file", syscall3(__NR_mq_getsetattr, sys_open("/", 0), 0, &attr));
	SHOW("of none", syscall3(__NR_mq_getsetattr, 99, 0, &attr));
	pid = fork_();
	if (pid == 0) {
		syscall2(__NR_setgroups, 0, 0);
		syscall3(__NR_setresgid, NOBODY, NOBODY, NOBODY);
		syscall3(__NR_setresuid, NOBODY, NOBODY, NOBODY);
		SHOW("another's to read", open_("faultline", O_RDONLY, 0, 0));
		SHOW("another's to unlink", syscall1(__NR_mq_unlink, "faultline"));
		exit_group(0);
	}
	wait_(pid);
	SHOW("unlinked", syscall1(__NR_mq_unlink, "faultline"));
	SHOW("unlinked twice", syscall1(__NR_mq_unlink, "faultline"));
	SHOW("unlink no name", syscall1(__NR_mq_unlink, ""));
	SHOW("unlink a slash", syscall1(__NR_mq_unlink, "a/b"));
	SHOW("still there", send(mq, "x", 0));
	receive(mq);
	syscall1(__NR_close, mq);
	syscall1(__NR_close, other);
	/* What may be taken of memory. */
	for (long i = 0; i < 12; i++) {
		char name[] = "a";

		name[0] += (char)i;
		mq = open_(name, O_RDWR | O_CREAT, 0600, 0);
		if (mq < 0) {
			print("queue %d: %d\n", i, mq);
			break;
		}
		syscall1(__NR_close, mq);
	}
	for (long i = 0; i < 12; i++) {
		char name[] = "a";

		name[0] += (char)i;
		syscall1(__NR_mq_unlink, name);
	}
}

static void messages(void)
{
	struct mq_attr attr = { 0, 3, 16, 0, { 0 } };
	long mq = open_("faultline", O_RDWR | O_CREAT | O_NONBLOCK, 0600, &attr);
	long reading = open_("faultline", O_RDONLY, 0, 0), writing = open_("faultline", O_WRONLY, 0, 0);
	long past[2] = { 1, 0 }, wrong[2] = { 0, 1000000000 };
	struct iovec_ { void *base; size_t length; } v = { buffer, 80 };
	long n;

	SHOW("ready", ready(mq));
	SHOW("first", send(mq, "first", 1));
	SHOW("ready", ready(mq));
	SHOW("second", send(mq, "second", 5));
	SHOW("third", send(mq, "", 1));
	SHOW("full", send(mq, "fourth", 7));
	SHOW("ready", ready(mq));
	show(mq);
	n = syscall3(__NR_readv, mq, &v, 1);
	syscall3(__NR_write, 1, buffer, n);
	syscall3(__NR_lseek, mq, 0, 0);
	receive(mq);
	receive(mq);
	receive(mq);
	receive(mq);
	SHOW("too long", send(mq, "a message of seventeen", 0));
	SHOW("no such priority", send(mq, "x", 32768));
	SHOW("the last priority", send(mq, "x", 32767));
	SHOW("too short", syscall5(__NR_mq_timedreceive, mq, buffer, 15, 0, 0));
	SHOW("bad memory", syscall5(__NR_mq_timedsend, mq, 8, 5, 0, 0));
	SHOW("wrong way", send(reading, "x", 0));
	SHOW("wrong way", syscall5(__NR_mq_timedreceive, writing, buffer, 100, 0, 0));
	SHOW("no queue", send(0, "x", 0));
	SHOW("bad time", syscall5(__NR_mq_timedreceive, mq, buffer, 100, 0, wrong));
	SHOW("bad time", syscall5(__NR_mq_timedreceive, mq, buffer, 100, 0, 8));
	SHOW("no priority", syscall5(__NR_mq_timedreceive, mq, buffer, 100, 0, past));
	SHOW("late", syscall5(__NR_mq_timedreceive, reading, buffer, 100, 0, past));
	for (int i = 0; i < 3; i++)
		send(writing, "abc", 0);
	SHOW("late", syscall5(__NR_mq_timedsend, writing, "x", 1, 0, past));
	SHOW("unread", syscall3(__NR_pread64, mq, buffer, 80) == 60);
	for (int i = 0; i < 3; i++)
		receive(mq);
	/* Who waits is served at once, whoever comes meanwhile. */
	n = fork_();
	if (n == 0) {
		long k = syscall5(__NR_mq_timedreceive, reading, buffer, 100, 0, 0);

		exit_group(k == 13 && buffer[4] == 't' ? 3 : 4);
	}
	until_asleep(n);
	SHOW("to the child", send(mq, "for the child", 0));
	SHOW("nothing", syscall5(__NR_mq_timedreceive, mq, buffer, 100, 0, 0));
	SHOW("it ends", wait_(n) >> 8);
	for (int i = 0; i < 3; i++)
		send(mq, "old", 2);
	n = fork_();
	if (n == 0)
		exit_group((int)-send(writing, "urgent", 9));
	until_asleep(n);
	receive(mq);
	SHOW("sent at last", wait_(n) >> 8);
	show(mq);
	receive(mq);
	while (syscall5(__NR_mq_timedreceive, mq, buffer, 100, 0, 0) >= 0)
		;
	n = fork_();
	if (n == 0) {
		catch_(10);
		SHOW("interrupted", syscall5(__NR_mq_timedreceive, reading, buffer, 100, 0, 0));
		exit_group(0);
	}
	until_asleep(n);
	syscall2(__NR_kill, n, 10);
	wait_(n);
	syscall1(__NR_close, mq);
	syscall1(__NR_close, reading);
	syscall1(__NR_close, writing);
	syscall1(__NR_mq_unlink, "faultline");
}

static void notifications(void)
{
	struct event event = { 77, 10, 0, { 0 } };
	long mq = open_("faultline", O_RDWR | O_CREAT | O_NONBLOCK, 0600, 0), other = open_("faultline", O_RDWR, 0, 0), pid;

	catch_(10);
	SHOW("nothing to give up", syscall2(__NR_mq_notify, mq, 0));
	SHOW("bad memory", syscall2(__NR_mq_notify, mq, 8));
	event.notify = 9;
	SHOW("no such way", syscall2(__NR_mq_notify, mq, &event));
	event.notify = 0, event.signo = 65;
	SHOW("no such signal", syscall2(__NR_mq_notify, mq, &event));
	event.signo = 10;
	SHOW("no queue", syscall2(__NR_mq_notify, 0, &event));
	SHOW("asked", syscall2(__NR_mq_notify, mq, &event));
	SHOW("asked twice", syscall2(__NR_mq_notify, mq, &event));
	pid = fork_();
	if (pid == 0) {
		SHOW("asked by another", syscall2(__NR_mq_notify, mq, &event));
		SHOW("not his to give up", syscall2(__NR_mq_notify, mq, 0));
		syscall1(__NR_close, mq);
		exit_group(0);
	}
	wait_(pid);
	SHOW("sent", send(mq, "x", 0));
	print("signal %d code %d value %d\n", (long)got_signal, (long)got_code, (long)got_value);
	got_signal = 0;
	SHOW("sent", send(mq, "y", 0));
	receive(mq);
	receive(mq);
	SHOW("sent", send(mq, "z", 0));
	print("once: signal %d\n", (long)got_signal);
	SHOW("asked", syscall2(__NR_mq_notify, mq, &event));
	SHOW("sent", send(mq, "not the first", 0));
	print("only the first: signal %d\n", (long)got_signal);
	receive(mq);
	receive(mq);
	SHOW("given up", syscall2(__NR_mq_notify, mq, 0));
	event.notify = 1;
	SHOW("in silence", syscall2(__NR_mq_notify, mq, &event));
	SHOW("taken", syscall2(__NR_mq_notify, mq, &event));
	SHOW("sent", send(mq, "x", 0));
	SHOW("free again", syscall2(__NR_mq_notify, mq, &event));
	syscall1(__NR_close, other);
	pid = fork_();
	if (pid == 0) {
		event.notify = 0;
		SHOW("with a descriptor it goes", syscall2(__NR_mq_notify, mq, &event));
		exit_group(0);
	}
	wait_(pid);
	syscall1(__NR_close, mq);
	syscall1(__NR_mq_unlink, "faultline");
}

int main(int argc, char **argv, char **envp)
{
	struct { unsigned version; int pid; } header = { 0x20080522, 0 };
	unsigned sets[6];

	(void)argc, (void)argv, (void)envp;
	syscall2(__NR_capget, &header, sets);
	sets[0] &= ~(1u << 24);
	syscall2(__NR_capset, &header, sets);
	names();
	messages();
	notifications();
	return 0;
}
