/* Says hello and ends well. */
#include "start.h"

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	print("hello from a riscv64 program\n");
	return 0;
}
