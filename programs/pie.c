/* A static position-independent program: prints what it finds through a relocated table. */
#include "start.h"

static const char *const words[] = { "moved", "and", "still", "right" };
static const char *const *volatile table = words;

int main(int argc, char **argv, char **envp)
{
	(void)argc, (void)argv, (void)envp;
	for (int i = 0; i < 4; i++)
		print(i == 3 ? "%s\n" : "%s ", table[i]);
	return 0;
}
