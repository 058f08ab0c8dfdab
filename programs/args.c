/* Prints its arguments, one a line, and returns their number. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	for (int i = 0; i < argc; i++)
		print("argv[%d] = %s\n", (long)i, argv[i]);
	return argc;
}
