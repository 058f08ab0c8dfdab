/*
 * waiting: select(), timers and signals that are read, and what of a file is cached. Prints the same on any Linux.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_NONBLOCK 04000
#define O_PATH 010000000
#define SFD_NONBLOCK O_NONBLOCK
#define NR_CACHESTAT 451

static int pipes[2];

static int poll_now(int fd)
{
	struct { int fd; short events, revents; } poll = { fd, -1, 0 };
	long none[2] = { 0, 0 };

	syscall5(__NR_ppoll, &poll, 1, none, 0, 8);
	return poll.revents;
}

static long select_(int n, unsigned long *r, unsigned long *w, unsigned long *e, long ms)
{
	long time[2] = { ms / 1000, ms % 1000 * 1000000 }, result;

	result = syscall6(__NR_pselect6, n, (long)r, (long)w, (long)e, ms < 0 ? 0 : (long)time, 0);
	print("select %d:", result);
	if (r)
		print(" read %x", (long)*r);
	if (w)
		print(" write %x", (long)*w);
	if (e)
		print(" except %x", (long)*e);
	/* Of the time nothing is left where it is up. */
	if (ms >= 0)
		print(" left %d", (long)(time[0] != 0 || time[1] != 0));
	print("\n");
	return result;
}

static void selects(void)
{
	unsigned long r, w, e, ends = 1ul << pipes[0] | 1ul << pipes[1];
	long wrong[2] = { 0, 1000000000 }, mask[2] = { 0, 4 };

	r = w = e = ends;
	select_(8, &r, &w, &e, 0);
	r = ends;
	select_(8, &r, 0, 0, 5);
	syscall3(__NR_write, pipes[1], "x", 1);
	r = w = e = ends;
	select_(8, &r, &w, &e, 10000);
	r = w = ends;
	select_(pipes[1], &r, &w, 0, 0);
	r = 1ul << 50;
	select_(64, &r, 0, 0, 0);
	r = 1ul << 50;
	select_(50, &r, 0, 0, 0);
	r = 1ul << syscall4(__NR_openat, AT_FDCWD, "/", O_PATH, 0);
	select_(64, &r, 0, 0, 0);
	select_(-1, 0, 0, 0, 0);
	select_(0, 0, 0, 0, 3);
	SHOW("bad memory", syscall6(__NR_pselect6, 8, 8, 0, 0, 0, 0));
	SHOW("bad time", syscall6(__NR_pselect6, 8, 0, 0, 0, (long)wrong, 0));
	SHOW("bad time", syscall6(__NR_pselect6, 8, 0, 0, 0, 8, 0));
	mask[0] = (long)mask;
	SHOW("bad mask", syscall6(__NR_pselect6, 8, 0, 0, 0, 0, (long)mask));
	if (syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0) == 0) {
		long time[2] = { 0, 5000000 };

		syscall2(__NR_nanosleep, time, 0);
		syscall3(__NR_write, pipes[1], "y", 1);
		exit_group(0);
	}
	syscall3(__NR_read, pipes[0], &r, 1);
	r = 1ul << pipes[0];
	select_(64, &r, 0, 0, -1);
	syscall3(__NR_read, pipes[0], &r, 1);
	syscall4(__NR_wait4, -1, 0, 0, 0);
}

static void set(const char *what, int fd, int flags, long interval, long value)
{
	long next[4] = { 0, interval, value / 1000000000, value % 1000000000 }, old[4] = { -1, -1, -1, -1 };
	long error = syscall4(__NR_timerfd_settime, fd, flags, next, old);

	print("%s: %d, before: interval %d, set %d\n", what, error, old[1], (long)(old[2] != 0 || old[3] != 0));
}

static void timers(void)
{
	long now[4], count = 0;
	int fd, quick;

	SHOW("no such clock", syscall2(__NR_timerfd_create, 2, 0));
	SHOW("unknown flags", syscall2(__NR_timerfd_create, 1, 1));
	fd = (int)syscall2(__NR_timerfd_create, 1, O_NONBLOCK);
	SHOW("flags", syscall3(__NR_fcntl, fd, 3, 0));
	SHOW("not set", syscall3(__NR_read, fd, &count, 8));
	SHOW("ready", poll_now(fd));
	set("an hour", fd, 0, 0, 3600000000000);
	SHOW("not yet", syscall3(__NR_read, fd, &count, 8));
	SHOW("get", syscall2(__NR_timerfd_gettime, fd, now));
	print("interval %d, of the hour %d s\n", now[1], now[2]);
	set("stopped", fd, 0, 0, 0);
	SHOW("get", syscall2(__NR_timerfd_gettime, fd, now));
	print("%d %d %d %d\n", now[0], now[1], now[2], now[3]);
	set("long ago", fd, 1, 0, 1);
	SHOW("ready", poll_now(fd));
	SHOW("too short", syscall3(__NR_read, fd, &count, 7));
	SHOW("read", syscall3(__NR_read, fd, &count, 8));
	SHOW("once", count);
	SHOW("no more", syscall3(__NR_read, fd, &count, 8));
	set("every hour", fd, 0, 999999999, 1000);
	quick = (int)syscall2(__NR_timerfd_create, 0, 0);
	set("in a while", quick, 0, 2000000, 2000000);
	SHOW("waited", syscall3(__NR_read, quick, &count, 8));
	SHOW("at least once", count >= 1);
	now[0] = 0, now[1] = 11000000;
	syscall2(__NR_nanosleep, now, 0);
	SHOW("waited", syscall3(__NR_read, quick, &count, 8));
	SHOW("several times", count >= 4);
	SHOW("read", syscall3(__NR_read, fd, &count, 8));
	set("another", fd, 0, 0, 5);
	SHOW("written", syscall3(__NR_write, fd, &count, 8));
	SHOW("position", syscall3(__NR_lseek, fd, 0, 1));
	SHOW("of a pipe", syscall2(__NR_timerfd_gettime, pipes[0], now));
	SHOW("of none", syscall2(__NR_timerfd_gettime, 99, now));
	SHOW("bad memory", syscall4(__NR_timerfd_settime, fd, 0, 8, 0));
	SHOW("bad memory", syscall2(__NR_timerfd_gettime, fd, 8));
}

static void show_signal(int fd, size_t size)
{
	static unsigned buffer[3 * 32];
	long n = syscall3(__NR_read, fd, buffer, size);

	print("read %d:", n);
	for (long i = 0; i * 128 < n; i++)
		print(" signal %d code %d value %d own %d;", (long)buffer[32 * i], (long)(int)buffer[32 * i + 2], (long)(int)buffer[32 * i + 11],
		      (long)(buffer[32 * i + 3] == syscall0(__NR_getpid)));
	print("\n");
}

static void signals(void)
{
	unsigned long mask = 1ul << 9 | 1ul << 11 | 1ul << 33 | 1ul << 8 | 1ul << 16, other = 1ul << 11, self = syscall0(__NR_getpid);
	struct { int signo, error, code, pad, pid, uid; long value; char rest[96]; } info = { 34, 0, -1, 0, 0, 0, 77, { 0 } };
	long fd;

	info.pid = (int)self;
	syscall4(__NR_rt_sigprocmask, 0, &mask, 0, 8);
	SHOW("no set of that size", syscall4(__NR_signalfd4, -1, &mask, 4, 0));
	SHOW("bad memory", syscall4(__NR_signalfd4, -1, 8, 8, 0));
	SHOW("unknown flags", syscall4(__NR_signalfd4, -1, &mask, 8, 1));
	SHOW("of a pipe", syscall4(__NR_signalfd4, pipes[0], &mask, 8, 0));
	SHOW("of none", syscall4(__NR_signalfd4, 99, &mask, 8, 0));
	fd = syscall4(__NR_signalfd4, -1, &mask, 8, SFD_NONBLOCK);
	SHOW("nothing", syscall3(__NR_read, fd, &mask, 128));
	SHOW("nothing", poll_now((int)fd));
	syscall2(__NR_kill, self, 12);
	SHOW("ready", poll_now((int)fd));
	show_signal((int)fd, 127);
	syscall3(__NR_tgkill, self, self, 10);
	syscall3(__NR_rt_sigqueueinfo, self, 34, &info);
	info.value = 78;
	syscall3(__NR_rt_sigqueueinfo, self, 34, &info);
	show_signal((int)fd, 300);
	show_signal((int)fd, 300);
	show_signal((int)fd, 300);
	SHOW("another mask", syscall4(__NR_signalfd4, fd, &other, 8, 0) == fd);
	syscall2(__NR_kill, self, 10);
	SHOW("not that one", poll_now((int)fd));
	show_signal((int)fd, 128);
	syscall4(__NR_signalfd4, fd, &mask, 8, 0);
	show_signal((int)fd, 128);
	syscall3(__NR_fcntl, fd, 4, 0);
	if (syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0) == 0) {
		long time[2] = { 0, 5000000 };

		syscall2(__NR_nanosleep, time, 0);
		syscall2(__NR_kill, self, 12);
		exit_group(0);
	}
	show_signal((int)fd, 128);
	syscall4(__NR_wait4, -1, 0, 0, 0);
	show_signal((int)fd, 128);
}

static void show_cached(const char *what, int fd, unsigned long from, unsigned long length)
{
	unsigned long range[2] = { from, length }, stat[5] = { 9, 9, 9, 9, 9 };
	long error = syscall4(NR_CACHESTAT, fd, range, stat, 0);

	print("%s: %d, %d cached, %d dirty, %d\n", what, error, (long)stat[0], (long)stat[1], (long)stat[3]);
}

static void cached(void)
{
	int fd = (int)syscall2(__NR_memfd_create, "cached", 0);

	show_cached("nothing", fd, 0, 0);
	syscall2(__NR_ftruncate, fd, 100 * PAGE_SIZE);
	show_cached("holes", fd, 0, 0);
	for (int i = 0; i < 10; i += 2)
		syscall4(__NR_pwrite64, fd, "x", 1, i * PAGE_SIZE);
	show_cached("all", fd, 0, 0);
	show_cached("some", fd, PAGE_SIZE, 4 * PAGE_SIZE);
	show_cached("from within a page", fd, 4 * PAGE_SIZE + 100, 1);
	show_cached("across", fd, 3 * PAGE_SIZE + 4095, 2);
	show_cached("beyond", fd, 1000 * PAGE_SIZE, 0);
	show_cached("around", fd, 2 * PAGE_SIZE, -1);
	show_cached("a pipe", pipes[0], 0, 0);
	show_cached("huge pages", (int)syscall2(__NR_memfd_create, "huge", 4), 0, 0);
	show_cached("a path", (int)syscall4(__NR_openat, AT_FDCWD, "/", O_PATH, 0), 0, 0);
	show_cached("none", 99, 0, 0);
}

static void where(const char *what, void *page, int *node, int flags)
{
	int status = 99;
	long result = syscall6(__NR_move_pages, 0, 1, (long)&page, (long)node, (long)&status, flags);

	print("%s: %d, %d\n", what, result, (long)status);
}

static void nodes(void)
{
	char *pages = map_anonymous(3 * PAGE_SIZE);
	int first = 0, none = 99;

	pages[0] = 1;
	where("there", pages, 0, 0);
	where("not there", pages + PAGE_SIZE, 0, 0);
	where("nothing mapped", (void *)8, 0, 0);
	where("to its node", pages, &first, 2);
	where("to no node", pages, &none, 2);
	where("unknown flags", pages, 0, 1);
	print("%d\n", (long)((volatile char *)pages)[2 * PAGE_SIZE]);
	where("zeros", pages + 2 * PAGE_SIZE, 0, 0);
	SHOW("none", syscall6(__NR_move_pages, 0, 0, 0, 0, 0, 0));
	SHOW("bad memory", syscall6(__NR_move_pages, 0, 1, 8, 0, 8, 0));
	SHOW("nobody", syscall6(__NR_move_pages, 4000000, 0, 0, 0, 0, 0));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	syscall2(__NR_pipe2, pipes, 0);
	selects();
	timers();
	signals();
	cached();
	nodes();
	return 0;
}
