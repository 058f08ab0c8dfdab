/* What /proc/self/pagemap says of pages. */
#ifndef FAULTLINE_PAGEMAP_H
#define FAULTLINE_PAGEMAP_H

#include "start.h"

#define PM_SOFT_DIRTY (1ul << 55)
#define PM_MMAP_EXCLUSIVE (1ul << 56)
#define PM_UFFD_WP (1ul << 57)
#define PM_GUARD_REGION (1ul << 58)
#define PM_FILE (1ul << 61)
#define PM_SWAP (1ul << 62)
#define PM_PRESENT (1ul << 63)

static uint64_t pagemap_entry(const void *p)
{
	uint64_t entry = 0;
	int fd = sys_open("/proc/self/pagemap", O_RDONLY);

	if (fd < 0)
		fail("/proc/self/pagemap", fd);
	if (syscall4(__NR_pread64, fd, &entry, 8, (uintptr_t)p / PAGE_SIZE * 8) != 8)
		fail("pread", 0);
	syscall1(__NR_close, fd);
	return entry;
}

/*
 * A letter for each flag: P present, S swapped, D soft-dirty, X mapped once, F of a file (or shared),
 * W write-protected, G guard; "-" for nothing at all, "." in front of a frame that is not there.
 */
static const char *pagemap_text(const void *p)
{
	static char out[12];
	uint64_t e = pagemap_entry(p);
	int n = 0;

	if ((e & PM_PRESENT) != 0)
		out[n++] = 'P';
	if ((e & PM_SWAP) != 0)
		out[n++] = 'S';
	if ((e & PM_SOFT_DIRTY) != 0)
		out[n++] = 'D';
	if ((e & PM_MMAP_EXCLUSIVE) != 0)
		out[n++] = 'X';
	if ((e & PM_FILE) != 0)
		out[n++] = 'F';
	if ((e & PM_UFFD_WP) != 0)
		out[n++] = 'W';
	if ((e & PM_GUARD_REGION) != 0)
		out[n++] = 'G';
	if (n == 0)
		out[n++] = '-';
	out[n] = 0;
	return out;
}

/* The flags of pages in a row: runs of the same as "first+count:flags". */
__attribute__((unused)) static void show_pages(const char *what, const char *p, size_t pages)
{
	print("%s:", what);
	for (size_t i = 0; i < pages;) {
		char first[12];
		size_t run = 1;

		memcpy(first, pagemap_text(p + i * PAGE_SIZE), sizeof(first));
		while (i + run < pages && string_equal(first, pagemap_text(p + (i + run) * PAGE_SIZE)))
			run++;
		print(" %u+%u:%s", i, run, first);
		i += run;
	}
	print("\n");
}

#endif
