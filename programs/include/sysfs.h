/* Files that take a word at a time. */
#ifndef FAULTLINE_SYSFS_H
#define FAULTLINE_SYSFS_H

#include "start.h"

/* How many bytes were taken, or a negated errno. */
static long write_text(const char *path, const char *value)
{
	int fd = sys_open(path, 1);
	long n;

	if (fd < 0)
		return fd;
	n = syscall3(__NR_write, fd, value, string_length(value));
	syscall1(__NR_close, fd);
	return n;
}

#endif
