/*
 * A static position-independent program: prints what it finds through a relocated table. With an argument also
 * whether its heap is where programs lie that are linked at run time, with room to itself: so it is on Linux.
 */
#include "start.h"

static const char *const words[] = { "moved", "and", "still", "right" };
static const char *const *volatile table = words;

int main(int argc, char **argv, char **envp)
{
	(void)argv, (void)envp;
	for (int i = 0; i < 4; i++)
		print(i == 3 ? "%s\n" : "%s ", table[i]);
	if (argc > 1)
		print("heap below the program: %d\n", (long)((uintptr_t)syscall1(__NR_brk, 0) < (uintptr_t)main));
	return 0;
}
