/*
 * xattr: extended attributes of what is in a tmpfs, and who may have them. Prints the same on any Linux where
 * a tmpfs is mounted at /tmp.
 */
#include "process.h"

#define O_WRONLY 1
#define O_CREAT 0100
#define O_PATH 010000000
#define CREATE 1
#define REPLACE 2
#define DIR "/tmp/faultline-xattr"
#define FILE DIR "/file"
#define NOBODY 65534
#define SHOW(what, call) print("%s: %d\n", what, (long)(call))

static char buffer[70000];
static char large[70000];

static long set(const char *path, const char *name, const char *value, int flags)
{
	return syscall5(__NR_setxattr, path, name, value, string_length(value), flags);
}

static void show(const char *what, const char *path, const char *name)
{
	memset(buffer, 0, 64);
	long n = syscall4(__NR_getxattr, path, name, buffer, 64);

	print("%s: %d %s\n", what, n, n > 0 ? buffer : "");
}

static void list(const char *what, const char *path)
{
	long n = syscall3(__NR_llistxattr, path, buffer, sizeof(buffer));

	print("%s: %d", what, n);
	for (long i = 0; i < n; i += string_length(buffer + i) + 1)
		print(" %s", buffer + i);
	print("\n");
}

static void names(void)
{
	SHOW("set", set(FILE, "user.b", "first", 0));
	SHOW("set", set(FILE, "user.b", "second", 0));
	show("get", FILE, "user.b");
	SHOW("create again", set(FILE, "user.b", "x", CREATE));
	SHOW("replace", set(FILE, "user.b", "third", REPLACE));
	SHOW("replace what is not there", set(FILE, "user.c", "x", REPLACE));
	SHOW("create", set(FILE, "user.c", "", CREATE));
	SHOW("create and replace", set(FILE, "user.c", "x", CREATE | REPLACE));
	SHOW("create and replace nothing", set(FILE, "user.d", "x", CREATE | REPLACE));
	SHOW("unknown flags", set(FILE, "user.c", "x", 4));
	show("empty", FILE, "user.c");
	show("not there", FILE, "user.no");
	SHOW("trusted", set(FILE, "trusted.a", "t", 0));
	SHOW("security", set(FILE, "security.a", "s", 0));
	SHOW("no namespace", set(FILE, "a", "x", 0));
	SHOW("unknown namespace", set(FILE, "other.a", "x", 0));
	SHOW("a namespace alone", set(FILE, "user.", "x", 0));
	SHOW("no name", set(FILE, "", "x", 0));
	show("unknown namespace", FILE, "other.a");
	show("a namespace alone", FILE, "user.");
	list("all", FILE);
	SHOW("how long the list is", syscall3(__NR_listxattr, FILE, 0, 0));
	SHOW("a list too short", syscall3(__NR_listxattr, FILE, buffer, 3));
	SHOW("a list nowhere", syscall3(__NR_listxattr, FILE, 8, 100));
	SHOW("how long it is", syscall4(__NR_getxattr, FILE, "user.b", 0, 0));
	SHOW("too short", syscall4(__NR_getxattr, FILE, "user.b", buffer, 3));
	SHOW("just so", syscall4(__NR_getxattr, FILE, "user.b", buffer, 5));
	SHOW("nowhere", syscall4(__NR_getxattr, FILE, "user.b", 8, 5));
	SHOW("longer than any", syscall4(__NR_getxattr, FILE, "user.b", buffer, -1l));
	memset(large, 'n', 256);
	memcpy(large, "user.", 5);
	SHOW("a name of 256", set(FILE, large, "x", 0));
	large[255] = 0;
	SHOW("a name of 255", set(FILE, large, "x", 0));
	SHOW("removed", syscall2(__NR_removexattr, FILE, large));
	SHOW("64 KiB", syscall5(__NR_setxattr, FILE, "user.large", large, 65536, 0));
	SHOW("how long it is", syscall4(__NR_getxattr, FILE, "user.large", buffer, sizeof(buffer)));
	SHOW("more", syscall5(__NR_setxattr, FILE, "user.large", large, 65537, 0));
	SHOW("removed", syscall2(__NR_removexattr, FILE, "user.large"));
	SHOW("removed again", syscall2(__NR_removexattr, FILE, "user.large"));
	SHOW("a value nowhere", syscall5(__NR_setxattr, FILE, "user.x", 8, 5, 0));
	SHOW("a name nowhere", syscall5(__NR_setxattr, FILE, 8, "x", 1, 0));
	SHOW("no file", set(DIR "/no", "user.x", "x", 0));
}

static void kinds(void)
{
	static const char *const each[] = { DIR, DIR "/fifo", DIR "/socket", DIR "/link", DIR "/other" };
	static const char *const namespaces[] = { "user.k", "trusted.k", "security.k" };

	syscall4(__NR_mknodat, AT_FDCWD, DIR "/fifo", 0010600, 0);
	syscall4(__NR_mknodat, AT_FDCWD, DIR "/socket", 0140600, 0);
	syscall3(__NR_symlinkat, "file", AT_FDCWD, DIR "/link");
	syscall5(__NR_linkat, AT_FDCWD, FILE, AT_FDCWD, DIR "/other", 0);
	for (int i = 0; i < 5; i++) {
		print("%s:", each[i]);
		for (int k = 0; k < 3; k++) {
			print(" %d", syscall5(__NR_lsetxattr, each[i], namespaces[k], "v", 1, 0));
			print(" %d", syscall4(__NR_lgetxattr, each[i], namespaces[k], buffer, 8));
		}
		list("", each[i]);
		for (int k = 0; k < 3; k++)
			print(" %d", syscall2(__NR_lremovexattr, each[i], namespaces[k]));
		print("\n");
	}
	show("by a link", DIR "/link", "user.b");
	list("the link", DIR "/link");
	int fd = sys_open(FILE, O_RDONLY), path = sys_open(FILE, O_PATH);

	SHOW("by a descriptor that reads", syscall5(__NR_fsetxattr, fd, "user.f", "f", 1, 0));
	SHOW("get", syscall4(__NR_fgetxattr, fd, "user.f", buffer, 8));
	SHOW("list", syscall3(__NR_flistxattr, fd, buffer, 100));
	SHOW("remove", syscall2(__NR_fremovexattr, fd, "user.f"));
	SHOW("by O_PATH", syscall4(__NR_fgetxattr, path, "user.b", buffer, 8));
	SHOW("by nothing", syscall4(__NR_fgetxattr, 77, "user.b", buffer, 8));
	long memfd = syscall2(__NR_memfd_create, "m", 0);

	SHOW("of a memfd", syscall5(__NR_fsetxattr, memfd, "user.m", "f", 1, 0));
	SHOW("get", syscall4(__NR_fgetxattr, memfd, "user.m", buffer, 8));
	SHOW("of /proc", set("/proc/self/stat", "user.x", "x", 0));
	SHOW("of a pipe", syscall4(__NR_getxattr, "/proc/self/fd/0", "trusted.x", buffer, 8) < 0);
	list("of /proc", "/proc/self");
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/fifo", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/socket", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/link", 0));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/other", 0));
}

static void others(void)
{
	syscall3(__NR_setresuid, NOBODY, NOBODY, NOBODY);
	show("another's", FILE, "user.b");
	SHOW("another's to set", set(FILE, "user.b", "x", 0));
	SHOW("another's to remove", syscall2(__NR_removexattr, FILE, "user.b"));
	show("trusted", FILE, "trusted.a");
	SHOW("trusted to set", set(FILE, "trusted.a", "x", 0));
	show("security", FILE, "security.a");
	SHOW("security to set", set(FILE, "security.a", "x", 0));
	list("what is seen", FILE);
	SHOW("in a directory where names are their owners'", set(DIR, "user.d", "x", 0));
	syscall4(__NR_fchmodat, AT_FDCWD, FILE, 0, 0);
	exit_group(0);
}

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	syscall1(__NR_umask, 0);
	syscall3(__NR_mkdirat, AT_FDCWD, DIR, 0755);
	syscall4(__NR_fchmodat, AT_FDCWD, DIR, 01777, 0);
	syscall1(__NR_close, syscall4(__NR_openat, AT_FDCWD, FILE, O_WRONLY | O_CREAT, 0644));
	names();
	kinds();
	long pid = fork_();

	if (pid == 0)
		others();
	wait_(pid);
	SHOW("not to be read", syscall4(__NR_fchmodat, AT_FDCWD, FILE, 0600, 0));
	pid = fork_();
	if (pid == 0) {
		syscall3(__NR_setresuid, NOBODY, NOBODY, NOBODY);
		show("another's", FILE, "user.b");
		list("another's", FILE);
		exit_group(0);
	}
	wait_(pid);
	SHOW("rename", syscall5(__NR_renameat2, AT_FDCWD, FILE, AT_FDCWD, DIR "/renamed", 0));
	list("renamed", DIR "/renamed");
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/renamed", 0));
	syscall1(__NR_close, syscall4(__NR_openat, AT_FDCWD, DIR "/renamed", O_WRONLY | O_CREAT, 0644));
	list("a new one of the name", DIR "/renamed");
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, DIR "/renamed", 0));
	SHOW("rmdir", syscall3(__NR_unlinkat, AT_FDCWD, DIR, 0x200));
	return 0;
}
