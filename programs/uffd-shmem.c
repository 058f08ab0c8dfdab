/*
 * userfaultfd(2) for files in memory: shared, private and without a name; with "huge", those of huge pages.
 * Prints what calls answer and what mappings and files have then; the same on any Linux since 6.18.
 */
#include "uffd.h"

#define PROT_RW (PROT_READ | PROT_WRITE)
#define MINOR 4ul
#define UNPOPULATED (1ul << 13)
#define SIGBUS_FEATURE (1ul << 7)
#define WP_ASYNC (1ul << 15)
#define MADV_PAGEOUT_ 21
#define PUNCH_HOLE 3
#define PAGES 16ul

static char *p, *second;
static char *source;
static int zero, file;
/* Bytes of a page, and what asks for such pages. */
static size_t unit = PAGE_SIZE;
static int map_flags, memfd_flags;

static char *at(size_t page)
{
	return p + page * unit;
}

static void say(const char *what, long result)
{
	print("%s: %d\n", what, result);
}

static void say_done(const char *what, long result)
{
	print("%s: %d, done %d\n", what, result, uffd_done);
}

static long touch(char *page)
{
	return syscall3(__NR_read, zero, page + 7, 1);
}

/* Whether the kernel can read a page: what is there, or that it cannot. */
static void look(const char *what, char *page)
{
	static int ends[2];
	char byte;
	long wrote;

	if (ends[1] == 0)
		syscall2(__NR_pipe2, ends, 0);
	wrote = syscall3(__NR_write, ends[1], page, 1);
	if (wrote != 1) {
		say(what, wrote);
		return;
	}
	syscall3(__NR_read, ends[0], &byte, 1);
	print("%s has %d\n", what, (long)byte);
}

static void show(const char *what, char *page, size_t pages)
{
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);

	print("%s:", what);
	for (size_t i = 0; i < pages; i++) {
		uint64_t entry = 0;

		syscall4(__NR_pread64, fd, &entry, 8, ((uintptr_t)page + i * unit) / PAGE_SIZE * 8);
		print(" %s%s%s", (entry >> 63) & 1 ? "p" : "", (entry >> 62) & 1 ? "s" : "", (entry >> 57) & 1 ? "w" : "");
		print((entry >> 61) & 1 ? "f" : (entry >> 57 & 0x71) == 0 ? "-" : "");
	}
	print("\n");
	syscall1(__NR_close, fd);
}

enum kind { SHARED, PRIVATE, NAMELESS, KINDS };
static const char *const kinds[] = { "shared", "private", "shared without a name" };

static char *map_file(int flags)
{
	long q = syscall6(__NR_mmap, 0, PAGES * unit, PROT_RW, flags | (file < 0 ? map_flags : 0), file, 0);

	if (q < 0 && q > -4096)
		fail("mmap", q);
	return (char *)q;
}

static void open_kind(enum kind kind)
{
	file = -1;
	second = NULL;
	if (kind != NAMELESS) {
		file = (int)syscall2(__NR_memfd_create, "memory", memfd_flags);
		syscall2(__NR_ftruncate, file, PAGES * unit);
		second = map_file(MAP_SHARED);
	}
	p = map_file(kind == SHARED ? MAP_SHARED : kind == PRIVATE ? MAP_PRIVATE : MAP_SHARED | MAP_ANONYMOUS);
}

static void close_kind(void)
{
	syscall2(__NR_munmap, p, PAGES * unit);
	if (second != NULL)
		syscall2(__NR_munmap, second, PAGES * unit);
	if (file >= 0)
		syscall1(__NR_close, file);
}

static void missing(enum kind kind)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	unsigned long ioctls;

	open_kind(kind);
	say("register", uffd_register(fd, p, 12 * unit, MISSING, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	say("touch", touch(at(0)));
	look("read", at(0));
	say_done("copy", uffd_copy(fd, at(0), source, unit, 0));
	look("page 0", at(0));
	say_done("zeros", uffd_zeropage(fd, at(1), unit, 0));
	look("page 1", at(1));
	say("touch", touch(at(1)));
	say_done("copy onto something", uffd_copy(fd, at(1), source, unit, 0));
	say_done("zeros onto something", uffd_zeropage(fd, at(0), unit, 0));
	if (second != NULL) {
		look("the file, page 0", second);
		second[2 * unit] = 5;
		say_done("copy onto what the file has", uffd_copy(fd, at(2), source, unit, 0));
		say("touch it", touch(at(2)));
		look("page 2", at(2));
		look("the file, page 2", second + 2 * unit);
		say_done("continue", uffd_continue(fd, at(2), unit, 0));
		say_done("continue at a hole", uffd_continue(fd, at(3), unit, 0));
		second[3 * unit] = 6;
		say_done("continue", uffd_continue(fd, at(3), unit, 0));
		look("page 3", at(3));
		syscall2(__NR_ftruncate, file, 6 * unit);
		say_done("copy beyond the end", uffd_copy(fd, at(6), source, unit, 0));
		say_done("zeros beyond the end", uffd_zeropage(fd, at(6), unit, 0));
		say_done("continue beyond the end", uffd_continue(fd, at(6), unit, 0));
		say_done("poison beyond the end", uffd_poison(fd, at(6), unit, 0));
		say("touch it", touch(at(6)));
		syscall2(__NR_ftruncate, file, PAGES * unit);
	}
	say_done("poison", uffd_poison(fd, at(8), unit, 0));
	say("touch it", touch(at(8)));
	show("pages", p, 10);
	say("drop", syscall3(__NR_madvise, at(0), 9 * unit, MADV_DONTNEED));
	show("pages", p, 10);
	look("page 0", at(0));
	say_done("move", uffd_move(fd, at(9), at(0), unit, 0));
	say("unregister", uffd_unregister(fd, p, 12 * unit));
	look("page 9", at(9));
	syscall1(__NR_close, fd);
	close_kind();
}

static void minor(enum kind kind)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	unsigned long ioctls;

	open_kind(kind);
	if (second == NULL) {
		/* The mapping itself is all that there is of the file. */
		memset(p, 1, 4 * unit);
		syscall3(__NR_madvise, p, 4 * unit, MADV_DONTNEED);
	} else
		memset(second, 1, 4 * unit);
	say("register", uffd_register(fd, p, 12 * unit, MINOR, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	say("touch", touch(at(0)));
	look("read", at(0));
	say_done("protected, not registered so", uffd_continue(fd, at(0), unit, 2));
	say_done("unknown mode", uffd_continue(fd, at(0), unit, 4));
	say_done("continue", uffd_continue(fd, at(0), 2 * unit, 0));
	say_done("again", uffd_continue(fd, at(0), unit, 0));
	look("page 0", at(0));
	say("touch", touch(at(1)));
	look("page 2", at(2));
	say("touch a hole", touch(at(5)));
	look("page 6", at(6));
	say("both kinds", uffd_register(fd, p, 12 * unit, MINOR | MISSING | WP, &ioctls));
	print("ioctls 0x%x\n", ioctls);
	look("page 7", at(7));
	say_done("continue, protected", uffd_continue(fd, at(2), unit, 2));
	look("page 2", at(2));
	say("touch", touch(at(2)));
	show("pages", p, 8);
	syscall1(__NR_close, fd);
	show("pages", p, 8);
	close_kind();
}

static void protect(enum kind kind)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	int async;
	long pid;

	open_kind(kind);
	memset(p, 3, 3 * unit);
	if (second != NULL)
		second[4 * unit] = 4;
	say("register", uffd_register(fd, p, 8 * unit, WP, NULL));
	say("protect", uffd_writeprotect(fd, p, 6 * unit, 1));
	show("pages", p, 8);
	for (int i = 0; i < 7; i++)
		say("touch", touch(at((size_t)i)));
	look("page 3", at(3));
	look("page 4", at(4));
	show("pages", p, 8);
	say("touch", touch(at(3)));
	say("drop", syscall3(__NR_madvise, p, 6 * unit, MADV_DONTNEED));
	show("pages", p, 8);
	say("touch", touch(at(0)));
	look("page 0", at(0));
	say("touch", touch(at(0)));
	if (file >= 0) {
		say("hole", syscall4(__NR_fallocate, file, PUNCH_HOLE, 0, 2 * unit));
		show("pages", p, 8);
		say("touch", touch(at(0)));
		say("shorter", syscall2(__NR_ftruncate, file, 3 * unit));
		show("pages", p, 8);
		say("longer", syscall2(__NR_ftruncate, file, PAGES * unit));
		say("touch", touch(at(3)));
	}
	say("resolve", uffd_writeprotect(fd, p, 2 * unit, 0));
	say("touch", touch(at(0)));
	show("pages", p, 8);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("child", p, 8);
		say("child touches", touch(at(2)));
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, NULL, 0, NULL);
	show("pages", p, 8);
	say("move", syscall6(__NR_mremap, (long)at(0), 4 * unit, 4 * unit, 3, (long)at(10), 0) == (long)at(10));
	show("pages", p, 16);
	say("unregister", uffd_unregister(fd, at(4), 4 * unit));
	show("pages", p, 16);
	syscall1(__NR_close, fd);
	close_kind();

	open_kind(kind);
	async = uffd_open(O_NONBLOCK, WP_ASYNC);
	memset(p, 3, 3 * unit);
	say("register", uffd_register(async, p, 8 * unit, WP, NULL));
	say("protect", uffd_writeprotect(async, p, 6 * unit, 1));
	*(volatile char *)at(0) = 1;
	*(volatile char *)at(4) = 1;
	(void)*(volatile char *)at(1);
	(void)*(volatile char *)at(5);
	show("written", p, 8);
	if (second != NULL)
		look("the file, page 4", second + 4 * unit);
	syscall1(__NR_close, async);
	show("closed", p, 8);
	close_kind();
}

static void set_pool(const char *pages)
{
	int fd = sys_open("/proc/sys/vm/nr_hugepages", O_RDWR);
	long wrote = syscall3(__NR_write, fd, pages, string_length(pages));

	if (wrote < 0)
		fail("nr_hugepages", wrote);
	syscall1(__NR_close, fd);
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	zero = sys_open("/dev/zero", O_RDONLY);
	if (argc > 1 && string_equal(argv[1], "huge")) {
		unit = 2 * MIB;
		map_flags = MAP_HUGETLB;
		memfd_flags = 4;
		set_pool("48");
	}
	source = map_anonymous(unit);
	memset(source, 9, unit);
	for (enum kind kind = SHARED; kind < KINDS; kind++) {
		print("missing, %s\n", kinds[kind]);
		missing(kind);
		print("minor, %s\n", kinds[kind]);
		minor(kind);
		print("protection, %s\n", kinds[kind]);
		protect(kind);
	}
	if (unit != PAGE_SIZE)
		set_pool("0");
	return 0;
}
