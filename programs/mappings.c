/*
 * mappings: what /proc/self/maps, smaps, smaps_rollup, numa_maps, status and statm say of memory mapped in many
 * ways. Without an argument it does what any Linux can do, to compare with; with "all", what needs swap too.
 */
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define HUGE (2 * MIB)
#define O_CREAT_RDWR 0102

static long map(void *where, size_t pages, int prot, int flags, int fd, size_t page)
{
	return syscall6(__NR_mmap, (long)where, (long)(pages * PAGE_SIZE), prot, flags | (where == NULL ? 0 : MAP_FIXED), fd,
			(long)(page * PAGE_SIZE));
}

/* A mapping that begins at a multiple of 64 KiB, pages of no access around it; ends the program when it cannot be. */
static char *alone(size_t pages, int prot, int flags, int fd, size_t page)
{
	long p = map(NULL, pages + 32, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	long q = map((char *)((p + 16 * (long)PAGE_SIZE) & -16 * (long)PAGE_SIZE), pages, prot, flags, fd, page);

	if (q < 0 && q > -4096)
		fail("mmap", q);
	return (char *)q;
}

static const char *end_of_line(const char *s)
{
	while (*s != 0 && *s != '\n')
		s++;
	return s;
}

/* Prints part of a line; an inode number as "ino" where it is not 0, and a device as "dev". */
static void print_header(const char *line, const char *end)
{
	char out[256];
	size_t n = 0;
	int column = 0;

	for (const char *s = line; s < end && n < sizeof(out) - 8; s++) {
		if (*s == ' ') {
			while (s[1] == ' ')
				s++;
			column++;
			out[n++] = ' ';
			if (column == 3 || column == 4) {
				int zero = 1;

				for (; s[1] != ' ' && s + 1 < end; s++)
					if (s[1] != '0' && s[1] != ':')
						zero = 0;
				out[n++] = zero ? '0' : column == 3 ? 'd' : 'i';
			}
		} else if (column > 0) {
			out[n++] = *s;
		}
	}
	out[n] = 0;
	print("%s\n", out);
}

/* All of smaps for the mappings of a range: headers without addresses, fields that are not 0, flags. */
static void show(const char *what, const char *p, size_t pages)
{
	uintptr_t start = (uintptr_t)p;
	int inside = 0;

	slurp("/proc/self/smaps");
	print("%s:\n", what);
	for (const char *line = text; *line != 0;) {
		const char *end = end_of_line(line);

		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s), to;

			s++;
			to = hex(&s);
			inside = from < start + pages * PAGE_SIZE && to > start;
			if (inside)
				print_header(line, end);
		} else if (inside && !starts_with(line, "ProtectionKey") && !starts_with(line, "KernelPage") && !starts_with(line, "MMUPage")) {
			char out[160];
			size_t n = 0;

			for (const char *s = line; s < end && n < sizeof(out) - 1; s++)
				if (*s != ' ' || (s[1] != ' ' && s + 1 < end))
					out[n++] = *s;
			out[n] = 0;
			if (n < 6 || !string_equal(out + n - 6, ": 0 kB"))
				print("  %s\n", out);
		}
		line = *end == 0 ? end : end + 1;
	}
}

static void anonymous(void)
{
	char *p = alone(8, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;
	long pid;

	write_page(p, 0);
	read_page(p, 1);
	write_page(p, 2);
	show("private", p, 8);
	syscall3(__NR_mprotect, p + 2 * PAGE_SIZE, PAGE_SIZE, PROT_READ);
	syscall3(__NR_mprotect, p + 4 * PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	syscall3(__NR_madvise, p + 5 * PAGE_SIZE, PAGE_SIZE, MADV_DONTFORK);
	syscall3(__NR_madvise, p + 6 * PAGE_SIZE, PAGE_SIZE, MADV_DONTDUMP);
	syscall3(__NR_madvise, p + 7 * PAGE_SIZE, PAGE_SIZE, MADV_SEQUENTIAL);
	show("in pieces", p, 8);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("child", p, 3);
		write_page(p, 0);
		show("child, one written", p, 3);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	p = alone(4, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
	write_page(p, 0);
	syscall2(__NR_mlock, p, PAGE_SIZE);
	show("not reserved, one locked", p, 4);
	syscall3(__NR_madvise, p + 2 * PAGE_SIZE, 2 * PAGE_SIZE, MADV_POPULATE_WRITE);
	syscall3(__NR_madvise, p + 2 * PAGE_SIZE, PAGE_SIZE, MADV_FREE);
	show("one lazily free", p, 4);
	p = alone(4, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_GROWSDOWN, -1, 0);
	show("growing down", p, 4);
	p = alone(2, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	show("executable", p, 2);
}

static void files(int fd, const char *what)
{
	char *p;
	int status;
	long pid;

	syscall2(__NR_ftruncate, fd, 8 * PAGE_SIZE);
	print("== %s\n", what);
	p = alone(8, PROT_RW, MAP_SHARED, fd, 0);
	show("shared, untouched", p, 8);
	write_page(p, 0);
	read_page(p, 1);
	show("shared, 0 written, 1 read", p, 8);
	show_pages("pagemap", p, 8);
	{
		char *q = alone(4, PROT_RW, MAP_PRIVATE, fd, 1);

		read_page(q, 0);
		show("private, from page 1 on, 0 read", q, 4);
		write_page(q, 0);
		write_page(q, 1);
		read_page(q, 2);
		show("0 and 1 written, 2 read", q, 4);
		show_pages("pagemap", q, 4);
		show("shared meanwhile", p, 8);
		show_pages("pagemap", p, 8);
	}
	{
		char *q = alone(2, PROT_READ, MAP_SHARED, fd, 0);

		read_page(q, 0);
		show("another, read-only", q, 2);
		show("the first", p, 8);
	}
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("child", p, 8);
		read_page(p, 0);
		show("child, 0 read", p, 8);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
	syscall3(__NR_madvise, p, 8 * PAGE_SIZE, MADV_DONTNEED);
	show("given back", p, 8);
	write_page(p, 2);
	syscall2(__NR_mlock, p, 8 * PAGE_SIZE);
	show("locked", p, 8);
}

static void names(void)
{
	char *p;
	char *s = alone(2, PROT_RW, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int fd;

	write_page(s, 0);
	show("shared anonymous", s, 2);
	show_pages("pagemap", s, 2);
	fd = (int)syscall4(__NR_openat, AT_FDCWD, "/tmp/faultline mappings", O_CREAT_RDWR, 0600);
	syscall2(__NR_ftruncate, fd, PAGE_SIZE);
	p = alone(1, PROT_READ, MAP_PRIVATE, fd, 0);
	show("of a file", p, 1);
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/faultline mappings", 0);
	show("of a deleted file", p, 1);
	syscall1(__NR_close, fd);
	fd = sys_open("/dev/zero", O_RDWR);
	p = alone(1, PROT_RW, MAP_PRIVATE, fd, 0);
	write_page(p, 0);
	show("zeros", p, 1);
	p = alone(1, PROT_RW, MAP_SHARED, fd, 0);
	write_page(p, 0);
	show("shared zeros", p, 1);
	syscall1(__NR_close, fd);
	fd = (int)syscall4(__NR_openat, AT_FDCWD, "/tmp/faultline mappings", O_CREAT_RDWR, 0600);
	syscall2(__NR_ftruncate, fd, PAGE_SIZE);
	syscall1(__NR_close, fd);
	fd = sys_open("/tmp/faultline mappings", O_RDONLY);
	p = alone(1, PROT_READ, MAP_SHARED, fd, 0);
	read_page(p, 0);
	show("shared, of a file opened for reading", p, 1);
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/faultline mappings", 0);
	syscall1(__NR_close, fd);
}

static void huge(void)
{
	char *raw = alone(2048, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall3(__NR_madvise, p, HUGE, MADV_HUGEPAGE);
	write_page(p, 0);
	show("huge", p, 512);
	syscall3(__NR_mprotect, p + PAGE_SIZE, PAGE_SIZE, PROT_READ);
	show("split", p, 512);
	syscall3(__NR_madvise, p + HUGE, 512 * PAGE_SIZE, MADV_NOHUGEPAGE);
	show("not wanted", p + HUGE, 256);
}

/* What a read maps of a huge page that cannot be mapped as one: 64 KiB of it. */
static void huge_of_file(int fd)
{
	char *raw = alone(2048, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	char *p = (char *)(((uintptr_t)raw + HUGE - 1) & -HUGE);

	syscall2(__NR_ftruncate, fd, HUGE);
	map(p, 512, PROT_RW, MAP_SHARED, fd, 0);
	for (size_t i = 0; i < 512; i++)
		write_page(p, i);
	print("collapse: %d\n", syscall3(__NR_madvise, p, HUGE, 25));
	show("huge page of a file", p, 512);
	syscall2(__NR_munmap, p, HUGE);
	map(p + 512 * PAGE_SIZE, 511, PROT_RW, MAP_SHARED, fd, 0);
	read_page(p, 512 + 100);
	show_pages("all but the last page", p + HUGE, 511);
	map(p, 512, PROT_RW, MAP_SHARED, fd, 0);
	read_page(p, 7);
	show_pages("all of it", p, 512);
	show("all of it", p, 512);
	show_pages("the other", p + HUGE, 511);
}

static void swapped(int fd)
{
	long truncated = syscall2(__NR_ftruncate, fd, 8 * PAGE_SIZE);
	char *p = alone(8, PROT_RW, MAP_SHARED, fd, 0);
	char *q = alone(8, PROT_RW, MAP_PRIVATE, fd, 0);
	char *r = alone(4, PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int status;
	long pid;

	if (truncated != 0)
		fail("ftruncate", truncated);
	for (size_t i = 0; i < 4; i++) {
		write_page(p, i);
		write_page(r, i);
	}
	read_page(q, 5);
	syscall3(__NR_madvise, p, 8 * PAGE_SIZE, MADV_PAGEOUT);
	show("shared memory paged out", p, 8);
	show_pages("pagemap", p, 8);
	show("private mapping of it", q, 8);
	show_pages("pagemap", q, 8);
	read_page(p, 1);
	show("one read back", p, 8);
	write_page(q, 2);
	show("one copied", q, 8);
	syscall3(__NR_madvise, r, 4 * PAGE_SIZE, MADV_PAGEOUT);
	show("anonymous, paged out", r, 4);
	pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (pid == 0) {
		show("child", r, 4);
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, NULL);
}

int main(int argc, char **argv, char **envp)
{
	int fd = (int)syscall2(__NR_memfd_create, "a memfd", 0);
	int file = (int)syscall4(__NR_openat, AT_FDCWD, "/dev/shm/faultline-mappings", O_CREAT_RDWR, 0600);

	(void)envp;
	anonymous();
	files(fd, "memfd");
	files(file, "tmpfs");
	syscall3(__NR_unlinkat, AT_FDCWD, "/dev/shm/faultline-mappings", 0);
	names();
	huge();
	huge_of_file((int)syscall2(__NR_memfd_create, "huge", 0));
	if (argc > 1 && string_equal(argv[1], "all"))
		swapped((int)syscall2(__NR_memfd_create, "swapped", 0));
	return 0;
}
