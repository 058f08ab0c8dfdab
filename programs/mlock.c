/*
 * Locked memory: what mlock(), mlockall() and MAP_LOCKED answer, and what they leave behind. Prints the
 * same natively on Linux; with "all" also what only a machine of one's own shows.
 */
#include <linux/capability.h>
#include <linux/resource.h>

#include "smaps.h"

#define PAGES 8ul
#define RW (PROT_READ | PROT_WRITE)
#define ANON (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t pages, int prot, int flags)
{
	return (char *)syscall6(__NR_mmap, 0, (long)(pages * PAGE_SIZE), prot, flags, -1, 0);
}

/* Of an address: the pages of its mapping, "lo" or not, and its Rss and Locked. */
static void describe(const char *what, const char *at)
{
	uintptr_t address = (uintptr_t)at;
	const char *line;
	int inside = 0;
	unsigned long pages = 0;
	int locked = 0;

	slurp("/proc/self/smaps");
	for (line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s);
			uintptr_t to;

			s++;
			to = hex(&s);
			inside = from <= address && address < to;
			if (inside)
				pages = (to - from) / PAGE_SIZE;
		} else if (inside && starts_with(line, "VmFlags:")) {
			const char *s = line;

			for (; *s != '\n'; s++)
				if (s[0] == ' ' && s[1] == 'l' && s[2] == 'o')
					locked = 1;
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	print("%s: %u pages, locked %d, rss %u, Locked %u\n", what, pages, (long)locked,
	      field("Rss:", address, address + 1) / 4, field("Locked:", address, address + 1) / 4);
}

static unsigned long status(const char *name)
{
	return number_in("/proc/self/status", name) / 4;
}

static void limit(unsigned long bytes)
{
	struct rlimit l;
	long error;

	syscall4(__NR_prlimit64, 0, RLIMIT_MEMLOCK, NULL, &l);
	l.rlim_cur = bytes;
	error = syscall4(__NR_prlimit64, 0, RLIMIT_MEMLOCK, &l, NULL);

	if (error < 0)
		fail("prlimit", error);
}

static void privileged(int yes)
{
	static struct __user_cap_data_struct full[2];
	struct __user_cap_data_struct data[2];
	struct __user_cap_header_struct header = {_LINUX_CAPABILITY_VERSION_3, 0};
	long error;

	if (full[0].permitted == 0)
		syscall2(__NR_capget, &header, full);
	data[0] = full[0];
	data[1] = full[1];
	if (!yes)
		data[0].effective &= ~(1u << CAP_IPC_LOCK);
	error = syscall2(__NR_capset, &header, data);
	if (error < 0)
		fail("capset", error);
}

#define SHOW(call) print(#call " = %d\n", (long)(call))
#define mlock(p, n) syscall2(__NR_mlock, p, n)
#define mlock2(p, n, f) syscall3(__NR_mlock2, p, n, f)
#define munlock(p, n) syscall2(__NR_munlock, p, n)
#define mlockall(f) syscall1(__NR_mlockall, f)
#define munlockall() syscall0(__NR_munlockall)
#define munmap(p, n) syscall2(__NR_munmap, p, n)
#define mprotect(p, n, prot) syscall3(__NR_mprotect, p, n, prot)
#define madvise(p, n, a) syscall3(__NR_madvise, p, n, a)

static void ranges(void)
{
	char *p = map(PAGES, RW, ANON);

	SHOW(mlock(p + 3 * PAGE_SIZE, 2 * PAGE_SIZE));
	describe("below", p);
	describe("locked", p + 3 * PAGE_SIZE);
	describe("above", p + 5 * PAGE_SIZE);
	print("VmLck %u\n", status("VmLck:"));
	SHOW(mlock(p + 100, 1));
	describe("first", p);
	SHOW(mlock(p, PAGES * PAGE_SIZE));
	describe("all", p);
	SHOW(munlock(p + PAGE_SIZE, PAGE_SIZE));
	describe("unlocked", p + PAGE_SIZE);
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	describe("all", p);
	print("VmLck %u\n", status("VmLck:"));
	SHOW(mlock(p, 0));
	SHOW(mlock(p, -1ul));
	SHOW(mlock(p, -4096ul));
	SHOW(munlock(p, -1ul));
	SHOW(munlock(p, -8192ul));
	SHOW(mlock2(p, PAGE_SIZE, 2));
	SHOW(mlock(0, PAGE_SIZE));
	SHOW(mlock(-1ul << 20, PAGE_SIZE));
	munmap(p + 4 * PAGE_SIZE, PAGE_SIZE);
	SHOW(mlock(p, PAGES * PAGE_SIZE));
	describe("before the hole", p);
	describe("behind the hole", p + 5 * PAGE_SIZE);
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	SHOW(mprotect(p, 2 * PAGE_SIZE, PROT_NONE));
	SHOW(mlock(p, 4 * PAGE_SIZE));
	describe("no access", p);
	describe("access", p + 2 * PAGE_SIZE);
	SHOW(munlock(p, 4 * PAGE_SIZE));
	SHOW(mprotect(p, 2 * PAGE_SIZE, PROT_READ));
	SHOW(mlock(p, 2 * PAGE_SIZE));
	describe("read only", p);
	munmap(p, PAGES * PAGE_SIZE);
	print("VmLck %u\n", status("VmLck:"));
}

static void files(void)
{
	char *p = map(PAGES, RW, MAP_SHARED | MAP_ANONYMOUS);
	char *q;
	long fd = syscall2(__NR_memfd_create, "locked", 0);

	p[0] = 1;
	SHOW(mlock(p, 4 * PAGE_SIZE));
	describe("shared", p);
	print("VmLck %u\n", status("VmLck:"));
	SHOW(madvise(p, PAGE_SIZE, MADV_DONTNEED));
	SHOW(madvise(p, PAGE_SIZE, MADV_REMOVE));
	SHOW(madvise(p + 6 * PAGE_SIZE, PAGE_SIZE, MADV_REMOVE));
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	describe("unlocked", p);
	munmap(p, PAGES * PAGE_SIZE);
	syscall2(__NR_ftruncate, fd, PAGES * PAGE_SIZE);
	q = (char *)syscall6(__NR_mmap, 0, PAGES * PAGE_SIZE, RW, MAP_PRIVATE | MAP_LOCKED, fd, 0);
	describe("private, of a file", q);
	syscall2(__NR_ftruncate, fd, 2 * PAGE_SIZE);
	describe("cut off", q);
	SHOW(munlock(q, PAGES * PAGE_SIZE));
	SHOW(mlock(q, PAGES * PAGE_SIZE));
	describe("beyond the end", q);
	munmap(q, PAGES * PAGE_SIZE);
	print("VmLck %u\n", status("VmLck:"));
	syscall1(__NR_close, fd);
}

static void on_fault(void)
{
	char *p = map(PAGES, RW, ANON);

	p[PAGE_SIZE] = 1;
	SHOW(mlock2(p, PAGES * PAGE_SIZE, 1));
	describe("on fault", p);
	p[0] = 1;
	describe("touched", p);
	SHOW(mlock2(p, 2 * PAGE_SIZE, 0));
	describe("locked", p);
	describe("on fault", p + 2 * PAGE_SIZE);
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	describe("unlocked", p);
	munmap(p, PAGES * PAGE_SIZE);
}

static void advice(void)
{
	char *p = map(PAGES, RW, ANON);

	memset(p, 1, PAGES * PAGE_SIZE);
	mlock(p, PAGES * PAGE_SIZE);
	SHOW(madvise(p, PAGE_SIZE, MADV_DONTNEED));
	SHOW(madvise(p, PAGE_SIZE, MADV_COLD));
	SHOW(madvise(p, PAGE_SIZE, MADV_PAGEOUT));
	SHOW(madvise(p, PAGE_SIZE, MADV_FREE));
	SHOW(madvise(p, PAGE_SIZE, MADV_REMOVE));
	SHOW(madvise(p, PAGE_SIZE, 24 /* MADV_DONTNEED_LOCKED */));
	describe("after advice", p);
	print("contents %d %d\n", (long)p[0], (long)p[PAGE_SIZE]);
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	SHOW(madvise(p, PAGE_SIZE, MADV_DONTNEED));
	munmap(p, PAGES * PAGE_SIZE);
}

static void moves(void)
{
	char *p = map(PAGES, RW, ANON);
	char *room = map(4 * PAGES, PROT_NONE, ANON);
	long q;

	mlock(p, PAGES * PAGE_SIZE);
	q = syscall6(__NR_mremap, (long)p, PAGES * PAGE_SIZE, 2 * PAGES * PAGE_SIZE, 3, (long)room, 0);
	describe("grown and moved", (char *)q);
	print("VmLck %u\n", status("VmLck:"));
	syscall6(__NR_mremap, q, 2 * PAGES * PAGE_SIZE, PAGES * PAGE_SIZE, 0, 0, 0);
	describe("shrunk", (char *)q);
	print("VmLck %u\n", status("VmLck:"));
	munmap(room, 4 * PAGES * PAGE_SIZE);
	print("VmLck %u\n", status("VmLck:"));
}

static void children(void)
{
	char *p = map(PAGES, RW, ANON);
	long pid;

	memset(p, 1, PAGES * PAGE_SIZE);
	mlock(p, PAGES * PAGE_SIZE);
	mlockall(2);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		char *q = map(1, RW, ANON);

		describe("child", p);
		describe("child's own", q);
		print("VmLck %u\n", status("VmLck:"));
		p[0] = 2;
		describe("child", p);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, NULL, 0, NULL);
	munlockall();
	describe("parent", p);
	munmap(p, PAGES * PAGE_SIZE);
}

static void all(void)
{
	char *p = map(PAGES, RW, ANON);
	char *q;
	char *none;
	char *room;

	SHOW(mlockall(0));
	SHOW(mlockall(4));
	SHOW(mlockall(8 | 1));
	none = map(1, PROT_NONE, ANON);
	SHOW(mlockall(1));
	describe("mapped before", p);
	describe("no access", none);
	q = map(2, RW, ANON);
	describe("mapped behind", q);
	SHOW(munlockall());
	describe("mapped before", p);
	SHOW(mlockall(2));
	describe("mapped before", p);
	room = map(4, PROT_READ | PROT_EXEC, ANON);
	describe("mapped behind", room);
	SHOW(mlockall(2 | 4));
	room = map(4, RW, MAP_SHARED | MAP_ANONYMOUS);
	room = map(4, PROT_READ, ANON);
	describe("on fault", room);
	SHOW(munlockall());
	describe("on fault", room);
	print("VmLck %u\n", status("VmLck:"));
}

static void limits(void)
{
	char *p = map(PAGES, RW, ANON);
	char *q;
	long r;

	SHOW(mlock(p, 2 * PAGE_SIZE));
	limit(4 * PAGE_SIZE + 5);
	privileged(0);
	SHOW(mlock(p, 4 * PAGE_SIZE));
	SHOW(mlock(p + PAGE_SIZE, 4 * PAGE_SIZE));
	SHOW(mlock(p, 5 * PAGE_SIZE));
	print("VmLck %u\n", status("VmLck:"));
	SHOW(mlockall(1));
	SHOW(munlock(p, PAGES * PAGE_SIZE));
	q = map(4, RW, ANON | MAP_LOCKED);
	describe("MAP_LOCKED", q);
	print("too much: %d\n", (long)map(1, RW, ANON | MAP_LOCKED));
	r = syscall6(__NR_mremap, (long)q, 4 * PAGE_SIZE, 5 * PAGE_SIZE, 1, 0, 0);
	print("mremap = %d\n", r);
	munmap(q, 4 * PAGE_SIZE);
	SHOW(mlockall(2));
	q = map(4, RW, ANON);
	describe("in future", q);
	print("too much: %d\n", (long)map(1, RW, ANON));
	print("brk: %d\n", syscall1(__NR_brk, syscall1(__NR_brk, 0) + 4096) - syscall1(__NR_brk, 0));
	SHOW(munlockall());
	limit(0);
	SHOW(mlock(p, PAGE_SIZE));
	SHOW(mlock(p, 0));
	SHOW(mlockall(2));
	SHOW(munlock(p, PAGE_SIZE));
	SHOW(munlockall());
	print("not at all: %d\n", (long)map(1, RW, ANON | MAP_LOCKED));
	privileged(1);
	q = map(1, RW, ANON | MAP_LOCKED);
	describe("by root", q);
	SHOW(mlock(p, PAGES * PAGE_SIZE));
	munmap(p, PAGES * PAGE_SIZE);
	munmap(q, PAGE_SIZE);
	SHOW(munlockall());
}

/* A number of /proc/meminfo or /proc/vmstat. */
static void lists(const char *what)
{
	print("%s: Mlocked %u kB, Unevictable %u kB\n", what, number_in("/proc/meminfo", "Mlocked:"),
	      number_in("/proc/meminfo", "Unevictable:"));
	print("culled %u, rescued %u, mlocked %u, munlocked %u\n", number_in("/proc/vmstat", "unevictable_pgs_culled"),
	      number_in("/proc/vmstat", "unevictable_pgs_rescued"), number_in("/proc/vmstat", "unevictable_pgs_mlocked"),
	      number_in("/proc/vmstat", "unevictable_pgs_munlocked"));
}

/* With more in use than there is memory: what is locked stays, through reclaim and fork. */
static void pressure(void)
{
	char *p = map(64, RW, ANON);
	char *q = map(16 * 256, RW, ANON);
	char *twice;
	long pid;

	memset(p, 1, 64 * PAGE_SIZE);
	lists("at first");
	mlock(p, 64 * PAGE_SIZE);
	lists("locked");
	for (int round = 0; round < 3; round++)
		for (unsigned long i = 0; i < 16 * 256; i++)
			q[i * PAGE_SIZE] = (char)(i + (unsigned long)round);
	describe("under pressure", p);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		mlock(p, 32 * PAGE_SIZE);
		lists("by a child, too");
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, NULL, 0, NULL);
	lists("by the parent alone");
	munlock(p, 32 * PAGE_SIZE);
	lists("half of it");
	for (unsigned long i = 0; i < 16 * 256; i++)
		q[i * PAGE_SIZE] = 1;
	describe("locked half", p + 32 * PAGE_SIZE);
	munmap(p, 64 * PAGE_SIZE);
	lists("unmapped");
	twice = map(4, RW, ANON | MAP_LOCKED);
	lists("locked when it was mapped");
	exit_group(twice == NULL);
}

int main(int argc, char **argv, char **envp)
{
	(void)argv;
	if (argc > 1)
		pressure();
	(void)envp;
	syscall6(__NR_prctl, 41, 1, 0, 0, 0, 0);
	ranges();
	files();
	on_fault();
	advice();
	moves();
	children();
	limits();
	all();
	return 0;
}
