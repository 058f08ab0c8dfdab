/* Private memory by pages. */
#ifndef FAULTLINE_MEMORY_H
#define FAULTLINE_MEMORY_H

#include "start.h"

#define PROT_RW (PROT_READ | PROT_WRITE)

static inline char *map_at(char *where, size_t pages, int prot)
{
	long p = syscall6(__NR_mmap, (long)where, (long)(pages * PAGE_SIZE), prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | (where == NULL ? 0 : MAP_FIXED), -1, 0);

	if (p < 0 && p > -4096)
		fail("mmap", p);
	return (char *)p;
}

/* Free room with pages of no access around it, so that nothing there merges with anything. */
static inline char *room(size_t pages)
{
	char *p = map_at(NULL, pages + 2, PROT_NONE);

	syscall2(__NR_munmap, p + PAGE_SIZE, pages * PAGE_SIZE);
	return p + PAGE_SIZE;
}

static inline void write_page(char *p, size_t page)
{
	*(volatile char *)(p + page * PAGE_SIZE) += 1;
}

static inline void read_page(char *p, size_t page)
{
	(void)*(volatile char *)(p + page * PAGE_SIZE);
}

#endif
