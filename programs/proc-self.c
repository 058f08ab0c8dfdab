/*
 * proc-self: files of /proc/self that say little and must say it right: what they print, what may be written
 * to them, and what pagemap keeps from who has no capabilities. Prints the same natively on Linux.
 */
#include <linux/capability.h>

#include "pagemap.h"
#include "smaps.h"

#define O_CREAT_RDWR 0102
#define O_APPEND_CLOEXEC (02000 | 02000000)
#define PROT_RW (PROT_READ | PROT_WRITE)

static void put(const char *path, const char *what)
{
	int fd = sys_open(path, 1);

	print("%s to %s: %d\n", what, path, fd < 0 ? fd : syscall3(__NR_write, fd, what, string_length(what)));
	syscall1(__NR_close, fd);
}

static void cat(const char *path)
{
	slurp(path);
	print("%s: %s%s", path, text, text[0] != 0 && text[string_length(text) - 1] == '\n' ? "" : "\n");
}

/* The lines of a file up to one that begins otherwise than all of these do. */
static void lines(const char *path, const char *const *wanted, size_t n)
{
	slurp(path);
	for (char *line = text; *line != 0;) {
		char *end = line;

		while (*end != '\n' && *end != 0)
			end++;
		for (size_t i = 0; i < n; i++)
			if (starts_with(line, wanted[i])) {
				char saved = *end;

				*end = 0;
				print("%s\n", line);
				*end = saved;
			}
		line = *end == 0 ? end : end + 1;
	}
}

static void descriptors(void)
{
	static const char *const wanted[] = { "pos:", "flags:" };
	char c = 0;
	int fd = (int)syscall4(__NR_openat, AT_FDCWD, "/tmp/faultline-fdinfo", O_CREAT_RDWR | O_APPEND_CLOEXEC, 0600);
	int other;

	syscall3(__NR_dup3, fd, 30, 0);
	syscall3(__NR_write, fd, "four", 4);
	syscall3(__NR_dup3, fd, 31, 02000000);
	lines("/proc/self/fdinfo/30", wanted, 2);
	lines("/proc/self/fdinfo/31", wanted, 2);
	other = sys_open("/tmp/faultline-fdinfo", O_RDONLY);
	syscall3(__NR_dup3, other, 32, 0);
	syscall3(__NR_read, 32, &c, 1);
	lines("/proc/self/fdinfo/32", wanted, 2);
	print("no such descriptor: %d\n", (long)sys_open("/proc/self/fdinfo/77", O_RDONLY));
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/faultline-fdinfo", 0);
}

static void transfers(void)
{
	unsigned long before[4], after[4];
	static const char *const names[] = { "rchar:", "wchar:", "syscr:", "syscw:" };
	static char buffer[3000];
	int fd = (int)syscall4(__NR_openat, AT_FDCWD, "/tmp/faultline-io", O_CREAT_RDWR, 0600);
	size_t n = slurp("/proc/self/io");

	for (int i = 0; i < 4; i++)
		before[i] = number_after(names[i]);
	syscall3(__NR_write, fd, buffer, 3000);
	syscall4(__NR_pread64, fd, buffer, 1000, 0);
	syscall4(__NR_pread64, fd, buffer, 3000, 2500);
	syscall4(__NR_pread64, fd, buffer, 3000, 5000);
	syscall4(__NR_pread64, 77, buffer, 3000, 0);
	slurp("/proc/self/io");
	for (int i = 0; i < 4; i++)
		after[i] = number_after(names[i]) - before[i];
	/* Reading the file itself counts: all of it in the first call, nothing in the second. */
	print("rchar %u, wchar %u, syscr %u, syscw %u\n", after[0] - n, after[1], after[2], after[3]);
	syscall3(__NR_unlinkat, AT_FDCWD, "/tmp/faultline-io", 0);
}

static void scores(void)
{
	static const char *const adj[] = { "0", "17", "-17", "1000", "-1000", "1001", "-1001", "x", "500\n", "-1" };
	static const char *const old[] = { "0", "15", "-16", "-17", "16", "-18", "3", "x" };

	for (size_t i = 0; i < sizeof(adj) / sizeof(adj[0]); i++) {
		put("/proc/self/oom_score_adj", adj[i]);
		cat("/proc/self/oom_score_adj");
		cat("/proc/self/oom_adj");
	}
	for (size_t i = 0; i < sizeof(old) / sizeof(old[0]); i++) {
		put("/proc/self/oom_adj", old[i]);
		cat("/proc/self/oom_score_adj");
		cat("/proc/self/oom_adj");
	}
	put("/proc/self/oom_score_adj", "0");
}

static void others(void)
{
	static const char *const filters[] = { "0x7f", "33", "0", "-1", "x", "0xffffffff", "0x100000000", "51" };

	for (size_t i = 0; i < sizeof(filters) / sizeof(filters[0]); i++) {
		put("/proc/self/coredump_filter", filters[i]);
		cat("/proc/self/coredump_filter");
	}
	cat("/proc/self/personality");
	cat("/proc/self/wchan");
	cat("/proc/self/loginuid");
	cat("/proc/self/sessionid");
	cat("/proc/self/uid_map");
	cat("/proc/self/gid_map");
	cat("/proc/self/setgroups");
	cat("/proc/self/timerslack_ns");
	cat("/proc/self/ksm_merging_pages");
	cat("/proc/self/ksm_stat");
	cat("/proc/self/cgroup");
	put("/proc/self/comm", "a name that is too long");
	cat("/proc/self/comm");
	cat("/proc/thread-self/comm");
	put("/proc/self/comm", "proc-self");
}

static void auxiliary(char **envp)
{
	unsigned long *stack;
	unsigned long *read;
	size_t n = slurp("/proc/self/auxv");
	size_t same = 0;

	while (*envp != NULL)
		envp++;
	stack = (unsigned long *)(envp + 1);
	read = (unsigned long *)text;
	while (same < n / 8 && stack[same] == read[same])
		same++;
	while (same >= 2 && same > 0 && n > 0 && !(read[same - 2] == 0 && read[same - 1] == 0))
		same--;
	print("auxv is as on the stack: %s\n", same >= 2 ? "yes" : "no");
}

static void node(void)
{
	char *p = map_anonymous(8 * PAGE_SIZE);
	size_t n = 0;

	/* Between pages of no access it merges with nothing. */
	syscall3(__NR_mprotect, p, PAGE_SIZE, PROT_NONE);
	syscall3(__NR_mprotect, p + 7 * PAGE_SIZE, PAGE_SIZE, PROT_NONE);
	p += PAGE_SIZE;
	for (int i = 0; i < 3; i++)
		p[i * PAGE_SIZE] = 1;
	(void)*(volatile char *)(p + 4 * PAGE_SIZE);
	slurp("/proc/self/numa_maps");
	for (char *line = text; *line != 0; line += n + 1) {
		const char *s = line;

		for (n = 0; line[n] != '\n'; n++)
			;
		line[n] = 0;
		if (hex(&s) == (uintptr_t)p)
			print("numa_maps:%s\n", s);
	}
}

static void without_capabilities(void)
{
	struct __user_cap_header_struct header = { _LINUX_CAPABILITY_VERSION_3, 0 };
	struct __user_cap_data_struct data[2] = { { 0, 0, 0 }, { 0, 0, 0 } };
	int before = sys_open("/proc/self/pagemap", O_RDONLY);
	char *p = map_anonymous(PAGE_SIZE);
	uint64_t entry;

	p[0] = 1;
	print("capset: %d\n", syscall2(__NR_capset, &header, data));
	entry = pagemap_entry(p);
	print("opened without: %s, frame %u\n", pagemap_text(p), entry & ((1ul << 55) - 1));
	syscall4(__NR_pread64, before, &entry, 8, (uintptr_t)p / PAGE_SIZE * 8);
	print("opened before: frame %s\n", (entry & ((1ul << 55) - 1)) != 0 ? "shown" : "hidden");
	put("/proc/self/oom_score_adj", "10");
	put("/proc/self/oom_score_adj", "5");
	put("/proc/self/oom_score_adj", "-5");
	put("/proc/self/oom_adj", "0");
	cat("/proc/self/oom_score_adj");
}

int main(int argc, char **argv, char **envp)
{
	(void)argc;
	(void)argv;
	descriptors();
	transfers();
	scores();
	others();
	auxiliary(envp);
	node();
	without_capabilities();
	return 0;
}
