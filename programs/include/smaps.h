/* What /proc/self/smaps and /proc/self/maps say. */
#ifndef FAULTLINE_SMAPS_H
#define FAULTLINE_SMAPS_H

#include "start.h"

static char text[1 << 16];

/* Reads a file into `text`; its length. */
static size_t slurp(const char *path)
{
	int fd = sys_open(path, O_RDONLY);
	size_t n = 0;

	if (fd < 0)
		fail(path, fd);
	for (;;) {
		long got = syscall3(__NR_read, fd, text + n, sizeof(text) - 1 - n);

		if (got < 0)
			fail("read", got);
		if (got == 0)
			break;
		n += (size_t)got;
	}
	text[n] = 0;
	syscall1(__NR_close, fd);
	return n;
}

static int starts_with(const char *s, const char *prefix)
{
	while (*prefix != 0)
		if (*s++ != *prefix++)
			return 0;
	return 1;
}

static unsigned long hex(const char **s)
{
	unsigned long n = 0;

	for (;; (*s)++) {
		char c = **s;

		if (c >= '0' && c <= '9')
			n = 16 * n + (unsigned long)(c - '0');
		else if (c >= 'a' && c <= 'f')
			n = 16 * n + (unsigned long)(c - 'a' + 10);
		else
			return n;
	}
}

/* The first number from there on; 0 where none is. */
static inline unsigned long first_number(const char *s)
{
	unsigned long n = 0;

	while (*s != 0 && (*s < '0' || *s > '9'))
		s++;
	for (; *s >= '0' && *s <= '9'; s++)
		n = 10 * n + (unsigned long)(*s - '0');
	return n;
}

/* The number behind a name at the beginning of a line of `text`; 0 where no line has it. */
static inline unsigned long number_after(const char *name)
{
	for (const char *line = text; *line != 0;) {
		if (starts_with(line, name))
			return first_number(line + string_length(name));
		while (*line != 0 && *line++ != '\n')
			;
	}
	return 0;
}

/* The same of a file. */
static inline unsigned long number_in(const char *path, const char *name)
{
	slurp(path);
	return number_after(name);
}

/* Of a file that is one number. */
static inline unsigned long read_number(const char *path)
{
	slurp(path);
	return first_number(text);
}

/* The sum of a field of smaps, in kB, over the mappings that overlap a range. */
__attribute__((unused)) static unsigned long field(const char *name, uintptr_t start, uintptr_t end)
{
	unsigned long sum = 0;
	int inside = 0;

	for (const char *line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s);

			s++;
			inside = from < end && hex(&s) > start;
		} else if (inside && starts_with(line, name)) {
			sum += first_number(line + string_length(name));
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	return sum;
}

#endif
