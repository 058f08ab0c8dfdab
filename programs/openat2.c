/*
 * openat2: what struct open_how may ask for, and what a path may lead through with each RESOLVE_ flag. Prints
 * the same on any Linux where a tmpfs is mounted at /tmp, and proc at /proc.
 */
#include "start.h"
#include <linux/openat2.h>

#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_NONBLOCK 04000
#define O_DIRECTORY 0200000
#define O_NOFOLLOW 0400000
#define O_CLOEXEC 02000000
#define O_PATH 010000000
#define O_TMPFILE 020200000
#define DIR "/tmp/faultline-openat2"
#define SHOW(what, call) print("%s: %d\n", what, (long)(call))

static const char *const names[] = { "NO_XDEV", "NO_MAGICLINKS", "NO_SYMLINKS", "BENEATH", "IN_ROOT", "CACHED" };

/* 0 for what can be opened, or the errno. */
static long how(long dir, const char *path, uint64_t flags, uint64_t mode, uint64_t resolve)
{
	struct open_how h = { flags, mode, resolve };
	long fd = syscall4(__NR_openat2, dir, path, &h, sizeof(h));

	if (fd < 0)
		return fd;
	syscall1(__NR_close, fd);
	return 0;
}

/* What each flag alone says to a path. */
static void each(const char *what, long dir, const char *path, uint64_t flags)
{
	print("%s:", what);
	print(" %d", how(dir, path, flags, 0, 0));
	for (int i = 0; i < 5; i++)
		print(" %s %d", names[i], how(dir, path, flags, 0, 1u << i));
	print("\n");
}

static void make(const char *path)
{
	syscall1(__NR_close, syscall4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0644));
}

static void structs(long dir)
{
	struct {
		struct open_how h;
		uint64_t more;
	} longer = { { O_RDONLY, 0, 0 }, 0 };

	SHOW("no size", syscall4(__NR_openat2, dir, "file", &longer, 0));
	SHOW("too short", syscall4(__NR_openat2, dir, "file", &longer, 23));
	SHOW("longer, of zeros", syscall4(__NR_openat2, dir, "file", &longer, 32) >= 0);
	longer.more = 1;
	SHOW("longer", syscall4(__NR_openat2, dir, "file", &longer, 32));
	SHOW("longer than a page", syscall4(__NR_openat2, dir, "file", &longer, 4097));
	SHOW("nowhere", syscall4(__NR_openat2, dir, "file", 8, 24));
	SHOW("a path nowhere", syscall4(__NR_openat2, dir, 8, &longer, 24));
	SHOW("no descriptor", how(77, "file", O_RDONLY, 0, 0));
	SHOW("no descriptor, from the root", how(77, DIR "/file", O_RDONLY, 0, 0));
	SHOW("no descriptor as the root", how(77, DIR "/file", O_RDONLY, 0, RESOLVE_IN_ROOT));
	SHOW("no path", how(dir, "", O_RDONLY, 0, 0));

	SHOW("unknown flags", how(dir, "file", 040, 0, 0));
	SHOW("unknown flags above", how(dir, "file", 1ul << 32, 0, 0));
	SHOW("unknown resolve", how(dir, "file", O_RDONLY, 0, 0x40));
	SHOW("unknown resolve above", how(dir, "file", O_RDONLY, 0, 1ul << 40));
	SHOW("beneath and in root", how(dir, "file", O_RDONLY, 0, RESOLVE_BENEATH | RESOLVE_IN_ROOT));
	SHOW("a mode", how(dir, "file", O_RDONLY, 0600, 0));
	SHOW("a mode to make", how(dir, "made", O_RDWR | O_CREAT, 04600, 0));
	SHOW("too much of a mode", how(dir, "made", O_RDWR | O_CREAT, 0100600, 0));
	SHOW("O_PATH", how(dir, "file", O_PATH | O_CLOEXEC | O_NOFOLLOW, 0, 0));
	SHOW("O_PATH and more", how(dir, "file", O_PATH | O_NONBLOCK, 0, 0));
	SHOW("O_PATH to write", how(dir, "file", O_PATH | O_RDWR, 0, 0));
	SHOW("O_TMPFILE", how(dir, ".", O_TMPFILE | O_RDWR, 0600, 0));
	SHOW("O_TMPFILE to read", how(dir, ".", O_TMPFILE, 0600, 0));
	SHOW("half of O_TMPFILE", how(dir, ".", (O_TMPFILE & ~O_DIRECTORY) | O_RDWR, 0600, 0));
	SHOW("O_CREAT and O_DIRECTORY", how(dir, "new", O_CREAT | O_DIRECTORY, 0600, 0));
	SHOW("cached", how(dir, "file", O_RDONLY, 0, RESOLVE_CACHED));
	SHOW("cached and made", how(dir, "file", O_RDWR | O_CREAT, 0600, RESOLVE_CACHED));
	SHOW("cached and cut", how(dir, "file", O_RDWR | O_TRUNC, 0, RESOLVE_CACHED));
	SHOW("made beneath", how(dir, "sub/new", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
	SHOW("made in root", how(dir, "/sub/new2", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_IN_ROOT));
	SHOW("made above", how(dir, "../faultline-new", O_RDWR | O_CREAT | O_EXCL, 0600, RESOLVE_BENEATH));
	SHOW("made by a link", how(dir, "dangling", O_RDWR | O_CREAT, 0600, RESOLVE_NO_SYMLINKS));
	SHOW("made by a link in root", how(dir, "dangling", O_RDWR | O_CREAT, 0600, RESOLVE_IN_ROOT));
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "sub/new", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "sub/new2", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "sub/nowhere", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "made", 0));
}

int main(int argc, char **argv, char **envp)
{
	static const char *const links[][2] = {
		{ "link", "file" }, { "absolute", DIR "/file" }, { "up", "../faultline-openat2/file" }, { "sub/back", "../file" },
		{ "sub/out", "../../tmp" }, { "folder", "sub" }, { "dangling", "/sub/nowhere" }, { "root", "/" }, { "proc", "/proc/self/status" },
		{ "loop", "loop" },
	};

	(void)argc, (void)argv, (void)envp;
	syscall1(__NR_chdir, "/");
	syscall3(__NR_mkdirat, AT_FDCWD, DIR, 0755);
	syscall3(__NR_mkdirat, AT_FDCWD, DIR "/sub", 0755);
	make(DIR "/file");
	make(DIR "/sub/file");
	long dir = sys_open(DIR, O_RDONLY | O_DIRECTORY), root = sys_open("/", O_RDONLY | O_DIRECTORY);

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		syscall3(__NR_symlinkat, links[i][1], dir, links[i][0]);
	structs(dir);
	each("a file", dir, "file", O_RDONLY);
	each("a file below", dir, "sub/../sub/./file", O_RDONLY);
	each("itself", dir, ".", O_RDONLY);
	each("above", dir, "..", O_RDONLY);
	each("above and back", dir, "../faultline-openat2/file", O_RDONLY);
	each("above and above", dir, "sub/../../..", O_RDONLY);
	each("from the root", dir, DIR "/file", O_RDONLY);
	each("the root", dir, "/", O_RDONLY);
	each("a file of the directory, from the root", dir, "/file", O_RDONLY);
	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		each(links[i][0], dir, links[i][0], O_RDONLY);
	each("a link as it is", dir, "link", O_PATH | O_NOFOLLOW);
	each("a link not to be followed", dir, "link", O_RDONLY | O_NOFOLLOW);
	each("by a link to a folder", dir, "folder/file", O_RDONLY);
	each("a file as a folder", dir, "file/x", O_RDONLY);
	each("/proc", root, "proc", O_RDONLY);
	each("a file in /proc", root, "proc/version", O_RDONLY);
	each("out of /proc", sys_open("/proc", O_RDONLY), "..", O_RDONLY);
	each("within /proc", sys_open("/proc", O_RDONLY), "version", O_RDONLY);
	each("/proc/self", sys_open("/proc", O_RDONLY), "self/status", O_RDONLY);
	each("a magic link", sys_open("/proc/self", O_RDONLY), "cwd", O_RDONLY);
	each("a magic link, as it is", sys_open("/proc/self", O_RDONLY), "cwd", O_PATH | O_NOFOLLOW);
	each("through a magic link", sys_open("/proc/self", O_RDONLY), "root/tmp", O_RDONLY);
	each("the working directory", AT_FDCWD, "tmp", O_RDONLY);

	for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++)
		syscall3(__NR_unlinkat, dir, links[i][0], 0);
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "file", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, dir, "sub/file", 0));
	SHOW("rmdir", syscall3(__NR_unlinkat, dir, "sub", 0x200));
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, DIR, 0x200));
	return 0;
}
