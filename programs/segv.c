/* Writes through a null pointer. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	volatile int *volatile nowhere = NULL;

	(void)argc, (void)argv, (void)envp;
	print("about to write to address 0\n");
	*nowhere = 1;
	print("not reached\n");
	return 0;
}
