/* khugepaged, as root steers it and waits for it. */
#ifndef FAULTLINE_KHUGEPAGED_H
#define FAULTLINE_KHUGEPAGED_H

#include "huge.h"
#include "process.h"
#include "smaps.h"

#define THP "/sys/kernel/mm/transparent_hugepage/"
#define KHUGEPAGED THP "khugepaged/"

static long write_text(const char *path, const char *value)
{
	int fd = sys_open(path, 1);
	long n;

	if (fd < 0)
		fail(path, fd);
	n = syscall3(__NR_write, fd, value, string_length(value));
	syscall1(__NR_close, fd);
	return n;
}

static void write_number(const char *path, unsigned long n)
{
	char digits[24];
	char *s = digits + sizeof(digits) - 1;

	*s = 0;
	do {
		*--s = (char)('0' + n % 10);
		n /= 10;
	} while (n != 0);
	write_text(path, s);
}

/* Two rounds that have begun after now. */
static void wait_for_rounds(void)
{
	unsigned long rounds = read_number(KHUGEPAGED "full_scans");

	while (read_number(KHUGEPAGED "full_scans") < rounds + 3)
		sleep_ms(5);
}

/* 2 MiB, small pages as long as nobody asks for others. */
static char *map_aligned(void)
{
	uintptr_t p = (uintptr_t)map_anonymous(2 * HUGE);
	uintptr_t aligned = (p + HUGE - 1) & ~(HUGE - 1);

	if (aligned > p)
		syscall2(__NR_munmap, p, aligned - p);
	if (aligned < p + HUGE)
		syscall2(__NR_munmap, aligned + HUGE, p + HUGE - aligned);
	return (char *)aligned;
}

#endif
