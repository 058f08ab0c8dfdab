/*
 * mremap: growing, shrinking and moving mappings, with every argument that can be wrong. Prints what
 * each call answers and what the address space looks like then; the same on any Linux since 7.3.
 * Without an argument it does what any Linux can do, to compare with; with "all", what needs swap and
 * the test device too.
 */
#include "dmirror.h"
#include "smaps.h"
#include "uffd.h"

#define HUGE (2 * MIB)
#define PROT_RW (PROT_READ | PROT_WRITE)
#define MAYMOVE 1
#define FIXED 2
#define DONTUNMAP 4
#define ARENA (64 * PAGE_SIZE)
#define RLIMIT_AS 9

/* Addresses that are free but for what a step maps there, between two that stay. */
static char *arena;
static size_t arena_size;

static char *at(size_t page)
{
	return arena + page * PAGE_SIZE;
}

static void unmap(char *p, size_t size)
{
	long error = syscall2(__NR_munmap, p, size);

	if (error != 0)
		fail("munmap", error);
}

static void map_flags(size_t page, size_t pages, int prot, int flags)
{
	long p = syscall6(__NR_mmap, (long)at(page), (long)(pages * PAGE_SIZE), prot,
			  MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | flags, -1, 0);

	if (p != (long)at(page))
		fail("mmap", p);
}

static void map_file(size_t page, size_t pages, int fd, size_t index)
{
	long p = syscall6(__NR_mmap, (long)at(page), (long)(pages * PAGE_SIZE), PROT_RW, MAP_PRIVATE | MAP_FIXED, fd,
			  (long)(index * PAGE_SIZE));

	if (p < 0)
		fail("mmap", p);
}

static void map(size_t page, size_t pages)
{
	map_flags(page, pages, PROT_RW, 0);
}

/* Every page gets a word that says which it was. */
static void fill(size_t page, size_t pages)
{
	for (size_t i = page; i < page + pages; i++)
		*(volatile uint64_t *)at(i) = i + 100;
}

static long remap(void *from, size_t old_size, size_t new_size, int flags, void *to)
{
	return syscall6(__NR_mremap, (long)from, (long)old_size, (long)new_size, flags, (long)to, 0);
}

/* The mappings of the arena, and what is in them: a word of a page that is there, 0, or - for none. */
static void layout(void)
{
	slurp("/proc/self/maps");
	for (const char *line = text; *line != 0;) {
		const char *s = line;
		uintptr_t from = hex(&s), to, start = (uintptr_t)arena;
		char access[5];

		s++;
		to = hex(&s);
		if (from < start + arena_size && to > start) {
			memcpy(access, s + 1, 4);
			access[4] = 0;
			print("  %u to %u %s", (from - start) / PAGE_SIZE, (to - start) / PAGE_SIZE, access);
			for (uintptr_t p = from; p < to && to - from <= ARENA; p += PAGE_SIZE) {
				unsigned char there = 0;

				syscall3(__NR_mincore, p, PAGE_SIZE, &there);
				if ((there & 1) == 0)
					print(" -");
				else if (access[0] == 'r')
					print(" %u", *(volatile uint64_t *)p);
				else
					print(" ?");
			}
			print("\n");
		}
		while (*line != 0 && *line++ != '\n')
			;
	}
}

static void answer(const char *what, long result)
{
	uintptr_t start = (uintptr_t)arena;

	if (result < 0 && result > -4096)
		print("%s: %d\n", what, result);
	else if ((uintptr_t)result >= start && (uintptr_t)result < start + arena_size)
		print("%s: page %u\n", what, ((uintptr_t)result - start) / PAGE_SIZE);
	else
		print("%s: elsewhere\n", what);
}

/* In pages, inside the arena; what is there then. */
static long step(const char *what, size_t from, size_t old_pages, size_t new_pages, int flags, size_t to)
{
	long result = remap(at(from), old_pages * PAGE_SIZE, new_pages * PAGE_SIZE, flags, at(to));

	answer(what, result);
	layout();
	return result;
}

static void clear_arena(void)
{
	unmap(arena, arena_size);
}

static void wrong_arguments(void)
{
	map(8, 4);
	fill(8, 4);
	map(16, 2);
#define TRY(what, ...) answer(what, remap(__VA_ARGS__))
	TRY("an odd address", at(8) + 1, PAGE_SIZE, PAGE_SIZE, 0, NULL);
	TRY("an odd address that moves", at(8) + 1, PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE, NULL);
	TRY("unknown flags", at(8), PAGE_SIZE, PAGE_SIZE, 8, NULL);
	TRY("all flags", at(8), PAGE_SIZE, PAGE_SIZE, -1, at(40));
	TRY("to nothing", at(8), PAGE_SIZE, 0, 0, NULL);
	TRY("from nothing", at(8), 0, PAGE_SIZE, MAYMOVE, NULL);
	TRY("from nothing in place", at(8), 0, PAGE_SIZE, 0, NULL);
	TRY("from nothing to a place", at(8), 0, PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("nothing to nothing", at(8), 0, 0, MAYMOVE, NULL);
	TRY("no mapping", at(4), PAGE_SIZE, PAGE_SIZE, 0, NULL);
	TRY("no mapping, grow", at(4), PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE, NULL);
	TRY("no mapping, shrink", at(4), 2 * PAGE_SIZE, PAGE_SIZE, MAYMOVE, NULL);
	TRY("no mapping, move", at(4), PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("no mapping at first", at(7), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("beyond the mapping, same size", at(8), 5 * PAGE_SIZE, 5 * PAGE_SIZE, 0, NULL);
	TRY("beyond the mapping, same size, may move", at(8), 5 * PAGE_SIZE, 5 * PAGE_SIZE, MAYMOVE, NULL);
	TRY("beyond the mapping, grow", at(8), 5 * PAGE_SIZE, 6 * PAGE_SIZE, MAYMOVE, NULL);
	TRY("beyond the mapping, grow to a place", at(8), 5 * PAGE_SIZE, 6 * PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("beyond the mapping, leave it", at(8), 5 * PAGE_SIZE, 5 * PAGE_SIZE, MAYMOVE | DONTUNMAP, NULL);
	TRY("two mappings, grow", at(8), 10 * PAGE_SIZE, 11 * PAGE_SIZE, MAYMOVE, NULL);
	TRY("two mappings, shrink to a place", at(8), 10 * PAGE_SIZE, 9 * PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("fixed alone", at(8), PAGE_SIZE, PAGE_SIZE, FIXED, at(40));
	TRY("leave alone", at(8), PAGE_SIZE, PAGE_SIZE, DONTUNMAP, at(40));
	TRY("leave and grow", at(8), PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE | DONTUNMAP, NULL);
	TRY("leave and shrink", at(8), 2 * PAGE_SIZE, PAGE_SIZE, MAYMOVE | DONTUNMAP, NULL);
	TRY("leave to an odd hint", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | DONTUNMAP, at(40) + 1);
	TRY("leave to a hint in it", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | DONTUNMAP, at(8));
	TRY("to an odd place", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, at(40) + 1);
	TRY("to itself", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, at(8));
	TRY("over by one page, up", at(8), 4 * PAGE_SIZE, 4 * PAGE_SIZE, MAYMOVE | FIXED, at(11));
	TRY("over by one page, down", at(8), 4 * PAGE_SIZE, 4 * PAGE_SIZE, MAYMOVE | FIXED, at(5));
	TRY("over what goes", at(8), 4 * PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, at(10));
	TRY("over when grown", at(8), PAGE_SIZE, 4 * PAGE_SIZE, MAYMOVE | FIXED, at(5));
	TRY("to beyond the end", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, (void *)(1l << 62));
	TRY("to below everything", at(8), PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, (void *)-PAGE_SIZE);
	TRY("to a size beyond everything", at(8), PAGE_SIZE, 1ul << 62, MAYMOVE, NULL);
	TRY("to a negative size", at(8), PAGE_SIZE, -PAGE_SIZE, MAYMOVE, NULL);
	TRY("to the largest size", at(8), PAGE_SIZE, -1ul, MAYMOVE, NULL);
	TRY("from the largest size", at(8), -1ul, PAGE_SIZE, MAYMOVE, NULL);
	TRY("from a negative size", at(8), -PAGE_SIZE, PAGE_SIZE, MAYMOVE, NULL);
	TRY("from a negative size to a place", at(8), -PAGE_SIZE, PAGE_SIZE, MAYMOVE | FIXED, at(40));
	TRY("an address beyond the end", (void *)(1l << 62), PAGE_SIZE, PAGE_SIZE, 0, NULL);
	TRY("a negative address", (void *)-PAGE_SIZE, PAGE_SIZE, PAGE_SIZE, 0, NULL);
	layout();
	clear_arena();
}

static void in_place(void)
{
	map(8, 4);
	fill(8, 4);
	step("same size", 8, 4, 4, 0, 0);
	step("a part, same size", 9, 1, 1, 0, 0);
	answer("same size in bytes", remap(at(8), 3 * PAGE_SIZE + 1, 4 * PAGE_SIZE - 7, 0, NULL));
	step("shrink", 8, 4, 3, 0, 0);
	step("shrink in the middle", 8, 2, 1, 0, 0);
	step("grow into the hole", 8, 1, 2, 0, 0);
	step("grow onto a neighbour", 8, 2, 4, 0, 0);
	step("grow a part", 8, 1, 2, 0, 0);
	step("grow", 10, 1, 3, 0, 0);
	fill(12, 1);
	step("grow by a byte", 10, 3, 4, 0, 0);
	map(20, 2);
	fill(20, 2);
	step("grow up to the next", 10, 4, 10, 0, 0);
	step("grow by one too many", 10, 10, 11, 0, 0);
	step("shrink over several", 10, 20, 1, 0, 0);
	step("shrink over nothing", 10, 20, 2, 0, 0);
	clear_arena();
	/* What is next to it and nobody has touched becomes one with it, whatever was grown. */
	map(8, 2);
	map(12, 2);
	fill(8, 1);
	step("grow up to what was not touched", 8, 2, 4, 0, 0);
	map_flags(20, 2, PROT_READ, 0);
	step("read-only grows", 20, 2, 4, 0, 0);
	clear_arena();
}

static void moves(void)
{
	map(8, 4);
	fill(8, 4);
	step("up", 8, 4, 4, MAYMOVE | FIXED, 20);
	step("down", 20, 4, 4, MAYMOVE | FIXED, 4);
	step("next to itself", 4, 4, 4, MAYMOVE | FIXED, 8);
	step("a part", 9, 2, 2, MAYMOVE | FIXED, 30);
	step("back", 30, 2, 2, MAYMOVE | FIXED, 9);
	step("two change places, out", 8, 1, 1, MAYMOVE | FIXED, 40);
	step("over the other", 9, 1, 1, MAYMOVE | FIXED, 8);
	step("in", 40, 1, 1, MAYMOVE | FIXED, 9);
	step("inside itself", 10, 1, 1, MAYMOVE | FIXED, 8);
	step("grow and move", 8, 1, 5, MAYMOVE | FIXED, 20);
	fill(24, 1);
	step("shrink and move", 20, 5, 2, MAYMOVE | FIXED, 40);
	step("shrink over several and move", 40, 20, 1, MAYMOVE | FIXED, 5);
	clear_arena();

	/* Nobody has touched it: it may become one with its new neighbour. */
	map(8, 2);
	map(20, 2);
	fill(20, 2);
	step("untouched, next to touched", 8, 2, 2, MAYMOVE | FIXED, 22);
	step("untouched, below touched", 22, 2, 2, MAYMOVE | FIXED, 18);
	clear_arena();
	map(8, 2);
	map(20, 2);
	step("untouched, next to untouched", 8, 2, 2, MAYMOVE | FIXED, 22);
	clear_arena();
	map(8, 2);
	map(20, 2);
	fill(8, 2);
	step("touched, next to untouched", 8, 2, 2, MAYMOVE | FIXED, 22);
	clear_arena();

	/* Only read: the page of zeros moves too. */
	map(8, 2);
	(void)*(volatile char *)at(8);
	step("zeros", 8, 2, 2, MAYMOVE | FIXED, 20);
	fill(20, 1);
	layout();
	clear_arena();

	/* Without a place of its own. */
	map(8, 2);
	fill(8, 2);
	map(10, 1);
	char *p = (char *)remap(at(8), 2 * PAGE_SIZE, 3 * PAGE_SIZE, MAYMOVE, NULL);

	answer("no room", (long)p);
	print("  %u %u %u\n", *(uint64_t *)p, *(uint64_t *)(p + PAGE_SIZE), *(uint64_t *)(p + 2 * PAGE_SIZE));
	layout();
	unmap(p, 3 * PAGE_SIZE);
	clear_arena();
	map(8, 4);
	fill(8, 4);
	p = (char *)remap(at(9), PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE, NULL);
	answer("grow a part", (long)p);
	print("  %u %u\n", *(uint64_t *)p, *(uint64_t *)(p + PAGE_SIZE));
	layout();
	unmap(p, 2 * PAGE_SIZE);
	clear_arena();
}

static void several(void)
{
	map(8, 2);
	fill(8, 2);
	map_flags(12, 2, PROT_READ, 0);
	map(14, 1);
	fill(14, 1);
	map(34, 4);
	fill(34, 4);
	step("three with a hole", 8, 7, 7, MAYMOVE | FIXED, 32);
	step("and more hole than that", 33, 10, 10, MAYMOVE | FIXED, 9);
	step("left where they were", 9, 6, 6, MAYMOVE | FIXED | DONTUNMAP, 40);
	step("over by a hole", 40, 7, 7, MAYMOVE | FIXED, 46);
	clear_arena();
}

static void left(void)
{
	map(8, 3);
	fill(8, 3);
	step("left", 8, 3, 3, MAYMOVE | FIXED | DONTUNMAP, 20);
	fill(9, 1);
	step("a part left", 21, 1, 1, MAYMOVE | FIXED | DONTUNMAP, 30);
	step("left, next to itself", 8, 3, 3, MAYMOVE | FIXED | DONTUNMAP, 11);
	clear_arena();
	map(8, 2);
	step("untouched, left", 8, 2, 2, MAYMOVE | FIXED | DONTUNMAP, 20);
	step("untouched, left, next to itself", 20, 2, 2, MAYMOVE | FIXED | DONTUNMAP, 22);
	clear_arena();
	map(8, 2);
	fill(8, 2);
	char *p = (char *)remap(at(8), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE | DONTUNMAP, NULL);

	answer("left, anywhere", (long)p);
	print("  %u %u\n", *(uint64_t *)p, *(uint64_t *)(p + PAGE_SIZE));
	layout();
	unmap(p, 2 * PAGE_SIZE);
	step("left, with a hint", 8, 2, 2, MAYMOVE | DONTUNMAP, 40);
	clear_arena();
}

/* Pages of a file that are private: copies that were made elsewhere keep their indexes, and merge by them. */
static void of_file(void)
{
	int fd = (int)syscall2(__NR_memfd_create, "mremap", 0);

	syscall2(__NR_ftruncate, fd, 16 * PAGE_SIZE);
	for (int touched = 0; touched < 2; touched++) {
		map_file(8, 3, fd, 0);
		map_file(20, 3, fd, 3);
		if (touched)
			fill(20, 1);
		step("to where its file goes on", 20, 3, 3, MAYMOVE | FIXED, 11);
		step("back", 11, 3, 3, MAYMOVE | FIXED, 20);
		if (touched) {
			fill(8, 1);
			step("both touched", 20, 3, 3, MAYMOVE | FIXED, 11);
		}
		clear_arena();
	}
	map_file(8, 3, fd, 0);
	fill(8, 3);
	step("left", 8, 3, 3, MAYMOVE | FIXED | DONTUNMAP, 20);
	map_file(11, 3, fd, 3);
	layout();
	clear_arena();
	syscall1(__NR_close, fd);
}

/* One mapping that a userfaultfd has can move, several cannot. */
static void registered(void)
{
	int fd = uffd_open(1, 0);

	map(8, 1);
	map(10, 1);
	map(12, 1);
	uffd_register(fd, at(8), PAGE_SIZE, MISSING, NULL);
	step("registered, and another", 8, 5, 5, MAYMOVE | FIXED, 20);
	step("registered, alone", 8, 1, 1, MAYMOVE | FIXED, 20);
	step("registered no more", 10, 3, 3, MAYMOVE | FIXED, 22);
	uffd_register(fd, at(24), PAGE_SIZE, MISSING, NULL);
	step("registered, the last", 20, 5, 5, MAYMOVE | FIXED, 30);
	clear_arena();
	syscall1(__NR_close, fd);
}

static unsigned long status(const char *name)
{
	return number_in("/proc/self/status", name);
}

static void limits(void)
{
	unsigned long before = status("VmSize:");
	uint64_t limit[2];

	map(8, 4);
	fill(8, 4);
	print("mapped: %u kB\n", status("VmSize:") - before);
	step("grow", 8, 4, 6, 0, 0);
	print("grown: %u kB\n", status("VmSize:") - before);
	step("move", 8, 6, 6, MAYMOVE | FIXED, 20);
	print("moved: %u kB\n", status("VmSize:") - before);
	step("leave", 20, 6, 6, MAYMOVE | FIXED | DONTUNMAP, 40);
	print("left: %u kB\n", status("VmSize:") - before);
	unmap(at(20), 6 * PAGE_SIZE);

	syscall4(__NR_prlimit64, 0, RLIMIT_AS, NULL, limit);
	uint64_t old = limit[0];

	limit[0] = status("VmSize:") * 1024 + 2 * PAGE_SIZE;
	syscall4(__NR_prlimit64, 0, RLIMIT_AS, limit, NULL);
	step("grow by more than the limit", 40, 6, 9, 0, 0);
	step("move and grow by more", 40, 6, 9, MAYMOVE | FIXED, 8);
	step("leave more than the limit", 40, 6, 6, MAYMOVE | FIXED | DONTUNMAP, 8);
	step("move", 40, 6, 6, MAYMOVE | FIXED, 8);
	step("grow up to the limit", 8, 6, 8, 0, 0);
	step("grow by one page", 8, 8, 9, 0, 0);
	answer("map one page", syscall6(__NR_mmap, 0, PAGE_SIZE, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
	map(10, 1);
	limit[0] = old;
	syscall4(__NR_prlimit64, 0, RLIMIT_AS, limit, NULL);
	answer("more than there is", remap(at(8), PAGE_SIZE, 1ul << 37, 0, NULL));
	layout();
	clear_arena();

	before = status("VmLck:");
	map_flags(8, 2, PROT_RW, MAP_LOCKED);
	print("locked: %u kB\n", status("VmLck:") - before);
	step("grow", 8, 2, 4, 0, 0);
	print("locked: %u kB\n", status("VmLck:") - before);
	step("shrink", 8, 4, 3, 0, 0);
	print("locked: %u kB\n", status("VmLck:") - before);
	step("grow and move", 8, 3, 5, MAYMOVE | FIXED, 20);
	print("locked: %u kB\n", status("VmLck:") - before);
	step("leave", 20, 5, 5, MAYMOVE | FIXED | DONTUNMAP, 40);
	print("locked: %u kB\n", status("VmLck:") - before);
	step("leave a part", 41, 1, 1, MAYMOVE | FIXED | DONTUNMAP, 8);
	print("locked: %u kB\n", status("VmLck:") - before);
	clear_arena();
	print("locked: %u kB\n", status("VmLck:") - before);
}

static void show(const char *what, char *p, size_t size)
{
	uintptr_t start = (uintptr_t)p;

	slurp("/proc/self/smaps");
	print("%s: Rss %u AnonHugePages %u Swap %u\n", what, field("Rss:", start, start + size),
	      field("AnonHugePages:", start, start + size), field("Swap:", start, start + size));
}

static void fill_words(char *p, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE_SIZE)
		*(volatile uint64_t *)(p + i) = i + 1;
}

/* Whether `size` bytes have what fill_words wrote, from an offset on. */
static void check(const char *p, size_t offset, size_t size)
{
	for (size_t i = 0; i < size; i += PAGE_SIZE) {
		uint64_t value = *(const volatile uint64_t *)(p + i);

		if (value != offset + i + 1)
			print("at %x: %u instead of %u\n", i, value, offset + i + 1);
	}
}

/* The arena begins at a multiple of 2 MiB: its first four, advised and filled. */
static char *huge_pages(void)
{
	unmap(arena, arena_size);
	if (syscall6(__NR_mmap, (long)arena, (long)(2 * HUGE), PROT_RW, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != (long)arena)
		fail("mmap", 0);
	long error = syscall3(__NR_madvise, arena, 2 * HUGE, MADV_HUGEPAGE);

	if (error < 0)
		fail("madvise", error);
	fill_words(arena, 2 * HUGE);
	return arena;
}

static void move_to(const char *what, char *from, size_t size, char *to)
{
	long result = remap(from, size, size, MAYMOVE | FIXED, to);

	if (result != (long)to)
		print("%s: %d\n", what, result);
	show(what, arena, arena_size);
}

static void huge(void)
{
	char *p = huge_pages();

	move_to("4 MiB", p, 2 * HUGE, p + 4 * HUGE);
	check(p + 4 * HUGE, 0, 2 * HUGE);
	move_to("2 MiB and down", p + 5 * HUGE, HUGE, p);
	check(p, HUGE, HUGE);
	move_to("to an odd place", p, HUGE, p + 2 * HUGE + PAGE_SIZE);
	check(p + 2 * HUGE + PAGE_SIZE, HUGE, HUGE);
	move_to("and back", p + 2 * HUGE + PAGE_SIZE, HUGE, p);
	check(p, HUGE, HUGE);
	p = huge_pages();
	move_to("half of it", p, MIB, p + 4 * HUGE);
	check(p + 4 * HUGE, 0, MIB);
	check(p + MIB, MIB, 3 * MIB);
	move_to("from the middle to a boundary", p + MIB, 3 * MIB, p + 6 * HUGE);
	check(p + 6 * HUGE, MIB, 3 * MIB);
	fill_words(p + 6 * HUGE, 3 * MIB);
	p = huge_pages();
	move_to("by 2 MiB", p + HUGE, HUGE, p + 3 * HUGE);
	move_to("over another", p + 3 * HUGE, HUGE, p);
	check(p, HUGE, HUGE);
	move_to("a page over another", p, PAGE_SIZE, p + HUGE - PAGE_SIZE);
	check(p + HUGE - PAGE_SIZE, HUGE, PAGE_SIZE);
	check(p + PAGE_SIZE, HUGE + PAGE_SIZE, HUGE - 2 * PAGE_SIZE);
	/* Zeros by the 2 MiB. */
	p = huge_pages();
	syscall3(__NR_madvise, p, 2 * HUGE, MADV_DONTNEED);
	(void)*(volatile char *)p;
	move_to("zeros", p, HUGE, p + 4 * HUGE);
	*(volatile char *)(p + 4 * HUGE) = 1;
	show("written", p, arena_size);
	unmap(arena, arena_size);
}

static void paged_out(void)
{
	char *p = huge_pages();

	for (int i = 0; i < 2; i++)
		syscall3(__NR_madvise, p, 2 * HUGE, MADV_PAGEOUT);
	show("paged out", p, arena_size);
	move_to("from swap", p, 2 * HUGE, p + 4 * HUGE);
	check(p + 4 * HUGE, 0, 2 * HUGE);
	show("read back", p, arena_size);
	for (int i = 0; i < 2; i++)
		syscall3(__NR_madvise, p + 4 * HUGE, 2 * HUGE, MADV_PAGEOUT);
	check(p + 4 * HUGE, 0, 2 * HUGE);
	unmap(arena, arena_size);
}

/* Pages that a device has for itself: it loses them, and they move as they are. */
static void exclusive(void)
{
	int fd = sys_open("/dev/hmm_dmirror1", O_RDWR);
	static unsigned char mirror[4 * PAGE_SIZE];

	if (fd < 0)
		fail("/dev/hmm_dmirror1", fd);
	map(8, 4);
	fill(8, 4);
	print("EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, at(8), mirror, 4));
	print("CHECK_EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, at(8), mirror, 4));
	answer("move two of them", remap(at(9), 2 * PAGE_SIZE, 2 * PAGE_SIZE, MAYMOVE | FIXED, at(20)));
	print("CHECK_EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, at(20), mirror, 2));
	print("CHECK_EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_CHECK_EXCLUSIVE, at(8), mirror, 1));
	print("EXCLUSIVE where there is nothing: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, at(9), mirror, 1));
	dmirror(fd, HMM_DMIRROR_SNAPSHOT, at(20), mirror, 2);
	print("snapshot: %x %x\n", (unsigned long)mirror[0], (unsigned long)mirror[1]);
	print("EXCLUSIVE: %d\n", dmirror(fd, HMM_DMIRROR_EXCLUSIVE, at(20), mirror, 2));
	print("by the device: %u %u\n", *(uint64_t *)mirror, *(uint64_t *)(mirror + PAGE_SIZE));
	layout();
	clear_arena();
}

int main(int argc, char **argv, char **envp)
{
	(void)envp;
	uintptr_t p = (uintptr_t)map_anonymous(9 * HUGE + ARENA);

	arena = (char *)((p + HUGE - 1) & ~(HUGE - 1));
	arena_size = 8 * HUGE - PAGE_SIZE;
	clear_arena();
	/* Room above it, behind a page that stays: what goes anywhere goes there, or higher. */
	unmap(arena + 8 * HUGE, ARENA);
	wrong_arguments();
	in_place();
	moves();
	several();
	left();
	of_file();
	registered();
	limits();
	huge();
	if (argc > 1 && string_equal(argv[1], "all")) {
		paged_out();
		exclusive();
	}
	return 0;
}
