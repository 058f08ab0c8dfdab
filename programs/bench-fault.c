/* bench-fault [ROUNDS]: maps 16 MiB, writes to each of its 4,096 pages, unmaps; again and again. */
#include "start.h"

#define SIZE (16 * MIB)

int main(int argc, char **argv, char **envp)
{
	unsigned long rounds = parse_number(argc > 1 ? argv[1] : NULL, 1);

	(void)envp;
	for (unsigned long i = 0; i < rounds; i++) {
		char *p = map_anonymous(SIZE);

		syscall3(__NR_madvise, p, SIZE, MADV_NOHUGEPAGE);
		for (size_t at = 0; at < SIZE; at += PAGE_SIZE)
			*(volatile char *)(p + at) = 1;
		syscall2(__NR_munmap, p, SIZE);
	}
	print("%u faults\n", rounds * (SIZE / PAGE_SIZE));
	return 0;
}
