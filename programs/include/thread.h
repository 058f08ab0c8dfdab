/* Threads without a library. */
#ifndef FAULTLINE_THREAD_H
#define FAULTLINE_THREAD_H

#include "start.h"

#define STACK_SIZE (64 * 1024ul)

/* clone() with CLONE_VM, onto a stack of STACK_SIZE. `worker` must not return. */
static inline long clone_with_stack(unsigned long flags, char *stack, unsigned int *alive, void (*worker)(void))
{
	long tid;

#if defined(__riscv)
	/* The child has no frame of ours on its stack, so it must not return from here. */
	register long a0 __asm__("a0") = (long)flags;
	register long a1 __asm__("a1") = (long)(stack + STACK_SIZE);
	register long a2 __asm__("a2") = 0;
	register long a3 __asm__("a3") = 0;
	register long a4 __asm__("a4") = (long)alive;
	register long a7 __asm__("a7") = __NR_clone;
	__asm__ volatile("ecall\n"
			 "bnez a0, 1f\n"
			 "jr %[worker]\n"
			 "1:"
			 : "+r"(a0)
			 : "r"(a1), "r"(a2), "r"(a3), "r"(a4), "r"(a7), [worker] "r"(worker)
			 : "memory");
	tid = a0;
#elif defined(__x86_64__)
	register long r10 __asm__("r10") = (long)alive;
	register long r8 __asm__("r8") = 0;
	__asm__ volatile("syscall\n"
			 "test %%rax, %%rax\n"
			 "jnz 1f\n"
			 "call *%[worker]\n"
			 "1:"
			 : "=a"(tid)
			 : "a"(__NR_clone), "D"(flags), "S"(stack + STACK_SIZE), "d"(0), "r"(r10),
			   "r"(r8), [worker] "b"(worker)
			 : "rcx", "r11", "memory");
#elif defined(__aarch64__)
	register long x0 __asm__("x0") = (long)flags;
	register long x1 __asm__("x1") = (long)(stack + STACK_SIZE);
	register long x2 __asm__("x2") = 0;
	register long x3 __asm__("x3") = 0;
	register long x4 __asm__("x4") = (long)alive;
	register long x8 __asm__("x8") = __NR_clone;
	__asm__ volatile("svc #0\n"
			 "cbnz x0, 1f\n"
			 "br %[worker]\n"
			 "1:"
			 : "+r"(x0)
			 : "r"(x1), "r"(x2), "r"(x3), "r"(x4), "r"(x8), [worker] "r"(worker)
			 : "memory");
	tid = x0;
#endif
	return tid;
}

/* A thread whose stack is its own; the kernel clears `alive` and wakes its waiters at its end. */
__attribute__((unused)) static long start_thread(char *stack, unsigned int *alive, void (*worker)(void))
{
	*alive = 1;
	return clone_with_stack(CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD |
				CLONE_SYSVSEM | CLONE_CHILD_CLEARTID, stack, alive, worker);
}

#endif
