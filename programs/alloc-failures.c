/*
 * Each operation on memory of which a device has a part, again and again, with the first page failing that the kernel
 * allocates for it, the second, and so on, until none fails. Whoever runs this fails the page that the thread's name
 * says, "fail 3", and calls the thread "failed" then. Prints what each attempt has returned; what is in the memory, and how many
 * pages are free in the end, must not depend on it.
 */
#include <linux/prctl.h>

#include "dmirror.h"
#include "process.h"
#include "smaps.h"

#define PAGES 12
#define MADV_COLLAPSE_ 25
#define ATTEMPTS_MAX 64
/* Where everything is mapped, 2 MiB that may become a huge page: the range lies within. */
#define WHOLE ((char *)0x2000000000)
#define RANGE (WHOLE + 40 * PAGE_SIZE)

static int here, other;
static char *mirror;

static long to_device(char *p)
{
	return dmirror(other, HMM_DMIRROR_MIGRATE_TO_DEV, p, mirror, PAGES);
}

static long to_system(char *p)
{
	return dmirror(here, HMM_DMIRROR_MIGRATE_TO_SYS, p, mirror, PAGES);
}

static long exclusive(char *p)
{
	return dmirror(other, HMM_DMIRROR_EXCLUSIVE, p, mirror, PAGES);
}

static long device_read(char *p)
{
	return dmirror(other, HMM_DMIRROR_READ, p, mirror, PAGES);
}

static long device_write(char *p)
{
	/* What is there already. */
	for (size_t i = 0; i < PAGES; i++)
		*(uint64_t *)(mirror + i * PAGE_SIZE) = i < 8 ? i + 1 : 0;
	return dmirror(here, HMM_DMIRROR_WRITE, p, mirror, PAGES);
}

static long release(char *p)
{
	return dmirror(here, HMM_DMIRROR_RELEASE, p, mirror, 1);
}

static long store(char *p)
{
	for (size_t i = 0; i < PAGES; i++)
		*(volatile char *)(p + i * PAGE_SIZE + 9) = 1;
	return 0;
}

static long forked(char *p)
{
	long pid = fork_();

	(void)p;
	if (pid == 0)
		exit_group(0);
	return pid < 0 ? pid : wait_(pid);
}

static long moved(char *p)
{
	char *to = WHOLE + 6 * MIB - 4 * PAGE_SIZE;
	char name[16];
	long error = syscall6(__NR_mremap, (long)p, PAGES * PAGE_SIZE, PAGES * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (long)to, 0);

	/* Where nothing fails, it comes back to be looked at. */
	syscall2(__NR_prctl, PR_GET_NAME, name);
	syscall2(__NR_prctl, PR_SET_NAME, "done");
	if (error >= 0)
		syscall6(__NR_mremap, (long)to, PAGES * PAGE_SIZE, PAGES * PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, (long)p, 0);
	syscall2(__NR_prctl, PR_SET_NAME, name);
	return error < 0 ? error : 0;
}

static long collapse(char *p)
{
	(void)p;
	return syscall3(__NR_madvise, WHOLE, 2 * MIB, MADV_COLLAPSE_);
}

static long populate(char *p)
{
	return syscall3(__NR_madvise, p, PAGES * PAGE_SIZE, MADV_POPULATE_WRITE);
}

static long lock(char *p)
{
	return syscall3(__NR_mlock, p, PAGES * PAGE_SIZE, 0);
}

/* Pages that nobody has, those among them that CPUs keep on lists of their own. */
static unsigned long free_pages(void)
{
	int fd = sys_open("/proc/sys/vm/compact_memory", O_RDWR);
	unsigned long sum = 0;

	/* What waits for a list of reclaim's is freed. */
	syscall3(__NR_write, fd, "1", 1);
	syscall1(__NR_close, fd);
	slurp("/proc/zoneinfo");
	for (const char *line = text; *line != 0; line++) {
		const char *word = line;

		while (*word == ' ')
			word++;
		if (starts_with(word, "nr_free_pages ") || starts_with(word, "count: "))
			sum += first_number(word);
		while (*line != '\n')
			line++;
	}
	return sum;
}

/* One attempt: 2 where nothing was left to fail, 1 for wrong contents. */
static void attempt(long (*operation)(char *), long n, long *result)
{
	char name[16] = "fail ";
	long wrong = 0;

	name[5] = (char)('0' + n / 10);
	name[6] = (char)('0' + n % 10);
	here = sys_open("/dev/hmm_dmirror0", O_RDWR);
	other = sys_open("/dev/hmm_dmirror1", O_RDWR);
	syscall6(__NR_mmap, (long)WHOLE, 8 * MIB, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
	for (uint64_t i = 0; i < 8; i++)
		*(uint64_t *)(RANGE + i * PAGE_SIZE) = i + 1;
	(void)*(volatile char *)(RANGE + 9 * PAGE_SIZE);
	dmirror(here, HMM_DMIRROR_MIGRATE_TO_DEV, RANGE + PAGE_SIZE, mirror, 4);
	syscall2(__NR_prctl, PR_SET_NAME, name);
	*result = operation(RANGE);
	syscall2(__NR_prctl, PR_GET_NAME, name);
	syscall2(__NR_prctl, PR_SET_NAME, "done");
	for (uint64_t i = 0; i < PAGES; i++)
		wrong += *(uint64_t *)(RANGE + i * PAGE_SIZE) != (i < 8 ? i + 1 : 0);
	exit_group(wrong != 0 ? 1 : string_equal(name, "failed") ? 0 : 2);
}

static void fail_each(const char *what, long (*operation)(char *), long *result)
{
	unsigned long before = 0;
	long status = 0, last = 0;
	int times = 0;

	print("%s:", what);
	for (long n = 0; n < ATTEMPTS_MAX && status != 2 << 8; n++) {
		long pid = fork_();

		if (pid == 0)
			attempt(operation, n, result);
		status = wait_(pid);
		/* At first nothing fails, as in the end: both leave the same behind. */
		if (n == 0) {
			before = free_pages();
			status = 0;
			continue;
		}
		if (times > 0 && *result != last) {
			print(" %d x %d", times, last);
			times = 0;
		}
		last = *result;
		times++;
		if (status != 0 && status != 2 << 8)
			print(" [status %x]", status);
	}
	print(" %d x %d;", times, last);
	print(" pages lost: %d\n", before - free_pages());
}

int main(int argc, char **argv, char **envp)
{
	static const struct {
		const char *what;
		long (*operation)(char *);
	} operations[] = {
		{ "MIGRATE_TO_DEV", to_device }, { "MIGRATE_TO_SYS", to_system }, { "EXCLUSIVE", exclusive },
		{ "READ", device_read },	 { "WRITE", device_write },	  { "RELEASE", release },
		{ "stores", store },		 { "fork()", forked },		  { "mremap()", moved },
		{ "MADV_COLLAPSE", collapse },	 { "MADV_POPULATE_WRITE", populate }, { "mlock()", lock },
	};
	long *result = (long *)syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	(void)argc, (void)argv, (void)envp;
	mirror = map_anonymous(PAGES * PAGE_SIZE);
	memset(mirror, 0, PAGES * PAGE_SIZE);
	*result = 0;
	free_pages();
	for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
		fail_each(operations[i].what, operations[i].operation, result);
	return 0;
}
