/*
 * own-file: a program is mapped from its file. What its own pages are, what becomes of them when they are
 * written to, given up and inherited, and what may be done to the file meanwhile. Prints the same on any
 * Linux where /tmp can be written.
 */
#include "pagemap.h"
#include "process.h"
#include "smaps.h"
#include <elf.h>
#include <linux/auxvec.h>

#define O_WRONLY 1
#define O_CREAT 0100
#define O_TRUNC 01000
#define COPY "/tmp/faultline-own-file"
#define PAGES 6
#define SHOW(what, call) print("%s: %d\n", what, (long)(call))

/* Six pages of each kind, the first of which may begin before the array does. */
static char data[(PAGES + 1) * PAGE_SIZE] __attribute__((aligned(4096))) = { 'd', [PAGE_SIZE] = 1, [2 * PAGE_SIZE] = 2 };
static const char constant[PAGES * PAGE_SIZE] __attribute__((aligned(4096))) = { 'c', [PAGE_SIZE] = 1 };
static char bss[PAGES * PAGE_SIZE] __attribute__((aligned(4096)));
static char own[256];
static char buffer[PAGE_SIZE];

static unsigned long auxv(char **envp, unsigned long type)
{
	while (*envp != NULL)
		envp++;
	for (unsigned long *at = (unsigned long *)(envp + 1); at[0] != AT_NULL; at += 2)
		if (at[0] == type)
			return at[1];
	return 0;
}

/* The segment that an address is in. */
static const Elf64_Phdr *segment_of(const Elf64_Phdr *headers, unsigned long count, uintptr_t at)
{
	for (unsigned long i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD && at >= headers[i].p_vaddr && at < headers[i].p_vaddr + headers[i].p_memsz)
			return &headers[i];
	return NULL;
}

/* What maps says of an address: permissions, and how it fits the segment. */
static void show_mapping(const char *what, const Elf64_Phdr *headers, unsigned long count, const void *address)
{
	uintptr_t at = (uintptr_t)address;
	const Elf64_Phdr *segment = segment_of(headers, count, at);

	slurp("/proc/self/maps");
	for (const char *line = text; *line != 0;) {
		const char *s = line;
		uintptr_t from = hex(&s), to = (s++, hex(&s));

		if (at >= from && at < to) {
			char perms[5] = { s[1], s[2], s[3], s[4], 0 };

			s += 6;
			uintptr_t offset = hex(&s);
			const char *name = s;

			while (*name != '\n' && *name != '/')
				name++;
			print("%s: %s, of the file %d, at its offset %d\n", what, perms, (long)starts_with(name, own),
			      (long)(from - (segment->p_vaddr & -PAGE_SIZE) == offset - (segment->p_offset & -PAGE_SIZE)));
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
}

static void show_memory(const char *what, const char *start)
{
	slurp("/proc/self/smaps");
	uintptr_t from = (uintptr_t)start, to = from + PAGES * PAGE_SIZE;

	print("%s: Anonymous %u kB, Private_Dirty %u kB, Swap %u kB\n", what, field("Anonymous:", from, to),
	      field("Private_Dirty:", from, to), field("Swap:", from, to));
}

/* What pagemap says, without the soft-dirty bit, which not every kernel keeps. */
static const char *page(const void *p)
{
	static char out[12];
	int n = 0;

	for (const char *from = pagemap_text(p); *from != 0; from++)
		if (*from != 'D')
			out[n++] = *from;
	if (n == 0)
		out[n++] = '-';
	out[n] = 0;
	return out;
}

/* Whether the file has at an address what it had there when the program was built. */
static long unchanged(const Elf64_Phdr *headers, unsigned long count)
{
	const Elf64_Phdr *segment = segment_of(headers, count, (uintptr_t)data);
	int fd = sys_open("/proc/self/exe", O_RDONLY);
	long sum = 0;

	for (int page = 0; page < 3; page++) {
		char byte = 0;

		syscall4(__NR_pread64, fd, &byte, 1, (uintptr_t)data + page * PAGE_SIZE - segment->p_vaddr + segment->p_offset);
		sum = 256 * sum + byte;
	}
	syscall1(__NR_close, fd);
	return sum == ('d' * 256 + 1) * 256 + 2;
}

static void show_resident(const char *what, const char *start)
{
	unsigned char in[PAGES] = { 0 };
	long resident = 0, error = syscall3(__NR_mincore, start, PAGES * PAGE_SIZE, in);

	for (int i = 0; i < PAGES; i++)
		resident += in[i] & 1;
	print("mincore of %s: %d, %d pages\n", what, error, resident);
}

static void copy_own(const char *path)
{
	int from = sys_open("/proc/self/exe", O_RDONLY);
	int to = (int)syscall4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0755);
	long n;

	while ((n = syscall3(__NR_read, from, buffer, sizeof(buffer))) > 0)
		syscall3(__NR_write, to, buffer, n);
	syscall1(__NR_close, from);
	syscall1(__NR_close, to);
}

/* What may be done to a program that runs, and is called with an argument. */
static int copy_runs(const char *path)
{
	SHOW("  open of itself for writing", sys_open(path, O_WRONLY));
	SHOW("  open of itself to read and write", sys_open(path, O_RDWR));
	SHOW("  open with O_TRUNC", sys_open(path, O_RDONLY | O_TRUNC));
	SHOW("  truncate", syscall2(__NR_truncate, path, 0));
	int fd = sys_open(path, O_RDONLY);
	long p = syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_SHARED, fd, 0);

	SHOW("  shared mapping of itself", p < 0 && p > -4096 ? p : 0);
	SHOW("  mprotect of that for writing", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ | PROT_WRITE));
	SHOW("  chmod", syscall3(__NR_fchmod, fd, 0700, 0));
	SHOW("  unlink", syscall3(__NR_unlinkat, AT_FDCWD, path, 0));
	SHOW("  still there", data[PAGE_SIZE] + data[2 * PAGE_SIZE]);
	return 3;
}

static long execute(char *path, char *argument)
{
	long pid = fork_();

	if (pid == 0) {
		char *argv[] = { path, argument, NULL }, *envp[] = { NULL };

		exit_group((int)-syscall3(__NR_execve, path, argv, envp));
	}
	return wait_(pid);
}

int main(int argc, char **argv, char **envp)
{
	const Elf64_Phdr *headers = (const Elf64_Phdr *)auxv(envp, AT_PHDR);
	unsigned long count = auxv(envp, AT_PHNUM);
	const Elf64_Phdr *in = segment_of(headers, count, (uintptr_t)data);
	extern char _start[];

	if (argc > 1)
		return copy_runs(argv[0]);
	syscall4(__NR_readlinkat, AT_FDCWD, "/proc/self/exe", own, sizeof(own) - 1);
	/* What has just been built is dirty yet. */
	SHOW("fsync of itself", syscall1(__NR_fsync, sys_open(own, O_RDONLY)));
	print("AT_ENTRY is _start %d, AT_BASE %u, AT_PHENT %u\n", (long)(auxv(envp, AT_ENTRY) == (uintptr_t)_start),
	      auxv(envp, AT_BASE), auxv(envp, AT_PHENT));
	show_mapping("text", headers, count, (const void *)main);
	show_mapping("constants", headers, count, constant);
	show_mapping("data", headers, count, data);
	print("bss is anonymous: %d\n", (long)(in->p_memsz > in->p_filesz));
	uintptr_t end = 0, brk = (uintptr_t)syscall1(__NR_brk, 0);

	for (unsigned long i = 0; i < count; i++)
		if (headers[i].p_type == PT_LOAD && headers[i].p_vaddr + headers[i].p_memsz > end)
			end = headers[i].p_vaddr + headers[i].p_memsz;
	print("heap within 1 GiB: %d\n", (long)(brk >= end && brk <= end + 1024 * MIB + PAGE_SIZE));

	show_resident("constants", constant);
	show_resident("data", data);
	show_resident("bss", bss);
	(void)*(volatile const char *)constant;
	print("a constant, read: %s\n", page(constant));
	print("text: %s\n", page((const void *)main));
	(void)*(volatile char *)data;
	print("data, read: %s\n", page(data));
	print("bss: %s\n", page(bss));
	(void)*(volatile char *)bss;
	print("bss, read: %s\n", page(bss));
	show_memory("constants", constant);

	unsigned long before, after;

	slurp("/proc/self/smaps");
	before = field("Anonymous:", (uintptr_t)data, (uintptr_t)data + PAGES * PAGE_SIZE);
	for (int i = 0; i < 3; i++)
		data[i * PAGE_SIZE] = 'w';
	slurp("/proc/self/smaps");
	after = field("Anonymous:", (uintptr_t)data, (uintptr_t)data + PAGES * PAGE_SIZE);
	print("data, written: %s, anonymous %u kB more\n", page(data + PAGE_SIZE), after - before);
	bss[0] = 1;
	print("bss, written: %s\n", page(bss));
	SHOW("the file has what it had", unchanged(headers, count));

	long child = fork_();

	if (child == 0) {
		SHOW("a child has what was written", data[0] == 'w' && data[PAGE_SIZE] == 'w');
		data[0] = 'c';
		print("a constant in a child: %s\n", page(constant + PAGE_SIZE));
		exit_group(0);
	}
	wait_(child);
	SHOW("the parent has its own", data[0] == 'w');

	SHOW("MADV_DONTNEED of data", syscall3(__NR_madvise, data, PAGES * PAGE_SIZE, MADV_DONTNEED));
	print("data again: %d %d %d\n", (long)(data[0] == 'd'), (long)data[PAGE_SIZE], (long)data[2 * PAGE_SIZE]);
	SHOW("MADV_DONTNEED of bss", syscall3(__NR_madvise, bss, PAGES * PAGE_SIZE, MADV_DONTNEED));
	SHOW("bss again", bss[0]);

	SHOW("mprotect of constants", syscall3(__NR_mprotect, constant, PAGE_SIZE, PROT_READ | PROT_WRITE));
	*(volatile char *)(uintptr_t)constant = 'C';
	print("a constant, written: %s\n", page(constant));
	show_memory("its mapping", constant);
	SHOW("its neighbour", constant[PAGE_SIZE]);

	copy_own(COPY);
	print("a copy:\n");
	SHOW("ends with", execute(COPY, "run"));
	copy_own(COPY);
	int fd = sys_open(COPY, O_WRONLY);

	SHOW("a copy that is open for writing ends with", execute(COPY, "run"));
	syscall1(__NR_close, fd);
	fd = sys_open(COPY, O_RDWR);
	long p = syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	syscall1(__NR_close, fd);
	SHOW("one that is mapped to be written", execute(COPY, "run"));
	syscall2(__NR_munmap, p, PAGE_SIZE);
	print("afterwards:\n");
	SHOW("ends with", execute(COPY, "run"));
	SHOW("what is left", syscall3(__NR_unlinkat, AT_FDCWD, COPY, 0));
	return 0;
}
