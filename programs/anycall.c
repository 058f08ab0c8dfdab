/*
 * anycall: makes the system calls that it reads from its standard input, in one process after another; what
 * becomes of those is all the same. Prints where its signal handler is, which calls can name, and in the end
 * how many processes there were. One argument: "parent".
 *
 * Who reads 16 bytes is the parent, and asks for another process: how long it may take, in units of 100
 * microseconds of the machine's time, and whether all others are ended with it; nothing for the end. All else
 * is read by those that make the calls (struct record).
 */
#include "start.h"

/* The standard input, in all processes but the first. */
#define CONTROL 900
#define ARENA 0x1000000000ul
#define ARENA_PAGES 64ul
/* Each task reads into a record of its own, as far as there are enough. */
#define RECORDS 0x1001000000ul
#define RECORD_SIZE 8192ul
#define RECORD_COUNT 32ul
/* Numbers of no call: memory that is read, and written. */
#define LOAD 10000
#define STORE 10001

#define SIGKILL_ 9
#define WNOHANG_ 1

struct record {
	long number;
	long args[6];
	/* Where a child of this call reads its own. */
	struct record *child;
	/* What addresses among the arguments lead to. */
	char data[RECORD_SIZE - 64];
};

static void handler(int signo)
{
	(void)signo;
}

static void touch(long address, long pages, int write)
{
	for (long i = 0; i < pages; i++) {
		volatile char *at = (volatile char *)(address + i * (long)PAGE_SIZE);

		if (write)
			*at = (char)i;
		else
			(void)*at;
	}
}

static _Noreturn void make_calls(void)
{
	struct record *record = (struct record *)RECORDS;

	while (syscall3(__NR_read, CONTROL, record, RECORD_SIZE) > 0) {
		struct record *child = record->child;
		long number = record->number;

		if (number == LOAD || number == STORE)
			touch(record->args[0], record->args[1], number == STORE);
		else if (syscall6(number, record->args[0], record->args[1], record->args[2], record->args[3], record->args[4], record->args[5]) == 0 &&
			 (number == __NR_clone || number == __NR_clone3))
			record = child;
	}
	exit_group(0);
}

static void map_at(unsigned long at, size_t size)
{
	syscall6(__NR_mmap, (long)at, (long)size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
}

static _Noreturn void work(void)
{
	map_at(ARENA, ARENA_PAGES * PAGE_SIZE);
	map_at(RECORDS, RECORD_COUNT * RECORD_SIZE);
	make_calls();
}

static void set(const char *path, const char *value)
{
	long fd = sys_open(path, O_RDWR);

	syscall3(__NR_write, fd, value, string_length(value));
	syscall1(__NR_close, fd);
}

static long now(void)
{
	long time[2];

	syscall2(__NR_clock_gettime, 1, time);
	return time[0] * 1000000000l + time[1];
}

/* Waits for a process, but not for ever; then ends it, and what it has left. */
static void end(long pid, long patience, long everybody)
{
	const long pause[2] = { 0, 100000 };

	/* Whoever is busy may keep others waiting for longer than they sleep. */
	for (long until = now() + patience * pause[1]; now() < until;) {
		if (syscall4(__NR_wait4, pid, NULL, WNOHANG_, NULL) != 0)
			break;
		syscall2(__NR_nanosleep, pause, NULL);
	}
	syscall2(__NR_kill, everybody ? -1 : -pid, SIGKILL_);
	syscall2(__NR_kill, pid, SIGKILL_);
	while (syscall4(__NR_wait4, pid, NULL, 0, NULL) == -4)
		;
}

int main(int argc, char **argv, char **envp)
{
	long order[2];
	unsigned long processes = 0;

	(void)envp;
	/* Executed by one of the calls. */
	if (argc < 2 || !string_equal(argv[1], "parent"))
		work();
	print("handler %u\n", (unsigned long)(uintptr_t)handler);
	syscall3(__NR_dup3, 0, CONTROL, 0);
	/* Others are ended first when memory is short. */
	set("/proc/self/oom_score_adj", "-1000");
	while (syscall3(__NR_read, CONTROL, order, sizeof(order)) == sizeof(order)) {
		long pid;

		/* What would keep everybody from everything. */
		set("/proc/sys/vm/overcommit_memory", "0");
		set("/proc/sys/vm/max_map_count", "65530");
		set("/proc/sys/vm/nr_hugepages", "0");
		pid = syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
		if (pid == 0) {
			set("/proc/self/oom_score_adj", "0");
			syscall2(__NR_setpgid, 0, 0);
			for (int fd = 0; fd < 3; fd++) {
				syscall1(__NR_close, fd);
				sys_open("/dev/null", O_RDWR);
			}
			work();
		}
		/* Where others have taken all memory, they are ended. */
		if (pid > 0) {
			processes++;
			end(pid, order[0], order[1]);
		} else {
			syscall2(__NR_kill, -1, SIGKILL_);
		}
	}
	print("%u processes\n", processes);
	/* Whoever is left of them. */
	syscall2(__NR_kill, -1, SIGKILL_);
	return 0;
}
