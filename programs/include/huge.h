/* Memory of huge pages: advice, and words that tell where each page belongs. */
#ifndef FAULTLINE_HUGE_H
#define FAULTLINE_HUGE_H

#include "memory.h"

#define HUGE (2 * MIB)

static inline void advise(const char *what, char *p, size_t size, int advice)
{
	long error = syscall3(__NR_madvise, p, size, advice);

	if (error != 0)
		print("%s: %d\n", what, error);
}

static inline void collapse(const char *what, char *p, size_t size)
{
	print("%s: %d\n", what, syscall3(__NR_madvise, p, size, MADV_COLLAPSE));
}

static inline void fill(char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += PAGE_SIZE)
		*(volatile uint64_t *)(p + i) = i + 1;
}

static inline void check(const char *p, size_t from, size_t to)
{
	for (size_t i = from; i < to; i += PAGE_SIZE) {
		uint64_t value = *(const volatile uint64_t *)(p + i);

		if (value != i + 1)
			print("at %x: %u instead of %u\n", i, value, i + 1);
	}
}

#endif
