/* Tells the kernel another place for the heap: an empty one, or as long as it is said to be. */
#ifndef SET_MM_H
#define SET_MM_H

#include <linux/prctl.h>

#include "start.h"

/* The layout that a program is said to have, with the heap where it is wanted, and little of everything else. */
static struct prctl_mm_map mm_map(unsigned long start_brk, unsigned long brk)
{
	unsigned long somewhere = start_brk;

	return (struct prctl_mm_map){
		.start_code = somewhere, .end_code = somewhere + 1, .start_data = somewhere, .end_data = somewhere,
		.start_brk = start_brk, .brk = brk, .start_stack = somewhere, .arg_start = somewhere, .arg_end = somewhere,
		.env_start = somewhere, .env_end = somewhere, .exe_fd = -1u,
	};
}

static long set_mm(const struct prctl_mm_map *map)
{
	return syscall6(__NR_prctl, PR_SET_MM, PR_SET_MM_MAP, (long)map, sizeof(*map), 0, 0);
}

#endif
