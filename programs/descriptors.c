/*
 * descriptors: pipes and what they hold, eventfd, epoll, pages spliced into a pipe. Prints the same on
 * any Linux.
 */
#include "smaps.h"
#include <linux/eventpoll.h>

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define FIONREAD_ 0x541b

struct pollfd_ {
	int fd;
	short events, revents;
};

static char buffer[1 << 17];
static int ends[2];

static int poll_now(int fd, int events)
{
	struct pollfd_ poll = { fd, (short)events, 0 };
	long none[2] = { 0, 0 };

	syscall5(__NR_ppoll, &poll, 1, none, NULL, 8);
	return poll.revents;
}

static long readable(int fd)
{
	int n = -1;

	syscall3(__NR_ioctl, fd, FIONREAD_, &n);
	return n;
}

static void new_pipe(int flags)
{
	for (int i = 0; i < 2; i++)
		if (ends[1] != 0)
			syscall1(__NR_close, ends[i]);
	syscall2(__NR_pipe2, ends, flags);
}

static void drain(void)
{
	while (syscall3(__NR_read, ends[0], buffer, sizeof(buffer)) > 0)
		;
}

static void pipes(void)
{
	int n;

	new_pipe(O_NONBLOCK);
	SHOW("flags", syscall3(__NR_fcntl, ends[1], F_GETFL, 0));
	SHOW("size", syscall3(__NR_fcntl, ends[1], F_GETPIPE_SZ, 0));
	SHOW("empty", syscall3(__NR_read, ends[0], buffer, 10));
	SHOW("nothing", syscall3(__NR_write, ends[1], buffer, 0));
	SHOW("poll to read", poll_now(ends[0], 0x145));
	SHOW("poll to write", poll_now(ends[1], 0x145));
	for (n = 0; syscall3(__NR_write, ends[1], buffer, 1) == 1; n++)
		;
	SHOW("single bytes", n);
	SHOW("in it", readable(ends[0]));
	SHOW("poll to write", poll_now(ends[1], 4));
	SHOW("one is read", syscall3(__NR_read, ends[0], buffer, 1));
	SHOW("poll to write", poll_now(ends[1], 4));
	SHOW("no room yet", syscall3(__NR_write, ends[1], buffer, 1));
	SHOW("the rest of a page", syscall3(__NR_read, ends[0], buffer, 4095));
	SHOW("poll to write", poll_now(ends[1], 4));
	drain();
	for (n = 0; syscall3(__NR_write, ends[1], buffer, 2000) == 2000; n++)
		;
	SHOW("two thousand at a time", n);
	SHOW("a hundred more", syscall3(__NR_write, ends[1], buffer, 96));
	SHOW("no more", syscall3(__NR_write, ends[1], buffer, 97));
	drain();
	for (n = 0; syscall3(__NR_write, ends[1], buffer, 4096) == 4096; n++)
		;
	SHOW("pages", n);
	drain();
	SHOW("much at once", syscall3(__NR_write, ends[1], buffer, sizeof(buffer)));
	SHOW("in it", readable(ends[1]));
	SHOW("smaller than what is in it", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 4096));
	drain();
	SHOW("one page", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 1));
	SHOW("one page", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 0));
	SHOW("all that fits", syscall3(__NR_write, ends[1], buffer, 5000));
	SHOW("five pages", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 5 * 4096));
	SHOW("a megabyte", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 1 << 20));
	SHOW("too large", syscall3(__NR_fcntl, ends[0], F_SETPIPE_SZ, 0x80000001));
	SHOW("not a pipe", syscall3(__NR_fcntl, 99, F_SETPIPE_SZ, 4096));

	new_pipe(O_NONBLOCK | O_DIRECT);
	syscall3(__NR_write, ends[1], "abc", 3);
	syscall3(__NR_write, ends[1], "defgh", 5);
	SHOW("a packet", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("part of one", syscall3(__NR_read, ends[0], buffer, 2));
	SHOW("the rest is lost", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("a page and a half", syscall3(__NR_write, ends[1], buffer, 6000));
	SHOW("first packet", syscall3(__NR_read, ends[0], buffer, 10000));
	SHOW("second packet", syscall3(__NR_read, ends[0], buffer, 10000));

	new_pipe(O_NONBLOCK);
	syscall1(__NR_close, ends[0]);
	SHOW("poll without reader", poll_now(ends[1], 4));
	unsigned long set = 1ul << 12;

	syscall4(__NR_rt_sigprocmask, 0, &set, NULL, 8);
	SHOW("without reader", syscall3(__NR_write, ends[1], "x", 1));
	set = 0;
	syscall2(__NR_rt_sigpending, &set, 8);
	print("pending: %x\n", set);
	syscall1(__NR_close, ends[1]);
	ends[1] = 0;
	new_pipe(O_NONBLOCK);
	syscall3(__NR_write, ends[1], "xy", 2);
	syscall1(__NR_close, ends[1]);
	SHOW("poll without writer", poll_now(ends[0], 1));
	SHOW("what is left", syscall3(__NR_read, ends[0], buffer, 10));
	SHOW("the end", syscall3(__NR_read, ends[0], buffer, 10));
	SHOW("poll at the end", poll_now(ends[0], 1));
	syscall1(__NR_close, ends[0]);
	ends[1] = 0;
}

static void eventfds(void)
{
	uint64_t value = 5, big = -2ull;
	int fd = (int)syscall2(__NR_eventfd2, 3, O_NONBLOCK);

	SHOW("poll", poll_now(fd, 0x1 | 0x4 | 0x8 | 0x40 | 0x100));
	SHOW("add", syscall3(__NR_write, fd, &value, 8));
	SHOW("too short", syscall3(__NR_write, fd, &value, 7));
	SHOW("read", syscall3(__NR_read, fd, &value, 8));
	SHOW("value", value);
	SHOW("empty", syscall3(__NR_read, fd, &value, 8));
	SHOW("too short", syscall3(__NR_read, fd, &value, 4));
	SHOW("poll empty", poll_now(fd, 5));
	value = -1ull;
	SHOW("no number", syscall3(__NR_write, fd, &value, 8));
	SHOW("largest", syscall3(__NR_write, fd, &big, 8));
	SHOW("poll full", poll_now(fd, 5));
	value = 1;
	SHOW("one more", syscall3(__NR_write, fd, &value, 8));
	SHOW("seek", syscall3(__NR_lseek, fd, 0, 0));
	SHOW("positioned", syscall4(__NR_pread64, fd, &value, 8, 0));
	syscall1(__NR_close, fd);
	fd = (int)syscall2(__NR_eventfd2, 2, O_NONBLOCK | 1);
	SHOW("semaphore", syscall3(__NR_read, fd, &value, 8));
	SHOW("value", value);
	SHOW("again", syscall3(__NR_read, fd, &value, 8));
	SHOW("empty", syscall3(__NR_read, fd, &value, 8));
	syscall1(__NR_close, fd);
}

static void wait_show(const char *what, int epoll, int max, int timeout)
{
	struct epoll_event events[4];
	long n = syscall6(__NR_epoll_pwait, epoll, (long)events, max, timeout, 0, 8);

	print("%s: %d", what, n);
	for (long i = 0; i < n; i++)
		print(" %x:%d", (long)events[i].events, (long)events[i].data);
	print("\n");
}

static long control(int epoll, int op, int fd, unsigned int events, unsigned long data)
{
	struct epoll_event event = { .events = events, .data = data };

	return syscall4(__NR_epoll_ctl, epoll, op, fd, &event);
}

static void epolls(void)
{
	int epoll = (int)syscall1(__NR_epoll_create1, 0), other = (int)syscall1(__NR_epoll_create1, 0);
	int fd = (int)syscall2(__NR_eventfd2, 0, O_NONBLOCK);
	uint64_t value = 1;
	int file = sys_open("/proc/self/exe", O_RDONLY);

	new_pipe(O_NONBLOCK);
	SHOW("a file", control(epoll, 1, file, 1, 0));
	SHOW("itself", control(epoll, 1, epoll, 1, 0));
	SHOW("no epoll", control(fd, 1, ends[0], 1, 0));
	SHOW("unknown operation", control(epoll, 9, fd, 1, 0));
	SHOW("add", control(epoll, 1, fd, 1, 7));
	SHOW("again", control(epoll, 1, fd, 1, 7));
	SHOW("not there", control(epoll, 3, ends[0], 1, 0));
	SHOW("not there", control(epoll, 2, ends[0], 1, 0));
	wait_show("nothing", epoll, 4, 0);
	wait_show("nothing for a while", epoll, 4, 2);
	syscall3(__NR_write, fd, &value, 8);
	wait_show("readable", epoll, 4, -1);
	wait_show("still", epoll, 4, 0);
	SHOW("both", control(epoll, 3, fd, 5, 8));
	wait_show("both", epoll, 4, 0);
	SHOW("edge", control(epoll, 3, fd, 1 | EPOLLET, 9));
	wait_show("once", epoll, 4, 0);
	wait_show("not twice", epoll, 4, 0);
	syscall3(__NR_write, fd, &value, 8);
	wait_show("written again", epoll, 4, 0);
	wait_show("not twice", epoll, 4, 0);
	SHOW("one shot", control(epoll, 3, fd, 1 | EPOLLONESHOT, 10));
	wait_show("once", epoll, 4, 0);
	syscall3(__NR_write, fd, &value, 8);
	wait_show("not twice", epoll, 4, 0);
	SHOW("armed", control(epoll, 3, fd, 1 | EPOLLONESHOT, 11));
	wait_show("once", epoll, 4, 0);
	SHOW("pipe", control(epoll, 1, ends[0], 1, 20));
	SHOW("pipe", control(epoll, 1, ends[1], 4, 21));
	syscall3(__NR_write, ends[1], "x", 1);
	wait_show("two", epoll, 4, 0);
	wait_show("one of them", epoll, 1, 0);
	wait_show("the other", epoll, 1, 0);
	SHOW("nested", control(other, 1, epoll, 1, 30));
	wait_show("nested", other, 4, 0);
	SHOW("a circle", control(epoll, 1, other, 1, 31));
	SHOW("readable itself", poll_now(epoll, 1));
	SHOW("gone", control(epoll, 2, ends[1], 0, 0));
	SHOW("gone", control(epoll, 2, ends[1], 0, 0));
	syscall1(__NR_close, ends[1]);
	wait_show("hung up", epoll, 4, 0);
	syscall1(__NR_close, ends[0]);
	ends[1] = 0;
	wait_show("closed", epoll, 4, 0);
	SHOW("exclusive", control(epoll, 3, fd, 1 | EPOLLEXCLUSIVE, 0));
	SHOW("lseek", syscall3(__NR_lseek, epoll, 0, 0));
	SHOW("read", syscall3(__NR_read, epoll, &value, 8));
	syscall1(__NR_close, epoll);
	syscall1(__NR_close, other);
	syscall1(__NR_close, fd);
	syscall1(__NR_close, file);
}

static void splicing(void)
{
	char *page = map_anonymous(20 * PAGE_SIZE);
	struct {
		void *base;
		size_t length;
	} vector[2] = { { page + 100, 5000 }, { page + 3 * PAGE_SIZE, 20 } };

	new_pipe(O_NONBLOCK);
	page[100] = 'a';
	page[3 * PAGE_SIZE] = 'b';
	SHOW("vmsplice", syscall4(__NR_vmsplice, ends[1], vector, 2, 0));
	SHOW("in it", readable(ends[0]));
	page[100] = 'c';
	SHOW("read", syscall3(__NR_read, ends[0], buffer, 1));
	SHOW("what is there now", buffer[0]);
	SHOW("unmapped", syscall2(__NR_munmap, page, PAGE_SIZE));
	SHOW("read", syscall3(__NR_read, ends[0], buffer, sizeof(buffer)));
	SHOW("the last part", buffer[4999]);
	vector[0].base = page + PAGE_SIZE;
	vector[0].length = 19 * PAGE_SIZE;
	SHOW("as many pages as fit", syscall4(__NR_vmsplice, ends[1], vector, 1, 0));
	SHOW("full", syscall4(__NR_vmsplice, ends[1], vector, 1, 2));
	SHOW("a write behind", syscall3(__NR_write, ends[1], "x", 1));
	drain();
	vector[0].base = page;
	vector[0].length = 2 * PAGE_SIZE;
	SHOW("not mapped", syscall4(__NR_vmsplice, ends[1], vector, 1, 0));
	vector[0].base = page + 18 * PAGE_SIZE;
	vector[0].length = 4 * PAGE_SIZE;
	SHOW("reading end, empty", syscall4(__NR_vmsplice, ends[0], vector, 1, 2));
	syscall3(__NR_write, ends[1], "hello", 5);
	SHOW("reading end", syscall4(__NR_vmsplice, ends[0], vector, 1, 0));
	SHOW("in memory", page[18 * PAGE_SIZE + 4]);
	SHOW("no pipe", syscall4(__NR_vmsplice, 0x7fffffff, vector, 1, 0));
	syscall1(__NR_close, ends[0]);
	syscall1(__NR_close, ends[1]);
}

/* What /proc/self/fdinfo says of a file, without numbers that are the machine's. */
static void info(const char *what, int fd)
{
	static const char *const numbers[] = { "mnt_id:", "ino:", "eventfd-id:", "Pid:", "NSpid:", "API:" };
	char path[] = "/proc/self/fdinfo/00", *line = text;

	path[18] = (char)('0' + fd / 10);
	path[19] = (char)('0' + fd % 10);
	slurp(fd < 10 ? (path[18] = path[19], path[19] = 0, path) : path);
	for (char *s = text; *s != 0; s++) {
		int shown = 1;

		/* Of an epoll's file, where it is. */
		if (starts_with(s, "  pos:"))
			*s = 0;
		if (*s != '\n' && *s != 0)
			continue;
		while (*s != '\n' && s[1] != 0)
			s++;
		*s = 0;
		for (size_t i = 0; i < sizeof(numbers) / sizeof(*numbers); i++)
			if (starts_with(line, numbers[i]))
				shown = 0;
		if (shown)
			print("%s: %s\n", what, line);
		line = s + 1;
	}
}

static void infos(void)
{
	int fd = (int)syscall2(__NR_eventfd2, 5, 0), one = (int)syscall2(__NR_eventfd2, 0, 1 | O_NONBLOCK);
	int epoll = (int)syscall1(__NR_epoll_create1, 0), file = sys_open("/proc/self/exe", O_RDONLY);

	control(epoll, 1, fd, 1 | EPOLLET, 0x1234);
	info("a file", file);
	info("eventfd", fd);
	info("semaphore", one);
	info("epoll", epoll);
	control(epoll, 3, fd, 1 | EPOLLONESHOT, 7);
	wait_show("once", epoll, 4, 0);
	info("epoll", epoll);
	SHOW("nothing asked for", control(epoll, 3, fd, 0, 7));
	info("epoll", epoll);
	new_pipe(O_NONBLOCK);
	control(epoll, 1, ends[0], 0, 9);
	syscall1(__NR_close, ends[1]);
	wait_show("hung up", epoll, 4, 0);
	info("pipe", ends[0]);
	info("pidfd", (int)syscall2(__NR_pidfd_open, syscall0(__NR_getpid), 0));
	info("userfaultfd", (int)syscall1(__NR_userfaultfd, O_NONBLOCK));
}

/* Who takes O_DIRECT: on opening, and later. */
static void direct(void)
{
	static const char *const paths[] = { "/dev/null", "/dev/shm", "/proc/version", "/proc/self/fd/120", "/proc/self/fd/121" };

	syscall3(__NR_dup3, syscall2(__NR_memfd_create, "direct", 0), 120, 0);
	SHOW("memfd, O_DIRECT", syscall3(__NR_fcntl, 120, F_SETFL, O_DIRECT));
	syscall3(__NR_dup3, syscall4(__NR_openat, AT_FDCWD, "/dev/shm", 020200002 | O_DIRECT, 0600), 121, 0);
	SHOW("flags", syscall3(__NR_fcntl, 121, F_GETFL, 0) & O_DIRECT);
	SHOW("O_DIRECT", syscall3(__NR_fcntl, 121, F_SETFL, 0));
	SHOW("flags", syscall3(__NR_fcntl, 121, F_GETFL, 0) & O_DIRECT);
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		long fd = sys_open(paths[i], O_RDONLY);
		long other = sys_open(paths[i], O_RDONLY | O_DIRECT);

		print("%s: %d %d\n", paths[i], other < 0 ? other : 0, syscall3(__NR_fcntl, fd, F_SETFL, O_DIRECT));
	}
	new_pipe(0);
	SHOW("pipe", syscall3(__NR_fcntl, ends[0], F_SETFL, O_DIRECT));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	pipes();
	eventfds();
	epolls();
	splicing();
	infos();
	direct();
	return 0;
}
