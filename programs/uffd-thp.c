/*
 * userfaultfd(2) and transparent huge pages: moved, protected, split, forked and collapsed. Prints what
 * calls answer, and which pages are mapped by one entry; the same on any Linux since 6.18.
 */
#include "smaps.h"
#include "uffd.h"

#define PROT_RW (PROT_READ | PROT_WRITE)
#define SIZE (2 * MIB)
#define UNPOPULATED (1ul << 13)
#define EVENT_REMAP (1ul << 2)
#define SIGBUS_FEATURE (1ul << 7)
#define WP_ASYNC (1ul << 15)
#define MADV_COLLAPSE_ 25

static int zero;
static char *source;

static void say(const char *what, long result)
{
	print("%s: %d\n", what, result);
}

static void say_done(const char *what, long result)
{
	print("%s: %d, done %d pages\n", what, result, uffd_done < 0 ? uffd_done : uffd_done / (long)PAGE_SIZE);
}

/* Two areas of 2 MiB, each on its own. */
static char *room(int advice)
{
	char *p = map_anonymous(6 * SIZE);

	p = (char *)(((uintptr_t)p + SIZE - 1) & -SIZE);
	syscall3(__NR_madvise, p, 5 * SIZE, advice);
	return p;
}

static void drop(char *p)
{
	syscall2(__NR_munmap, p, 5 * SIZE);
}

static void show(const char *what, char *p)
{
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);
	long present = 0, protected = 0, swapped = 0;

	for (size_t i = 0; i < SIZE / PAGE_SIZE; i++) {
		uint64_t entry = 0;

		syscall4(__NR_pread64, fd, &entry, 8, ((uintptr_t)p / PAGE_SIZE + i) * 8);
		present += (long)(entry >> 63);
		swapped += (long)(entry >> 62) & 1;
		protected += (long)(entry >> 57) & 1;
	}
	syscall1(__NR_close, fd);
	slurp("/proc/self/smaps");
	print("%s: %d present, %d not, %d protected, %u kB by one entry\n", what, present, swapped, protected,
	      field("AnonHugePages:", (uintptr_t)p, (uintptr_t)p + SIZE) +
		      field("ShmemPmdMapped:", (uintptr_t)p, (uintptr_t)p + SIZE));
}

static long touch(char *p)
{
	return syscall3(__NR_read, zero, p, 1);
}

static void moves(void)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	char *p = room(MADV_HUGEPAGE), *to = p + 2 * SIZE;

	memset(p, 5, SIZE);
	p[100 * PAGE_SIZE] = 7;
	uffd_register(fd, to, SIZE, MISSING, NULL);
	show("source", p);
	say_done("move all", uffd_move(fd, to, p, SIZE, 0));
	show("source", p);
	show("target", to);
	print("has %d %d\n", (long)to[0], (long)to[100 * PAGE_SIZE]);
	say_done("move onto it", uffd_move(fd, to, p, PAGE_SIZE, 2));
	say_done("over a hole", uffd_move(fd, to, p, SIZE, 0));
	syscall3(__NR_madvise, to, SIZE, MADV_DONTNEED);

	memset(p, 6, SIZE);
	show("source", p);
	say_done("move some", uffd_move(fd, to + 3 * PAGE_SIZE, p + 5 * PAGE_SIZE, 4 * PAGE_SIZE, 0));
	show("source", p);
	show("target", to);
	print("has %d %d\n", (long)to[3 * PAGE_SIZE], (long)p[4 * PAGE_SIZE]);
	say_done("all that is left", uffd_move(fd, to, p, SIZE, 2));
	say_done("the rest", uffd_move(fd, to + 7 * PAGE_SIZE, p + 9 * PAGE_SIZE, SIZE - 9 * PAGE_SIZE, 0));
	show("target", to);
	syscall1(__NR_close, fd);
	drop(p);

	/* In areas that have no page tables yet. */
	fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	p = room(MADV_HUGEPAGE);
	to = p + 2 * SIZE;
	uffd_register(fd, to, SIZE, MISSING, NULL);
	(void)*(volatile char *)p;
	say_done("move zeros", uffd_move(fd, to, p, SIZE, 0));
	show("source", p);
	show("target", to);
	to[9] = 3;
	show("target written", to);
	syscall1(__NR_close, fd);
	drop(p);
}

static void protection(void)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	char *p = room(MADV_HUGEPAGE);
	int status;
	long pid;

	memset(p, 5, SIZE);
	uffd_register(fd, p, 2 * SIZE, WP, NULL);
	say("protect", uffd_writeprotect(fd, p, SIZE, 1));
	show("protected", p);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("child", p);
		say("child touches", touch(p));
		show("child", p);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	say("touch", touch(p + 5 * PAGE_SIZE));
	show("protected", p);
	say("resolve some", uffd_writeprotect(fd, p, 8 * PAGE_SIZE, 0));
	show("protected", p);
	say("touch", touch(p + 5 * PAGE_SIZE));
	say("touch", touch(p + 8 * PAGE_SIZE));
	say("collapse", syscall3(__NR_madvise, p, SIZE, MADV_COLLAPSE_));
	say("resolve", uffd_writeprotect(fd, p, SIZE, 0));
	say("collapse", syscall3(__NR_madvise, p, SIZE, MADV_COLLAPSE_));
	show("collapsed", p);
	say("protect", uffd_writeprotect(fd, p, SIZE, 1));
	say("unregister", uffd_unregister(fd, p, 2 * SIZE));
	show("unregistered", p);
	syscall1(__NR_close, fd);

	(void)*(volatile char *)(p + SIZE);
	fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE | UNPOPULATED);
	uffd_register(fd, p, 3 * SIZE, WP, NULL);
	say("protect zeros and nothing", uffd_writeprotect(fd, p + SIZE, 2 * SIZE, 1));
	show("zeros", p + SIZE);
	show("nothing", p + 2 * SIZE);
	say("touch zeros", touch(p + SIZE));
	say("touch nothing", touch(p + 2 * SIZE));
	show("zeros", p + SIZE);
	show("nothing", p + 2 * SIZE);
	say("resolve", uffd_writeprotect(fd, p + SIZE, 2 * SIZE, 0));
	say("touch zeros", touch(p + SIZE));
	say("touch nothing", touch(p + 2 * SIZE));
	show("zeros", p + SIZE);
	show("nothing", p + 2 * SIZE);
	syscall1(__NR_close, fd);
	drop(p);

	p = room(MADV_HUGEPAGE);
	fd = uffd_open(O_NONBLOCK, WP_ASYNC);
	memset(p, 5, SIZE);
	uffd_register(fd, p, SIZE, WP, NULL);
	uffd_writeprotect(fd, p, SIZE, 1);
	show("without asking", p);
	p[3 * PAGE_SIZE] = 1;
	show("written", p);
	syscall1(__NR_close, fd);
	drop(p);
}

static void remaps(void)
{
	static const unsigned long features[] = { SIGBUS_FEATURE, SIGBUS_FEATURE | UNPOPULATED };

	for (int i = 0; i < 4; i++) {
		int fd = uffd_open(O_NONBLOCK, features[i & 1]);
		char *p = room(i < 2 ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);

		memset(p, 5, SIZE);
		syscall3(__NR_madvise, p + 4 * PAGE_SIZE, PAGE_SIZE, i < 2 ? 0 : MADV_DONTNEED);
		uffd_register(fd, p, SIZE, WP, NULL);
		uffd_writeprotect(fd, p, SIZE, 1);
		show("protected", p);
		say("move", syscall6(__NR_mremap, (long)p, SIZE, SIZE, 3, (long)(p + 3 * SIZE), 0) == (long)(p + 3 * SIZE));
		show("moved", p + 3 * SIZE);
		say("touch", touch(p + 3 * SIZE));
		syscall1(__NR_close, fd);
		drop(p);
	}
}

static void missing(void)
{
	int fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	char *p = room(MADV_HUGEPAGE);

	uffd_register(fd, p, SIZE, MISSING, NULL);
	say_done("copy one", uffd_copy(fd, p, source, PAGE_SIZE, 0));
	show("one", p);
	say("collapse", syscall3(__NR_madvise, p, SIZE, MADV_COLLAPSE_));
	for (size_t i = 1; i < SIZE / PAGE_SIZE; i++)
		uffd_copy(fd, p + i * PAGE_SIZE, source, PAGE_SIZE, 0);
	show("all", p);
	say("collapse", syscall3(__NR_madvise, p, SIZE, MADV_COLLAPSE_));
	show("collapsed", p);
	say("drop one", syscall3(__NR_madvise, p, PAGE_SIZE, MADV_DONTNEED));
	say("touch it", touch(p));
	say_done("copy onto it", uffd_copy(fd, p, source, 2 * PAGE_SIZE, 0));
	syscall1(__NR_close, fd);
	drop(p);
}

/* A file in memory, mapped where its pages can be huge. */
static char *map_file(char *at, int file, int flags)
{
	long p = syscall6(__NR_mmap, (long)at, 2 * SIZE, PROT_RW, flags | MAP_FIXED, file, 0);

	if (p != (long)at)
		fail("mmap", p);
	return (char *)p;
}

static void files(void)
{
	int file = (int)syscall2(__NR_memfd_create, "memory", 0), fd;
	char *p = room(0), *second = p + 3 * SIZE;

	syscall2(__NR_ftruncate, file, 2 * SIZE);
	map_file(p, file, MAP_SHARED);
	map_file(second, file, MAP_SHARED);
	memset(p, 5, SIZE);
	say("collapse", syscall3(__NR_madvise, p, SIZE, MADV_COLLAPSE_));
	show("collapsed", p);
	fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	say("register", uffd_register(fd, p, 2 * SIZE, WP, NULL));
	show("registered", p);
	say("protect", uffd_writeprotect(fd, p, SIZE, 1));
	show("protected", p);
	say("touch", touch(p + PAGE_SIZE));
	print("has %d\n", (long)*(volatile char *)(p + PAGE_SIZE));
	say("touch", touch(p + PAGE_SIZE));
	say("resolve", uffd_writeprotect(fd, p, SIZE / 2, 0));
	say("touch", touch(p + PAGE_SIZE));
	say("touch", touch(p + SIZE - PAGE_SIZE));
	show("protected", p);
	say("unregister", uffd_unregister(fd, p, 2 * SIZE));
	show("unregistered", p);
	second[SIZE] = 1;
	second[SIZE + 2 * PAGE_SIZE] = 1;
	say("register", uffd_register(fd, p, 2 * SIZE, MISSING, NULL));
	say("collapse with holes", syscall3(__NR_madvise, second + SIZE, SIZE, MADV_COLLAPSE_));
	say("touch a hole", touch(p + SIZE + PAGE_SIZE));
	say("touch a page", touch(p + SIZE + 2 * PAGE_SIZE));
	syscall1(__NR_close, fd);
	fd = uffd_open(O_NONBLOCK, SIGBUS_FEATURE);
	say("register", uffd_register(fd, p, 2 * SIZE, 4, NULL));
	say("drop", syscall3(__NR_madvise, p, 2 * SIZE, MADV_DONTNEED));
	memset(second + SIZE, 6, SIZE);
	for (size_t i = 0; i < SIZE / PAGE_SIZE; i++)
		uffd_continue(fd, p + SIZE + i * PAGE_SIZE, PAGE_SIZE, 0);
	say("collapse", syscall3(__NR_madvise, second + SIZE, SIZE, MADV_COLLAPSE_));
	show("collapsed", second + SIZE);
	print("has %d\n", (long)second[SIZE + 9 * PAGE_SIZE]);
	syscall1(__NR_close, fd);
	syscall1(__NR_close, file);
	drop(p);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	zero = sys_open("/dev/zero", O_RDONLY);
	source = map_anonymous(PAGE_SIZE);
	memset(source, 9, PAGE_SIZE);
	moves();
	protection();
	remaps();
	missing();
	files();
	return 0;
}
