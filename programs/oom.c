/* oom [MIB]: touches that much memory, 64 GiB unless told: more than there is. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	unsigned long mib = parse_number(argc > 1 ? argv[1] : NULL, 64 * 1024);

	(void)envp;
	/* A mapping for each MiB: no single request is one that the kernel would refuse. */
	for (unsigned long i = 0; i < mib; i++) {
		char *p = map_anonymous(MIB);

		for (unsigned long at = 0; at < MIB; at += PAGE_SIZE)
			p[at] = 1;
	}
	print("touched %u MiB\n", mib);
	return 0;
}
