/*
 * sockets: pairs of them, and descriptors that go through. Prints the same on any Linux.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_NONBLOCK 04000
#define MSG_PEEK_ 2
#define MSG_TRUNC_ 0x20
#define MSG_NOSIGNAL_ 0x4000

struct header {
	void *name;
	int name_length, pad;
	struct {
		void *base;
		size_t length;
	} *vector;
	size_t count;
	void *control;
	size_t control_length;
	int flags, pad2;
};

struct rights {
	size_t length;
	int level, type;
	int fds[4];
};

static char buffer[1 << 18];
static int ends[2];

static int poll_now(int fd)
{
	struct {
		int fd;
		short events, revents;
	} poll = { fd, 0x2000 | 0x1 | 0x4 | 0x40 | 0x100, 0 };
	long none[2] = { 0, 0 };

	syscall5(__NR_ppoll, &poll, 1, none, NULL, 8);
	return poll.revents;
}

static long send(int i, const char *text, size_t length, int flags)
{
	return syscall6(__NR_sendto, ends[i], (long)text, (long)length, flags, 0, 0);
}

static long receive(int i, size_t length, int flags)
{
	return syscall6(__NR_recvfrom, ends[i], (long)buffer, (long)length, flags, 0, 0);
}

static void pair(int type)
{
	for (int i = 0; i < 2; i++)
		if (ends[i] != 0)
			syscall1(__NR_close, ends[i]);
	SHOW("pair", syscall4(__NR_socketpair, 1, type | O_NONBLOCK, 0, ends));
}

static void transfers(const char *what, int type)
{
	print("%s\n", what);
	pair(type);
	SHOW("ready", poll_now(ends[0]));
	SHOW("empty", syscall3(__NR_read, ends[0], buffer, 10));
	SHOW("write", syscall3(__NR_write, ends[1], "hello", 5));
	SHOW("send", send(1, "world!", 6, 0));
	SHOW("ready", poll_now(ends[0]));
	SHOW("peek", receive(0, 3, MSG_PEEK_));
	SHOW("peek, all of it", receive(0, 3, MSG_PEEK_ | MSG_TRUNC_));
	SHOW("read", syscall3(__NR_read, ends[0], buffer, 3));
	SHOW("read", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("read", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("nothing sent", send(1, "", 0, 0));
	SHOW("read", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("much", send(1, buffer, sizeof(buffer), 0) == (long)sizeof(buffer));
	while (syscall3(__NR_read, ends[0], buffer, sizeof(buffer)) > 0)
		;
	SHOW("shut for writing", syscall2(__NR_shutdown, ends[1], 1));
	SHOW("write", send(1, "x", 1, MSG_NOSIGNAL_));
	SHOW("the other way", send(0, "x", 1, MSG_NOSIGNAL_));
	SHOW("the end", syscall3(__NR_read, ends[0], buffer, 10));
	SHOW("ready", poll_now(ends[0]));
	SHOW("ready", poll_now(ends[1]));
	SHOW("shut how", syscall2(__NR_shutdown, ends[1], 3));
	pair(type);
	send(0, "left", 4, 0);
	send(1, "unread", 6, 0);
	syscall1(__NR_close, ends[1]);
	ends[1] = 0;
	SHOW("ready", poll_now(ends[0]) & ~8);
	SHOW("what is left", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("then", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("then", syscall3(__NR_read, ends[0], buffer, 100));
	SHOW("write", send(0, "x", 1, MSG_NOSIGNAL_));
	SHOW("seek", syscall3(__NR_lseek, ends[0], 0, 0));
}

static void passing(void)
{
	struct rights rights = { 16 + 8, 1, 1, { 0 } };
	struct header header = { 0 };
	char text[2][3] = { "ab", "cd" };
	struct {
		void *base;
		size_t length;
	} vector[2] = { { text[0], 2 }, { text[1], 2 } };
	int pipe[2];

	print("descriptors\n");
	pair(1);
	syscall2(__NR_pipe2, pipe, 0);
	rights.fds[0] = pipe[0];
	rights.fds[1] = pipe[1];
	header.vector = (void *)vector;
	header.count = 2;
	header.control = &rights;
	header.control_length = rights.length;
	SHOW("send", syscall3(__NR_sendmsg, ends[0], &header, 0));
	syscall3(__NR_write, pipe[1], "through", 7);
	syscall1(__NR_close, pipe[0]);
	syscall1(__NR_close, pipe[1]);
	header.control_length = sizeof(rights);
	rights.fds[0] = rights.fds[1] = -1;
	SHOW("receive", syscall3(__NR_recvmsg, ends[1], &header, 0x40000000));
	print("%d %d %d, flags %x, %d\n", (long)header.control_length, (long)rights.length, (long)rights.type, (long)header.flags, (long)rights.fds[0] >= 0);
	SHOW("close on exec", syscall3(__NR_fcntl, rights.fds[0], 1, 0));
	SHOW("read", syscall3(__NR_read, rights.fds[0], buffer, 100));
	/* No room for them. */
	rights.length = 16 + 8;
	header.control_length = rights.length;
	SHOW("send", syscall3(__NR_sendmsg, ends[0], &header, 0));
	header.control_length = 0;
	SHOW("receive", syscall3(__NR_recvmsg, ends[1], &header, 0));
	print("%d, flags %x\n", (long)header.control_length, (long)header.flags);
	rights.fds[0] = 999;
	header.control_length = rights.length;
	SHOW("no descriptor", syscall3(__NR_sendmsg, ends[0], &header, 0));
	rights.length = 8;
	SHOW("too short", syscall3(__NR_sendmsg, ends[0], &header, 0));
}

/* How much fits, in messages of each size: each takes memory for itself as well. */
static void filling(const char *what, int type)
{
	static const size_t sizes[] = { 0, 1, 192, 193, 1000, 4096, 10000, 65536, 106432, 106433, 200000, 212960, 212961, 300000 };
	char *bytes = map_anonymous(300000);
	int ends[2];

	for (size_t i = type == 1 ? 1 : 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		long n, messages = 0, sum = 0;

		syscall4(__NR_socketpair, 1, type, 0, ends);
		while ((n = syscall6(__NR_sendto, ends[0], (long)bytes, (long)sizes[i], 0x40, 0, 0)) >= 0) {
			messages++;
			sum += n;
		}
		print("%s of %u: %d, %d bytes, then %d\n", what, sizes[i], messages, sum, n);
		syscall1(__NR_close, ends[0]);
		syscall1(__NR_close, ends[1]);
	}
	syscall4(__NR_socketpair, 1, type, 0, ends);
	SHOW("a negative length", syscall6(__NR_sendto, ends[0], (long)bytes, -1, 0x40, 0, 0));
	SHOW("a very negative length", syscall6(__NR_sendto, ends[0], (long)bytes, (long)(1ul << 63), 0x40, 0, 0));
	SHOW("more than there is", syscall6(__NR_sendto, ends[0], (long)bytes, 1l << 40, 0x40, 0, 0) < 0);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	transfers("stream", 1);
	transfers("datagrams", 2);
	transfers("packets", 5);
	passing();
	filling("stream", 1);
	filling("datagrams", 2);
	filling("packets", 5);
	return 0;
}
