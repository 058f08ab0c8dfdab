/*
 * add-word ADDRESS [reserved|plain]: adds 1 to the word at a hexadecimal address, twice: with one
 * atomic instruction; with a load-reserved and a store-conditional; or with a load and a store.
 * For scenarios, in which others add to the word meanwhile.
 */
#include "start.h"

static void add_atomic(unsigned int *word)
{
	__atomic_fetch_add(word, 1, __ATOMIC_RELAXED);
}

static void add_reserved(unsigned int *word)
{
#if defined(__riscv)
	unsigned int value, failed;

	do
		__asm__ volatile("lr.w %0, %2\n"
				 "addiw %0, %0, 1\n"
				 "sc.w %1, %0, %2\n"
				 : "=&r"(value), "=&r"(failed), "+A"(*word)
				 :
				 : "memory");
	while (failed);
#else
	add_atomic(word);
#endif
}

static void add_plain(unsigned int *word)
{
	volatile unsigned int *at = word;

	*at = *at + 1;
}

int main(int argc, char **argv, char **envp)
{
	unsigned long address = 0;

	(void)envp;
	if (argc < 2)
		return 2;
	for (const char *s = argv[1]; *s != 0; s++)
		address = 16 * address + (unsigned long)(*s <= '9' ? *s - '0' : *s - 'a' + 10);
	for (int i = 0; i < 2; i++) {
		if (argc == 2)
			add_atomic((unsigned int *)address);
		else if (*argv[2] == 'r')
			add_reserved((unsigned int *)address);
		else
			add_plain((unsigned int *)address);
	}
	return 0;
}
