/*
 * permissions: what files, and who they belong to, let whom do. Prints the same on any Linux, run as root
 * with a /tmp that is everybody's.
 */
#include "start.h"

#define SHOW(what, call) print("%s: %d\n", what, (long)(call))
#define HOME "/tmp/faultline-permissions"
#define O_WRONLY 1
#define O_CREAT 0100
#define O_EXCL 0200
#define O_TRUNC 01000
#define O_APPEND 02000
#define O_NOATIME 01000000
#define O_PATH 010000000
#define O_TMPFILE 020200000
#define AT_SYMLINK_NOFOLLOW 0x100
#define AT_EACCESS 0x200
#define AT_REMOVEDIR 0x200
#define AT_EMPTY_PATH 0x1000
#define USER 1000
#define OTHER 2000
#define GROUP 3000

struct stat_ {
	unsigned mode, uid, gid;
	long atime, mtime;
};

static int open_(const char *path, int flags)
{
	int fd = (int)syscall4(__NR_openat, AT_FDCWD, path, flags, 0666);

	if (fd >= 0)
		syscall1(__NR_close, fd);
	return fd < 0 ? fd : 0;
}

static void make(const char *path, int mode, int uid, int gid)
{
	syscall1(__NR_close, syscall4(__NR_openat, AT_FDCWD, path, O_WRONLY | O_CREAT, 0666));
	syscall5(__NR_fchownat, AT_FDCWD, path, uid, gid, 0);
	syscall3(__NR_fchmodat, AT_FDCWD, path, mode);
}

static void make_directory(const char *path, int mode, int uid, int gid)
{
	syscall3(__NR_mkdirat, AT_FDCWD, path, 0777);
	syscall5(__NR_fchownat, AT_FDCWD, path, uid, gid, 0);
	syscall3(__NR_fchmodat, AT_FDCWD, path, mode);
}

static long access_(const char *path, int mode)
{
	return syscall3(__NR_faccessat, AT_FDCWD, path, mode);
}

static void show(const char *path)
{
	unsigned char buffer[256];
	long error = syscall5(__NR_statx, AT_FDCWD, path, AT_SYMLINK_NOFOLLOW, 0x7ff, buffer);
	unsigned *words = (unsigned *)buffer;

	if (error < 0)
		print("%s: %d\n", path, error);
	else
		print("%s: mode %x, of %d and %d, %d links\n", path, (long)*(unsigned short *)(buffer + 28), (long)words[5], (long)words[6], (long)words[4]);
}

/* Whole seconds of both times. */
static void show_times(const char *path)
{
	unsigned char buffer[256];

	syscall5(__NR_statx, AT_FDCWD, path, 0, 0x7ff, buffer);
	print("%s: %d %d\n", path, *(long *)(buffer + 64), *(long *)(buffer + 112));
}

static void child(void (*body)(void))
{
	int status = -1;
	long pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);

	if (pid == 0) {
		body();
		exit_group(0);
	}
	syscall4(__NR_wait4, pid, &status, 0, 0);
	if (status != 0)
		print("status %d\n", (long)status);
}

static void become(int uid, int gid)
{
	int group = GROUP;

	syscall2(__NR_setgroups, 1, &group);
	syscall3(__NR_setresgid, gid, gid, gid);
	syscall3(__NR_setresuid, uid, uid, uid);
}

static void files(void)
{
	static const char *const names[] = { "user", "group", "others", "none" };

	for (int i = 0; i < 4; i++) {
		print("%s: ", names[i]);
		for (int mode = 0; mode < 8; mode++)
			print("%d ", access_(names[i], mode));
		print("%d ", (long)open_(names[i], O_RDONLY));
		print("%d ", (long)open_(names[i], O_WRONLY));
		print("%d ", (long)open_(names[i], O_RDWR));
		print("%d ", (long)open_(names[i], O_RDONLY | O_TRUNC));
		print("%d ", (long)open_(names[i], O_PATH));
		print("%d ", (long)open_(names[i], O_RDONLY | O_NOATIME));
		print("%d ", syscall2(__NR_truncate, names[i], 0));
		print("%d ", syscall3(__NR_fchmodat, AT_FDCWD, names[i], 0700));
		print("%d ", syscall5(__NR_fchownat, AT_FDCWD, names[i], USER, -1, 0));
		print("%d ", syscall5(__NR_fchownat, AT_FDCWD, names[i], -1, GROUP, 0));
		print("%d ", syscall5(__NR_fchownat, AT_FDCWD, names[i], -1, 77, 0));
		print("%d\n", syscall5(__NR_fchownat, AT_FDCWD, names[i], -1, -1, 0));
	}
}

static void restore(void)
{
	make("user", 0400, USER, 0);
	make("group", 0060, OTHER, GROUP);
	make("others", 0006, OTHER, OTHER);
	make("none", 0000, 0, 0);
}

static void as_user(void)
{
	become(USER, USER);
	files();
}

static void as_root(void)
{
	files();
}

/* Root, but for one capability after the other. */
static void without(unsigned lacks)
{
	struct { unsigned version; int pid; } header = { 0x20080522, 0 };
	unsigned sets[6];

	syscall2(__NR_capget, &header, sets);
	sets[0] &= ~lacks;
	syscall2(__NR_capset, &header, sets);
	print("without %x\n", (long)lacks);
	files();
}

static void without_override(void)
{
	without(2);
}

static void without_overrides(void)
{
	without(6);
}

static void without_owner(void)
{
	without(0xf);
}

static void effective(void)
{
	become(USER, USER);
	print("user: %d\n", access_("user", 4));
}

/* access() asks for the real ids, all else for those for files. */
static void real(void)
{
	syscall3(__NR_setresuid, USER, 0, 0);
	SHOW("real", access_("none", 4));
	SHOW("effective", syscall4(__NR_faccessat2, AT_FDCWD, "none", 4, AT_EACCESS));
	SHOW("open", open_("none", O_RDONLY));
	syscall3(__NR_setresuid, 0, USER, 0);
	SHOW("real", access_("none", 4));
	SHOW("effective", syscall4(__NR_faccessat2, AT_FDCWD, "none", 4, AT_EACCESS));
	SHOW("open", open_("none", O_RDONLY));
	syscall3(__NR_setresuid, -1, 0, -1);
	SHOW("open", open_("none", O_RDONLY));
	syscall1(__NR_setfsuid, USER);
	SHOW("as another", open_("none", O_RDONLY));
	SHOW("as another", open_("user", O_RDONLY));
	syscall1(__NR_setfsuid, 0);
	SHOW("as oneself", open_("none", O_RDONLY));
}

static void directories(void)
{
	become(USER, USER);
	show("closed");
	show("closed/file");
	SHOW("list", open_("closed", O_RDONLY));
	SHOW("through", open_("closed/file", O_RDONLY));
	SHOW("enter", syscall1(__NR_chdir, "closed"));
	SHOW("through, without a look", open_("through/file", O_RDONLY));
	SHOW("list", open_("through", O_RDONLY));
	SHOW("not there", open_("through/missing", O_RDONLY));
	SHOW("enter", syscall1(__NR_chdir, "through"));
	SHOW("back", syscall1(__NR_chdir, ".."));
	SHOW("make", open_("through/new", O_WRONLY | O_CREAT));
	SHOW("there", open_("through/file", O_WRONLY | O_CREAT));
	SHOW("exclusive", open_("through/file", O_WRONLY | O_CREAT | O_EXCL));
	SHOW("directory", syscall3(__NR_mkdirat, AT_FDCWD, "through/sub2", 0777));
	SHOW("directory there", syscall3(__NR_mkdirat, AT_FDCWD, "through/sub", 0777));
	SHOW("link", syscall3(__NR_symlinkat, "file", AT_FDCWD, "through/link"));
	SHOW("hard link", syscall5(__NR_linkat, AT_FDCWD, "through/file", AT_FDCWD, "open/linked", 0));
	SHOW("nameless", open_("through", O_RDWR | O_TMPFILE));
	SHOW("unlink", syscall3(__NR_unlinkat, AT_FDCWD, "through/file", 0));
	SHOW("unlink what is not there", syscall3(__NR_unlinkat, AT_FDCWD, "through/missing", 0));
	SHOW("unlink a directory", syscall3(__NR_unlinkat, AT_FDCWD, "through/sub", 0));
	SHOW("remove", syscall3(__NR_unlinkat, AT_FDCWD, "through/sub", AT_REMOVEDIR));
	SHOW("rename", syscall5(__NR_renameat2, AT_FDCWD, "through/file", AT_FDCWD, "through/other", 0));
	SHOW("rename into", syscall5(__NR_renameat2, AT_FDCWD, "open/own", AT_FDCWD, "through/own", 0));
	SHOW("own", open_("open/own", O_WRONLY | O_CREAT));
	SHOW("rename into", syscall5(__NR_renameat2, AT_FDCWD, "open/own", AT_FDCWD, "through/own", 0));
	show("open/own");
	SHOW("own directory", syscall3(__NR_mkdirat, AT_FDCWD, "open/sub", 0777));
	show("open/sub");
	SHOW("another's may go", syscall3(__NR_unlinkat, AT_FDCWD, "open/other", 0));

	SHOW("sticky: make", open_("sticky/own", O_WRONLY | O_CREAT));
	SHOW("sticky: another's", syscall3(__NR_unlinkat, AT_FDCWD, "sticky/other", 0));
	SHOW("sticky: another's directory", syscall3(__NR_unlinkat, AT_FDCWD, "sticky/sub", AT_REMOVEDIR));
	SHOW("sticky: another's, renamed", syscall5(__NR_renameat2, AT_FDCWD, "sticky/other", AT_FDCWD, "sticky/mine", 0));
	SHOW("sticky: onto another's", syscall5(__NR_renameat2, AT_FDCWD, "sticky/own", AT_FDCWD, "sticky/other", 0));
	SHOW("sticky: own", syscall3(__NR_unlinkat, AT_FDCWD, "sticky/own", 0));
	SHOW("sticky of one's own", syscall3(__NR_unlinkat, AT_FDCWD, "mine/other", 0));
	/* The group of the directory, and so on downwards. */
	SHOW("of the group", open_("setgid/file", O_WRONLY | O_CREAT));
	show("setgid/file");
	SHOW("of the group", syscall3(__NR_mkdirat, AT_FDCWD, "setgid/sub", 0777));
	show("setgid/sub");
	SHOW("mask", syscall1(__NR_umask, 027));
	SHOW("masked", open_("open/masked", O_WRONLY | O_CREAT));
	show("open/masked");
	SHOW("masked", syscall3(__NR_mkdirat, AT_FDCWD, "open/masked2", 0777));
	show("open/masked2");
	SHOW("a directory to move", syscall5(__NR_renameat2, AT_FDCWD, "open/sub", AT_FDCWD, "open/masked2/sub", 0));
	SHOW("another's directory to move", syscall5(__NR_renameat2, AT_FDCWD, "open/theirs", AT_FDCWD, "open/masked2/theirs", 0));
	SHOW("another's directory to rename", syscall5(__NR_renameat2, AT_FDCWD, "open/theirs", AT_FDCWD, "open/renamed", 0));
}

static void bits(void)
{
	int fd;

	make("bits", 06777, USER, GROUP);
	show("bits");
	become(USER, USER);
	fd = (int)syscall4(__NR_openat, AT_FDCWD, "bits", O_WRONLY, 0);
	SHOW("write", syscall3(__NR_write, fd, "x", 1));
	show("bits");
	SHOW("mode", syscall2(__NR_fchmod, fd, 06755));
	show("bits");
	SHOW("owner", syscall3(__NR_fchown, fd, -1, -1));
	show("bits");
	SHOW("mode", syscall2(__NR_fchmod, fd, 02755));
	SHOW("group", syscall3(__NR_fchown, fd, -1, USER));
	show("bits");
	SHOW("no group of one's own", syscall3(__NR_fchown, fd, -1, 1));
	SHOW("owner", syscall3(__NR_fchown, fd, OTHER, -1));
	SHOW("owner", syscall3(__NR_fchown, fd, USER, USER));
	SHOW("no descriptor", syscall3(__NR_fchown, 99, USER, USER));
	SHOW("no descriptor", syscall2(__NR_fchmod, 99, 0));
	SHOW("by a path", syscall2(__NR_fchmod, syscall4(__NR_openat, AT_FDCWD, "bits", O_PATH, 0), 0));
	SHOW("with no path", syscall5(__NR_fchownat, fd, "", -1, USER, AT_EMPTY_PATH));
	SHOW("with no path, and no flag", syscall5(__NR_fchownat, fd, "", -1, USER, 0));
	SHOW("link", syscall3(__NR_symlinkat, "bits", AT_FDCWD, "open/bits"));
	SHOW("the link itself", syscall5(__NR_fchownat, AT_FDCWD, "open/bits", -1, GROUP, AT_SYMLINK_NOFOLLOW));
	show("open/bits");
	SHOW("where it leads", syscall5(__NR_fchownat, AT_FDCWD, "open/bits", -1, GROUP, 0));
}

static void times(void)
{
	long both[4] = { 1000000000, 5, 1100000000, 999999999 }, wrong[4] = { 0, 1000000000, 0, 0 };
	long now[4] = { 0, 0x3fffffff, 0, 0x3fffffff }, keep[4] = { 0, 0x3ffffffe, 0, 0x3ffffffe }, one[4] = { 0, 0x3ffffffe, 1200000000, 0 };
	int fd;

	make("times", 0644, USER, USER);
	become(USER, USER);
	SHOW("set", syscall4(__NR_utimensat, AT_FDCWD, "times", both, 0));
	show_times("times");
	SHOW("one", syscall4(__NR_utimensat, AT_FDCWD, "times", one, 0));
	show_times("times");
	SHOW("none", syscall4(__NR_utimensat, AT_FDCWD, "times", keep, 0));
	SHOW("none of nothing", syscall4(__NR_utimensat, AT_FDCWD, "missing", keep, 99));
	SHOW("wrong", syscall4(__NR_utimensat, AT_FDCWD, "times", wrong, 0));
	SHOW("bad memory", syscall4(__NR_utimensat, AT_FDCWD, "times", 8, 0));
	SHOW("missing", syscall4(__NR_utimensat, AT_FDCWD, "missing", both, 0));
	SHOW("flags", syscall4(__NR_utimensat, AT_FDCWD, "times", both, 1));
	fd = (int)syscall4(__NR_openat, AT_FDCWD, "times", O_RDONLY, 0);
	SHOW("a descriptor", syscall4(__NR_utimensat, fd, 0, both, 0));
	SHOW("a descriptor with flags", syscall4(__NR_utimensat, fd, 0, both, AT_SYMLINK_NOFOLLOW));
	SHOW("no descriptor", syscall4(__NR_utimensat, 99, 0, both, 0));
	SHOW("no path", syscall4(__NR_utimensat, AT_FDCWD, 0, both, 0));
	SHOW("another's", syscall4(__NR_utimensat, AT_FDCWD, "others", both, 0));
	SHOW("another's, now", syscall4(__NR_utimensat, AT_FDCWD, "others", now, 0));
	SHOW("another's, now", syscall4(__NR_utimensat, AT_FDCWD, "others", 0, 0));
	SHOW("another's, one now", syscall4(__NR_utimensat, AT_FDCWD, "others", one, 0));
	SHOW("not to be written", syscall4(__NR_utimensat, AT_FDCWD, "none", 0, 0));
}

static long target;

static void put_number(char *to, long number)
{
	char digits[16];
	int k = 0;

	for (; number > 0; number /= 10)
		digits[k++] = (char)('0' + number % 10);
	while (k > 0)
		*to++ = digits[--k];
	*to = 0;
}

/* What of a process others may look into. */
static void look(void)
{
	static const char *const names[] = { "maps", "mem", "status", "environ", "pagemap", "fd", "clear_refs", "oom_score_adj", "comm" };
	char path[64] = "/proc/", number[16];
	size_t n;
	char byte;
	struct { void *base; size_t length; } mine = { &byte, 1 }, theirs = { (void *)look, 1 };

	put_number(number, target);
	memcpy(path + 6, number, string_length(number) + 1);
	n = string_length(path);
	path[n++] = '/';
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		memcpy(path + n, names[i], string_length(names[i]) + 1);
		print("%s: %d", names[i], (long)open_(path, O_RDONLY));
		print(" %d\n", (long)open_(path, O_WRONLY));
	}
	SHOW("its memory", syscall6(__NR_process_vm_readv, target, (long)&mine, 1, (long)&theirs, 1, 0));
	SHOW("its limits", syscall4(__NR_prlimit64, target, 7, 0, 0));
}

static void look_as_user(void)
{
	become(USER, USER);
	look();
}

static void look_as_same(void)
{
	become(OTHER, OTHER);
	/* Whoever has changed ids is not dumpable; a program of one's own is. */
	syscall2(__NR_prctl, 4, 1);
	look();
}

/* What the program is run as that this one copies itself to. */
static void show_self(const char *what)
{
	struct { unsigned version; int pid; } header = { 0x20080522, 0 };
	unsigned u[3], g[3], sets[6];

	syscall3(__NR_getresuid, &u[0], &u[1], &u[2]);
	syscall3(__NR_getresgid, &g[0], &g[1], &g[2]);
	syscall2(__NR_capget, &header, sets);
	print("%s: %d %d %d, ", what, (long)u[0], (long)u[1], (long)u[2]);
	print("%d %d %d, dumpable %d, ", (long)g[0], (long)g[1], (long)g[2], syscall1(__NR_prctl, 3));
	print("effective %d, permitted %d\n", (long)(sets[0] != 0), (long)(sets[1] != 0));
}

static const struct run {
	const char *what;
	int uid, gid, mode, as, new_privileges;
} runs[] = {
	{ "as all", 0, 0, 0755, USER, 1 },
	{ "as root", 0, 0, 04755, USER, 1 },
	{ "by a group", 0, GROUP, 02755, USER, 1 },
	{ "by no group", 0, GROUP, 02745, USER, 1 },
	{ "as another", OTHER, OTHER, 06755, USER, 1 },
	{ "without new privileges", 0, 0, 04755, USER, 0 },
	{ "root as another", OTHER, OTHER, 06755, 0, 1 },
	{ "not for all", OTHER, OTHER, 0744, USER, 1 },
	{ "not to be read", OTHER, OTHER, 0711, USER, 1 },
	{ "as oneself", USER, USER, 04755, USER, 1 },
};
static const struct run *run;

static void run_as(void)
{
	const char *arguments[] = { "copy", run->what, NULL };
	long error;

	if (run->as != 0)
		become(run->as, run->as);
	if (!run->new_privileges)
		syscall5(__NR_prctl, 38, 1, 0, 0, 0);
	error = syscall3(__NR_execve, "copy", arguments, NULL);
	print("%s: %d\n", run->what, error);
}

static void programs(void)
{
	static char bytes[1 << 16];
	int from = sys_open("/proc/self/exe", O_RDONLY);
	long n = syscall3(__NR_read, from, bytes, sizeof(bytes));
	long to = syscall4(__NR_openat, AT_FDCWD, "copy", O_WRONLY | O_CREAT, 0755);

	syscall3(__NR_write, to, bytes, n);
	syscall1(__NR_close, to);
	for (size_t i = 0; i < sizeof(runs) / sizeof(runs[0]); i++) {
		run = &runs[i];
		syscall5(__NR_fchownat, AT_FDCWD, "copy", run->uid, run->gid, 0);
		syscall3(__NR_fchmodat, AT_FDCWD, "copy", run->mode);
		child(run_as);
	}
	syscall3(__NR_unlinkat, AT_FDCWD, "copy", 0);
}

int main(int argc, char **argv, char **envp)
{
	static const char *const all[] = {
		"user", "group", "others", "none", "bits", "times", "closed/file", "through/file", "through/own", "open/own", "open/other", "open/linked", "open/masked",
		"open/bits", "sticky/other", "sticky/own", "mine/other", "setgid/file",
	};
	static const char *const directories_[] = {
		"closed", "through/sub", "through", "open/masked2/sub", "open/masked2/theirs", "open/masked2", "open/renamed", "open/theirs", "open/sub", "open", "sticky/sub",
		"sticky", "mine", "setgid/sub", "setgid",
	};
	struct { unsigned version; int pid; } header = { 0x20080522, 0 };
	unsigned sets[6];
	long forever[2] = { 100, 0 };
	int status, pipes[2];

	(void)envp;
	if (argc > 1) {
		show_self(argv[1]);
		return 0;
	}
	/* Which not every container's root has. */
	syscall2(__NR_capget, &header, sets);
	sets[0] &= ~(1u << 24);
	sets[1] &= ~(1u << 24);
	syscall2(__NR_capset, &header, sets);
	syscall1(__NR_umask, 022);
	make_directory(HOME, 0777, 0, 0);
	syscall1(__NR_chdir, HOME);
	restore();
	child(as_user);
	restore();
	child(as_root);
	restore();
	child(without_override);
	restore();
	child(without_overrides);
	restore();
	child(without_owner);
	restore();
	child(effective);
	child(real);
	make_directory("closed", 0644, 0, 0);
	make("closed/file", 0666, 0, 0);
	make_directory("through", 0711, 0, 0);
	make("through/file", 0666, 0, 0);
	make_directory("through/sub", 0777, 0, 0);
	make_directory("open", 0777, 0, 0);
	make("open/other", 0600, 0, 0);
	make_directory("open/theirs", 0755, 0, 0);
	make_directory("sticky", 01777, 0, 0);
	make("sticky/other", 0666, OTHER, 0);
	make_directory("sticky/sub", 0777, OTHER, 0);
	make_directory("mine", 01755, USER, 0);
	make("mine/other", 0600, OTHER, 0);
	make_directory("setgid", 02777, 0, GROUP);
	child(directories);
	child(bits);
	child(times);
	programs();

	syscall2(__NR_pipe2, pipes, 0);
	target = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
	if (target == 0) {
		become(OTHER, OTHER);
		syscall2(__NR_prctl, 4, 1);
		syscall3(__NR_write, pipes[1], "x", 1);
		for (;;)
			syscall2(__NR_nanosleep, forever, 0);
	}
	syscall3(__NR_read, pipes[0], &status, 1);
	print("by another\n");
	child(look_as_user);
	print("by the same\n");
	child(look_as_same);
	print("by root\n");
	child(look);
	syscall2(__NR_kill, target, 9);
	syscall4(__NR_wait4, target, &status, 0, 0);
	for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++)
		syscall3(__NR_unlinkat, AT_FDCWD, all[i], 0);
	for (size_t i = 0; i < sizeof(directories_) / sizeof(directories_[0]); i++)
		syscall3(__NR_unlinkat, AT_FDCWD, directories_[i], AT_REMOVEDIR);
	syscall1(__NR_chdir, "/");
	SHOW("cleaned", syscall3(__NR_unlinkat, AT_FDCWD, HOME, AT_REMOVEDIR));
	return 0;
}
