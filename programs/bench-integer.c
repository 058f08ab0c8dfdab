/* bench-integer [TURNS]: integer work with loads and stores that stay in one page. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	static volatile uint64_t cells[256];
	unsigned long turns = parse_number(argc > 1 ? argv[1] : NULL, 1000000);
	uint64_t x = 88172645463325252ul;

	(void)envp;
	for (unsigned long i = 0; i < turns; i++) {
		x ^= x << 13;
		x ^= x >> 7;
		x ^= x << 17;
		cells[x & 255] += x;
	}
	print("%x\n", x);
	return 0;
}
