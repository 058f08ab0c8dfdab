/*
 * userfaultfd(2) without anybody who faults: every call, what it takes, what it refuses, and how the
 * address space looks then. Prints what calls answer; the same on any Linux since 6.18.
 */
#include "smaps.h"
#include "uffd.h"

#define PROT_RW (PROT_READ | PROT_WRITE)
#define ARENA (64 * PAGE_SIZE)
#define UNPOPULATED (1ul << 13)
#define EVENT_REMAP (1ul << 2)
#define SIGBUS_FEATURE (1ul << 7)
#define WP_ASYNC (1ul << 15)
#define MADV_PAGEOUT_ 21
#define MREMAP_MAYMOVE_ 1
#define MREMAP_FIXED_ 2

static char *arena;

static char *at(size_t page)
{
	return arena + page * PAGE_SIZE;
}

static void unmap(size_t page, size_t pages)
{
	syscall2(__NR_munmap, at(page), pages * PAGE_SIZE);
}

static void map(size_t page, size_t pages, int prot)
{
	long p = syscall6(__NR_mmap, (long)at(page), (long)(pages * PAGE_SIZE), prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);

	if (p != (long)at(page))
		fail("mmap", p);
}

static void say(const char *what, long result)
{
	print("%s: %d\n", what, result);
}

static void say_done(const char *what, long result)
{
	print("%s: %d, done %d\n", what, result, uffd_done);
}

/* The mappings of the arena: their pages, and which flags of userfaultfd's they have. */
static void show(const char *what)
{
	slurp("/proc/self/smaps");
	print("%s:", what);
	for (const char *line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s), to;

			s++;
			to = hex(&s);
			if (from >= (uintptr_t)arena && to <= (uintptr_t)arena + ARENA) {
				print(" %d-%d", (long)((from - (uintptr_t)arena) / PAGE_SIZE),
				      (long)((to - (uintptr_t)arena) / PAGE_SIZE));
				while (!starts_with(line, "VmFlags:"))
					line++;
				for (; *line != '\n' && *line != 0; line++)
					if (starts_with(line, " um") || starts_with(line, " uw") || starts_with(line, " ui"))
						print("%s", line[2] == 'm' ? " um" : line[2] == 'w' ? " uw" : " ui");
			}
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	print("\n");
}

/* What pagemap says of pages: present, in swap, protected. */
static void show_pages(const char *what, size_t page, size_t pages)
{
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);

	print("%s:", what);
	for (size_t i = page; i < page + pages; i++) {
		uint64_t entry = 0;

		syscall4(__NR_pread64, fd, &entry, 8, (uintptr_t)at(i) / PAGE_SIZE * 8);
		print(" %s%s%s", (entry >> 63) & 1 ? "p" : "", (entry >> 62) & 1 ? "s" : "", (entry >> 57) & 1 ? "w" : "");
		if ((entry >> 57 & 0x61) == 0)
			print("-");
	}
	print("\n");
	syscall1(__NR_close, fd);
}

static void descriptors(void)
{
	struct uffdio_api api = { .api = UFFD_API };
	struct uffd_msg msg;
	struct { int fd; short events, revents; } poll = { 0, 1, 0 };
	struct timespec { long s, ns; } now = { 0, 0 };
	long fd, dev;

	say("flags 2", syscall1(__NR_userfaultfd, 2));
	say("flags O_APPEND", syscall1(__NR_userfaultfd, 02000));
	fd = syscall1(__NR_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1);
	say("close on exec", syscall3(__NR_fcntl, fd, 1, 0));
	print("status flags: 0x%x\n", (unsigned long)syscall3(__NR_fcntl, fd, 3, 0) & (O_NONBLOCK | 3));
	say("read before the handshake", uffd_read((int)fd, &msg));
	say("register before it", uffd_register((int)fd, at(0), PAGE_SIZE, MISSING, NULL));
	poll.fd = (int)fd;
	syscall6(__NR_ppoll, (long)&poll, 1, (long)&now, 0, 0, 0);
	say("poll before it", poll.revents);
	api.api = 0xab;
	say("another API", syscall3(__NR_ioctl, fd, UFFDIO_API, &api));
	print("leaves 0x%x 0x%x 0x%x\n", (unsigned long)api.api, (unsigned long)api.features, (unsigned long)api.ioctls);
	say("unknown features", uffd_api((int)fd, 1ul << 40));
	api.api = UFFD_API;
	api.features = 0;
	say("handshake", syscall3(__NR_ioctl, fd, UFFDIO_API, &api));
	print("answers 0x%x 0x%x 0x%x\n", (unsigned long)api.api, (unsigned long)api.features, (unsigned long)api.ioctls);
	say("once more", uffd_api((int)fd, 0));
	say("API at a bad address", syscall3(__NR_ioctl, fd, UFFDIO_API, 8));
	poll.revents = 0;
	syscall6(__NR_ppoll, (long)&poll, 1, (long)&now, 0, 0, 0);
	say("poll", poll.revents);
	say("read", uffd_read((int)fd, &msg));
	say("read too little", syscall3(__NR_read, fd, &msg, 31));
	say("write", syscall3(__NR_write, fd, &msg, 32));
	say("no such ioctl", syscall3(__NR_ioctl, fd, 0xc020aa09, &msg));
	say("lseek", syscall3(__NR_lseek, fd, 0, 1));
	say("mmap", syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE, fd, 0));
	syscall1(__NR_close, fd);
	fd = uffd_open(0, 0);
	poll.fd = (int)fd;
	poll.revents = 0;
	syscall6(__NR_ppoll, (long)&poll, 1, (long)&now, 0, 0, 0);
	say("poll of a blocking one", poll.revents);
	syscall1(__NR_close, fd);

	dev = sys_open("/dev/userfaultfd", O_RDWR);
	say("the device: another ioctl", syscall3(__NR_ioctl, dev, 0xaa01, 0));
	say("flags 2", syscall3(__NR_ioctl, dev, 0xaa00, 2));
	fd = syscall3(__NR_ioctl, dev, 0xaa00, O_NONBLOCK);
	say("handshake", uffd_api((int)fd, 0));
	say("read", uffd_read((int)fd, &msg));
	syscall1(__NR_close, fd);
	syscall1(__NR_close, dev);
}

static long wait_for(long pid)
{
	int status = 0;

	syscall4(__NR_wait4, pid, &status, 0, NULL);
	return status;
}

/* Without CAP_SYS_PTRACE. */
static void unprivileged(void)
{
	uint32_t header[2] = { 0x20080522, 0 }, data[6];
	long fd;

	syscall2(__NR_capget, header, data);
	data[0] &= ~(1u << 19);
	say("capset", syscall2(__NR_capset, header, data));
	say("for the kernel, too", syscall1(__NR_userfaultfd, 0));
	say("unknown flags", syscall1(__NR_userfaultfd, 2));
	fd = syscall1(__NR_userfaultfd, 1 | O_NONBLOCK);
	say("for programs", fd < 0 ? fd : 0);
	say("fork events", uffd_api((int)fd, 2));
	say("and unknown features", uffd_api((int)fd, 2 | 1ul << 40));
	say("other events", uffd_api((int)fd, 4 | 8));
}

static void registration(void)
{
	int fd = uffd_open(O_NONBLOCK, 0), other = uffd_open(O_NONBLOCK, 0);
	unsigned long ioctls = 0;

	map(0, 8, PROT_RW);
	say("no mode", uffd_register(fd, at(0), PAGE_SIZE, 0, NULL));
	say("unknown mode", uffd_register(fd, at(0), PAGE_SIZE, 8, NULL));
	say("minor faults of anonymous memory", uffd_register(fd, at(0), PAGE_SIZE, 4, NULL));
	say("unaligned", uffd_register(fd, at(0) + 1, PAGE_SIZE, MISSING, NULL));
	say("unaligned length", uffd_register(fd, at(0), PAGE_SIZE + 1, MISSING, NULL));
	say("no length", uffd_register(fd, at(0), 0, MISSING, NULL));
	say("too low", uffd_register(fd, (void *)PAGE_SIZE, PAGE_SIZE, MISSING, NULL));
	say("goes around", uffd_register(fd, at(0), -PAGE_SIZE, MISSING, NULL));
	say("nothing there", uffd_register(fd, at(20), PAGE_SIZE, MISSING, NULL));
	say("at a bad address", syscall3(__NR_ioctl, fd, UFFDIO_REGISTER, 8));
	say("missing", uffd_register(fd, at(2), 2 * PAGE_SIZE, MISSING, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	show("registered");
	say("again", uffd_register(fd, at(2), 2 * PAGE_SIZE, MISSING, NULL));
	say("by another", uffd_register(other, at(3), PAGE_SIZE, MISSING, NULL));
	say("protection too", uffd_register(fd, at(3), 3 * PAGE_SIZE, MISSING | WP, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	show("registered");
	say("less again", uffd_register(fd, at(3), PAGE_SIZE, MISSING, NULL));
	show("registered");
	say("protection alone", uffd_register(fd, at(2), PAGE_SIZE, WP, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	show("registered");
	say("over a gap", (unmap(4, 1), uffd_register(fd, at(0), 8 * PAGE_SIZE, MISSING | WP, NULL)));
	show("registered");
	say("unregister by another", uffd_unregister(other, at(0), PAGE_SIZE));
	say("unregister unaligned", uffd_unregister(fd, at(0) + 8, PAGE_SIZE));
	say("unregister nothing", uffd_unregister(fd, at(20), PAGE_SIZE));
	say("unregister", uffd_unregister(fd, at(1), 2 * PAGE_SIZE));
	show("registered");
	say("unregister all", uffd_unregister(fd, at(0), 8 * PAGE_SIZE));
	say("unregister what is not", uffd_unregister(fd, at(0), PAGE_SIZE));
	show("registered");
	uffd_register(fd, at(0), 4 * PAGE_SIZE, MISSING, NULL);
	uffd_register(other, at(5), 2 * PAGE_SIZE, MISSING | WP, NULL);
	show("two of them");
	say("mprotect a part", syscall3(__NR_mprotect, at(1), PAGE_SIZE, PROT_READ));
	show("after mprotect");
	syscall1(__NR_close, fd);
	show("one closed");
	syscall1(__NR_close, other);
	show("both closed");
	unmap(0, 8);

	map(0, 2, PROT_READ);
	fd = uffd_open(O_NONBLOCK, 0);
	say("read-only memory", uffd_register(fd, at(0), PAGE_SIZE, MISSING | WP, NULL));
	syscall1(__NR_close, fd);
	unmap(0, 2);
}

static void filling(void)
{
	int fd = uffd_open(O_NONBLOCK, 0), plain = uffd_open(O_NONBLOCK, 0);
	volatile char *page;

	map(0, 4, PROT_RW);
	map(8, 8, PROT_RW);
	map(20, 2, PROT_RW);
	memset(at(0), 1, PAGE_SIZE);
	memset(at(1), 2, PAGE_SIZE);
	memset(at(2), 3, PAGE_SIZE);
	uffd_register(fd, at(8), 8 * PAGE_SIZE, MISSING, NULL);
	say_done("unaligned", uffd_copy(fd, at(8) + 1, at(0), PAGE_SIZE, 0));
	say_done("unaligned length", uffd_copy(fd, at(8), at(0), 100, 0));
	say_done("no length", uffd_copy(fd, at(8), at(0), 0, 0));
	say_done("unknown mode", uffd_copy(fd, at(8), at(0), PAGE_SIZE, 4));
	say_done("protected, not registered so", uffd_copy(fd, at(8), at(0), PAGE_SIZE, 2));
	say_done("not registered", uffd_copy(fd, at(20), at(0), PAGE_SIZE, 0));
	say_done("nothing there", uffd_copy(fd, at(30), at(0), PAGE_SIZE, 0));
	say_done("beyond the end", uffd_copy(fd, at(15), at(0), 2 * PAGE_SIZE, 0));
	say_done("no source", uffd_copy(fd, at(8), at(40), PAGE_SIZE, 0));
	say_done("source too low", uffd_copy(fd, at(8), (void *)8, PAGE_SIZE, 0));
	say_done("half a source", uffd_copy(fd, at(8), at(3), 2 * PAGE_SIZE, 0));
	say_done("copy", uffd_copy(fd, at(9), at(0) + 100, PAGE_SIZE, 0));
	page = at(9);
	print("has %d %d\n", (long)page[0], (long)page[4095]);
	say_done("onto something", uffd_copy(fd, at(9), at(1), PAGE_SIZE, 0));
	say_done("up to something", (uffd_copy(fd, at(12), at(1), PAGE_SIZE, 0), uffd_copy(fd, at(10), at(0), 3 * PAGE_SIZE, 0)));
	print("has %d %d %d\n", (long)*at(10), (long)*at(11), (long)*at(12));
	say_done("by another", uffd_copy(plain, at(13), at(1), PAGE_SIZE, 1));
	say_done("zeros, unknown mode", uffd_zeropage(fd, at(14), PAGE_SIZE, 2));
	say_done("zeros, not registered", uffd_zeropage(fd, at(20), PAGE_SIZE, 0));
	say_done("zeros", uffd_zeropage(fd, at(14), 2 * PAGE_SIZE, 1));
	say_done("zeros onto zeros", uffd_zeropage(fd, at(14), PAGE_SIZE, 0));
	page = at(14);
	page[5] = 9;
	print("has %d %d\n", (long)page[4], (long)page[5]);
	say_done("continue", uffd_continue(fd, at(14), PAGE_SIZE, 0));
	show_pages("pages 8 to 15", 8, 8);
	say("wake unaligned", uffd_wake(fd, at(8) + 4, PAGE_SIZE));
	say("wake", uffd_wake(fd, at(8), PAGE_SIZE));
	say("wake nothing there", uffd_wake(fd, at(30), PAGE_SIZE));
	syscall3(__NR_madvise, at(9), 2 * PAGE_SIZE, MADV_DONTNEED);
	say_done("poison, unknown mode", uffd_poison(fd, at(9), PAGE_SIZE, 2));
	say_done("poison onto something", uffd_poison(fd, at(11), PAGE_SIZE, 0));
	say_done("poison", uffd_poison(fd, at(9), PAGE_SIZE, 0));
	say_done("poison onto poison", uffd_poison(fd, at(9), PAGE_SIZE, 0));
	say_done("copy onto poison", uffd_copy(fd, at(9), at(0), PAGE_SIZE, 0));
	say("write from poison", syscall3(__NR_write, 1, at(9), 4));
	show_pages("pages 8 to 10", 8, 3);
	syscall3(__NR_madvise, at(9), PAGE_SIZE, MADV_DONTNEED);
	say_done("copy after MADV_DONTNEED", uffd_copy(fd, at(9), at(0), PAGE_SIZE, 0));
	syscall3(__NR_mprotect, at(8), 8 * PAGE_SIZE, PROT_READ);
	say_done("copy into read-only memory", uffd_copy(fd, at(10), at(1), PAGE_SIZE, 0));
	print("has %d\n", (long)*at(10));
	syscall1(__NR_close, fd);
	syscall1(__NR_close, plain);
	unmap(0, 4);
	unmap(8, 8);
	unmap(20, 2);
}

/* Whether a page can be written without a fault that fails: the kernel writes there. */
static long kernel_writes(int zero, char *p)
{
	return syscall3(__NR_read, zero, p, 1);
}

static void protection(void)
{
	int zero = sys_open("/dev/zero", O_RDONLY);
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE), marks;

	map(0, 8, PROT_RW);
	memset(at(0), 7, 3 * PAGE_SIZE);
	(void)*(volatile char *)at(3);
	uffd_register(fd, at(0), 6 * PAGE_SIZE, WP, NULL);
	say("no such mode", uffd_writeprotect(fd, at(0), PAGE_SIZE, 4));
	say("protect without waking", uffd_writeprotect(fd, at(0), PAGE_SIZE, 3));
	say("unaligned", uffd_writeprotect(fd, at(0) + 1, PAGE_SIZE, 1));
	say("no length", uffd_writeprotect(fd, at(0), 0, 1));
	say("not registered", uffd_writeprotect(fd, at(7), PAGE_SIZE, 1));
	say("nothing there", uffd_writeprotect(fd, at(30), PAGE_SIZE, 1));
	say("protect", uffd_writeprotect(fd, at(0), 5 * PAGE_SIZE, 1));
	show_pages("pages 0 to 5", 0, 6);
	say("beyond the end of what is registered", uffd_writeprotect(fd, at(5), 2 * PAGE_SIZE, 1));
	say("write", kernel_writes(zero, at(0)));
	say("write to zeros", kernel_writes(zero, at(3)));
	say("write to nothing", kernel_writes(zero, at(4)));
	say("mprotect", syscall3(__NR_mprotect, at(0), 2 * PAGE_SIZE, PROT_READ));
	say("mprotect back", syscall3(__NR_mprotect, at(0), 2 * PAGE_SIZE, PROT_RW));
	say("write", kernel_writes(zero, at(1)));
	say("resolve", uffd_writeprotect(fd, at(0), 2 * PAGE_SIZE, 0));
	say("write", kernel_writes(zero, at(0)));
	show_pages("pages 0 to 5", 0, 6);
	syscall3(__NR_madvise, at(2), PAGE_SIZE, MADV_DONTNEED);
	show_pages("page 2 dropped", 2, 1);
	say("write", kernel_writes(zero, at(2)));
	say("unregister", uffd_unregister(fd, at(0), 6 * PAGE_SIZE));
	show_pages("pages 0 to 5", 0, 6);
	say("write to zeros", kernel_writes(zero, at(3)));
	syscall1(__NR_close, fd);
	unmap(0, 8);

	/* Markers where nothing is. */
	marks = uffd_open(O_NONBLOCK, SIGBUS_FEATURE | UNPOPULATED);
	map(0, 8, PROT_RW);
	memset(at(1), 7, PAGE_SIZE);
	uffd_register(marks, at(0), 8 * PAGE_SIZE, WP, NULL);
	say("protect", uffd_writeprotect(marks, at(0), 6 * PAGE_SIZE, 1));
	show_pages("pages 0 to 7", 0, 8);
	slurp("/proc/self/smaps");
	print("rss %u kB, swap %u kB\n", field("Rss:", (uintptr_t)at(0), (uintptr_t)at(8)), field("Swap:", (uintptr_t)at(0), (uintptr_t)at(8)));
	say("read", *(volatile char *)at(0));
	show_pages("page 0 read", 0, 1);
	say("write", kernel_writes(zero, at(0)));
	say("write", kernel_writes(zero, at(2)));
	show_pages("page 2 written to", 2, 1);
	say("resolve", uffd_writeprotect(marks, at(2), 2 * PAGE_SIZE, 0));
	show_pages("pages 0 to 7", 0, 8);
	say("write", kernel_writes(zero, at(2)));
	say("write", kernel_writes(zero, at(3)));
	{
		unsigned char core[8];

		syscall3(__NR_mincore, at(0), 8 * PAGE_SIZE, core);
		print("in core: %d%d%d%d%d%d%d%d\n", (long)core[0], (long)core[1], (long)core[2], (long)core[3], (long)core[4],
		      (long)core[5], (long)core[6], (long)core[7]);
	}
	syscall3(__NR_madvise, at(4), PAGE_SIZE, MADV_DONTNEED);
	show_pages("page 4 dropped", 4, 1);
	say("unregister", uffd_unregister(marks, at(0), 8 * PAGE_SIZE));
	show_pages("pages 0 to 7", 0, 8);
	syscall1(__NR_close, marks);
	unmap(0, 8);

	/* Without asking. */
	marks = uffd_open(O_NONBLOCK, WP_ASYNC);
	map(0, 4, PROT_RW);
	memset(at(0), 7, 2 * PAGE_SIZE);
	uffd_register(marks, at(0), 4 * PAGE_SIZE, WP, NULL);
	uffd_writeprotect(marks, at(0), 4 * PAGE_SIZE, 1);
	show_pages("protected", 0, 4);
	*(volatile char *)at(0) = 1;
	*(volatile char *)at(2) = 1;
	(void)*(volatile char *)at(1);
	(void)*(volatile char *)at(3);
	show_pages("two of them written", 0, 4);
	say("write", kernel_writes(zero, at(1)));
	show_pages("three", 0, 4);
	syscall1(__NR_close, marks);
	show_pages("closed", 0, 4);
	unmap(0, 4);
	syscall1(__NR_close, zero);
}

/* Protection after fork, mremap and swap. */
static void moving(void)
{
	int zero = sys_open("/dev/zero", O_RDONLY);
	static const unsigned long features[] = { SIGBUS_FEATURE | UNPOPULATED, SIGBUS_FEATURE | UNPOPULATED | EVENT_REMAP };
	int fd = uffd_open(O_NONBLOCK, features[0]);
	long pid;

	map(0, 8, PROT_RW);
	memset(at(0), 7, 4 * PAGE_SIZE);
	uffd_register(fd, at(0), 8 * PAGE_SIZE, WP | MISSING, NULL);
	uffd_writeprotect(fd, at(1), 5 * PAGE_SIZE, 1);
	show_pages("parent", 0, 8);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show_pages("child", 0, 8);
		show("child");
		say("child writes", kernel_writes(zero, at(1)));
		say("child writes", kernel_writes(zero, at(7)));
		exit_group(0);
	}
	wait_for(pid);
	show_pages("parent", 0, 8);
	say("parent writes", kernel_writes(zero, at(0)));
	say("parent writes", kernel_writes(zero, at(1)));
	syscall3(__NR_madvise, at(0), 4 * PAGE_SIZE, MADV_PAGEOUT_);
	say("reads", *(volatile char *)at(2));
	say("parent writes", kernel_writes(zero, at(2)));
	say("resolve", uffd_writeprotect(fd, at(3), PAGE_SIZE, 0));
	say("parent writes", kernel_writes(zero, at(3)));
	say("move", syscall6(__NR_mremap, (long)at(0), 8 * PAGE_SIZE, 8 * PAGE_SIZE, MREMAP_MAYMOVE_ | MREMAP_FIXED_, (long)at(16), 0) == (long)at(16));
	show("moved");
	syscall1(__NR_close, fd);
	unmap(16, 8);

	for (int i = 0; i < 2; i++) {
		fd = uffd_open(O_NONBLOCK, features[0]);
		map(0, 8, PROT_RW);
		memset(at(0), 7, 2 * PAGE_SIZE);
		uffd_register(fd, at(0), 8 * PAGE_SIZE, WP, NULL);
		uffd_writeprotect(fd, at(1), 3 * PAGE_SIZE, 1);
		if (i == 1)
			say("move a part", syscall6(__NR_mremap, (long)at(0), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE_ | MREMAP_FIXED_, (long)at(16), 0) == (long)at(16));
		else
			say("grow", syscall6(__NR_mremap, (long)at(0), 8 * PAGE_SIZE, 9 * PAGE_SIZE, 0, 0, 0) == (long)at(0));
		show("moved");
		show_pages("new", 16, 4);
		show_pages("old", 0, 4);
		syscall1(__NR_close, fd);
		unmap(0, 24);
	}
	syscall1(__NR_close, zero);
}

static void move(void)
{
	int fd = uffd_open(O_NONBLOCK, 0), other = uffd_open(O_NONBLOCK, 0);
	long pid;

	map(0, 8, PROT_RW);
	map(16, 8, PROT_RW);
	map(32, 2, PROT_READ);
	memset(at(0), 1, PAGE_SIZE);
	memset(at(1), 2, PAGE_SIZE);
	memset(at(4), 3, PAGE_SIZE);
	(void)*(volatile char *)at(5);
	uffd_register(fd, at(16), 8 * PAGE_SIZE, MISSING, NULL);
	say_done("unaligned", uffd_move(fd, at(16) + 1, at(0), PAGE_SIZE, 0));
	say_done("unaligned source", uffd_move(fd, at(16), at(0) + 1, PAGE_SIZE, 0));
	say_done("no length", uffd_move(fd, at(16), at(0), 0, 0));
	say_done("unknown mode", uffd_move(fd, at(16), at(0), PAGE_SIZE, 4));
	say_done("not registered", uffd_move(fd, at(2), at(0), PAGE_SIZE, 0));
	say_done("by another", uffd_move(other, at(16), at(0), PAGE_SIZE, 0));
	say_done("no source", uffd_move(fd, at(16), at(50), PAGE_SIZE, 0));
	say_done("nowhere", uffd_move(fd, at(50), at(0), PAGE_SIZE, 0));
	say_done("from read-only memory", uffd_move(fd, at(16), at(32), PAGE_SIZE, 0));
	say_done("beyond the end", uffd_move(fd, at(23), at(0), 2 * PAGE_SIZE, 0));
	say_done("source beyond the end", uffd_move(fd, at(16), at(7), 2 * PAGE_SIZE, 0));
	say_done("a hole", uffd_move(fd, at(16), at(2), PAGE_SIZE, 0));
	say_done("move", uffd_move(fd, at(16), at(0), PAGE_SIZE, 0));
	print("has %d\n", (long)*at(16));
	show_pages("source", 0, 2);
	say_done("onto something", uffd_move(fd, at(16), at(1), PAGE_SIZE, 0));
	say_done("up to a hole", uffd_move(fd, at(17), at(1), 4 * PAGE_SIZE, 0));
	say_done("over holes", uffd_move(fd, at(18), at(2), 4 * PAGE_SIZE, 2));
	show_pages("source", 0, 8);
	show_pages("target", 16, 8);
	print("has %d %d\n", (long)*at(17), (long)*at(20));
	say_done("back within", uffd_move(fd, at(22), at(20), PAGE_SIZE, 0));
	print("has %d\n", (long)*at(22));
	memset(at(0), 5, 2 * PAGE_SIZE);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		say_done("of the parent's memory", uffd_move(fd, at(18), at(0), PAGE_SIZE, 0));
		exit_group(0);
	}
	wait_for(pid);
	*(volatile char *)at(1) = 6;
	say_done("shared with a child that is gone", uffd_move(fd, at(18), at(0), PAGE_SIZE, 0));
	say_done("written since", uffd_move(fd, at(19), at(1), PAGE_SIZE, 0));
	syscall1(__NR_close, fd);
	syscall1(__NR_close, other);
	unmap(0, 40);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	arena = map_anonymous(ARENA);
	unmap(0, 64);
	/* The address space must not fill the arena by itself. */
	print("descriptors\n");
	map(0, 1, PROT_RW);
	descriptors();
	unmap(0, 1);
	{
		long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

		if (pid == 0) {
			unprivileged();
			exit_group(0);
		}
		wait_for(pid);
	}
	print("registration\n");
	registration();
	print("filling\n");
	filling();
	print("protection\n");
	protection();
	print("moving\n");
	moving();
	print("UFFDIO_MOVE\n");
	move();
	return 0;
}
