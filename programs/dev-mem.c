/*
 * dev-mem: /dev/mem, by which root reads, writes and maps RAM, its own pages among it. Prints what the calls answer; on
 * a kernel with CONFIG_STRICT_DEVMEM most are refused.
 */
#include "memory.h"
#include "pagemap.h"
#include "smaps.h"

#define DONTUNMAP 4

static int mem;
static char *own;
static unsigned long phys;

static char *map_mem(unsigned long at, size_t pages, int prot, int kind)
{
	return (char *)syscall6(__NR_mmap, 0, (long)(pages * PAGE_SIZE), prot, kind, mem, (long)at);
}

static long advise(char *p, int advice)
{
	return syscall3(__NR_madvise, p, PAGE_SIZE, advice);
}

static long copy_out(const char *p)
{
	int pipe[2];
	long n;

	syscall2(__NR_pipe2, pipe, 0);
	n = syscall3(__NR_write, pipe[1], p, 1);
	syscall1(__NR_close, pipe[0]);
	syscall1(__NR_close, pipe[1]);
	return n;
}

static void vm_flags(const char *p)
{
	slurp("/proc/self/smaps");
	for (const char *line = text, *at = NULL; *line != 0;) {
		const char *s = line, *end = line;

		if (hex(&s) == (uintptr_t)p && *s == '-')
			at = line;
		while (*end != '\n')
			end++;
		if (at != NULL && (starts_with(line, "VmFlags:") || starts_with(line, "Rss:")))
			syscall3(__NR_write, 1, line, end + 1 - line);
		if (at != NULL && starts_with(line, "VmFlags:"))
			return;
		line = end + 1;
	}
}

static void file(void)
{
	char bytes[8] = { 0 };

	print("lseek: %d, from here %d, from the end %d\n", syscall3(__NR_lseek, mem, phys, 0) == (long)phys,
	      syscall3(__NR_lseek, mem, 8, 1) == (long)phys + 8, syscall3(__NR_lseek, mem, 0, 2));
	print("read: %d", syscall3(__NR_read, mem, bytes, 8));
	print(" %s\n", bytes);
	print("write: %d", syscall4(__NR_pwrite64, mem, "by hand", 8, phys));
	print(" %s\n", own);
	print("where there is no RAM: %d, %d\n", syscall4(__NR_pread64, mem, bytes, 8, 0), syscall4(__NR_pwrite64, mem, bytes, 8, 0));
}

static void mapped(char *p)
{
	print("maps the page: %s\n", p);
	vm_flags(p);
	memcpy(p + 64, "written there", 14);
	print("and writes it: %s\n", own + 64);
	print("pagemap: %s", pagemap_text(p));
	print(", the frame %d\n", (pagemap_entry(p) & ((1ul << 55) - 1)) == phys / PAGE_SIZE);
	print("DONTNEED: %d, DONTNEED_LOCKED: %d, FREE: %d\n", advise(p, 4), advise(p, 24), advise(p, 8));
	print("COLD: %d, PAGEOUT: %d, WIPEONFORK: %d\n", advise(p, 20), advise(p, 21), advise(p, 18));
	print("POPULATE_READ: %d, WRITE: %d, COLLAPSE: %d\n", advise(p, 22), advise(p, 23), advise(p, 25));
	print("mlock: %d, VmLck %u\n", syscall2(__NR_mlock, p, PAGE_SIZE), number_in("/proc/self/status", "VmLck:"));
	print("copied by the kernel: %d\n", copy_out(p));
	print("grow: %d", syscall5(__NR_mremap, p, PAGE_SIZE, 2 * PAGE_SIZE, MREMAP_MAYMOVE, 0));
	print(", leave: %d\n", syscall5(__NR_mremap, p, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | DONTUNMAP, 0));
	print("read only: %d", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_READ));
	print(", and back: %d\n", syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_RW));
	memcpy(p + 64, "and again", 10);
	print("%s\n", own + 64);
}

static void moved(char *p)
{
	char *to = room(1);
	int status = 0;
	long pid;

	print("move: %d", syscall5(__NR_mremap, p, PAGE_SIZE, PAGE_SIZE, MREMAP_MAYMOVE | MREMAP_FIXED, to) == (long)to);
	print(" %s\n", to);
	pid = syscall5(__NR_clone, 17, 0, 0, 0, 0);
	if (pid == 0) {
		print("a child reads %s\n", to);
		memcpy(to, "child", 6);
		syscall1(__NR_exit_group, 0);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	print("and writes %s\n", own);
	print("unmap: %d, still %s\n", syscall2(__NR_munmap, to, PAGE_SIZE), own);
}

static void private(char *p)
{
	print("private: %s", p);
	p[0] = 'C';
	print(", a copy %s, and still %s\n", p, own);
	print("DONTNEED: %d, beyond the copy %d\n", advise(p, 4), p[0]);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	mem = sys_open("/dev/mem", O_RDWR);
	if (mem < 0)
		fail("/dev/mem", mem);
	own = map_at(room(1), 1, PROT_RW);
	memcpy(own, "my own page", 12);
	phys = (pagemap_entry(own) & ((1ul << 55) - 1)) * PAGE_SIZE;
	memcpy(own + 8, "age", 4);
	file();
	mapped(map_mem(phys, 1, PROT_RW, MAP_SHARED));
	moved(map_mem(phys, 1, PROT_RW, MAP_SHARED));
	private(map_mem(phys, 1, PROT_RW, MAP_PRIVATE));
	print("where there is no RAM: %d\n", copy_out(map_mem(0, 1, PROT_READ, MAP_SHARED)));
	return 0;
}
