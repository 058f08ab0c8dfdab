/* Children, and when they sleep. */
#ifndef FAULTLINE_PROCESS_H
#define FAULTLINE_PROCESS_H

#include "start.h"

static inline long fork_(void)
{
	return syscall6(__NR_clone, SIGCHLD, 0, 0, 0, 0, 0);
}

/* Waits for the end of a child: its status, as wait4() has it. */
static inline long wait_(long pid)
{
	int status = 0;

	syscall4(__NR_wait4, pid, &status, 0, 0);
	return status;
}

/* 0, or -EINTR. */
static inline long sleep_ms(long ms)
{
	long time[2] = { 0, ms * 1000000 };

	return syscall2(__NR_nanosleep, time, 0);
}

/* Returns when a child sleeps. */
static inline void until_asleep(long pid)
{
	char path[32] = "/proc/", state[128] = "", digits[16];
	size_t n = 6, k = 0;

	for (long rest = pid; rest > 0; rest /= 10)
		digits[k++] = (char)('0' + rest % 10);
	while (k > 0)
		path[n++] = digits[--k];
	memcpy(path + n, "/stat", 6);
	for (;;) {
		int fd = sys_open(path, O_RDONLY);
		long got = syscall3(__NR_read, fd, state, sizeof(state));

		syscall1(__NR_close, fd);
		for (long i = 0; i + 2 < got; i++)
			if (state[i] == ')' && state[i + 2] == 'S')
				return;
		sleep_ms(1);
	}
}

#endif
