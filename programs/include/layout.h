/* The mappings of a range, as smaps has them, with addresses counted in pages from its start. */
#ifndef FAULTLINE_LAYOUT_H
#define FAULTLINE_LAYOUT_H

#include "smaps.h"

/* Flags that depend on what a program does, and not on how its kernel was built. */
static int telling(const char *flag)
{
	static const char known[] = "gd lo sr rr dc de ac nr wf dd hg nh mg dp sl ";

	for (const char *k = known; *k != 0; k += 3)
		if (k[0] == flag[0] && k[1] == flag[1])
			return 1;
	return 0;
}

static void layout(const char *what, const void *start, unsigned long pages)
{
	uintptr_t base = (uintptr_t)start;
	int inside = 0;

	slurp("/proc/self/smaps");
	print("%s:", what);
	for (const char *line = text; *line != 0;) {
		if ((*line >= '0' && *line <= '9') || (*line >= 'a' && *line <= 'f')) {
			const char *s = line;
			uintptr_t from = hex(&s);
			uintptr_t to;

			s++;
			to = hex(&s);
			inside = from < base + pages * PAGE_SIZE && to > base;
			if (inside) {
				char perms[5];

				for (int i = 0; i < 4; i++)
					perms[i] = s[1 + i];
				perms[4] = 0;
				print(" [%d,%d) %s", ((long)from - (long)base) / (long)PAGE_SIZE,
				      ((long)to - (long)base) / (long)PAGE_SIZE, perms);
			}
		} else if (inside && starts_with(line, "Rss:")) {
			print(" rss %u", first_number(line) / 4);
		} else if (inside && starts_with(line, "VmFlags:")) {
			for (const char *s = line; *s != '\n'; s++) {
				char flag[4] = {s[1], s[2], 0, 0};

				if (s[0] == ' ' && telling(flag))
					print(" %s", flag);
			}
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
	print("\n");
}

#endif
