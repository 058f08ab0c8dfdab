/*
 * What a freestanding program needs: its start, system calls, text output. One header, no
 * library, so that the same source builds for riscv64 (to run on Faultline) and for the host
 * (to compare with).
 */
#ifndef FAULTLINE_START_H
#define FAULTLINE_START_H

#include <asm/unistd.h>
#include <linux/futex.h>
#include <linux/mman.h>
#include <linux/sched.h>
#include <linux/signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE_SIZE 4096ul
#define MIB (1024ul * 1024ul)

#define O_RDONLY 0
#define O_RDWR 2
#define AT_FDCWD (-100)

/* System calls: a negated errno on failure, as the kernel returns it. */
#if defined(__riscv)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long a0 __asm__("a0") = a;
	register long a1 __asm__("a1") = b;
	register long a2 __asm__("a2") = c;
	register long a3 __asm__("a3") = d;
	register long a4 __asm__("a4") = e;
	register long a5 __asm__("a5") = f;
	register long a7 __asm__("a7") = nr;
	__asm__ volatile("ecall"
			 : "+r"(a0)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a5), "r"(a7)
			 : "memory");
	return a0;
}
/* gp is left alone: programs are linked without relaxation against it. */
__asm__(".section .text.start,\"ax\"\n"
	".globl _start\n"
	"_start:\n"
	"	mv a0, sp\n"
	"	andi sp, sp, -16\n"
	"	call start_c\n"
	".text\n");
#elif defined(__x86_64__)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	long ret;
	register long r10 __asm__("r10") = d;
	register long r8 __asm__("r8") = e;
	register long r9 __asm__("r9") = f;
	__asm__ volatile("syscall"
			 : "=a"(ret)
			 : "a"(nr), "D"(a), "S"(b), "d"(c), "r"(r10), "r"(r8), "r"(r9)
			 : "rcx", "r11", "memory");
	return ret;
}
__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	mov %rsp, %rdi\n"
	"	and $-16, %rsp\n"
	"	call start_c\n");
#elif defined(__aarch64__)
static inline long syscall6(long nr, long a, long b, long c, long d, long e, long f)
{
	register long x0 __asm__("x0") = a;
	register long x1 __asm__("x1") = b;
	register long x2 __asm__("x2") = c;
	register long x3 __asm__("x3") = d;
	register long x4 __asm__("x4") = e;
	register long x5 __asm__("x5") = f;
	register long x8 __asm__("x8") = nr;
	__asm__ volatile("svc #0"
			 : "+r"(x0)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x5), "r"(x8)
			 : "memory");
	return x0;
}
__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	mov x0, sp\n"
	"	bl start_c\n");
#else
#error "no system calls for this machine"
#endif

#define syscall0(nr) syscall6(nr, 0, 0, 0, 0, 0, 0)
#define syscall1(nr, a) syscall6(nr, (long)(a), 0, 0, 0, 0, 0)
#define syscall2(nr, a, b) syscall6(nr, (long)(a), (long)(b), 0, 0, 0, 0)
#define syscall3(nr, a, b, c) syscall6(nr, (long)(a), (long)(b), (long)(c), 0, 0, 0)
#define syscall4(nr, a, b, c, d) syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), 0, 0)

#define syscall5(nr, a, b, c, d, e) syscall6(nr, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), 0)

static inline _Noreturn void exit_group(int status)
{
	for (;;)
		syscall1(__NR_exit_group, status);
}

static inline int sys_open(const char *path, int flags)
{
	return (int)syscall4(__NR_openat, AT_FDCWD, path, flags, 0);
}

/* Memory of zeroes; ends the program when there is none. */
static inline void *map_anonymous(size_t size)
{
	long p = syscall6(__NR_mmap, 0, (long)size, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (p < 0 && p > -4096)
		exit_group(99);
	return (void *)p;
}

/* The compiler may call these by itself. */
__attribute__((used)) void *memset(void *to, int value, size_t n)
{
	unsigned char *p = to;
	uint64_t word = 0x0101010101010101ul * (unsigned char)value;

	for (; n > 0 && ((uintptr_t)p & 7) != 0; n--)
		*p++ = (unsigned char)value;
	for (; n >= 8; n -= 8, p += 8)
		*(uint64_t *)p = word;
	for (; n > 0; n--)
		*p++ = (unsigned char)value;
	return to;
}

__attribute__((used)) void *memcpy(void *to, const void *from, size_t n)
{
	unsigned char *p = to;
	const unsigned char *q = from;

	while (n-- > 0)
		*p++ = *q++;
	return to;
}

static inline size_t string_length(const char *s)
{
	size_t n = 0;

	while (s[n] != 0)
		n++;
	return n;
}

static inline int string_equal(const char *a, const char *b)
{
	while (*a != 0 && *a == *b) {
		a++;
		b++;
	}
	return *a == *b;
}

/* A decimal number; anything else gives `otherwise`. */
static inline unsigned long parse_number(const char *s, unsigned long otherwise)
{
	unsigned long n = 0;

	if (s == NULL || *s == 0)
		return otherwise;
	for (; *s != 0; s++) {
		if (*s < '0' || *s > '9')
			return otherwise;
		n = 10 * n + (unsigned long)(*s - '0');
	}
	return n;
}

/* Prints to a descriptor with one write: %s, %d (long), %u (unsigned long), %x, %%. */
static void print_to(int fd, const char *format, va_list args)
{
	char line[512];
	char digits[24];
	size_t n = 0;

	for (; *format != 0 && n < sizeof(line) - 64; format++) {
		if (*format != '%') {
			line[n++] = *format;
			continue;
		}
		switch (*++format) {
		case 's': {
			const char *s = va_arg(args, const char *);

			while (*s != 0 && n < sizeof(line) - 32)
				line[n++] = *s++;
			break;
		}
		case 'd':
		case 'u':
		case 'x': {
			unsigned long value = va_arg(args, unsigned long);
			unsigned long base = *format == 'x' ? 16 : 10;
			int k = 0;

			if (*format == 'd' && (long)value < 0) {
				line[n++] = '-';
				value = -value;
			}
			do {
				digits[k++] = "0123456789abcdef"[value % base];
				value /= base;
			} while (value != 0);
			while (k > 0)
				line[n++] = digits[--k];
			break;
		}
		default:
			line[n++] = *format;
		}
	}
	for (size_t done = 0; done < n;) {
		long wrote = syscall3(__NR_write, fd, line + done, n - done);

		if (wrote <= 0)
			return;
		done += (size_t)wrote;
	}
}

__attribute__((unused)) static void print(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	print_to(1, format, args);
	va_end(args);
}

/* Says what failed, with the errno, and ends the program with status 1. */
__attribute__((unused)) static _Noreturn void fail(const char *what, long error)
{
	print("%s failed: errno %d\n", what, -error);
	exit_group(1);
}

/* Waits until somebody sends SIGCONT. */
__attribute__((unused)) static void wait_for_sigcont(void)
{
	uint64_t set = 1ul << (SIGCONT - 1);

	syscall4(__NR_rt_sigprocmask, SIG_BLOCK, &set, NULL, 8);
	while (syscall4(__NR_rt_sigtimedwait, &set, NULL, NULL, 8) < 0)
		;
}

int main(int argc, char **argv, char **envp);

#if defined(__PIE__)
#include <elf.h>
extern Elf64_Dyn _DYNAMIC[] __attribute__((visibility("hidden")));
extern const char __ehdr_start[] __attribute__((visibility("hidden")));

/* A position-independent program puts its own addresses in order. */
static void relocate(void)
{
	uintptr_t base = (uintptr_t)__ehdr_start;
	const Elf64_Rela *rela = NULL;
	size_t size = 0;

	for (const Elf64_Dyn *d = _DYNAMIC; d->d_tag != DT_NULL; d++) {
		if (d->d_tag == DT_RELA)
			rela = (const Elf64_Rela *)(base + d->d_un.d_ptr);
		else if (d->d_tag == DT_RELASZ)
			size = d->d_un.d_val;
	}
	/* The only kind that a static program of one file has is "base plus addend". */
	for (; size >= sizeof(*rela); size -= sizeof(*rela), rela++)
		*(uintptr_t *)(base + rela->r_offset) = base + (uintptr_t)rela->r_addend;
}
#endif

__attribute__((used)) _Noreturn void start_c(long *sp)
{
	int argc = (int)sp[0];
	char **argv = (char **)(sp + 1);

#if defined(__PIE__)
	relocate();
#endif
	exit_group(main(argc, argv, argv + argc + 1));
}

#endif
