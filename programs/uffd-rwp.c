/*
 * uffd-rwp: userfaultfd(2) as of 7.3 protects memory from all accesses, which it is told of, or which are let
 * through and leave a mark for PAGEMAP_SCAN.
 */
#include "memory.h"
#include "pagemap.h"
#include "pagemap_scan.h"
#include "smaps.h"
#include "thread.h"
#include "uffd.h"

/* Newer than some headers. */
#define RWP (1ul << 3)
#define FEATURE_RWP (1ul << 17)
#define FEATURE_ASYNC (1ul << 18)
#define ACCESSED (1ul << 9)

#define PAGES 8

static int uffd;

static long rwprotect(char *p, size_t pages, unsigned long mode)
{
	struct uffdio_writeprotect w = { { (unsigned long)p, pages * PAGE_SIZE }, mode };

	return syscall3(__NR_ioctl, uffd, 0xc018aa09ul, &w);
}

static long set_mode(unsigned long enable, unsigned long disable)
{
	unsigned long mode[2] = { enable, disable };

	return syscall3(__NR_ioctl, uffd, 0x4010aa0aul, mode);
}

static void accessed(const char *what, char *p, size_t pages, unsigned long inverted)
{
	static struct page_region regions[16];
	struct pm_scan_arg arg = { 0 };
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);
	long n;

	arg.size = sizeof(arg);
	arg.start = (uintptr_t)p;
	arg.end = (uintptr_t)p + pages * PAGE_SIZE;
	arg.vec = (uintptr_t)regions;
	arg.vec_len = 16;
	arg.category_inverted = inverted;
	arg.category_mask = ACCESSED;
	arg.return_mask = ACCESSED | PAGE_IS_PRESENT | PAGE_IS_SWAPPED | PAGE_IS_WRITTEN;
	n = syscall3(__NR_ioctl, fd, PAGEMAP_SCAN, &arg);
	syscall1(__NR_close, fd);
	print("%s: %d", what, n);
	for (long i = 0; i < n; i++)
		print(" %u+%u:%x", (regions[i].start - (uintptr_t)p) / PAGE_SIZE,
		      (regions[i].end - regions[i].start) / PAGE_SIZE, regions[i].categories);
	print("\n");
}

static long exit_code(void (*child)(char *), char *p)
{
	int status = 0;
	long pid = syscall5(__NR_clone, 17, 0, 0, 0, 0);

	if (pid == 0) {
		child(p);
		syscall1(__NR_exit_group, 0);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	return status;
}

/* What is refused, and what is answered. */
static void refusals(void)
{
	char *p = map_at(room(PAGES), PAGES, PROT_RW);
	unsigned long ioctls = 0;
	int other = (int)syscall1(__NR_userfaultfd, 1);

	print("async alone: %d\n", uffd_api(other, FEATURE_ASYNC));
	print("neither: %d\n", uffd_api(other, 0));
	print("register without the feature: %d\n", uffd_register(other, p, PAGE_SIZE, RWP, &ioctls));
	uffd = other;
	print("set mode without the feature: %d\n", set_mode(FEATURE_ASYNC, 0));
	print("off without the feature: %d\n", set_mode(0, FEATURE_ASYNC));
	syscall1(__NR_close, other);

	uffd = uffd_open(1, FEATURE_RWP);
	print("before it is registered: %d\n", rwprotect(p, PAGES, 1));
	print("with protection from writes: %d\n", uffd_register(uffd, p, PAGE_SIZE, RWP | WP, NULL));
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_NONE);
	print("what nobody may access: %d\n", uffd_register(uffd, p, PAGE_SIZE, RWP, NULL));
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_RW);
	print("register: %d\n", uffd_register(uffd, p, PAGES * PAGE_SIZE, RWP, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	print("for missing pages instead: %d\n", uffd_register(uffd, p, PAGE_SIZE, MISSING, NULL));
	print("for writes instead: %d\n", uffd_register(uffd, p, PAGE_SIZE, WP, NULL));
	print("for both: %d\n", uffd_register(uffd, p, PAGE_SIZE, MISSING | RWP, NULL));
	print("for less: %d\n", uffd_register(uffd, p, PAGE_SIZE, RWP, NULL));
	print("writes: %d\n", uffd_writeprotect(uffd, p, PAGE_SIZE, 1));
	print("mode 3: %d, 4: %d\n", rwprotect(p, 1, 3), rwprotect(p, 1, 4));
	print("beyond: %d\n", rwprotect(p, PAGES + 1, 1));
	print("empty: %d\n", rwprotect(p, 0, 1));
	print("unaligned: %d\n", rwprotect(p + 1, 1, 1));
	print("modes: %d %d %d\n", set_mode(1, 0), set_mode(FEATURE_ASYNC, FEATURE_ASYNC), set_mode(0, FEATURE_RWP));
	print("no mode: %d\n", set_mode(0, 0));
	print("nowhere: %d\n", syscall3(__NR_ioctl, uffd, 0x4010aa0aul, 8));
	print("unregister: %d\n", uffd_unregister(uffd, p, PAGES * PAGE_SIZE));
	syscall1(__NR_close, uffd);
}

static void look(char *p)
{
	print("in a child: page 0 %s", pagemap_text(p));
	print(", reads %d", *(volatile char *)p);
	print(", then %s\n", pagemap_text(p));
	*p = 77;
}

/* Accesses are let through. */
static void async(const char *name, char *p, size_t unit)
{
	size_t page = unit / PAGE_SIZE, pages = 4 * page;
	char *moved;

	print("%s\n", name);
	uffd = uffd_open(1, FEATURE_RWP | FEATURE_ASYNC);
	for (size_t i = 0; i < 3; i++)
		p[i * unit] = (char)(i + 1);
	print("register: %d\n", uffd_register(uffd, p, 4 * unit, RWP, NULL));
	accessed("accessed before", p, pages, 0);
	print("protect: %d\n", rwprotect(p, pages, 1));
	show_pages("protected", p, pages);
	accessed("accessed", p, pages, 0);
	accessed("not accessed", p, pages, ACCESSED);
	print("read %d\n", *(volatile char *)p);
	p[unit] = 5;
	accessed("read 0, written 1", p, pages, 0);
	show_pages("read 0, written 1", p, pages);
	p[0] = 6;
	p[3 * unit] = 4;
	show_pages("3 is new", p, pages);
	print("protect again: %d\n", rwprotect(p, pages, 1));
	print("and again: %d\n", rwprotect(p, pages, 1));
	print("open 1: %d\n", rwprotect(p + unit, page, 0));
	show_pages("1 open", p, pages);

	print("mprotect: %d", syscall3(__NR_mprotect, p, 4 * unit, PROT_NONE));
	print(" %d", syscall3(__NR_mprotect, p, 4 * unit, PROT_READ));
	print(" %d\n", syscall3(__NR_mprotect, p, 4 * unit, PROT_RW));
	show_pages("kept", p, pages);
	print("values %d %d %d %d\n", p[0], p[unit], p[2 * unit], p[3 * unit]);
	accessed("all", p, pages, 0);

	rwprotect(p, pages, 1);
	print("a child: %x\n", exit_code(look, p));
	print("parent has %s", pagemap_text(p));
	print(" and reads %d\n", *(volatile char *)p);

	rwprotect(p, pages, 1);
	print("given back: %d\n", syscall3(__NR_madvise, p + unit, unit, 4));
	show_pages("without 1", p, pages);

	moved = room(pages);
	moved = (char *)(((uintptr_t)moved + unit - 1) & ~(unit - 1));
	if (syscall5(__NR_mremap, p, unit, unit, MREMAP_MAYMOVE | MREMAP_FIXED, moved) == (long)moved) {
		print("moved: %s", pagemap_text(moved));
		print(", reads %d\n", *(volatile char *)moved);
		syscall5(__NR_mremap, moved, unit, unit, MREMAP_MAYMOVE | MREMAP_FIXED, p);
	}
	print("unregister: %d\n", uffd_unregister(uffd, p, 4 * unit));
	show_pages("unregistered", p, pages);
	print("values %d %d %d %d\n", p[0], p[unit], p[2 * unit], p[3 * unit]);
	syscall1(__NR_close, uffd);
}

/* A page in swap stays protected, and a device that reads by get_user_pages() counts as an access. */
static void swapped(char *p)
{
	static struct {
		char *base;
		size_t length;
	} iov;
	int pipe[2];
	char byte = 0;

	uffd = uffd_open(1, FEATURE_RWP | FEATURE_ASYNC);
	for (size_t i = 0; i < 4; i++)
		p[i * PAGE_SIZE] = (char)(i + 1);
	uffd_register(uffd, p, 4 * PAGE_SIZE, RWP, NULL);
	rwprotect(p, 4, 1);
	print("page out: %d\n", syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_PAGEOUT));
	show_pages("0 and 1 in swap", p, 4);
	accessed("accessed", p, 4, 0);
	print("from swap %d\n", *(volatile char *)p);
	accessed("accessed", p, 4, 0);
	print("open: %d\n", rwprotect(p + PAGE_SIZE, 1, 0));
	accessed("1 open", p, 4, 0);
	print("value %d\n", p[PAGE_SIZE]);

	syscall2(__NR_pipe2, pipe, 0);
	iov.base = p + 2 * PAGE_SIZE;
	iov.length = 1;
	print("vmsplice: %d", syscall4(__NR_vmsplice, pipe[1], &iov, 1, 0));
	syscall3(__NR_read, pipe[0], &byte, 1);
	print(" %d\n", byte);
	accessed("accessed", p, 4, 0);
	print("into the kernel: %d\n", syscall3(__NR_write, pipe[1], p + 3 * PAGE_SIZE, 1));
	accessed("accessed", p, 4, 0);
	rwprotect(p, 4, 1);
	print("close: %d\n", syscall1(__NR_close, uffd));
	show_pages("closed", p, 4);
	print("values %d %d %d %d\n", p[0], p[PAGE_SIZE], p[2 * PAGE_SIZE], p[3 * PAGE_SIZE]);
	syscall1(__NR_close, pipe[0]);
	syscall1(__NR_close, pipe[1]);
}

static char *watched;
static unsigned int worker_alive;
static volatile int sum;
static char stack[STACK_SIZE];

static void worker(void)
{
	for (size_t i = 0; i < 3; i++)
		sum += *(volatile char *)(watched + i * PAGE_SIZE);
	watched[0] = 9;
	syscall1(__NR_exit, 0);
	__builtin_unreachable();
}

static void next_fault(const char *what)
{
	struct uffd_msg msg;
	long n = uffd_read(uffd, &msg);

	print("%s: %d, event 0x%x, flags %x, page %u\n", what, n, msg.event, msg.arg.pagefault.flags,
	      (msg.arg.pagefault.address - (uintptr_t)watched) / PAGE_SIZE);
}

/* Accesses are told, and wait. */
static void sync(char *p)
{
	watched = p;
	uffd = uffd_open(1, FEATURE_RWP);
	for (size_t i = 0; i < 3; i++)
		p[i * PAGE_SIZE] = (char)(i + 1);
	uffd_register(uffd, p, 4 * PAGE_SIZE, RWP, NULL);
	rwprotect(p, 4, 1);
	start_thread(stack, &worker_alive, worker);
	next_fault("first");
	print("let it: %d\n", rwprotect(p, 1, 0));
	next_fault("second");
	print("open without waking: %d\n", rwprotect(p + PAGE_SIZE, 1, 2));
	print("wake: %d\n", uffd_wake(uffd, p + PAGE_SIZE, PAGE_SIZE));
	next_fault("third");
	rwprotect(p, 1, 1);
	print("let all: %d\n", set_mode(FEATURE_ASYNC, 0));
	while (__atomic_load_n(&worker_alive, __ATOMIC_ACQUIRE) != 0)
		syscall4(__NR_futex, &worker_alive, FUTEX_WAIT, 1, 0);
	print("sum %d, page 0 has %d\n", sum, p[0]);
	show_pages("open", p, 4);
	print("tell again: %d\n", set_mode(0, FEATURE_ASYNC));
	syscall1(__NR_close, uffd);
}

static void reader(void)
{
	struct uffd_msg msg;

	uffd_read(uffd, &msg);
	syscall1(__NR_exit, 0);
	__builtin_unreachable();
}

/* Who reads does not keep others from reading. */
static void two_readers(void)
{
	struct uffd_msg msg;
	uint64_t time[2] = { 0, 20000000 };

	uffd = uffd_open(1, 0);
	start_thread(stack, &worker_alive, reader);
	syscall2(__NR_nanosleep, time, 0);
	syscall3(__NR_fcntl, uffd, 4, O_NONBLOCK);
	print("another reads: %d\n", uffd_read(uffd, &msg));
	print("lseek: %d, pread: %d\n", syscall3(__NR_lseek, uffd, 5, 0), syscall4(__NR_pread64, uffd, &msg, 32, 0));
}

static char *map_file(int fd, int kind)
{
	return (char *)syscall6(__NR_mmap, (long)room(4), 4 * PAGE_SIZE, PROT_RW, kind | MAP_FIXED, fd, 0);
}

static void flags_of(char *p)
{
	const char *at;

	uffd = uffd_open(1, FEATURE_RWP);
	uffd_register(uffd, p, PAGE_SIZE, RWP, NULL);
	slurp("/proc/self/smaps");
	at = text;
	for (const char *line = text; *line != 0;) {
		const char *s = line;

		if (hex(&s) == (uintptr_t)p && *s == '-')
			at = line;
		if (at != text && starts_with(line, "VmFlags:")) {
			const char *end = line;

			while (*end != '\n')
				end++;
			syscall3(__NR_write, 1, line, end + 1 - line);
			break;
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	syscall1(__NR_close, uffd);
}

int main(int argc, char **argv, char **envp)
{
	int fd = (int)syscall2(__NR_memfd_create, "rwp", 0);
	char *p;

	(void)argc;
	(void)argv;
	(void)envp;
	refusals();
	flags_of(map_at(room(1), 1, PROT_RW));
	async("anonymous", map_at(room(4), 4, PROT_RW), PAGE_SIZE);
	syscall2(__NR_ftruncate, fd, 4 * PAGE_SIZE);
	async("shared", map_file(fd, MAP_SHARED), PAGE_SIZE);
	async("private, of a file", map_file(fd, MAP_PRIVATE), PAGE_SIZE);
	swapped(map_at(room(4), 4, PROT_RW));
	sync(map_at(room(4), 4, PROT_RW));

	p = map_at(NULL, 5 * 512, PROT_RW);
	p = (char *)(((uintptr_t)p + 2 * MIB - 1) & -(2 * MIB));
	syscall3(__NR_madvise, p, 8 * MIB, MADV_HUGEPAGE);
	async("huge", p, 2 * MIB);
	two_readers();
	return 0;
}
