/*
 * device-kinds [DEVICE]: what a device of the test driver may do with each kind of memory: SNAPSHOT of up to three pages, then
 * READ, WRITE, MIGRATE_TO_DEV and back, EXCLUSIVE and CHECK_EXCLUSIVE, with what SNAPSHOT says of that.
 */
#include "dmirror.h"
#include "process.h"
#include "smaps.h"

#define MADV_GUARD_INSTALL_ 102
#define MFD_HUGETLB_ 4
#define MAP_DROPPABLE_ 8
#define F_ADD_SEALS_ 1033
#define F_SEAL_SHRINK_GROW_WRITE 14

static int fd;
static char *mirror;
static int data[4096] = { 1 }, bss[4096];

static void seen(char *p, size_t pages)
{
	static const char digits[] = "0123456789abcdef";
	char byte[7] = "";

	if (dmirror(fd, HMM_DMIRROR_SNAPSHOT, p, mirror, pages) < 0)
		fail("SNAPSHOT", 0);
	for (size_t i = 0; i < pages && i < 3; i++) {
		byte[2 * i] = digits[(mirror[i] >> 4) & 15];
		byte[2 * i + 1] = digits[mirror[i] & 15];
	}
	print(" [%s]", byte);
}

static void offer(const char *kind, long where, size_t pages)
{
	char *p = (char *)where;

	print("%s:", kind);
	if (where < 0 && where > -4096) {
		print(" errno %d\n", -where);
		return;
	}
	seen(p, pages);
	print(" read %d", dmirror(fd, HMM_DMIRROR_READ, p, mirror, pages));
	seen(p, pages);
	/* What has been read, so that nothing changes. */
	dmirror(fd, HMM_DMIRROR_READ, p, mirror, pages);
	print(" write %d", dmirror(fd, HMM_DMIRROR_WRITE, p, mirror, pages));
	seen(p, pages);
	print(" to %d", dmirror(fd, HMM_DMIRROR_MIGRATE_TO_DEV, p, mirror, pages));
	seen(p, pages);
	print(" back %d", dmirror(fd, HMM_DMIRROR_MIGRATE_TO_SYS, p, mirror, pages));
	print(" exclusive %d", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, p, mirror, pages));
	seen(p, pages);
	print(" check %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, p, mirror, pages));
}

static char *map(size_t pages, int prot, int flags, int file)
{
	return (char *)syscall6(__NR_mmap, 0, (long)(pages * PAGE_SIZE), prot, flags, file, 0);
}

static char *anonymous(size_t pages, int prot, int flags)
{
	return map(pages, prot, flags | MAP_ANONYMOUS, -1);
}

static void touch(char *p, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(p + i * PAGE_SIZE) = (char)(i + 1);
}

static long memfd(int flags, size_t pages)
{
	long file = syscall2(__NR_memfd_create, "file", flags);

	syscall2(__NR_ftruncate, file, pages * PAGE_SIZE);
	return file;
}

static long page_within(const void *p)
{
	return (long)(((uintptr_t)p + PAGE_SIZE) & ~(PAGE_SIZE - 1));
}

/* Where /proc/self/maps has a mapping of that name. */
static long named(const char *name)
{
	slurp("/proc/self/maps");
	for (const char *line = text; *line != 0;) {
		const char *s = line;
		unsigned long start = hex(&s);

		for (; *s != '\n'; s++)
			if (starts_with(s, name))
				return (long)start;
		line = s + 1;
	}
	return -2;
}

static void all(const char *device)
{
	char *p;
	long file;

	fd = sys_open(device, O_RDWR);
	p = anonymous(4, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	touch(p, 2);
	offer("private", (long)p, 4);
	p = anonymous(4, PROT_READ | PROT_WRITE, MAP_SHARED);
	touch(p, 2);
	offer("shared", (long)p, 4);
	file = memfd(0, 3);
	p = map(4, PROT_READ | PROT_WRITE, MAP_SHARED, (int)file);
	touch(p, 1);
	offer("a file", (long)p, 3);
	offer("behind its end", (long)(p + 3 * PAGE_SIZE), 1);
	p = map(3, PROT_READ | PROT_WRITE, MAP_PRIVATE, (int)file);
	touch(p + PAGE_SIZE, 1);
	offer("a private mapping of it", (long)p, 3);
	offer("that can only be read", (long)map(3, PROT_READ, MAP_PRIVATE, (int)file), 3);
	file = memfd(2, 2);
	syscall3(__NR_fcntl, file, F_ADD_SEALS_, F_SEAL_SHRINK_GROW_WRITE);
	offer("a sealed file", (long)map(2, PROT_READ, MAP_SHARED, (int)file), 2);
	file = memfd(MFD_HUGETLB_, 512);
	offer("huge pages", (long)map(512, PROT_READ | PROT_WRITE, MAP_SHARED, (int)file), 3);
	file = syscall1(__NR_memfd_secret, 0);
	syscall2(__NR_ftruncate, file, 2 * PAGE_SIZE);
	offer("secret memory", (long)map(2, PROT_READ | PROT_WRITE, MAP_SHARED, (int)file), 2);
	offer("the program", (long)all & ~(long)(PAGE_SIZE - 1), 1);
	offer("its data", page_within(data), 1);
	offer("its bss", page_within(bss), 1);
	offer("[vdso]", named("[vdso]"), 1);
	p = map(2, PROT_READ | PROT_WRITE, MAP_PRIVATE, sys_open("/dev/zero", O_RDWR));
	touch(p, 1);
	offer("/dev/zero", (long)p, 2);
	offer("the device's own file", (long)map(1, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd), 1);
	p = anonymous(2, PROT_WRITE, MAP_PRIVATE);
	touch(p, 1);
	offer("PROT_WRITE", (long)p, 2);
	offer("PROT_EXEC", (long)anonymous(2, PROT_EXEC, MAP_PRIVATE), 2);
	p = anonymous(3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	syscall3(__NR_mlock, p, 3 * PAGE_SIZE, 0);
	offer("locked", (long)p, 3);
	p = anonymous(3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	syscall3(__NR_madvise, p, PAGE_SIZE, MADV_GUARD_INSTALL_);
	touch(p + 2 * PAGE_SIZE, 1);
	offer("a guard page", (long)p, 3);
	offer("MAP_DROPPABLE", (long)anonymous(3, PROT_READ | PROT_WRITE, MAP_DROPPABLE_), 3);
	p = anonymous(3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	touch(p, 3);
	syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_FREE);
	offer("MADV_FREE", (long)p, 3);
	p = anonymous(3, PROT_READ | PROT_WRITE, MAP_PRIVATE);
	touch(p, 3);
	syscall3(__NR_madvise, p, 2 * PAGE_SIZE, MADV_PAGEOUT);
	/* Until it is written. */
	sleep_ms(10);
	offer("MADV_PAGEOUT", (long)p, 3);
	offer("nothing", 0x1000, 1);
	offer("the kernel's", -(long)MIB, 1);
}

int main(int argc, char **argv, char **envp)
{
	int pool = sys_open("/proc/sys/vm/nr_hugepages", O_RDWR);

	(void)envp;
	syscall3(__NR_write, pool, "4", 1);
	mirror = map_anonymous(4 * PAGE_SIZE);
	all(argc > 1 ? argv[1] : "/dev/hmm_dmirror0");
	return 0;
}
