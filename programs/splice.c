/*
 * splice: bytes from file to file without a buffer in between, and the flags of preadv2() and pwritev2().
 * Prints the same on any Linux.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define O_NONBLOCK 04000
#define O_APPEND 02000
#define F_SETFL 4
#define F_SETPIPE_SZ 1031
#define SPLICE_F_NONBLOCK 2
#define MFD_HUGETLB 4
#define SIGPIPE_ 13

static char data[32 * PAGE_SIZE] __attribute__((aligned(4096)));
static char buffer[32 * PAGE_SIZE] __attribute__((aligned(4096)));
static int pipes[2][2];

struct vector {
	void *base;
	size_t length;
};

static void new_pipes(void)
{
	for (int i = 0; i < 2; i++) {
		if (pipes[i][1] != 0) {
			syscall1(__NR_close, pipes[i][0]);
			syscall1(__NR_close, pipes[i][1]);
		}
		syscall2(__NR_pipe2, pipes[i], 0);
	}
}

static long splice(int from, long *at, int to, long *where, size_t n, int flags)
{
	return syscall6(__NR_splice, from, (long)at, to, (long)where, (long)n, flags);
}

static long copy_range(int from, long *at, int to, long *where, size_t n, int flags)
{
	return syscall6(__NR_copy_file_range, from, (long)at, to, (long)where, (long)n, flags);
}

static long tee(int from, int to, size_t n, int flags)
{
	return syscall4(__NR_tee, from, to, n, flags);
}

static long drain(int fd)
{
	long n, sum = 0;

	while ((n = splice(fd, NULL, sys_open("/dev/null", 1), NULL, 1 << 20, SPLICE_F_NONBLOCK)) > 0)
		sum += n;
	return sum;
}

static long position(int fd)
{
	return syscall3(__NR_lseek, fd, 0, 1);
}

static void read_text(int fd, size_t n)
{
	long got = syscall3(__NR_read, fd, buffer, n);

	buffer[got < 0 ? 0 : got] = 0;
	print("read %d: %s\n", got, got < 0 ? "" : buffer);
}

static void at(int fd, long offset, size_t n)
{
	long got = syscall4(__NR_pread64, fd, buffer, n, offset);

	buffer[got < 0 ? 0 : got] = 0;
	print("at %d: %d %s\n", offset, got, got < 0 ? "" : buffer);
}

static int memfd(int flags)
{
	return (int)syscall2(__NR_memfd_create, "splice", flags);
}

static void files_and_pipes(void)
{
	int file = memfd(0), other = memfd(0), *p;
	long offset = 10, where = 5;

	new_pipes();
	p = pipes[0];
	syscall3(__NR_write, file, data, 3 * PAGE_SIZE + 100);
	SHOW("at the end", splice(file, NULL, p[1], NULL, 100, 0));
	SHOW("from a place", splice(file, &offset, p[1], NULL, 20, 0));
	SHOW("place", offset);
	SHOW("position", position(file));
	read_text(p[0], 100);
	syscall3(__NR_lseek, file, 2, 0);
	SHOW("from the position", splice(file, NULL, p[1], NULL, 4, 0));
	SHOW("position", position(file));
	read_text(p[0], 100);
	/* The page is the file's. */
	SHOW("before a write", splice(file, NULL, p[1], NULL, 4, 0));
	syscall4(__NR_pwrite64, file, "####", 4, 6);
	read_text(p[0], 100);
	offset = 4000;
	SHOW("across pages", splice(file, &offset, p[1], NULL, 200, 0));
	SHOW("taken", syscall3(__NR_read, p[0], buffer, sizeof(buffer)));
	print("right: %d\n", (long)(buffer[0] == data[4000] && buffer[199] == data[4199]));
	syscall2(__NR_ftruncate, file, 40 * PAGE_SIZE);
	offset = 0;
	SHOW("a pipe's worth", splice(file, &offset, p[1], NULL, 40 * PAGE_SIZE, 0));
	SHOW("full", splice(file, &offset, p[1], NULL, 1, SPLICE_F_NONBLOCK));
	SHOW("drained", drain(p[0]));
	offset = 100;
	SHOW("with a part of a page first", splice(file, &offset, p[1], NULL, 40 * PAGE_SIZE, 0));
	SHOW("drained", drain(p[0]));
	offset = 4 * PAGE_SIZE;
	SHOW("of a hole", splice(file, &offset, p[1], NULL, 10, 0));
	SHOW("taken", syscall3(__NR_read, p[0], buffer, 10));
	print("zeros: %d\n", (long)(buffer[0] == 0 && buffer[9] == 0));

	syscall3(__NR_write, p[1], "hello, world", 12);
	SHOW("into a file", splice(p[0], NULL, other, &where, 5, 0));
	SHOW("where", where);
	SHOW("position", position(other));
	SHOW("at the position", splice(p[0], NULL, other, NULL, 100, 0));
	SHOW("position", position(other));
	at(other, 5, 100);
	at(other, 0, 7);
	SHOW("nothing there", splice(p[0], NULL, other, NULL, 100, SPLICE_F_NONBLOCK));
	SHOW("position of a pipe", splice(p[0], &where, other, NULL, 100, 0));
	SHOW("position of a pipe", splice(other, NULL, p[1], &where, 100, 0));
	SHOW("no pipe", splice(file, NULL, other, NULL, 100, 0));
	SHOW("the same pipe", splice(p[0], NULL, p[1], NULL, 100, 0));
	SHOW("the wrong end", splice(p[1], NULL, other, NULL, 100, 0));
	SHOW("the wrong end", splice(file, NULL, p[0], NULL, 100, 0));
	SHOW("nothing", splice(-1, NULL, -1, NULL, 0, 99));
	SHOW("unknown flags", splice(file, NULL, p[1], NULL, 1, 16));
	SHOW("no descriptor", splice(99, NULL, p[1], NULL, 1, 0));
	SHOW("nowhere", splice(file, (long *)8, p[1], NULL, 1, 0));
	where = -1;
	SHOW("a negative place", splice(file, &where, p[1], NULL, 1, 0));
	syscall3(__NR_fcntl, other, F_SETFL, O_APPEND);
	syscall3(__NR_write, p[1], "x", 1);
	SHOW("appended", splice(p[0], NULL, other, NULL, 1, 0));
	syscall3(__NR_fcntl, file, F_SETFL, O_NONBLOCK);
	SHOW("one left", drain(p[0]));
	SHOW("to a directory's", splice(sys_open("/", O_RDONLY), NULL, p[1], NULL, 1, 0));
	SHOW("of huge pages", splice(memfd(MFD_HUGETLB), NULL, p[1], NULL, 1, 0));
	SHOW("of a device", splice(sys_open("/dev/zero", O_RDONLY), NULL, p[1], NULL, 5000, 0));
	SHOW("drained", drain(p[0]));
	SHOW("of /proc", splice(sys_open("/proc/version", O_RDONLY), NULL, p[1], NULL, 5, 0));
	SHOW("of /proc/PID", splice(sys_open("/proc/self/maps", O_RDONLY), NULL, p[1], NULL, 5, 0));
	read_text(p[0], 10);
	syscall1(__NR_close, p[1]);
	SHOW("no writer", splice(p[0], NULL, other, NULL, 100, 0));
	syscall2(__NR_pipe2, p, 0);
	syscall1(__NR_close, p[0]);
	offset = 0;
	SHOW("no reader", splice(file, &offset, p[1], NULL, 100, 0));
}

static void between_pipes(void)
{
	int *a, *b;

	new_pipes();
	a = pipes[0], b = pipes[1];
	syscall3(__NR_write, a[1], "first ", 6);
	syscall3(__NR_write, a[1], "second", 6);
	SHOW("teed", tee(a[0], b[1], 8, 0));
	read_text(b[0], 100);
	SHOW("teed", tee(a[0], b[1], 100, 0));
	SHOW("more written", syscall3(__NR_write, a[1], "!", 1));
	SHOW("written behind", syscall3(__NR_write, b[1], "?", 1));
	read_text(b[0], 100);
	SHOW("moved", splice(a[0], NULL, b[1], NULL, 8, 0));
	read_text(b[0], 100);
	SHOW("moved", splice(a[0], NULL, b[1], NULL, 100, 0));
	read_text(b[0], 100);
	SHOW("empty", splice(a[0], NULL, b[1], NULL, 100, SPLICE_F_NONBLOCK));
	SHOW("empty", tee(a[0], b[1], 100, SPLICE_F_NONBLOCK));
	syscall3(__NR_write, a[1], data, 16 * PAGE_SIZE);
	SHOW("smaller", syscall3(__NR_fcntl, b[1], F_SETPIPE_SZ, 4 * PAGE_SIZE));
	SHOW("as many as fit", tee(a[0], b[1], 16 * PAGE_SIZE, 0));
	SHOW("full", tee(a[0], b[1], 16 * PAGE_SIZE, SPLICE_F_NONBLOCK));
	SHOW("full", splice(a[0], NULL, b[1], NULL, 100, SPLICE_F_NONBLOCK));
	SHOW("taken", syscall3(__NR_read, b[0], buffer, PAGE_SIZE + 1));
	SHOW("as many as fit", splice(a[0], NULL, b[1], NULL, 16 * PAGE_SIZE, 0));
	SHOW("left", drain(a[0]));
	SHOW("there", drain(b[0]));
	SHOW("no pipe", tee(memfd(0), b[1], 1, 0));
	SHOW("no pipe", tee(a[0], memfd(0), 1, 0));
	SHOW("the same", tee(a[0], a[1], 1, 0));
	SHOW("the wrong end", tee(a[1], b[1], 1, 0));
	SHOW("nothing", tee(-1, -1, 0, 0));
	SHOW("unknown flags", tee(a[0], b[1], 1, 16));
	syscall1(__NR_close, a[1]);
	SHOW("no writer", tee(a[0], b[1], 1, 0));
	SHOW("no writer", splice(a[0], NULL, b[1], NULL, 1, 0));
}

static void memory(void)
{
	char *page = map_anonymous(3 * PAGE_SIZE);
	struct vector v[2] = { { page, 2 * PAGE_SIZE }, { data, 18 * PAGE_SIZE } };
	int *p;

	new_pipes();
	p = pipes[0];
	syscall2(__NR_munmap, page + 2 * PAGE_SIZE, PAGE_SIZE);
	memset(page, 'a', 2 * PAGE_SIZE);
	SHOW("as many as fit", syscall4(__NR_vmsplice, p[1], v, 2, 0));
	SHOW("full", syscall4(__NR_vmsplice, p[1], v, 2, SPLICE_F_NONBLOCK));
	page[PAGE_SIZE] = 'b';
	SHOW("taken", syscall3(__NR_read, p[0], buffer, 2 * PAGE_SIZE));
	print("%c %c\n", (long)buffer[0], (long)buffer[PAGE_SIZE]);
	drain(p[0]);
	v[0].base = page + 10, v[0].length = 5;
	SHOW("a part", syscall4(__NR_vmsplice, p[1], v, 1, 0));
	SHOW("taken", syscall3(__NR_read, p[0], buffer, 10));
	v[0].base = page + PAGE_SIZE, v[0].length = 2 * PAGE_SIZE;
	SHOW("to the end", syscall4(__NR_vmsplice, p[1], v, 1, 0));
	v[0].base = page + 2 * PAGE_SIZE;
	SHOW("beyond", syscall4(__NR_vmsplice, p[1], v, 1, 0));
	drain(p[0]);
	syscall3(__NR_write, p[1], data, 5000);
	v[0].base = page + PAGE_SIZE;
	SHOW("out", syscall4(__NR_vmsplice, p[0], v, 1, 0));
	SHOW("not out", syscall4(__NR_vmsplice, p[0], v + 1, 0, 0));
	v[0].base = page + 2 * PAGE_SIZE - 10;
	SHOW("not out", syscall4(__NR_vmsplice, p[0], v, 1, 0));
	v[0].base = page, v[0].length = 2, v[1].base = page + PAGE_SIZE, v[1].length = 2;
	SHOW("out, in parts", syscall4(__NR_vmsplice, p[0], v, 2, 0));
	print("%d %d\n", (long)(page[1] == data[4097]), (long)(page[PAGE_SIZE] == data[4098]));
	SHOW("left", drain(p[0]));
	SHOW("no more", syscall4(__NR_vmsplice, p[0], v, 2, SPLICE_F_NONBLOCK));
	v[0].length = -1;
	SHOW("negative", syscall4(__NR_vmsplice, p[1], v, 2, 0));
	SHOW("no pipe", syscall4(__NR_vmsplice, memfd(0), v + 1, 1, 0));
}

static void copies(void)
{
	int file = memfd(0), other = memfd(0), fd = sys_open("/proc/version", O_RDONLY), ends[2];
	long at_ = 1, where = 3;

	new_pipes();
	syscall3(__NR_write, file, "0123456789", 10);
	SHOW("sent", syscall4(__NR_sendfile, other, file, &at_, 4));
	SHOW("from", at_);
	SHOW("position", position(other));
	at(other, 0, 10);
	SHOW("sent, at the end", syscall4(__NR_sendfile, other, file, NULL, 4));
	syscall3(__NR_lseek, file, 7, 0);
	SHOW("sent, to the end", syscall4(__NR_sendfile, other, file, NULL, 100));
	SHOW("positions", position(file) * 100 + position(other));
	at(other, 0, 10);
	SHOW("to a pipe", syscall4(__NR_sendfile, pipes[0][1], file, &at_, 4));
	read_text(pipes[0][0], 10);
	SHOW("from a pipe", syscall4(__NR_sendfile, other, pipes[0][0], NULL, 4));
	SHOW("from a pipe's place", syscall4(__NR_sendfile, other, pipes[0][0], &at_, 4));
	SHOW("from the wrong end", syscall4(__NR_sendfile, other, pipes[0][1], NULL, 4));
	SHOW("to the wrong end", syscall4(__NR_sendfile, pipes[0][0], file, NULL, 4));
	SHOW("of /proc", syscall4(__NR_sendfile, other, fd, NULL, 6));
	at(other, 7, 20);
	SHOW("of a device", syscall4(__NR_sendfile, other, sys_open("/dev/zero", O_RDONLY), NULL, 6));
	SHOW("to a device", syscall4(__NR_sendfile, sys_open("/dev/null", 1), file, &at_, 3));
	at_ = 0;
	syscall4(__NR_socketpair, 1, 1, 0, ends);
	SHOW("to a socket", syscall4(__NR_sendfile, ends[0], file, &at_, 3));
	read_text(ends[1], 10);
	SHOW("nowhere", syscall4(__NR_sendfile, other, file, 8, 3));
	at_ = -1;
	SHOW("a negative place", syscall4(__NR_sendfile, other, file, &at_, 3));
	SHOW("no descriptor", syscall4(__NR_sendfile, other, 99, NULL, 3));
	SHOW("no descriptor", syscall4(__NR_sendfile, 99, file, NULL, 3));

	at_ = 1;
	SHOW("copied", copy_range(file, &at_, other, &where, 5, 0));
	SHOW("places", at_ * 100 + where);
	at(other, 0, 10);
	SHOW("copied to the end", copy_range(file, &at_, other, &where, 100, 0));
	SHOW("copied beyond", copy_range(file, &at_, other, &where, 100, 0));
	at_ = 0, where = 5;
	SHOW("within", copy_range(file, &at_, file, &where, 5, 0));
	at(file, 0, 20);
	at_ = 0, where = 3;
	SHOW("over itself", copy_range(file, &at_, file, &where, 5, 0));
	syscall3(__NR_lseek, file, 0, 0);
	syscall3(__NR_lseek, other, 0, 0);
	SHOW("by positions", copy_range(file, NULL, other, NULL, 3, 0));
	SHOW("positions", position(file) * 100 + position(other));
	SHOW("flags", copy_range(file, NULL, other, NULL, 3, 1));
	SHOW("nothing", copy_range(file, NULL, other, NULL, 0, 0));
	SHOW("a pipe", copy_range(pipes[0][0], NULL, other, NULL, 1, 0));
	SHOW("a directory", copy_range(sys_open("/", O_RDONLY), NULL, other, NULL, 1, 0));
	SHOW("elsewhere", copy_range(fd, NULL, other, NULL, 1, 0));
	SHOW("no descriptor", copy_range(99, NULL, other, NULL, 1, 0));
	syscall3(__NR_fcntl, other, F_SETFL, O_APPEND);
	SHOW("appended", copy_range(file, NULL, other, NULL, 1, 0));
	SHOW("sent, appended", syscall4(__NR_sendfile, other, file, NULL, 4));
}

static long again(long nr, int fd, const char *text, long offset, int flags)
{
	struct vector v = { (void *)text, 4 };

	return syscall6(nr, fd, (long)&v, 1, offset, 0, flags);
}

static void flags(void)
{
	int file = memfd(0), maps = sys_open("/proc/self/maps", O_RDONLY), *p, ends[2];

	new_pipes();
	p = pipes[0];
	for (int bit = 0; bit < 12; bit++) {
		print("%x: ", 1l << bit);
		print("%d ", again(__NR_pwritev2, file, "abcd", 0, 1 << bit));
		print("%d ", again(__NR_preadv2, file, buffer, 0, 1 << bit));
		print("%d\n", again(__NR_preadv2, maps, buffer, 0, 1 << bit));
	}
	SHOW("size", syscall3(__NR_lseek, file, 0, 2));
	SHOW("both", again(__NR_pwritev2, file, "abcd", 0, 0x30));
	SHOW("at the position", again(__NR_pwritev2, file, "1234", -1, 0));
	SHOW("position", position(file));
	syscall3(__NR_lseek, file, 0, 0);
	SHOW("appended", again(__NR_pwritev2, file, "5678", -1, 0x10));
	SHOW("position", position(file));
	SHOW("appended elsewhere", again(__NR_pwritev2, file, "90ab", 0, 0x10));
	SHOW("position", position(file));
	syscall3(__NR_fcntl, file, F_SETFL, O_APPEND);
	SHOW("not appended", again(__NR_pwritev2, file, "cdef", 0, 0x20));
	at(file, 0, 50);
	SHOW("negative", again(__NR_pwritev2, file, "cdef", -2, 0));
	SHOW("a pipe at a place", again(__NR_preadv2, p[0], buffer, 0, 0));
	SHOW("a pipe, at once", again(__NR_preadv2, p[0], buffer, -1, 8));
	SHOW("a pipe, at once", again(__NR_pwritev2, p[1], "abcd", -1, 8));
	SHOW("a pipe, at once", again(__NR_preadv2, p[0], buffer, -1, 8));
	SHOW("spliced", splice(p[0], NULL, file, NULL, 1, SPLICE_F_NONBLOCK));
	syscall3(__NR_fcntl, file, F_SETFL, 0);
	SHOW("spliced", splice(p[0], NULL, file, NULL, 1, SPLICE_F_NONBLOCK));
	SHOW("a pipe, at once", again(__NR_preadv2, p[0], buffer, -1, 8));
	syscall4(__NR_socketpair, 1, 1, 0, ends);
	SHOW("a socket, at once", again(__NR_preadv2, ends[0], buffer, -1, 8));
	SHOW("a socket, at once", again(__NR_pwritev2, ends[1], "abcd", -1, 8));
	SHOW("a socket, at once", again(__NR_preadv2, ends[0], buffer, -1, 8));
	syscall1(__NR_close, p[0]);
	p[0] = 0;
	SHOW("no reader, no signal", again(__NR_pwritev2, p[1], "abcd", -1, 0x100));
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (char)('a' + i % 23);
	flags();
	/* SIGPIPE is ignored from here on. */
	{
		long action[4] = { 1, 0, 0, 0 };

		syscall4(__NR_rt_sigaction, SIGPIPE_, action, NULL, 8);
	}
	files_and_pipes();
	between_pipes();
	memory();
	copies();
	return 0;
}
