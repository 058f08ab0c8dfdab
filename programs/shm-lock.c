/*
 * shm-lock: what SHM_LOCK does to the pages of a segment of System V shared memory, and what a user may lock.
 * Prints the same on Linux, as root and on one CPU.
 */
#include "pagemap.h"
#include "process.h"
#include "smaps.h"
#include <linux/resource.h>

#define IPC_RMID 0
#define IPC_STAT 2
#define SHM_LOCK 11
#define SHM_UNLOCK 12
#define PAGES 8
#define NOBODY 65534
#define UNEVICTABLE (1ul << 18)
#define LRU (1ul << 5)
#define SHOW(what, call) print("%s: %d\n", what, (long)(call))

static long make(size_t pages)
{
	return syscall3(__NR_shmget, 0, pages * PAGE_SIZE, 01600);
}

static long control(long id, int what)
{
	static char ds[512];

	return syscall3(__NR_shmctl, id, what, ds);
}

/* The mode of a segment as IPC_STAT has it. */
static unsigned long mode_of(long id)
{
	static uint32_t ds[128];

	syscall3(__NR_shmctl, id, IPC_STAT, ds);
	return ds[5] & 07777;
}

/* Lets go what waits in the lists of this CPU. */
static void drain(void)
{
	static char page[PAGE_SIZE] __attribute__((aligned(4096)));

	syscall3(__NR_madvise, page, PAGE_SIZE, 20);
}

/* U for a page that reclaim leaves alone, e for any other on a list, "-" for one that is not there. */
static void show(const char *what, const char *p)
{
	char out[PAGES + 1] = "--------";
	int fd = sys_open("/proc/kpageflags", O_RDONLY);

	if (fd < 0)
		fail("/proc/kpageflags", fd);
	drain();
	for (int i = 0; i < PAGES; i++) {
		uint64_t entry = pagemap_entry(p + i * PAGE_SIZE), flags = 0;

		if ((entry & PM_PRESENT) == 0)
			continue;
		syscall4(__NR_pread64, fd, &flags, 8, (entry & ((1ul << 55) - 1)) * 8);
		out[i] = (flags & UNEVICTABLE) != 0 ? 'U' : (flags & LRU) != 0 ? 'e' : '?';
	}
	syscall1(__NR_close, fd);
	print("%s: %s\n", what, out);
}

static void touch(char *p, int from, int to)
{
	for (int i = from; i < to; i++)
		p[i * PAGE_SIZE] = 1;
}

static const char *const events[] = { "unevictable_pgs_culled", "unevictable_pgs_scanned", "unevictable_pgs_rescued" };
static unsigned long last[3];

/* What went to the unevictable list, and came back, since the last call. */
static void show_events(const char *what)
{
	unsigned long now[3];

	slurp("/proc/vmstat");
	for (int i = 0; i < 3; i++)
		now[i] = number_after(events[i]);
	print("%s: culled %u, scanned %u, rescued %u\n", what, now[0] - last[0], now[1] - last[1], now[2] - last[2]);
	memcpy(last, now, sizeof(now));
}

static void limit_to(unsigned long bytes)
{
	struct rlimit limit = { bytes, bytes };

	syscall4(__NR_prlimit64, 0, RLIMIT_MEMLOCK, &limit, NULL);
}

/* What somebody may lock who is not root. */
static void limits(void)
{
	limit_to(PAGES * PAGE_SIZE);
	syscall3(__NR_setresuid, NOBODY, NOBODY, NOBODY);
	long id = make(PAGES), small = make(1), large = make(PAGES + 1);

	SHOW("more than the limit", control(large, SHM_LOCK));
	print("its mode: %x\n", mode_of(large));
	SHOW("as much as the limit", control(id, SHM_LOCK));
	print("its mode: %x\n", mode_of(id));
	SHOW("again", control(id, SHM_LOCK));
	SHOW("a page more", control(small, SHM_LOCK));
	SHOW("unlock", control(id, SHM_UNLOCK));
	SHOW("again", control(id, SHM_UNLOCK));
	SHOW("a page", control(small, SHM_LOCK));
	SHOW("as much as the limit", control(id, SHM_LOCK));
	SHOW("removed", control(small, IPC_RMID));
	SHOW("as much as the limit", control(id, SHM_LOCK));
	long at = syscall3(__NR_shmat, id, 0, 0);

	SHOW("removed, and attached yet", control(id, IPC_RMID));
	small = make(1);
	SHOW("a page more", control(small, SHM_LOCK));
	SHOW("detached", syscall1(__NR_shmdt, at));
	SHOW("a page more", control(small, SHM_LOCK));
	/* What mlock() has locked is counted apart. */
	char *p = map_anonymous(PAGES * PAGE_SIZE);

	SHOW("mlock of as much", syscall2(__NR_mlock, p, PAGES * PAGE_SIZE));
	SHOW("removed", control(small, IPC_RMID));
	SHOW("removed", control(large, IPC_RMID));
	small = make(1);
	limit_to(0);
	SHOW("a page without a limit's room", control(small, SHM_LOCK));
	SHOW("unlocked", control(small, SHM_UNLOCK));
	SHOW("removed", control(small, IPC_RMID));
	exit_group(0);
}

int main(int argc, char **argv, char **envp)
{
	unsigned long one = 1;

	(void)argc, (void)argv, (void)envp;
	syscall3(__NR_sched_setaffinity, 0, sizeof(one), &one);
	long id = make(PAGES);
	char *p = (char *)syscall3(__NR_shmat, id, 0, 0);

	touch(p, 0, 4);
	show("before", p);
	slurp("/proc/vmstat");
	for (int i = 0; i < 3; i++)
		last[i] = number_after(events[i]);
	SHOW("SHM_LOCK", control(id, SHM_LOCK));
	show("locked", p);
	touch(p, 4, 6);
	show("two pages more", p);
	SHOW("MADV_PAGEOUT", syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, 21));
	show("after reclaim", p);
	show_events("until here");
	long child = fork_();

	if (child == 0) {
		touch(p, 6, 7);
		show("a child", p);
		exit_group(0);
	}
	wait_(child);
	SHOW("SHM_UNLOCK", control(id, SHM_UNLOCK));
	show("unlocked", p);
	show_events("until here");
	SHOW("mlock", syscall2(__NR_mlock, p, 2 * PAGE_SIZE));
	SHOW("SHM_LOCK", control(id, SHM_LOCK));
	show("both", p);
	SHOW("SHM_UNLOCK", control(id, SHM_UNLOCK));
	show("mlock alone", p);
	SHOW("SHM_LOCK", control(id, SHM_LOCK));
	SHOW("munlock", syscall2(__NR_munlock, p, 2 * PAGE_SIZE));
	show("SHM_LOCK alone", p);
	SHOW("removed", control(id, IPC_RMID));
	SHOW("detached", syscall1(__NR_shmdt, p));
	child = fork_();
	if (child == 0)
		limits();
	wait_(child);
	return 0;
}
