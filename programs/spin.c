/* Never ends and never calls the kernel. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	volatile unsigned long turns = 0;

	(void)argc, (void)argv, (void)envp;
	for (;;)
		turns++;
}
