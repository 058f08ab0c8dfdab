/*
 * The machine's pool of huge pages of 2 MiB, for one program at a time: as large as it is wanted, and afterwards
 * as it was. A lock on its file keeps out others that do so.
 */
#ifndef FAULTLINE_POOL_H
#define FAULTLINE_POOL_H

#include "smaps.h"

#define POOL "/sys/kernel/mm/hugepages/hugepages-2048kB/"
#define LOCK_EX 2

struct pool {
	int lock;
	unsigned long pages, overcommit;
	uint64_t signals;
};

static long write_number(const char *path, unsigned long value)
{
	char digits[24];
	int at = sizeof(digits), fd = sys_open(path, 1);
	long result;

	do {
		digits[--at] = (char)('0' + value % 10);
		value /= 10;
	} while (value != 0);
	result = fd < 0 ? fd : syscall3(__NR_write, fd, digits + at, sizeof(digits) - (size_t)at);
	syscall1(__NR_close, fd);
	return result < 0 ? result : 0;
}

static void give_pool(const struct pool *was)
{
	write_number(POOL "nr_overcommit_hugepages", was->overcommit);
	write_number(POOL "nr_hugepages", was->pages);
	syscall1(__NR_close, was->lock);
	/* SIG_SETMASK */
	syscall4(__NR_rt_sigprocmask, 2, &was->signals, NULL, 8);
}

/* 0 where there is none, it cannot be changed, or somebody else has pages of it. What ends a program waits until it is given back. */
static int take_pool(struct pool *was, unsigned long pages, unsigned long overcommit)
{
	/* SIGHUP, SIGINT, SIGTERM */
	const uint64_t ends = 1ul << 0 | 1ul << 1 | 1ul << 14;

	was->lock = sys_open(POOL "nr_hugepages", O_RDONLY);
	if (was->lock < 0)
		return 0;
	syscall4(__NR_rt_sigprocmask, 0, &ends, &was->signals, 8);
	while (syscall2(__NR_flock, was->lock, LOCK_EX) == -4)
		;
	was->pages = read_number(POOL "nr_hugepages");
	was->overcommit = read_number(POOL "nr_overcommit_hugepages");
	if (read_number(POOL "free_hugepages") == was->pages && read_number(POOL "resv_hugepages") == 0 &&
	    write_number(POOL "nr_overcommit_hugepages", overcommit) == 0 && write_number(POOL "nr_hugepages", pages) == 0 &&
	    read_number(POOL "free_hugepages") == pages)
		return 1;
	give_pool(was);
	return 0;
}

#endif
