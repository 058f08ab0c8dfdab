/*
 * mounts: file systems by fsopen() and what follows it. Prints the same on any Linux, run as root.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define PLACE "/tmp/faultline-mounts"
#define O_CREAT 0100
#define O_PATH 010000000
#define SET_FLAG 0
#define SET_STRING 1
#define SET_BINARY 2
#define SET_PATH 3
#define SET_FD 5
#define CREATE 6
#define RECONFIGURE 7
#define EMPTY_PATH 4

static long config(long fd, int command, const char *key, const char *value, int aux)
{
	return syscall5(__NR_fsconfig, fd, command, key, value, aux);
}

static long move(long fd, const char *to, int flags)
{
	return syscall5(__NR_move_mount, fd, "", AT_FDCWD, to, flags);
}

/* The line of /proc/mounts about a place. */
static void show_mount(const char *place)
{
	static char text[1 << 15];
	int fd = sys_open("/proc/mounts", O_RDONLY);
	long n = 0, got;
	size_t k = string_length(place);

	while ((got = syscall3(__NR_read, fd, text + n, sizeof(text) - (size_t)n)) > 0)
		n += got;
	syscall1(__NR_close, fd);
	for (long i = 0; i < n;) {
		long end = i;
		int found = 0;

		while (end < n && text[end] != '\n')
			end++;
		for (long j = i; j + (long)k <= end; j++) {
			size_t same = 0;

			while (same < k && text[j + (long)same] == place[same])
				same++;
			found |= same == k;
		}
		if (found)
			syscall3(__NR_write, 1, text + i, end + 1 - i);
		i = end + 1;
	}
}

int main(int argc, char **argv, char **envp)
{
	long fd, mount, file, other;

	(void)argc, (void)argv, (void)envp;
	syscall3(__NR_mkdirat, AT_FDCWD, PLACE, 0755);
	SHOW("no such type", syscall2(__NR_fsopen, "nope", 0));
	SHOW("unknown flags", syscall2(__NR_fsopen, "tmpfs", 2));
	SHOW("bad memory", syscall2(__NR_fsopen, 8, 0));
	fd = syscall2(__NR_fsopen, "tmpfs", 1);
	SHOW("closed with execve", syscall3(__NR_fcntl, fd, 1, 0));
	SHOW("flags", syscall3(__NR_fcntl, fd, 3, 0));
	SHOW("no key", config(fd, SET_FLAG, 0, 0, 0));
	SHOW("a flag with a value", config(fd, SET_FLAG, "noswap", "x", 0));
	SHOW("text with more", config(fd, SET_STRING, "size", "1m", 1));
	SHOW("text without a value", config(fd, SET_STRING, "size", 0, 0));
	SHOW("size", config(fd, SET_STRING, "size", "1m", 0));
	SHOW("no size", config(fd, SET_STRING, "size", "zzz", 0));
	SHOW("mode", config(fd, SET_STRING, "mode", "0700", 0));
	SHOW("owner", config(fd, SET_STRING, "uid", "1000", 0));
	SHOW("unknown", config(fd, SET_STRING, "nope", "1", 0));
	SHOW("unknown", config(fd, SET_FLAG, "nope", 0, 0));
	SHOW("no flag", config(fd, SET_FLAG, "size", 0, 0));
	SHOW("bytes", config(fd, SET_BINARY, "size", "ab", 2));
	SHOW("a path", config(fd, SET_PATH, "size", "/tmp", AT_FDCWD));
	SHOW("a descriptor", config(fd, SET_FD, "size", 0, 0));
	SHOW("source", config(fd, SET_STRING, "source", "from", 0));
	SHOW("source, twice", config(fd, SET_STRING, "source", "elsewhere", 0));
	SHOW("no such command", config(fd, 99, 0, 0, 0));
	SHOW("no descriptor", config(99, CREATE, 0, 0, 0));
	SHOW("a negative descriptor", config(-1, CREATE, 0, 0, 0));
	SHOW("another file", config(0, CREATE, 0, 0, 0));
	SHOW("with a key", config(fd, CREATE, "x", 0, 0));
	SHOW("too early", config(fd, RECONFIGURE, 0, 0, 0));
	SHOW("not made", syscall3(__NR_fsmount, fd, 0, 0));
	SHOW("made", config(fd, CREATE, 0, 0, 0));
	SHOW("made twice", config(fd, CREATE, 0, 0, 0));
	SHOW("too late", config(fd, SET_STRING, "size", "1m", 0));
	SHOW("unknown flags", syscall3(__NR_fsmount, fd, 2, 0));
	SHOW("unknown attributes", syscall3(__NR_fsmount, fd, 0, 0x100));
	SHOW("another file", syscall3(__NR_fsmount, 0, 0, 0));
	SHOW("no descriptor", syscall3(__NR_fsmount, 99, 0, 0));
	mount = syscall3(__NR_fsmount, fd, 1, 2 | 8);
	SHOW("closed with execve", syscall3(__NR_fcntl, mount, 1, 0));
	SHOW("only a path", syscall3(__NR_fcntl, mount, 3, 0) == O_PATH);
	SHOW("mounted twice", syscall3(__NR_fsmount, fd, 1, 0));
	file = syscall4(__NR_openat, mount, "file", O_RDWR | O_CREAT, 0644);
	SHOW("a file", file > 0);
	SHOW("written", syscall3(__NR_write, file, "x", 1));
	SHOW("nowhere", move(mount, PLACE "/missing", EMPTY_PATH));
	SHOW("no path", move(mount, PLACE, 0));
	SHOW("unknown flags", move(mount, PLACE, 0x10000));
	SHOW("no mount", move(fd, PLACE, EMPTY_PATH));
	SHOW("attached", move(mount, PLACE, EMPTY_PATH));
	SHOW("the file", syscall3(__NR_faccessat, AT_FDCWD, PLACE "/file", 0));
	show_mount(PLACE);
	SHOW("attached again", move(mount, PLACE, EMPTY_PATH));
	SHOW("busy", syscall2(__NR_umount2, PLACE, 0));
	SHOW("gone", syscall2(__NR_umount2, PLACE, 2));
	SHOW("not there", syscall3(__NR_faccessat, AT_FDCWD, PLACE "/file", 0));

	other = syscall2(__NR_fsopen, "tmpfs", 0);
	SHOW("without anything", config(other, CREATE, 0, 0, 0));
	syscall3(__NR_setresuid, 1000, 1000, 1000);
	SHOW("not root", syscall2(__NR_fsopen, "tmpfs", 0));
	SHOW("not root", syscall3(__NR_fsmount, other, 0, 0));
	SHOW("not root", move(mount, PLACE, EMPTY_PATH));
	SHOW("not root", syscall5(__NR_mount, "none", PLACE, "tmpfs", 0, 0));
	SHOW("not root", syscall2(__NR_umount2, PLACE, 0));
	syscall3(__NR_setresuid, 0, 0, 0);
	return 0;
}
