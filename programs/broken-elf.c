/*
 * broken-elf: what execve says of executables that are not right, and of interpreters (PT_INTERP) that are
 * not there, not allowed, or none. Changes copies of its own file. Prints the same on any 64-bit Linux where
 * /tmp can be written.
 */
#include "process.h"
#include <elf.h>

#define O_WRONLY 1
#define O_CREAT 0100
#define O_TRUNC 01000
#define DIR "/tmp/faultline-broken-elf"
#define COPY DIR "/copy"
#define LINKER DIR "/linker"

static char image[64 * 1024] __attribute__((aligned(8)));
static char original[sizeof(image)] __attribute__((aligned(8)));
static long size;
static char *no_env[] = { NULL };

static Elf64_Ehdr *header(void)
{
	return (Elf64_Ehdr *)image;
}

static Elf64_Phdr *program_header(int i)
{
	return (Elf64_Phdr *)(image + header()->e_phoff) + i;
}

/* The program header of a type, the nth of them. */
static Elf64_Phdr *of_type(unsigned type, int nth)
{
	for (int i = 0; i < header()->e_phnum; i++)
		if (program_header(i)->p_type == type && nth-- == 0)
			return program_header(i);
	fail("program header", -2);
}

static Elf64_Phdr *text(void)
{
	for (int i = 0;; i++)
		if ((of_type(PT_LOAD, i)->p_flags & PF_X) != 0)
			return of_type(PT_LOAD, i);
}

static void store(const char *path, const char *bytes, long length, int mode)
{
	long fd = syscall4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CREAT | O_TRUNC, 0600);

	syscall3(__NR_write, fd, bytes, length);
	syscall2(__NR_fchmod, fd, mode);
	syscall1(__NR_close, fd);
}

/* Runs what is in `image`, cut to a length; prints what execve said, or how the program ended. */
static void run_cut(const char *what, long length)
{
	int told[2];
	long said = 0;

	store(COPY, image, length, 0700);
	syscall2(__NR_pipe2, told, 02000000);
	long pid = fork_();

	if (pid == 0) {
		char *argv[] = { COPY, "run", NULL };

		said = syscall3(__NR_execve, COPY, argv, no_env);
		syscall3(__NR_write, told[1], &said, sizeof(said));
		exit_group(1);
	}
	syscall1(__NR_close, told[1]);
	syscall3(__NR_read, told[0], &said, sizeof(said));
	syscall1(__NR_close, told[0]);
	long status = wait_(pid);

	if (said != 0)
		print("%s: refused %d\n", what, said);
	else
		print("%s: status %d\n", what, status);
	memcpy(image, original, sizeof(image));
}

static void run(const char *what)
{
	run_cut(what, size);
}

/* Gives the program an interpreter: the bytes of PT_INTERP, which stand behind all else of the file. */
static void run_with_interpreter(const char *what, const char *path, long length)
{
	Elf64_Phdr *interpreter = of_type(PT_GNU_STACK, 0);

	interpreter->p_type = PT_INTERP;
	interpreter->p_offset = size;
	interpreter->p_filesz = length;
	memcpy(image + size, path, length);
	run_cut(what, size + length);
}

static char path[5000];

int main(int argc, char **argv, char **envp)
{
	(void)argv;
	(void)envp;
	if (argc > 1)
		return 7;
	int fd = sys_open("/proc/self/exe", O_RDONLY);

	size = syscall3(__NR_read, fd, original, sizeof(original) - sizeof(path));
	memcpy(image, original, sizeof(image));
	syscall3(__NR_mkdirat, AT_FDCWD, DIR, 0700);

	run("as it is");
	run_cut("nothing", 0);
	run_cut("ends in the header", 40);
	run_cut("ends in the program headers", 100);
	image[0] = 1;
	run("another magic");
	header()->e_type = ET_REL;
	run("an object file");
	header()->e_type = ET_CORE;
	run("a core dump");
	header()->e_machine = EM_SPARC;
	run("another machine");
	header()->e_phnum = 0;
	run("no program headers");
	header()->e_phnum = 1171;
	run("too many program headers");
	header()->e_phentsize = 32;
	run("program headers of another size");
	header()->e_phoff = 1 << 20;
	run("program headers behind the end");
	header()->e_phoff = -64;
	run("program headers before the beginning");
	header()->e_version = 9;
	header()->e_ehsize = 1;
	run("another version");

	/* What is found when there is no way back. */
	text()->p_filesz = text()->p_memsz + 1;
	run("more in the file than in memory");
	text()->p_vaddr += 8;
	run("an address that does not fit the offset");
	text()->p_offset = 1 << 20;
	run("text behind the end of the file");
	text()->p_memsz = 1ul << 62;
	run("text without end");
	text()->p_vaddr = 1ul << 62;
	run("text at an address of the kernel's");
	text()->p_flags = PF_R;
	run("text that is not executable");
	text()->p_flags = PF_R | PF_W | PF_X;
	run("text that is writable");
	text()->p_align = 3;
	run("an odd alignment");
	header()->e_entry = 0;
	run("an entry at 0");
	header()->e_entry = 1ul << 62;
	run("an entry in the kernel");
	for (int i = 0; i < header()->e_phnum; i++)
		program_header(i)->p_type = PT_NULL;
	run("nothing to load");
	for (int i = 0; i < header()->e_phnum; i++)
		program_header(i)->p_type = PT_NULL;
	header()->e_type = ET_DYN;
	run("nothing to load anywhere");

	run_with_interpreter("no interpreter of the name", "/nowhere", 9);
	run_with_interpreter("an empty name", "\0", 2);
	run_with_interpreter("a name of a byte", "", 1);
	run_with_interpreter("a name without an end", "/nowhere", 8);
	memset(path, '/', sizeof(path));
	path[4095] = 0;
	run_with_interpreter("a long name", path, 4096);
	path[4095] = '/';
	path[4096] = 0;
	run_with_interpreter("too long a name", path, 4097);
	of_type(PT_GNU_STACK, 0)->p_filesz = 16;
	of_type(PT_GNU_STACK, 0)->p_offset = 1 << 20;
	of_type(PT_GNU_STACK, 0)->p_type = PT_INTERP;
	run("a name behind the end");
	run_with_interpreter("a directory", DIR, sizeof(DIR));
	run_with_interpreter("a device", "/dev/null", 10);
	store(LINKER, original, size, 0600);
	run_with_interpreter("one that is not executable", LINKER, sizeof(LINKER));
	store(LINKER, "\177ELF", 4, 0700);
	run_with_interpreter("one that is cut short", LINKER, sizeof(LINKER));
	store(LINKER, path, 200, 0700);
	run_with_interpreter("one that is no ELF file", LINKER, sizeof(LINKER));
	store(LINKER, "#!/bin/sh\n# a script of more than sixty-four bytes, which is no interpreter\n", 76, 0700);
	run_with_interpreter("one that is a script", LINKER, sizeof(LINKER));
	store(LINKER, original, 64, 0700);
	run_with_interpreter("one without its program headers", LINKER, sizeof(LINKER));
	header()->e_type = ET_REL;
	store(LINKER, image, size, 0700);
	header()->e_type = ET_EXEC;
	run_with_interpreter("one that is an object file", LINKER, sizeof(LINKER));
	header()->e_machine = EM_SPARC;
	store(LINKER, image, size, 0700);
	memcpy(image, original, sizeof(image));
	run_with_interpreter("one of another machine", LINKER, sizeof(LINKER));
	fd = (int)syscall4(__NR_openat, AT_FDCWD, LINKER, O_WRONLY, 0);
	run_with_interpreter("one that is open for writing", LINKER, sizeof(LINKER));
	syscall1(__NR_close, fd);
	store(LINKER, original, size, 0700);
	run_with_interpreter("a program as interpreter", LINKER, sizeof(LINKER));
	run_with_interpreter("a name with more behind its end", LINKER "\0more", sizeof(LINKER) + 4);

	syscall3(__NR_unlinkat, AT_FDCWD, COPY, 0);
	syscall3(__NR_unlinkat, AT_FDCWD, LINKER, 0);
	syscall3(__NR_unlinkat, AT_FDCWD, DIR, 0x200);
	return 0;
}
