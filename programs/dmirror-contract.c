/*
 * dmirror-contract: asks the test driver everything that can be asked without its own memory, and
 * prints what it answers, a line for each question. Compare with what real kernels print.
 */
#include "dmirror.h"
#include "process.h"

#define PROT_RW (PROT_READ | PROT_WRITE)
#define SEEK_SET 0

static int fd;
static char *mirror;

static long command(unsigned long nr, uint64_t addr, uint64_t ptr, uint64_t npages, long *cpages, long *faults)
{
	struct hmm_dmirror_cmd cmd = {
		.addr = addr, .ptr = ptr, .npages = npages, .cpages = 99, .faults = 99,
	};
	long error = syscall3(__NR_ioctl, fd, nr, &cmd);

	*cpages = (long)cmd.cpages;
	*faults = (long)cmd.faults;
	return error;
}

/* One line: what was asked, the errno or 0, and what came back in the command. */
static void ask_raw(const char *what, unsigned long nr, uint64_t addr, uint64_t ptr, uint64_t npages)
{
	long cpages, faults;
	long error = command(nr, addr, ptr, npages, &cpages, &faults);

	print("%s: %d cpages %d faults %d\n", what, error, cpages, faults);
}

static void ask(const char *what, unsigned long nr, void *addr, size_t npages)
{
	ask_raw(what, nr, (uintptr_t)addr, (uintptr_t)mirror, npages);
}

static void snapshot(const char *what, void *addr, size_t npages)
{
	static const char digits[] = "0123456789abcdef";
	char text[4] = { ' ', 0, 0, 0 };
	long cpages, faults;
	long error = command(HMM_DMIRROR_SNAPSHOT, (uintptr_t)addr, (uintptr_t)mirror, npages, &cpages, &faults);

	print("%s: %d cpages %d:", what, error, cpages);
	for (size_t i = 0; i < npages; i++) {
		unsigned char byte = (unsigned char)mirror[i];

		text[1] = digits[byte >> 4];
		text[2] = digits[byte & 15];
		print("%s", text);
	}
	print("\n");
}

static void protect(void *addr, size_t npages, int prot)
{
	long error = syscall3(__NR_mprotect, addr, npages * PAGE_SIZE, prot);

	if (error < 0)
		fail("mprotect", error);
}

static void faults_of_reads_and_writes(void)
{
	char *a = map_anonymous(8 * PAGE_SIZE);

	ask("READ of untouched pages", HMM_DMIRROR_READ, a, 8);
	snapshot("snapshot after it", a, 8);
	ask("READ again", HMM_DMIRROR_READ, a, 8);
	ask("WRITE after READ", HMM_DMIRROR_WRITE, a, 8);
	ask("WRITE again", HMM_DMIRROR_WRITE, a, 8);
	ask("READ after WRITE", HMM_DMIRROR_READ, a, 8);
	snapshot("snapshot after WRITE", a, 8);
}

static void permissions(void)
{
	char *a = map_anonymous(8 * PAGE_SIZE);

	for (int i = 0; i < 8; i++)
		a[i * PAGE_SIZE] = (char)i;
	protect(a + 2 * PAGE_SIZE, 1, PROT_READ);
	protect(a + 4 * PAGE_SIZE, 1, PROT_NONE);
	protect(a + 5 * PAGE_SIZE, 1, PROT_WRITE);
	syscall3(__NR_munmap, a + 6 * PAGE_SIZE, PAGE_SIZE, 0);
	snapshot("rw rw ro rw none wo hole rw", a, 8);
	ask("READ of rw", HMM_DMIRROR_READ, a, 2);
	ask("READ of ro", HMM_DMIRROR_READ, a + 2 * PAGE_SIZE, 1);
	ask("WRITE with ro in the middle", HMM_DMIRROR_WRITE, a + PAGE_SIZE, 3);
	ask("READ of none", HMM_DMIRROR_READ, a + 3 * PAGE_SIZE, 2);
	ask("WRITE of none", HMM_DMIRROR_WRITE, a + 4 * PAGE_SIZE, 1);
	ask("READ of write-only", HMM_DMIRROR_READ, a + 5 * PAGE_SIZE, 1);
	ask("WRITE of write-only", HMM_DMIRROR_WRITE, a + 5 * PAGE_SIZE, 1);
	ask("READ of a hole", HMM_DMIRROR_READ, a + 6 * PAGE_SIZE, 1);
	ask("WRITE of a hole", HMM_DMIRROR_WRITE, a + 6 * PAGE_SIZE, 1);
	ask("EXCLUSIVE of ro", HMM_DMIRROR_EXCLUSIVE, a + 2 * PAGE_SIZE, 1);
	ask("EXCLUSIVE of none", HMM_DMIRROR_EXCLUSIVE, a + 4 * PAGE_SIZE, 1);
	ask("EXCLUSIVE of a hole", HMM_DMIRROR_EXCLUSIVE, a + 6 * PAGE_SIZE, 1);
}

static void arguments(void)
{
	char *a = map_anonymous(2 * PAGE_SIZE);
	uintptr_t addr = (uintptr_t)a;
	uintptr_t ptr = (uintptr_t)mirror;

	ask_raw("READ of no page", HMM_DMIRROR_READ, addr, ptr, 0);
	ask_raw("SNAPSHOT of no page", HMM_DMIRROR_SNAPSHOT, addr, ptr, 0);
	ask_raw("EXCLUSIVE of no page", HMM_DMIRROR_EXCLUSIVE, addr, ptr, 0);
	ask_raw("READ of an unaligned address", HMM_DMIRROR_READ, addr + 8, ptr, 1);
	ask_raw("READ that wraps around", HMM_DMIRROR_READ, addr, ptr, ~0ul >> 12);
	ask_raw("READ to an unaligned buffer", HMM_DMIRROR_READ, addr, ptr + 3, 1);
	ask_raw("READ to a bad buffer", HMM_DMIRROR_READ, addr, 8, 1);
	ask_raw("WRITE from a bad buffer", HMM_DMIRROR_WRITE, addr, 8, 1);
	ask_raw("SNAPSHOT to a bad buffer", HMM_DMIRROR_SNAPSHOT, addr, 8, 1);
	ask_raw("READ of address 0", HMM_DMIRROR_READ, 0, ptr, 1);
	ask_raw("READ of a kernel address", HMM_DMIRROR_READ, 0xffffffff80000000ul, ptr, 1);
	ask_raw("an unknown number", _IOWR('H', 0x3f, struct hmm_dmirror_cmd), addr, ptr, 1);
	ask_raw("an unknown type", _IOWR('Z', 0, struct hmm_dmirror_cmd), addr, ptr, 1);
	print("no argument: %d\n", syscall3(__NR_ioctl, fd, HMM_DMIRROR_READ, 0));
	print("read: %d\n", syscall3(__NR_read, fd, mirror, 1));
	print("write: %d\n", syscall3(__NR_write, fd, mirror, 1));
	print("lseek: %d\n", syscall3(__NR_lseek, fd, 0, SEEK_SET));
}

static void exclusive(void)
{
	char *a = map_anonymous(8 * PAGE_SIZE);
	int other = sys_open("/dev/hmm_dmirror0", O_RDWR);
	int mine = fd;

	for (int i = 0; i < 4; i++)
		a[i * PAGE_SIZE] = (char)(i + 1);
	ask("EXCLUSIVE, half of it untouched", HMM_DMIRROR_EXCLUSIVE, a, 8);
	print("the copy: %d %d %d\n", mirror[0], mirror[3 * PAGE_SIZE], mirror[4 * PAGE_SIZE]);
	snapshot("snapshot of exclusive pages", a, 8);
	ask("CHECK_EXCLUSIVE", HMM_DMIRROR_CHECK_EXCLUSIVE, a, 8);
	fd = other;
	snapshot("snapshot from another device", a, 8);
	ask("CHECK_EXCLUSIVE by another device", HMM_DMIRROR_CHECK_EXCLUSIVE, a, 8);
	fd = mine;
	ask("EXCLUSIVE again", HMM_DMIRROR_EXCLUSIVE, a, 8);
	ask("READ keeps it", HMM_DMIRROR_READ, a, 8);
	ask("CHECK_EXCLUSIVE", HMM_DMIRROR_CHECK_EXCLUSIVE, a, 8);
	a[PAGE_SIZE]++;
	snapshot("one page taken back by the CPU", a, 8);
	ask("WRITE gives it up", HMM_DMIRROR_WRITE, a, 8);
	ask("CHECK_EXCLUSIVE", HMM_DMIRROR_CHECK_EXCLUSIVE, a, 8);
	snapshot("snapshot after WRITE", a, 8);
	ask("EXCLUSIVE", HMM_DMIRROR_EXCLUSIVE, a, 8);
	fd = other;
	ask("READ by another device", HMM_DMIRROR_READ, a, 4);
	fd = mine;
	snapshot("snapshot", a, 8);
	protect(a, 8, PROT_READ);
	ask("WRITE after mprotect", HMM_DMIRROR_WRITE, a, 8);
	protect(a, 8, PROT_RW);
	a[0] = 1;
	print("close: %d\n", syscall3(__NR_close, other, 0, 0));
}

/* A child's child asks by a descriptor for whose address space nobody is left. */
static void address_space_is_gone(void)
{
	int end[2];
	long child;
	char c;

	syscall2(__NR_pipe2, end, 0);
	child = fork_();
	if (child == 0) {
		fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
		if (fork_() == 0) {
			while (syscall0(__NR_getppid) != 1)
				sleep_ms(1);
			ask("READ for who is gone", HMM_DMIRROR_READ, mirror, 1);
			ask("WRITE for who is gone", HMM_DMIRROR_WRITE, mirror, 1);
			ask("EXCLUSIVE for who is gone", HMM_DMIRROR_EXCLUSIVE, mirror, 1);
			snapshot("SNAPSHOT for who is gone", mirror, 1);
		}
		exit_group(0);
	}
	wait_(child);
	syscall1(__NR_close, end[1]);
	syscall3(__NR_read, end[0], &c, 1);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	(void)envp;
	fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
	if (fd < 0)
		fail("open /dev/hmm_dmirror1", fd);
	mirror = map_anonymous(16 * PAGE_SIZE);
	mirror[0] = 0;
	faults_of_reads_and_writes();
	permissions();
	arguments();
	exclusive();
	address_space_is_gone();
	print("close: %d\n", syscall3(__NR_close, fd, 0, 0));
	return 0;
}
